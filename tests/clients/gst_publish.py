"""Publishes moving pictures and a tone (VP8, Opus) by WHIP with GStreamer's webrtcbin.

    gst_publish.py URL

Prints `publishing` once the connection stands, then a line of JSON twice a second: the state of the connection and how
many packets were sent. When its standard input ends, or the connection has failed, it ends the session, prints
`ended STATUS` and ends. The certificate is webrtcbin's own, which has an RSA key.
"""

import sys

import peer
from peer import Gst

PIPELINE = """
webrtcbin name=webrtc bundle-policy=max-bundle
videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=15/1
  ! vp8enc deadline=1 cpu-used=8 keyframe-max-dist=100000 target-bitrate=400000
  ! rtpvp8pay name=video pt=96 picture-id-mode=2 mtu=1200
  ! application/x-rtp,media=video,encoding-name=VP8,payload=96,clock-rate=90000 ! queue ! webrtc.sink_0
audiotestsrc is-live=true ! audioconvert ! audioresample ! opusenc ! rtpopuspay name=audio pt=97
  ! application/x-rtp,media=audio,encoding-name=OPUS,payload=97,clock-rate=48000,encoding-params=(string)2
  ! queue ! webrtc.sink_1
"""


def main():
    (url,) = sys.argv[1:]
    Gst.init(None)
    pipeline = Gst.parse_launch(PIPELINE)
    sent = {"audio": 0, "video": 0}

    def count(_pad, _info, kind):
        sent[kind] += 1
        return Gst.PadProbeReturn.OK

    for kind in sent:
        pad = pipeline.get_by_name(kind).get_static_pad("src")
        pad.add_probe(Gst.PadProbeType.BUFFER | Gst.PadProbeType.BUFFER_LIST, count, kind)
    webrtc = pipeline.get_by_name("webrtc")
    for index in range(2):
        transceiver = webrtc.emit("get-transceiver", index)
        transceiver.set_property("direction", peer.GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
        transceiver.set_property("do-nack", True)
    peer.Client(url, pipeline, lambda: {"sent": sent}, first_line="publishing").run()


main()
