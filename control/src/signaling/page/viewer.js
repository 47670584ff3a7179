// What is received of one peer: a session by WHEP, played by one video element. Of what is sent in several sizes it
// asks for the one that fits the element.

import { Session } from "./session.js";

/** After the element was resized, or the session has begun. */
const SETTLE_MS = 400;
/** What there is, and what keeps it from being more, is asked for again. */
const AGAIN_MS = 5_000;
/** A picture may be stretched by as much before it is too small. */
const STRETCH = 1.3;

/** What the server says limits a picture. A picture in the size that was asked for is limited by nobody. */
const LIMITS = { network: "your network", publisher: "", preference: "the size of the tile" };

export class Viewer {
  session;
  stream = new MediaStream();
  video;
  /** Kinds that the peer sends and the answer left out: this browser has no decoder for them. */
  undecodable = [];
  /** Name of the layer that fits, and its place among those that are sent in words; empty where there is one size. */
  layer = "";
  layerWords = "";
  /** What keeps the picture from being better, in words; and whether there is none, for the network carries none. */
  limitWords = "";
  suspended = false;
  /** Name of the layer that the server was told; empty for the best one. */
  #told = "";
  /** The tile's size and the number of layers, when they were last chosen by. */
  #settled = "";

  #timer = 0;
  #observer;

  /**
   * @param tracks kinds that the peer sends
   * @param video the element that plays them
   */
  constructor({ room, peer, tracks, token, video, talk, changed }) {
    this.video = video;
    this.tracks = tracks;
    this.session = new Session({
      token,
      address: () => `whep/${encodeURIComponent(room)}/${encodeURIComponent(peer)}`,
      prepare: (pc) => {
        this.#prepare(pc);
        talk.watch(pc, peer);
      },
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
    this.layer = this.layerWords = this.limitWords = this.#told = this.#settled = "";
    this.suspended = false;
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
    // A publisher may send more later, another camera for one, and a network carry more or less.
    if (this.session.state === "connected") this.#chooseIn(AGAIN_MS);
    if (!sections.length) return;
    const [mediaId, section] = sections[0];
    this.suspended = section.suspended;
    this.limitWords = LIMITS[section.limitedBy] ?? "";
    const sized = sizes(section);
    if (!sized.length) return;
    // Once all sizes are known only the tile's own decides: each change costs the viewer a key frame.
    const { inactive, layers } = section;
    const isSettled = !inactive.length && sized.length === layers.length;
    const tile = `${this.video.clientWidth} ${this.video.clientHeight} ${sized.length}`;
    if (isSettled && tile === this.#settled) return;
    this.#settled = isSettled ? tile : "";
    const { clientWidth, clientHeight } = this.video;
    const [wide, high] = [clientWidth, clientHeight].map((side) => (side * devicePixelRatio) / STRETCH);
    const fits = sized.findLastIndex(({ width, height }) => width >= wide && height >= high);
    const place = Math.max(fits, 0);
    const { encodingId, spatialLayerId } = sized[place];
    const chosen = [encodingId, spatialLayerId].filter((name) => name !== undefined).join(", layer ");
    const told = place === 0 ? "" : chosen;
    if (told !== this.#told) {
      const wish = told ? { mediaId, encodingId, spatialLayerId } : { mediaId };
      if (!(await this.session.ask("layer", wish))) return;
      this.#told = told;
    }
    this.layer = chosen;
    this.layerWords = `${sized.length - place} of ${sized.length}`;
  }
}

/**
 * The layers of which a size is known, the best first. Within one encoding only that of the best is told; each below is
 * taken for half of it, as browsers make them.
 */
function sizes({ layers }) {
  const best = (id) => {
    const own = layers.filter(({ encodingId }) => encodingId === id);
    return Math.max(...own.map((one) => one.spatialLayerId ?? 0));
  };
  const scaled = ({ width, height, ...layer }) => {
    const by = layer.spatialLayerId === undefined ? 1 : 2 ** (best(layer.encodingId) - layer.spatialLayerId);
    return { ...layer, width: width / by, height: height / by };
  };
  const order = (a, b) => b.simulcastIdx - a.simulcastIdx || (b.spatialLayerId ?? 0) - (a.spatialLayerId ?? 0);
  return layers.filter(({ width }) => width).map(scaled).sort(order);
}

/** AV1 in spatial layers cannot be decoded without it, and Chromium offers it to receive only if told to. */
function askForDescriptor(transceiver) {
  const extensions = transceiver.getHeaderExtensionsToNegotiate?.() ?? [];
  const descriptor = extensions.find(({ uri }) => uri.endsWith("#dependency-descriptor-rtp-header-extension"));
  if (!descriptor || descriptor.direction !== "stopped") return;
  descriptor.direction = "sendrecv";
  transceiver.setHeaderExtensionsToNegotiate(extensions);
}
