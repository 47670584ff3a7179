"""What both GStreamer clients do with webrtcbin: offer, POST, apply the answer, say how it goes, end."""

import json
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


class Client:
    """One connection. `figures` is what it counts; `first_line` is printed once it stands."""

    def __init__(self, url, pipeline, figures, first_line=None):
        self.url, self.pipeline, self.figures, self.first_line = url, pipeline, figures, first_line
        self.webrtc = pipeline.get_by_name("webrtc")
        self.session = None
        self.asked = False
        self.loop = GLib.MainLoop()
        self.webrtc.connect("on-negotiation-needed", self.offer)
        self.webrtc.connect("notify::ice-gathering-state", self.gathered)
        bus = pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", lambda _bus, message: self.fail(f"{message.src.name}: {message.parse_error()}"))

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
            answer, self.session = exchange.exchange(self.url, local.sdp.as_text())
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
