// What is received of one peer: a session by WHEP, played by one video element.

import { Session } from "./session.js";

export class Viewer {
  session;
  stream = new MediaStream();
  video;
  /** Kinds that the peer sends and the answer left out: this browser has no decoder for them. */
  undecodable = [];

  /**
   * @param tracks kinds that the peer sends
   * @param video the element that plays them
   */
  constructor({ room, peer, tracks, token, video, changed }) {
    this.video = video;
    this.tracks = tracks;
    this.session = new Session({
      token,
      address: () => `/whep/${encodeURIComponent(room)}/${encodeURIComponent(peer)}`,
      prepare: (pc) => this.#prepare(pc),
      answered: (pc) => this.#answered(pc),
      changed,
    });
  }

  get pc() {
    return this.session.pc;
  }

  close() {
    this.session.close();
    this.video.srcObject = null;
  }

  #prepare(pc) {
    this.stream = new MediaStream();
    this.video.srcObject = this.stream;
    pc.addTransceiver("audio", { direction: "recvonly" });
    askForDescriptor(pc.addTransceiver("video", { direction: "recvonly" }));
    pc.addEventListener("track", ({ track }) => this.stream.addTrack(track));
  }

  #answered(pc) {
    const refused = pc.getTransceivers().filter(({ currentDirection }) => !/recv/.test(currentDirection ?? ""));
    const kinds = refused.map(({ receiver }) => receiver.track.kind);
    this.undecodable = kinds.filter((kind) => this.tracks.includes(kind));
    for (const { receiver } of refused) this.stream.removeTrack(receiver.track);
  }
}

/** AV1 in spatial layers cannot be decoded without it, and Chromium offers it to receive only if told to. */
function askForDescriptor(transceiver) {
  const extensions = transceiver.getHeaderExtensionsToNegotiate?.() ?? [];
  const descriptor = extensions.find(({ uri }) => uri.endsWith("#dependency-descriptor-rtp-header-extension"));
  if (!descriptor || descriptor.direction !== "stopped") return;
  descriptor.direction = "sendrecv";
  transceiver.setHeaderExtensionsToNegotiate(extensions);
}
