"""Publishes live test pictures (and sound) over RTP/AVPF with GStreamer, and says what it is asked for.

    publish.py CODEC HOST VIDEO_PORT VIDEO_RTCP_PORT [AUDIO_PORT AUDIO_RTCP_PORT]

CODEC is vp8 or h264. A key frame comes first and after that only when a picture loss indication asks for one. Prints a
line `pli` for each that arrives. Ends when its standard input does.
"""

import os
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib, Gst  # noqa: E402

VIDEO = {
    "vp8": "vp8enc deadline=1 cpu-used=8 keyframe-max-dist=100000 target-bitrate=400000 "
    "! rtpvp8pay pt=101 ssrc=2222 picture-id-mode=2 mtu=1200",
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=100000 bitrate=400 "
    "! video/x-h264,profile=constrained-baseline "
    "! rtph264pay pt=107 ssrc=3333 mtu=1200 config-interval=-1 aggregate-mode=zero-latency",
}
AUDIO = "audiotestsrc is-live=true ! audioconvert ! opusenc ! rtpopuspay pt=100 ssrc=1111"


def socket():
    """A UDP socket on a port of its own, for sending and receiving."""
    address = Gio.InetSocketAddress.new_from_string("127.0.0.1", 0)
    made = Gio.Socket.new(Gio.SocketFamily.IPV4, Gio.SocketType.DATAGRAM, Gio.SocketProtocol.UDP)
    made.bind(address, True)
    return made


def count_plis(_pad, info):
    """Walks an RTCP compound: payload-specific feedback (206), format 1."""
    buffer = info.get_buffer()
    data = buffer.extract_dup(0, buffer.get_size())
    while len(data) >= 4:
        if data[1] == 206 and data[0] & 31 == 1:
            print("pli", flush=True)
        data = data[4 * (int.from_bytes(data[2:4], "big") + 1):]
    return Gst.PadProbeReturn.OK


def main():
    codec, host, *ports = sys.argv[1:]
    Gst.init(None)
    branches = [
        "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=15/1 ! " + VIDEO[codec],
        AUDIO,
    ][: len(ports) // 2]
    text = "rtpbin name=rtpbin rtp-profile=avpf "
    for session, branch in enumerate(branches):
        rtp, rtcp = ports[2 * session : 2 * session + 2]
        text += (
            f"{branch} ! rtpbin.send_rtp_sink_{session} "
            f"rtpbin.send_rtp_src_{session} ! udpsink name=rtp{session} host={host} port={rtp} sync=false async=false "
            f"rtpbin.send_rtcp_src_{session} ! udpsink name=rtcp{session} host={host} port={rtcp} sync=false async=false "
            f"udpsrc name=back{session} ! rtpbin.recv_rtcp_sink_{session} "
        )
    pipeline = Gst.parse_launch(text)
    for session in range(len(branches)):
        shared = socket()
        for name in (f"rtcp{session}", f"back{session}"):
            element = pipeline.get_by_name(name)
            element.set_property("socket", shared)
            element.set_property("close-socket", False)
        source = pipeline.get_by_name(f"back{session}").get_static_pad("src")
        source.add_probe(Gst.PadProbeType.BUFFER, count_plis)
    loop = GLib.MainLoop()
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    pipeline.set_state(Gst.State.PLAYING)
    print("publishing", flush=True)
    loop.run()


main()
