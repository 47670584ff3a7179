// What this side sends: camera and microphone from the start, with or without a track, and a screen while one is
// shared.

/** In the order of preference: every browser has the first two, and VP8 costs a phone the least. */
const ORDER = ["VP8", "VP9", "H264", "AV1"];
const REPAIR = /\/(rtx|red|ulpfec|flexfec-03)$/i;
/**
 * The full picture first: a server without simulcast keeps the first, and of a small picture Chromium 156 sends the
 * first ones only.
 */
const SIMULCAST = [
  { rid: "f", maxBitrate: 1_700_000, scaleResolutionDownBy: 1 },
  { rid: "h", maxBitrate: 500_000, scaleResolutionDownBy: 2 },
  { rid: "q", maxBitrate: 150_000, scaleResolutionDownBy: 4 },
];
/** Of a screen a smaller size is for narrow paths alone: text in it is hard to read. */
const SCREEN = [
  { rid: "f", maxBitrate: 2_500_000, scaleResolutionDownBy: 1 },
  { rid: "h", maxBitrate: 500_000, scaleResolutionDownBy: 2 },
];
/** Pixels from which a picture is worth sending in two sizes, and in three. Chromium 156 draws the same lines. */
const WORTH_TWO = 480 * 270;
const WORTH_THREE = 960 * 540;
/** Others are sent in one size: browsers make layers of their own of them, or encoders cost too much. */
const SIMULCAST_CODECS = ["", "vp8", "h264"];

export const CODEC_NAMES = { vp8: "VP8", vp9: "VP9", h264: "H.264", av1: "AV1" };

const sendable = () => RTCRtpSender.getCapabilities("video")?.codecs ?? [];
const named = (codecs, name) =>
  codecs.filter(({ mimeType }) => mimeType.toLowerCase() === `video/${name?.toLowerCase()}`);

/** In how many sizes the picture of a track is worth sending: in all of them if nobody knows how large it is. */
function worthwhile(track) {
  const { width, height } = track?.getSettings() ?? {};
  const area = width * height;
  return area < WORTH_TWO ? 1 : area < WORTH_THREE ? 2 : 3;
}

/**
 * Gives a sender another track, or none. One of sound is inactive while it has none: otherwise Chromium 156's
 * timestamps stand still meanwhile, and viewers reckon that sound and pictures are apart by as much.
 */
async function exchange({ sender, receiver }, track) {
  const isSound = receiver.track.kind === "audio";
  if (isSound && !track) await activate(sender, false);
  await sender.replaceTrack(track);
  if (isSound && track) await activate(sender, true);
}

async function activate(sender, active) {
  const parameters = sender.getParameters();
  if (!parameters.encodings.length) return;
  for (const encoding of parameters.encodings) encoding.active = active;
  await sender.setParameters(parameters);
}

/** Whether this browser encodes what was asked for; nothing was is well too. */
export const canSend = (codec) => !codec || named(sendable(), codec).length > 0;

export class Publisher {
  #options;
  #media;
  #tell;
  #up = null;
  /** What is sent, by the name of its track in `media`: { transceiver, paused, unwanted }. */
  #sent = new Map();
  #changes = Promise.resolve();

  /**
   * @param media what there is to send
   * @param options { codec, simulcast }
   * @param tell tells the server something: (method, data)
   */
  constructor({ media, options, tell }) {
    this.#media = media;
    this.#options = options;
    this.#tell = tell;
    media.addEventListener("change", this.#follow);
  }

  close() {
    this.#media.removeEventListener("change", this.#follow);
    this.#up = null;
  }

  /** Adds what is sent to a new transport, and returns what `up.send` takes. */
  prepare(up) {
    this.#up = null;
    this.#sent.clear();
    const news = [this.#add(up, "audio", "audio"), this.#add(up, "video", "video", this.#encodings(SIMULCAST))];
    if (this.#media.screen) news.push(...this.#addScreen(up));
    return news;
  }

  /** The server has made producers of all that: what has changed meanwhile is told now. */
  begin(up) {
    this.#up = up;
    // Chromium 156 forgets what was made inactive before the answer.
    return this.#follow();
  }

  /**
   * The server goes on with these producers, { producerId, paused, unwantedLayers }: it is told what it has not heard,
   * and what it wants is sent.
   */
  agree(producers) {
    const known = new Map(producers.map(({ producerId, ...rest }) => [producerId, rest]));
    for (const { transceiver, paused } of this.#sent.values()) {
      const producerId = this.#up?.producer(transceiver);
      if (!known.has(producerId)) continue;
      const { paused: was, unwantedLayers } = known.get(producerId);
      if (was !== paused) this.#tell(paused ? "pauseProducer" : "resumeProducer", { producerId });
      this.leaveOut(producerId, unwantedLayers);
    }
  }

  /** Nobody takes these sizes of a producer, named by RID: they are not sent until somebody does. */
  leaveOut(producerId, layers = []) {
    const sent = [...this.#sent.values()].find(({ transceiver }) => this.#up?.producer(transceiver) === producerId);
    if (!sent) return;
    sent.unwanted = new Set(layers);
    this.#follow();
  }

  #add(up, name, source, sendEncodings) {
    const track = this.#media[name];
    const kind = source === "audio" || name === "screenSound" ? "audio" : "video";
    const init = { direction: "sendonly", streams: [new MediaStream()], ...(sendEncodings && { sendEncodings }) };
    const transceiver = up.pc.addTransceiver(track ?? kind, init);
    if (kind === "video") this.#preferCodec(transceiver);
    this.#sent.set(name, { transceiver, paused: !track, unwanted: new Set() });
    return { transceiver, paused: !track, appData: { source } };
  }

  #addScreen(up) {
    const news = [this.#add(up, "screen", "screensharing", this.#encodings(SCREEN))];
    if (this.#media.screenSound) news.push(this.#add(up, "screenSound", "screensharing"));
    return news;
  }

  /** One size, or several of which each viewer takes one. */
  #encodings(sizes) {
    const { simulcast, codec } = this.#options;
    if (!simulcast || !SIMULCAST_CODECS.includes(codec)) return undefined;
    return sizes.map((encoding) => ({ ...encoding }));
  }

  #preferCodec(transceiver) {
    const codecs = sendable();
    const repair = codecs.filter(({ mimeType }) => REPAIR.test(mimeType));
    const wanted = named(codecs, this.#options.codec);
    const ordered = wanted.length ? wanted : ORDER.flatMap((name) => named(codecs, name));
    if (ordered.length) transceiver.setCodecPreferences?.([...ordered, ...repair]);
  }

  /** One change after the other: a sender takes no parameters that were read before its last change. */
  #follow = () => {
    this.#changes = this.#changes.then(() => this.#followNow()).catch(() => {});
    return this.#changes;
  };

  async #followNow() {
    const up = this.#up;
    if (!up) return;
    for (const name of ["screen", "screenSound"]) {
      const sent = this.#sent.get(name);
      if (!sent || this.#media[name]) continue;
      this.#sent.delete(name);
      await up.stop(sent.transceiver);
    }
    if (this.#media.screen && !this.#sent.has("screen")) await up.send(this.#addScreen(up));
    for (const [name, sent] of this.#sent) await this.#replace(up, name, sent);
  }

  async #replace(up, name, sent) {
    const track = this.#media[name];
    const { sender } = sent.transceiver;
    // A sender of a connection that was closed meanwhile takes no track, and needs none.
    if (sender.track !== track) await exchange(sent.transceiver, track).catch(() => {});
    if (sender.track?.kind === "video") await this.#choose(name, sent).catch(() => {});
    const producerId = up.producer(sent.transceiver);
    if (!producerId || sent.paused === !track) return;
    sent.paused = !track;
    this.#tell(track ? "resumeProducer" : "pauseProducer", { producerId });
  }

  /**
   * Sends the sizes that this picture is worth, the full one and of the smaller ones so many, without those that nobody
   * takes. The smallest is sent always: who comes begins with it, and who has a narrow path stays with it.
   */
  async #choose(name, { transceiver: { sender }, unwanted }) {
    const parameters = sender.getParameters();
    const smallest = Math.min(worthwhile(this.#media[name]), parameters.encodings.length) - 1;
    const isSent = ({ rid }, index) => index === smallest || (index < smallest && !unwanted.has(rid));
    const changes = parameters.encodings.filter((encoding, index) => encoding.active !== isSent(encoding, index));
    if (!changes.length) return;
    for (const encoding of changes) encoding.active = !encoding.active;
    await sender.setParameters(parameters);
  }
}
