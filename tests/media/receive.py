"""Receives RTP with GStreamer, decodes it, and says how many frames came out.

    receive.py STREAM...

STREAM is KIND:SSRC:PAYLOAD_TYPE with KIND vp8, h264 or opus. All streams arrive on one port, RTCP on another. The first
line printed is `ports RTP RTCP`; then one line is read: `RTP_PORT RTCP_PORT [SEND_KEY RECEIVE_KEY]`, where to send RTCP
(the second port), and with SRTP both keys in base64 (AES_CM_128_HMAC_SHA1_80). Then prints `KIND SSRC FRAMES` twice a
second. Ends when its standard input does.
"""

import base64
import os
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib, Gst  # noqa: E402

CAPS = {
    "vp8": "application/x-rtp,media=video,encoding-name=VP8,clock-rate=90000,payload={pt},rtcp-fb-nack-pli=1",
    "h264": "application/x-rtp,media=video,encoding-name=H264,clock-rate=90000,payload={pt},rtcp-fb-nack-pli=1",
    "opus": "application/x-rtp,media=audio,encoding-name=OPUS,clock-rate=48000,payload={pt}",
}
DECODE = {
    "vp8": "rtpvp8depay request-keyframe=true ! vp8dec",
    "h264": "rtph264depay request-keyframe=true ! h264parse ! avdec_h264",
    "opus": "rtpopusdepay ! opusdec",
}
PROTECTION = (
    "srtp-cipher=(string)aes-128-icm,srtp-auth=(string)hmac-sha1-80,"
    "srtcp-cipher=(string)aes-128-icm,srtcp-auth=(string)hmac-sha1-80"
)


def socket():
    """A UDP socket on a port of its own, for sending and receiving."""
    address = Gio.InetSocketAddress.new_from_string("127.0.0.1", 0)
    made = Gio.Socket.new(Gio.SocketFamily.IPV4, Gio.SocketType.DATAGRAM, Gio.SocketProtocol.UDP)
    made.bind(address, True)
    return made


class Receiver:
    """A pipeline that decodes what it is told to expect."""

    def __init__(self, streams, rtp, rtcp, remote_rtcp_port, keys):
        self.streams = {int(ssrc): (kind, int(pt)) for kind, ssrc, pt in streams}
        self.frames = {ssrc: 0 for ssrc in self.streams}
        secure = "srtpdec name=dec " if keys else ""
        kind = "application/x-srtp" if keys else "application/x-rtp"
        kind_rtcp = "application/x-srtcp" if keys else "application/x-rtcp"
        rtp_in = "dec.rtp_sink dec.rtp_src ! " if keys else ""
        rtcp_in = "dec.rtcp_sink dec.rtcp_src ! " if keys else ""
        rtcp_out = "enc.rtcp_sink_0 srtpenc name=enc enc.rtcp_src_0 ! " if keys else ""
        self.pipeline = Gst.parse_launch(
            f"rtpbin name=rtpbin rtp-profile=avpf latency=100 {secure}"
            f"udpsrc name=rtp caps={kind} ! {rtp_in}rtpbin.recv_rtp_sink_0 "
            f"udpsrc name=rtcp caps={kind_rtcp} ! {rtcp_in}rtpbin.recv_rtcp_sink_0 "
            f"rtpbin.send_rtcp_src_0 ! {rtcp_out}udpsink name=back host=127.0.0.1 port={remote_rtcp_port} "
            "sync=false async=false"
        )
        for name, shared in (("rtp", rtp), ("rtcp", rtcp), ("back", rtcp)):
            element = self.pipeline.get_by_name(name)
            element.set_property("socket", shared)
            element.set_property("close-socket", False)
        if keys:
            self.protect(*keys)
        rtpbin = self.pipeline.get_by_name("rtpbin")
        rtpbin.connect("request-pt-map", self.caps_of)
        rtpbin.connect("pad-added", self.decode)

    def protect(self, send_key, receive_key):
        encoder = self.pipeline.get_by_name("enc")
        key = base64.b64decode(send_key)
        encoder.set_property("key", Gst.Buffer.new_wrapped(key))
        receive = base64.b64decode(receive_key).hex()
        caps = Gst.Caps.from_string(f"application/x-srtp,srtp-key=(buffer){receive},{PROTECTION}")
        self.pipeline.get_by_name("dec").connect("request-key", lambda _element, _ssrc: caps)

    def caps_of(self, _rtpbin, _session, pt):
        kind = next((kind for kind, of in self.streams.values() if of == pt), None)
        return Gst.Caps.from_string(CAPS[kind].format(pt=pt)) if kind else None

    def decode(self, _rtpbin, pad):
        name = pad.get_name()
        if not name.startswith("recv_rtp_src_"):
            return
        ssrc = int(name.split("_")[4])
        kind, _ = self.streams[ssrc]
        branch = Gst.parse_bin_from_description(f"queue ! {DECODE[kind]} ! fakesink name=out sync=false", True)
        self.pipeline.add(branch)
        branch.get_by_name("out").get_static_pad("sink").add_probe(
            Gst.PadProbeType.BUFFER, lambda _pad, _info: self.count(ssrc)
        )
        branch.sync_state_with_parent()
        pad.link(branch.get_static_pad("sink"))

    def count(self, ssrc):
        self.frames[ssrc] += 1
        return Gst.PadProbeReturn.OK

    def report(self):
        for ssrc, (kind, _) in self.streams.items():
            print(kind, ssrc, self.frames[ssrc], flush=True)
        return True


def main():
    Gst.init(None)
    rtp, rtcp = socket(), socket()
    print("ports", rtp.get_local_address().get_port(), rtcp.get_local_address().get_port(), flush=True)
    _, rtcp_port, *keys = sys.stdin.readline().split()
    receiver = Receiver([stream.split(":") for stream in sys.argv[1:]], rtp, rtcp, rtcp_port, keys)
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    receiver.pipeline.set_state(Gst.State.PLAYING)
    GLib.timeout_add(500, receiver.report)
    GLib.MainLoop().run()


main()
