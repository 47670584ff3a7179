#!/usr/bin/env bash
# GStreamer 1.22 (Debian 12): webrtcbin whose dtlsdec was given a certificate of one's own, with its key.
#
# A good guess: the `pem` of dtlsdec takes a certificate with its private key, for who wants an EC key in the place of
# the RSA key that it draws, or the same fingerprint every time. webrtcbin's `a=fingerprint` is then the hash of that
# certificate (RFC 8122 section 5), as it is with the certificate that it makes itself.
#
# Seen instead: the fingerprint is the SHA-256 of all that lies between the headings of the text, key and certificate one
# behind the other in the order of the text. No certificate has it, so every peer that checks refuses the handshake, though
# the offer looks right. Who sets `pem` writes the fingerprint of the certificate into the description himself.
#
# Takes ten seconds. Needs Debian 12 with python3-gst-1.0, gir1.2-gst-plugins-bad-1.0, gir1.2-gst-plugins-base-1.0,
# gstreamer1.0-plugins-base, -good, -bad and gstreamer1.0-nice, and openssl. An offer is made; nothing is sent.
# Output as seen:
#   GStreamer 1.22.0
#   its own certificate: the fingerprint is of the certificate
#   certificate, then key: the fingerprint is of both, one behind the other
#   key, then certificate: the fingerprint is of both, one behind the other
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/run.py" <<'PY'
import base64
import hashlib
import re
import subprocess
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402, F401

PIPELINE = """
webrtcbin name=webrtc audiotestsrc is-live=true ! opusenc ! rtpopuspay pt=97
  ! application/x-rtp,media=audio,encoding-name=OPUS,payload=97 ! webrtc.sink_0
"""
EC = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=one"


def of_elements(pipeline, name):
    """The elements of this kind, wherever they are."""
    found, each = [], pipeline.iterate_recurse()
    while (step := each.next())[0] == Gst.IteratorResult.OK:
        if step[1].get_factory() and step[1].get_factory().get_name() == name:
            found.append(step[1])
    return found


def offer(pem):
    """The fingerprint of an offer, and the text that its dtlsdec has as its certificate."""
    pipeline = Gst.parse_launch(PIPELINE)
    webrtc, loop, offers = pipeline.get_by_name("webrtc"), GLib.MainLoop(), []

    def added(_bin, _in, element):
        if pem and element.get_factory() and element.get_factory().get_name() == "dtlsdec":
            element.set_property("pem", pem)

    def made(promise, _data):
        # Each is held by a name: what is inside goes with what holds it.
        reply = promise.get_reply()
        description = reply.get_value("offer")
        offers.append(description.sdp.as_text())
        GLib.idle_add(loop.quit)

    webrtc.connect("deep-element-added", added)
    ask = Gst.Promise.new_with_change_func
    webrtc.connect("on-negotiation-needed", lambda _: webrtc.emit("create-offer", None, ask(made, None)))
    pipeline.set_state(Gst.State.PLAYING)
    GLib.timeout_add_seconds(30, loop.quit)
    loop.run()
    text = of_elements(pipeline, "dtlsdec")[0].get_property("pem")
    pipeline.set_state(Gst.State.NULL)
    return re.search(r"a=fingerprint:sha-256 (\S+)", offers[0])[1], text


def sha256(pem):
    """Of what the lines between the headings stand for."""
    parts = re.findall(r"-----BEGIN [^-]+-----(.*?)-----END", pem, re.DOTALL)
    digest = hashlib.sha256(b"".join(base64.b64decode(part) for part in parts)).hexdigest()
    return ":".join(digest[at : at + 2] for at in range(0, 64, 2)).upper()


def main():
    folder = sys.argv[1]
    Gst.init(None)
    print(Gst.version_string())
    subprocess.run([*EC.split(), "-keyout", f"{folder}/key", "-out", f"{folder}/own"], check=True, capture_output=True)
    key, own = (open(f"{folder}/{name}").read() for name in ("key", "own"))
    seen = []
    given = {"its own certificate": None, "certificate, then key": own + key, "key, then certificate": key + own}
    for name, pem in given.items():
        fingerprint, text = offer(pem)
        certificate = text[text.index("-----BEGIN CERTIFICATE") :]
        certificate = certificate[: certificate.index("-----END CERTIFICATE") + 30]
        if fingerprint == sha256(certificate):
            seen.append("the certificate")
        elif fingerprint == sha256(text):
            seen.append("both, one behind the other")
        else:
            seen.append("something else")
        print(f"{name}: the fingerprint is of {seen[-1]}")
    if seen != ["the certificate", "both, one behind the other", "both, one behind the other"]:
        sys.exit("GStreamer behaves otherwise than described above")


main()
PY
timeout 120 /usr/bin/python3 "$folder/run.py" "$folder"
