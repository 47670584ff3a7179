"""Watches by WHEP with GStreamer's webrtcbin and counts what it decodes.

    gst_watch.py URL

Prints a line of JSON twice a second: the state of the connection and the frames decoded so far, by kind. When its
standard input ends, it ends the session, prints `ended STATUS` and ends.
"""

import sys

import peer
from peer import Gst

CAPS = {
    "audio": "application/x-rtp,media=audio,encoding-name=OPUS,payload=97,clock-rate=48000,encoding-params=(string)2",
    "video": "application/x-rtp,media=video,encoding-name=VP8,payload=96,clock-rate=90000,"
    "rtcp-fb-nack=true,rtcp-fb-nack-pli=true",
}
DECODE = {
    "VP8": "rtpvp8depay request-keyframe=true ! vp8dec",
    "H264": "rtph264depay request-keyframe=true ! h264parse ! avdec_h264",
    "OPUS": "rtpopusdepay ! opusdec",
}


def main():
    (url,) = sys.argv[1:]
    Gst.init(None)
    pipeline = Gst.Pipeline.new()
    webrtc = Gst.ElementFactory.make("webrtcbin", "webrtc")
    webrtc.set_property("bundle-policy", peer.GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
    pipeline.add(webrtc)
    frames = {"audio": 0, "video": 0}

    def decode(_webrtc, pad):
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        caps = pad.get_current_caps().get_structure(0)
        kind = caps.get_string("media")
        chain = DECODE[caps.get_string("encoding-name")]
        decoder = Gst.parse_bin_from_description(f"queue ! {chain} ! fakesink name=sink sync=false async=false", True)

        def count(_pad, _info):
            frames[kind] += 1
            return Gst.PadProbeReturn.OK

        decoder.get_by_name("sink").get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, count)
        pipeline.add(decoder)
        decoder.sync_state_with_parent()
        pad.link(decoder.get_static_pad("sink"))

    webrtc.connect("pad-added", decode)
    for kind in ("audio", "video"):
        direction = peer.GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
        transceiver = webrtc.emit("add-transceiver", direction, Gst.Caps.from_string(CAPS[kind]))
        transceiver.set_property("do-nack", True)
    peer.Client(url, pipeline, lambda: {"frames": frames}).run()


main()
