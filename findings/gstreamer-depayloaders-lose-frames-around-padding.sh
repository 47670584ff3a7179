#!/usr/bin/env bash
# GStreamer 1.22 (Debian 12): rtpvp8depay and rtpvp9depay, and packets of padding alone between those of a picture.
#
# A good guess: a packet whose payload is padding alone (RFC 3550 section 5.1) carries nothing, so a receiver passes over
# it wherever it stands; the numbers of the packets around it have no gap, and every picture is whole.
#
# Seen instead: between two pictures it does no harm, but inside of one it costs that picture, whole: what came before it
# is thrown away, although the marker and the rest follow. One such packet in every fourth picture loses every fourth.
# Chromium probes with such packets on the SSRC of the picture, at any moment, if retransmission was not negotiated.
# So who forwards to a GStreamer pipeline leaves them out, and closes the gap that this makes in the numbers.
#
# Takes half a minute. Needs Debian 12 with python3-gst-1.0 and gstreamer1.0-plugins-base; the plugins that are tried are
# fetched. Pictures are encoded, cut into packets and put together again in one process; nothing is sent.
# Output as seen:
#   GStreamer 1.22.0
#   VP8: 40 pictures; 40 with padding before every fourth, 30 with padding within every fourth
#   VP9: 16 pictures; 16 with padding before every fourth, 12 with padding within every fourth
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
(cd "$folder" && apt-get download -qq gstreamer1.0-plugins-good=1.22.0-5+deb12u4 2> /dev/null && dpkg-deb -x ./*.deb plugins)
export GST_PLUGIN_PATH=$folder/plugins GST_REGISTRY=$folder/registry

cat > "$folder/run.py" <<'PY'
import struct
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst

PICTURES = 40
SINK = "appsink name=out sync=false max-buffers=0"


def pull(pipeline):
    """All that a pipeline puts out."""
    found = []
    sink = pipeline.get_by_name("out")
    pipeline.set_state(Gst.State.PLAYING)
    while (sample := sink.emit("try-pull-sample", 10 * Gst.SECOND)) is not None:
        buffer = sample.get_buffer()
        found.append(buffer.extract_dup(0, buffer.get_size()))
    pipeline.set_state(Gst.State.NULL)
    return found


def packets(codec):
    source = f"videotestsrc pattern=snow num-buffers={PICTURES} ! video/x-raw,width=320,height=240,framerate=30/1"
    encoder = f"{codec}enc deadline=1 target-bitrate=4000000 ! rtp{codec}pay mtu=1200 pt=96 ssrc=1"
    return pull(Gst.parse_launch(f"{source} ! {encoder} ! {SINK}"))


def padding_after(packet):
    """A packet of 200 bytes of padding that has the time of the one before it, and no marker."""
    return bytes([packet[0] | 0x20, packet[1] & 0x7F]) + packet[2:12] + bytes(199) + b"\xc8"


def padded(sent, is_within):
    """With padding before every fourth picture, or behind its first packet."""
    out, picture, place = [], 0, 0
    for packet in sent:
        if picture % 4 == 3 and place == int(is_within):
            out.append(padding_after(out[-1]))
        out.append(packet)
        is_last = packet[1] & 0x80
        picture, place = (picture + 1, 0) if is_last else (picture, place + 1)
    return out


def pictures(codec, sent):
    """How many pictures come out, if these packets come without a gap in their numbers."""
    caps = f"application/x-rtp,media=video,clock-rate=90000,encoding-name={codec.upper()},payload=96"
    pipeline = Gst.parse_launch(f"appsrc name=in caps={caps} format=time ! rtp{codec}depay ! {SINK}")
    source = pipeline.get_by_name("in")
    pipeline.set_state(Gst.State.PAUSED)
    for number, packet in enumerate(sent):
        source.emit("push-buffer", Gst.Buffer.new_wrapped(packet[:2] + struct.pack(">H", number) + packet[4:]))
    source.emit("end-of-stream")
    return len(pull(pipeline))


Gst.init(None)
print(Gst.version_string())
as_seen = True
for codec in ("vp8", "vp9"):
    sent = packets(codec)
    whole = pictures(codec, sent)
    before, within = (pictures(codec, padded(sent, is_within)) for is_within in (False, True))
    counts = f"{before} with padding before every fourth, {within} with padding within every fourth"
    print(f"{codec.upper()}: {whole} pictures; {counts}")
    as_seen &= before == whole and within == whole - whole // 4
if not as_seen:
    sys.exit("GStreamer behaves otherwise than described above")
PY
timeout 90 /usr/bin/python3 "$folder/run.py"
