// What this side sends: one session by WHIP, with whatever tracks `media` has at the moment.

import { Session } from "./session.js";

/** In the order of preference: every browser has the first two, and VP8 costs a phone the least. */
const ORDER = ["VP8", "VP9", "H264", "AV1"];
const REPAIR = /\/(rtx|red|ulpfec|flexfec-03)$/i;
/** Lowest first: that is what the order means to the server. Of a small picture the smallest is of no use. */
const SIMULCAST = [
  { rid: "q", maxBitrate: 150_000, scaleResolutionDownBy: 4 },
  { rid: "h", maxBitrate: 500_000, scaleResolutionDownBy: 2 },
  { rid: "f", maxBitrate: 1_700_000, scaleResolutionDownBy: 1 },
];
const SMALL_HEIGHT = 540;
/** Others are sent in one size: browsers make layers of their own of them, or encoders cost too much. */
const SIMULCAST_CODECS = ["", "vp8", "h264"];

export const CODEC_NAMES = { vp8: "VP8", vp9: "VP9", h264: "H.264", av1: "AV1" };

const sendable = () => RTCRtpSender.getCapabilities("video")?.codecs ?? [];
const named = (codecs, name) =>
  codecs.filter(({ mimeType }) => mimeType.toLowerCase() === `video/${name?.toLowerCase()}`);

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
  #senders = {};
  #simulcast = false;

  constructor({ room, name, token, media, options, changed }) {
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
      answered: (pc, sdp) => this.#answered(sdp),
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
    return `/whip/${encodeURIComponent(this.#room)}?${query}`;
  }

  /** Both kinds from the start, with or without a track: what is turned on later needs no new offer. */
  async #prepare(pc) {
    const stream = new MediaStream();
    const direction = "sendonly";
    const audio = pc.addTransceiver("audio", { direction, streams: [stream] });
    const video = pc.addTransceiver("video", { direction, streams: [stream], ...this.#encodings() });
    this.#preferCodec(video);
    this.#senders = { audio: audio.sender, video: video.sender };
    await this.#replace();
  }

  /** One size, or several of which each viewer takes one. */
  #encodings() {
    const { simulcast, codec } = this.#options;
    this.#simulcast = simulcast && SIMULCAST_CODECS.includes(codec);
    if (!this.#simulcast) return {};
    const small = this.#media.video?.getSettings().height < SMALL_HEIGHT;
    return { sendEncodings: SIMULCAST.slice(small ? 1 : 0).map((encoding) => ({ ...encoding })) };
  }

  #preferCodec(transceiver) {
    const codecs = sendable();
    const repair = codecs.filter(({ mimeType }) => REPAIR.test(mimeType));
    const wanted = named(codecs, this.#options.codec);
    const ordered = wanted.length ? wanted : ORDER.flatMap((name) => named(codecs, name));
    if (ordered.length) transceiver.setCodecPreferences?.([...ordered, ...repair]);
  }

  #replace = async () => {
    const { audio, video } = this.#senders;
    // A sender of a connection that was closed meanwhile takes no track, and needs none.
    await Promise.allSettled([audio?.replaceTrack(this.#media.audio), video?.replaceTrack(this.#media.video)]);
  };

  /** A server without simulcast leaves one encoding: let it be the full picture. */
  async #answered(sdp) {
    if (!this.#simulcast || /^a=simulcast:/m.test(sdp)) return;
    const { video } = this.#senders;
    const parameters = video.getParameters();
    for (const encoding of parameters.encodings) {
      delete encoding.maxBitrate;
      encoding.scaleResolutionDownBy = 1;
    }
    await video.setParameters(parameters).catch(() => {});
  }
}
