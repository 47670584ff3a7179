"""What both GStreamer clients do with webrtcbin: offer, POST, apply the answer, say how it goes, end."""

import hashlib
import json
import re
import ssl
import subprocess
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

import exchange  # noqa: E402

CONNECTED = GstWebRTC.WebRTCPeerConnectionState.CONNECTED
FAILED = GstWebRTC.WebRTCPeerConnectionState.FAILED


def described(kind, text):
    """A description of its own: the one in a promise's reply goes with the promise."""
    _, message = GstSdp.SDPMessage.new()
    GstSdp.sdp_message_parse_buffer(text.encode(), message)
    return GstWebRTC.WebRTCSessionDescription.new(kind, message)


def certificate():
    """A certificate with a P-256 key, as browsers make them: GStreamer's own is of RSA, which corecast does not take."""
    with_key = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=client"
    both = f"{with_key} -keyout /dev/stdout -out /dev/stdout"
    return subprocess.run(both.split(), check=True, capture_output=True, text=True).stdout


def fingerprint(pem):
    """As SDP has it. GStreamer 1.22 takes it of certificate and key together where both were given."""
    der = ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERTIFICATE") :])
    return "sha-256 " + ":".join(f"{byte:02X}" for byte in hashlib.sha256(der).digest())


class Client:
    """One connection. `figures` is what it counts; `first_line` is printed once it stands. `own_certificate`: it shows
    the one that webrtcbin has made."""

    def __init__(self, url, pipeline, figures, first_line=None, own_certificate=False):
        self.url, self.pipeline, self.figures, self.first_line = url, pipeline, figures, first_line
        self.webrtc = pipeline.get_by_name("webrtc")
        self.session = None
        self.asked = False
        self.loop = GLib.MainLoop()
        self.pem = None if own_certificate else certificate()
        self.webrtc.connect("deep-element-added", lambda _bin, _in, element: self.give(element))
        self.webrtc.connect("on-negotiation-needed", self.offer)
        self.webrtc.connect("notify::ice-gathering-state", self.gathered)
        bus = pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", lambda _bus, message: self.fail(f"{message.src.name}: {message.parse_error()}"))

    def give(self, element):
        factory = element.get_factory()
        if self.pem and factory and factory.get_name() == "dtlsdec":
            element.set_property("pem", self.pem)

    def fail(self, why):
        print(why, file=sys.stderr, flush=True)
        self.loop.quit()

    def offer(self, _element):
        self.webrtc.emit("create-offer", None, Gst.Promise.new_with_change_func(self.offered, None))

    def offered(self, promise, _data):
        # Each is held by a name: what is inside goes with what holds it.
        reply = promise.get_reply()
        made = reply.get_value("offer")
        offer = described(GstWebRTC.WebRTCSDPType.OFFER, made.sdp.as_text())
        self.webrtc.emit("set-local-description", offer, Gst.Promise.new())

    def gathered(self, *_):
        if self.webrtc.get_property("ice-gathering-state") != GstWebRTC.WebRTCICEGatheringState.COMPLETE or self.asked:
            return
        self.asked = True
        threading.Thread(target=self.ask, daemon=True).start()

    def ask(self):
        try:
            local = self.webrtc.get_property("local-description")
            offer = local.sdp.as_text()
            if self.pem:
                offer = re.sub(r"sha-256 [0-9A-F:]+", fingerprint(self.pem), offer)
            answer, self.session = exchange.exchange(self.url, offer)
            description = described(GstWebRTC.WebRTCSDPType.ANSWER, answer)
            self.webrtc.emit("set-remote-description", description, Gst.Promise.new())
        except Exception as error:  # noqa: BLE001  Whatever it is, the test must hear of it.
            GLib.idle_add(self.fail, str(error))

    def tell(self):
        state = self.webrtc.get_property("connection-state")
        if state == FAILED:
            self.fail("the connection has failed")
        elif state == CONNECTED and self.first_line:
            print(self.first_line, flush=True)
            self.first_line = None
        elif not self.first_line:
            print(json.dumps({"state": state.value_nick, **self.figures()}), flush=True)
        return True

    def listen(self):
        sys.stdin.read()
        GLib.idle_add(self.loop.quit)

    def run(self):
        self.pipeline.set_state(Gst.State.PLAYING)
        threading.Thread(target=self.listen, daemon=True).start()
        GLib.timeout_add(500, self.tell)
        self.loop.run()
        if self.session:
            print("ended", exchange.end(self.session), flush=True)
        self.pipeline.set_state(Gst.State.NULL)
