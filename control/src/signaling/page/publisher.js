// What this side sends: one session by WHIP, with whatever tracks `media` has at the moment.

import { Session } from "./session.js";

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

/** Whether this browser encodes what was asked for; nothing was is well too. */
export const canSend = (codec) => !codec || named(sendable(), codec).length > 0;

export class Publisher {
  peer = "";
  session;
  /** Every name that it has had: the server may list one a little longer. */
  names = new Set();

  #room;
  #name;
  #options;
  #media;
  #talk;
  #senders = {};
  #replacing = Promise.resolve();

  constructor({ room, name, token, media, options, talk, changed }) {
    this.#talk = talk;
    this.#room = room;
    this.#name = name;
    this.#options = options;
    this.#media = media;
    media.addEventListener("change", this.#replace);
    this.session = new Session({
      token,
      address: () => this.#address(),
      replaces: true,
      prepare: (pc) => this.#prepare(pc),
      // Chromium 156 forgets what was made inactive before the answer.
      answered: () => this.#replace(),
      changed,
    });
  }

  get pc() {
    return this.session.pc;
  }

  close() {
    this.#media.removeEventListener("change", this.#replace);
    this.session.close();
  }

  /** A new name each time: a session that was lost may still hold the old one. */
  #address() {
    const random = [...crypto.getRandomValues(new Uint8Array(8))];
    this.peer = random.map((byte) => byte.toString(16).padStart(2, "0")).join("");
    this.names.add(this.peer);
    const query = new URLSearchParams({ peer: this.peer, name: this.#name });
    return `whip/${encodeURIComponent(this.#room)}?${query}`;
  }

  /** Both kinds from the start, with or without a track: what is turned on later needs no new offer. */
  async #prepare(pc) {
    const stream = new MediaStream();
    const direction = "sendonly";
    const audio = pc.addTransceiver("audio", { direction, streams: [stream] });
    const video = pc.addTransceiver("video", { direction, streams: [stream], ...this.#encodings() });
    this.#preferCodec(video);
    this.#senders = { audio: audio.sender, video: video.sender };
    this.#talk.publish(pc);
    await this.#replace();
  }

  /** One size, or several of which each viewer takes one. */
  #encodings() {
    const { simulcast, codec } = this.#options;
    if (!simulcast || !SIMULCAST_CODECS.includes(codec)) return {};
    return { sendEncodings: SIMULCAST.map((encoding) => ({ ...encoding })) };
  }

  #preferCodec(transceiver) {
    const codecs = sendable();
    const repair = codecs.filter(({ mimeType }) => REPAIR.test(mimeType));
    const wanted = named(codecs, this.#options.codec);
    const ordered = wanted.length ? wanted : ORDER.flatMap((name) => named(codecs, name));
    if (ordered.length) transceiver.setCodecPreferences?.([...ordered, ...repair]);
  }

  /** One change after the other: a sender takes no parameters that were read before its last change. */
  #replace = () => {
    this.#replacing = this.#replacing.then(() => this.#replaceNow());
    return this.#replacing;
  };

  async #replaceNow() {
    const { audio, video } = this.#senders;
    // A sender of a connection that was closed meanwhile takes no track, and needs none.
    await Promise.allSettled([audio?.replaceTrack(this.#media.audio), video?.replaceTrack(this.#media.video)]);
    await this.#choose(video).catch(() => {});
  }

  /** Sends the sizes that this picture is worth: the full one always, and of the smaller ones so many. */
  async #choose(video) {
    const parameters = video.getParameters();
    const worth = worthwhile(this.#media.video);
    const changes = parameters.encodings.filter((encoding, index) => encoding.active !== index < worth);
    if (!changes.length) return;
    for (const encoding of changes) encoding.active = !encoding.active;
    await video.setParameters(parameters);
  }
}
