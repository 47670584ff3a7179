// What is received of one peer: a session by WHEP, played by one video element. Of what is sent in several sizes it
// asks for the one that fits the element.

import { Session } from "./session.js";

/** After the element was resized, or the session has begun. */
const SETTLE_MS = 400;
/** While a layer is silent, or its size is not known yet, what there is is asked for again. */
const AGAIN_MS = 5_000;
/** A picture may be stretched by as much before it is too small. */
const STRETCH = 1.3;

export class Viewer {
  session;
  stream = new MediaStream();
  video;
  /** Kinds that the peer sends and the answer left out: this browser has no decoder for them. */
  undecodable = [];
  /** Name of the layer that fits, and its place among those that are sent in words; empty where there is one size. */
  layer = "";
  layerWords = "";
  /** Name of the layer that the server was told; empty for the best one. */
  #told = "";

  #timer = 0;
  #observer;

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
      changed: (session) => {
        changed(session);
        if (session.state === "connected") this.#chooseIn(SETTLE_MS);
      },
    });
    this.#observer = new ResizeObserver(() => this.#chooseIn(SETTLE_MS));
    this.#observer.observe(video);
  }

  get pc() {
    return this.session.pc;
  }

  close() {
    clearTimeout(this.#timer);
    this.#observer.disconnect();
    this.session.close();
    this.video.srcObject = null;
  }

  #prepare(pc) {
    this.layer = this.layerWords = this.#told = "";
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

  #chooseIn(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#choose(), ms);
  }

  /** Asks for the smallest layer that fills the element, of those that are sent; or for the best, whichever that is. */
  async #choose() {
    const sections = Object.entries((await this.session.ask("layer")) ?? {});
    if (!sections.length) return;
    const [mediaId, { active, inactive }] = sections[0];
    const sized = active.filter(({ width }) => width).sort((a, b) => b.simulcastIdx - a.simulcastIdx);
    // A publisher may send more later: another camera, or a better network.
    if (inactive.length || sized.length < active.length) this.#chooseIn(AGAIN_MS);
    if (!sized.length) return;
    const { clientWidth, clientHeight } = this.video;
    const [wide, high] = [clientWidth, clientHeight].map((side) => (side * devicePixelRatio) / STRETCH);
    const fits = sized.findLastIndex(({ width, height }) => width >= wide && height >= high);
    const place = Math.max(fits, 0);
    const chosen = sized[place].id;
    const told = place === 0 ? "" : chosen;
    if (told !== this.#told) {
      const wish = told ? { mediaId, encodingId: told } : { mediaId };
      if (!(await this.session.ask("layer", wish))) return;
      this.#told = told;
    }
    this.layer = chosen;
    this.layerWords = `${sized.length - place} of ${sized.length}`;
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
