// What is received of one source of a peer, its camera and microphone or its screen, played by one video element. Of
// what is sent in several sizes it asks for the one that fits the element, and for no pictures while the element is out
// of sight.

/** After the element was resized, or another layer has come. */
const SETTLE_MS = 400;
/** Where the network is slow, pictures of the layer before come for a while after the server has told of another. */
const LATE_MS = 2_000;
/** Out of sight for so long, pictures are paused. */
const UNSEEN_MS = 1_500;
/** Of 10; 16 percent of loss are 5, 5 percent 8. */
const FAIR = 7;
/** A picture may be stretched by as much before it is too small. */
const STRETCH = 1.3;

/** A codec as people write it, by its MIME type. */
export const codecName = (mimeType) => mimeType.split("/")[1].replace(/^H(26\d)$/i, "H.$1");

export class Viewer {
  peer;
  /** Whether it shows a screen. */
  isScreen;
  tile;
  stream = new MediaStream();
  /** What is received, by kind; null where there is nothing. */
  audio = null;
  video = null;
  /** What cannot be received, as this browser has no codec for it, by kind: { producer, codec, paused }. */
  unplayable = { audio: null, video: null };

  #session;
  #timer = 0;
  #hiding = 0;
  #isHidden = false;
  #resized;
  #seen;
  /** Sizes of layers as they were seen, by number. */
  #sizes = new Map();
  /** The layer that the server was told; null before it was told any. */
  #told = null;
  /** The highest layer that has come: of a small picture the server counts some above it that are not sent. */
  #highest = 0;
  /** The layer that was told last, and until when pictures may be of the one before. */
  #layer = null;
  #lateUntil = 0;

  /**
   * @param tile where it is shown
   * @param session tells the server
   */
  constructor({ peer, isScreen, tile, session }) {
    Object.assign(this, { peer, isScreen, tile });
    this.#session = session;
    tile.video.srcObject = this.stream;
    this.#resized = new ResizeObserver(() => this.#chooseSoon());
    this.#resized.observe(tile.video);
    tile.video.addEventListener("resize", this.#resize);
    this.#seen = new IntersectionObserver(([{ isIntersecting }]) => this.#show(isIntersecting));
    this.#seen.observe(tile.item);
  }

  get element() {
    return this.tile.video;
  }

  /** Whether there is nothing of it. */
  get isEmpty() {
    return ![this.audio, this.video, this.unplayable.audio, this.unplayable.video].some(Boolean);
  }

  /** What cannot be played of it, in words; empty if all can. */
  get unplayableWords() {
    const { audio, video } = this.unplayable;
    const [sound, picture] = [audio, video].map((one) => (one && !one.paused ? codecName(one.codec) : ""));
    if (picture && sound) return `Your browser can play neither this picture (${picture}) nor its sound (${sound}).`;
    if (picture) return `Your browser cannot show this picture (${picture}).`;
    return sound ? `Your browser cannot play this sound (${sound}).` : "";
  }

  /** SSRCs of what is received. */
  get ssrcs() {
    return [this.audio, this.video].filter(Boolean).map(({ ssrc }) => ssrc);
  }

  /** Number of the layer that is sent, the lowest is 0; null where there is one size, or nothing comes. */
  get layer() {
    return this.video?.layers > 1 ? this.video.spatial ?? null : null;
  }

  /** The layer's place among those that are sent, or rest as nobody takes them, in words; empty where there is one. */
  get layerWords() {
    const scores = this.video?.score?.producerScores ?? [];
    // One encoding that has layers within it has one score.
    const sent = scores.length > 1 ? scores.filter((one) => one > 0).length : this.video?.layers ?? 1;
    if (this.layer === null) return "";
    const count = Math.max(sent, this.#highest - Math.min(this.layer, ...this.#sizes.keys()) + 1);
    if (count < 2) return "";
    return `${Math.max(1, count - (this.#highest - this.layer))} of ${count}`;
  }

  /** What keeps the picture from being better, in words. */
  get limitWords() {
    const { layer } = this;
    if (layer === null || layer >= this.#highest) return "";
    return layer < Math.min(this.#told ?? this.#highest, this.#highest) ? "your network" : "the size of the tile";
  }

  /** Whether the path carries no picture, though there is one. */
  get isSuspended() {
    const { video } = this;
    return Boolean(video) && !video.paused && !this.#isHidden && video.spatial === null &&
      video.score?.producerScores?.some((score) => score > 0) === true;
  }

  /** Whose connection loses packets, in words; empty if nobody's does to speak of. */
  get weakness() {
    const scores = [this.audio, this.video].filter((one) => one && !one.paused).map(({ score }) => score ?? {});
    const isBad = (name) => scores.some((score) => score[name] > 0 && score[name] < FAIR);
    if (isBad("score")) return "Your connection loses much of this";
    return isBad("producerScore") ? "Their connection is bad" : "";
  }

  /** Plays a consumer, in the place of one of its kind. */
  take(consumer) {
    const before = this[consumer.kind];
    if (before) this.drop(before);
    this[consumer.kind] = consumer;
    this.stream.addTrack(consumer.receiver.track);
    if (consumer.kind !== "video") return;
    this.#sizes.clear();
    [this.#told, this.#layer] = [null, null];
    this.#highest = 0;
    if (this.#isHidden) this.#session.pause(consumer, true);
  }

  /** Plays a consumer no more. */
  drop(consumer) {
    if (this[consumer.kind] !== consumer) return;
    this[consumer.kind] = null;
    this.stream.removeTrack(consumer.receiver.track);
  }

  /** The server has told something of a consumer. */
  changed() {
    const { layer } = this;
    if (this.#layer !== null && layer !== this.#layer) this.#lateUntil = performance.now() + LATE_MS;
    this.#layer = layer;
    this.#highest = Math.max(this.#highest, layer ?? 0);
    this.#chooseSoon();
  }

  close() {
    clearTimeout(this.#timer);
    clearTimeout(this.#hiding);
    this.#resized.disconnect();
    this.#seen.disconnect();
    this.element.removeEventListener("resize", this.#resize);
    this.element.srcObject = null;
  }

  #show(isSeen) {
    clearTimeout(this.#hiding);
    if (isSeen) this.#hide(false);
    else this.#hiding = setTimeout(() => this.#hide(true), UNSEEN_MS);
  }

  #hide(isHidden) {
    if (isHidden === this.#isHidden) return;
    this.#isHidden = isHidden;
    if (this.video) this.#session.pause(this.video, isHidden);
  }

  /** Pictures of another size have come. */
  #resize = () => {
    this.#lateUntil = 0;
    this.#chooseSoon();
  };

  #chooseSoon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#choose(), Math.max(SETTLE_MS, this.#lateUntil - performance.now()));
  }

  /** Asks for the smallest layer that fills the element, of those that are sent. */
  #choose() {
    const { video, layer } = this;
    this.#highest = Math.max(this.#highest, layer ?? 0);
    const { videoWidth, videoHeight, clientWidth, clientHeight } = this.element;
    if (layer === null || this.#isHidden || !videoWidth || !clientWidth) return;
    this.#measure(layer, videoWidth, videoHeight);
    const [wide, high] = [clientWidth, clientHeight].map((side) => (side * devicePixelRatio) / STRETCH);
    let fits = this.#highest;
    while (fits > 0) {
      const { width, height } = this.#sizeOf(fits - 1);
      // A picture is shown whole or cropped: it must be large enough in both directions.
      if (width < wide || height < high) break;
      fits -= 1;
    }
    // The best, whichever that will be.
    const wanted = fits === this.#highest ? video.layers - 1 : fits;
    if (wanted === (this.#told ?? video.layers - 1)) return;
    this.#told = wanted;
    this.#session.prefer(video, wanted);
  }

  /** Another size of a layer is another camera: what was known of it counts no more. */
  #measure(layer, width, height) {
    const known = this.#sizes.get(layer);
    if (known && (known.width !== width || known.height !== height)) this.#sizes.clear();
    this.#sizes.set(layer, { width, height });
  }

  /** The size of a layer as it was seen or, by the nearest that was, as browsers make them: each half of the next. */
  #sizeOf(layer) {
    const byDistance = [...this.#sizes].sort(([a], [b]) => Math.abs(a - layer) - Math.abs(b - layer));
    const [[nearest, { width, height }]] = byDistance;
    const by = 2 ** (layer - nearest);
    return { width: width * by, height: height * by };
  }
}
