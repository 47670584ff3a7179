// The two WebRTC transports of a stay: one sends what this side has, the other receives what others have. Each is one
// RTCPeerConnection and one handshake, whatever comes and goes.
//
// A browser speaks SDP, the server parameters: the descriptions that stand for the server are written here. On the way
// up the browser offers; on the way down it is offered what the server sends, and answers.

import { Refused } from "./http.js";
import { sendable } from "./ortc.js";
import { dataSection, describe, fingerprintsOf, rejected, rtpSection, sectionsOf } from "./sdp.js";
import { sleep } from "./wait.js";

const DESCRIPTOR = "#dependency-descriptor-rtp-header-extension";
/** Name of the section of data channels on the way down, which is the first. */
const DATA = "data";

/** What both have. */
class Transport {
  pc;
  id;

  #changes = Promise.resolve();
  #request;
  #remote;
  #version = 0;
  #connecting = null;
  #end = new AbortController();

  /**
   * @param made what the server told of its new transport
   * @param iceServers for the browser
   * @param request asks the server: (method, data)
   * @param changed is told when the connection's state has changed
   */
  constructor({ made, iceServers, request, changed }) {
    this.id = made.transportId;
    this.#remote = made;
    this.#request = request;
    this.pc = new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers });
    for (const event of ["connectionstatechange", "iceconnectionstatechange"]) this.pc.addEventListener(event, changed);
  }

  get isConnected() {
    const { connectionState, iceConnectionState } = this.pc;
    return connectionState === "connected" && /^(connected|completed)$/.test(iceConnectionState);
  }

  /** New credentials on both sides; the server's transport stays. */
  async restartIce() {
    const { iceParameters } = await this.#request("restartIce", { transportId: this.id });
    await this.change(() => {
      this.#remote = { ...this.#remote, iceParameters };
      return this.negotiate({ iceRestart: true });
    });
  }

  close() {
    this.#end.abort();
    this.pc.close();
  }

  /** Aborted when it is closed. */
  get ended() {
    return this.#end.signal;
  }

  get sctp() {
    return this.#remote.sctpParameters;
  }

  /** One change after the other. */
  change(action) {
    const changed = this.#changes.then(action);
    this.#changes = changed.catch(() => {});
    return changed;
  }

  ask(method, data) {
    return this.#request(method, { transportId: this.id, ...data });
  }

  /** The server's description of so many sections. */
  describe(setup, sections) {
    this.#version += 1;
    return describe({ remote: this.#remote, version: this.#version, setup, sections });
  }

  /** Settles when the server has answered that; undefined before it was told. */
  get connected() {
    return this.#connecting;
  }

  /** Tells the server, once, the certificate that this description names. The browser is the client of DTLS. */
  connect(sdp) {
    const dtlsParameters = { role: "client", fingerprints: fingerprintsOf(sdp) };
    this.#connecting ??= this.ask("connectWebRtcTransport", { dtlsParameters });
    return this.#connecting;
  }
}

/** What this side sends. */
export class SendTransport extends Transport {
  /** An answer was lost: nobody knows what the server has made. */
  isBroken = false;

  #router;
  /** Names of producers, by the transceiver that sends. */
  #producers = new Map();
  #streams = 0;

  /** @param router the server's capabilities; the rest as of Transport */
  constructor({ router, ...rest }) {
    super(rest);
    this.#router = router;
  }

  /** Opens a channel on which the server listens. */
  channel(label) {
    const id = this.#streams;
    this.#streams += 1;
    return this.pc.createDataChannel(label, { negotiated: true, id });
  }

  /** The name of the producer of a transceiver; undefined before the server has given one. */
  producer(transceiver) {
    return this.#producers.get(transceiver);
  }

  /** Names of all producers. */
  get producers() {
    return new Set(this.#producers.values());
  }

  /**
   * Offers what the connection has now. Each of `news` is a transceiver that has been added, { transceiver, paused,
   * appData }: the server makes a producer of it. Throws if it refuses one.
   */
  async send(news, options) {
    try {
      await this.change(() => this.negotiate(options, news));
    } catch (error) {
      this.isBroken ||= !(error instanceof Refused);
      throw error;
    }
  }

  /** Sends no more with a transceiver: its producer closes. */
  async stop(transceiver) {
    const producerId = this.#producers.get(transceiver);
    this.#producers.delete(transceiver);
    await this.change(() => {
      transceiver.stop();
      if (producerId) this.ask("closeProducer", { producerId }).catch(() => {});
      return this.negotiate();
    });
  }

  async negotiate(options, news = []) {
    const { pc } = this;
    await pc.setLocalDescription(await pc.createOffer(options));
    const { sdp } = pc.localDescription;
    // All are asked at once, in this order, and answered in this order.
    const asked = [this.connect(sdp)];
    const sections = sectionsOf(sdp).map((section) => {
      if (section.kind === "application") return dataSection(section.mid, this.sctp);
      const { kind, mid, formats } = section;
      const transceiver = pc.getTransceivers().find((one) => one.mid === mid);
      const sent = section.isRejected || !transceiver ? null : this.#parameters(section, transceiver);
      const isNew = news.find((one) => one.transceiver === transceiver);
      if (isNew) asked.push(this.#produce(isNew, kind, sent));
      if (!sent) return rejected(kind, mid, formats.split(" ")[0]);
      const rids = sent.encodings.map(({ rid }) => rid).filter(Boolean);
      const simulcast = rids.map((rid) => `a=rid:${rid} recv`);
      if (rids.length) simulcast.push(`a=simulcast:recv ${rids.join(";")}`);
      return [...rtpSection(kind, "recvonly", sent), ...simulcast];
    });
    const answers = Promise.all(asked);
    await Promise.all([pc.setRemoteDescription({ type: "answer", sdp: this.describe("passive", sections) }), answers]);
  }

  #parameters(section, transceiver) {
    const { encodings } = transceiver.sender.getParameters();
    return sendable(this.#router, section, encodings?.map(({ scalabilityMode }) => scalabilityMode));
  }

  async #produce({ transceiver, paused, appData }, kind, rtpParameters) {
    if (!rtpParameters) throw new Error("This browser has no codec that the server takes.");
    const { producerId } = await this.ask("produce", { kind, rtpParameters, paused, appData });
    this.#producers.set(transceiver, producerId);
  }
}

/** What this side receives. */
export class ReceiveTransport extends Transport {
  /** Sections of the offer in their order, after that of data: { mid, kind, rtpParameters, streamId, state }. */
  #slots = [];
  #pending = null;

  /** Begins the handshake, before there is anything to receive. Throws if the server refuses it. */
  async open() {
    await this.change(() => this.negotiate());
    await this.connected;
  }

  /**
   * Receives a consumer that the server has offered: its RTCRtpReceiver.
   * @param streamId tracks of one stream are played in step
   */
  async receive({ kind, rtpParameters, streamId }) {
    const { mid } = rtpParameters;
    const slot = { mid, kind, rtpParameters, streamId, state: "open" };
    const free = this.#slots.findIndex(({ state }) => state === "closed");
    if (free < 0) this.#slots.push(slot);
    else this.#slots[free] = slot;
    try {
      await this.#soon();
      const transceiver = this.pc.getTransceivers().find((one) => one.mid === mid);
      if (!/recv/.test(transceiver?.currentDirection ?? "")) throw new Error("The browser takes no such track.");
      return transceiver.receiver;
    } catch (error) {
      this.end(mid);
      throw error;
    }
  }

  /** What this section received has ended. */
  end(mid) {
    const slot = this.#slots.find((one) => one.mid === mid);
    if (!slot || slot.state !== "open") return;
    slot.state = "closing";
    this.#soon().catch(() => {});
  }

  /** The channel of a data consumer. */
  channel({ label, protocol, sctpStreamParameters: { streamId, ...delivery } }) {
    return this.pc.createDataChannel(label, { negotiated: true, id: streamId, protocol, ...delivery });
  }

  /** One negotiation for all that comes at once. */
  #soon() {
    this.#pending ??= this.change(async () => {
      // What the server has offered meanwhile is taken with it.
      await sleep(0);
      this.#pending = null;
      return this.negotiate();
    });
    return this.#pending;
  }

  async negotiate() {
    const { pc } = this;
    const closing = this.#slots.filter(({ state }) => state === "closing");
    const sections = [dataSection(DATA, this.sctp), ...this.#slots.map(offered)];
    await pc.setRemoteDescription({ type: "offer", sdp: this.describe("actpass", sections) });
    for (const transceiver of pc.getTransceivers()) askForDescriptor(transceiver);
    const answer = await pc.createAnswer();
    await pc.setLocalDescription(answer);
    // A section that both sides have rejected may be used again (RFC 8829 section 5.2.2).
    for (const slot of closing) slot.state = "closed";
    // Nothing that follows waits for the server's word: open() does.
    this.connect(answer.sdp).catch(() => {});
  }
}

/** What the server offers to send in a section. */
function offered({ mid, kind, rtpParameters, streamId, state }) {
  const { codecs, headerExtensions, encodings: [encoding], rtcp } = rtpParameters;
  if (state !== "open") return rejected(kind, mid, codecs[0].payloadType);
  const lines = rtpSection(kind, "sendonly", { mid, codecs, headerExtensions });
  const ssrcs = [encoding.ssrc, encoding.rtx?.ssrc].filter(Boolean);
  lines.push(`a=msid:${streamId} ${kind}-${mid}`);
  if (ssrcs.length > 1) lines.push(`a=ssrc-group:FID ${ssrcs.join(" ")}`);
  for (const ssrc of ssrcs) lines.push(`a=ssrc:${ssrc} cname:${rtcp.cname}`);
  return lines;
}

/** AV1 in spatial layers cannot be decoded without it, and Chromium takes it only if told to. */
function askForDescriptor(transceiver) {
  const extensions = transceiver.getHeaderExtensionsToNegotiate?.() ?? [];
  const descriptor = extensions.find(({ uri }) => uri.endsWith(DESCRIPTOR));
  if (!descriptor || descriptor.direction !== "stopped") return;
  descriptor.direction = "sendrecv";
  transceiver.setHeaderExtensionsToNegotiate(extensions);
}

let receiving = null;

/** This browser's offer to receive sound and pictures. It is the same each time, and made once. */
export function receivingOffer() {
  receiving ??= makeReceivingOffer().catch((error) => {
    receiving = null;
    throw error;
  });
  return receiving;
}

async function makeReceivingOffer() {
  const pc = new RTCPeerConnection();
  try {
    pc.addTransceiver("audio", { direction: "recvonly" });
    askForDescriptor(pc.addTransceiver("video", { direction: "recvonly" }));
    return (await pc.createOffer()).sdp;
  } finally {
    pc.close();
  }
}
