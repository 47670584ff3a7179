// One stay in one room, as the server knows it: a WebSocket with its signaling (docs/protocol.md, "Protoo"), a
// transport up and a transport down, and what is received of whom.
//
// It keeps itself alive until close(): a path that was interrupted is restored by an ICE restart; a WebSocket that is
// lost is opened again, after longer and longer waits, by the same peer, with new transports.

import { Refused, iceServers, whyRefused } from "./http.js";
import { receivable } from "./ortc.js";
import { Protoo } from "./protoo.js";
import { ReceiveTransport, SendTransport, receivingOffer } from "./transports.js";
import { backoffMs, sleep, until } from "./wait.js";

const OPEN_LIMIT_MS = 10_000;
const CONNECT_LIMIT_MS = 12_000;
const RESTORE_LIMIT_MS = 6_000;
/** A short interruption ends by itself: many a handover between radio cells does. */
const PATIENCE_MS = 1_500;
const RESTARTS = 3;
/** A stay that was shorter than this counts as a failure: it is not begun again at once. */
const SHORT_MS = 10_000;
const STATES = ["connectionstatechange", "iceconnectionstatechange"];

/** The server answers, and media does not get through to it. */
export class NoPath extends Error {
  constructor() {
    super("Sound and pictures do not get through to the server.");
  }
}

/** What is received of one producer of a peer. */
export class Consumer {
  receiver = null;
  /** Whether its producer is paused: muted, or a camera that is off. */
  paused;
  /** Spatial layer that is sent, the lowest is 0; null while none is; undefined before anybody has said. */
  spatial;
  /** { score, producerScore, producerScores } of mediasoup, 0 to 10 each. */
  score;
  /** Number of spatial layers that its producer may send. */
  layers;

  constructor({ consumerId, peerId, kind, rtpParameters, producerPaused, consumerScore, appData }) {
    this.id = consumerId;
    this.peer = peerId;
    this.kind = kind;
    this.source = appData?.source ?? (appData?.share ? "screensharing" : kind);
    const [encoding] = rtpParameters.encodings;
    this.ssrc = encoding.ssrc;
    this.mid = rtpParameters.mid;
    this.layers = Number(encoding.scalabilityMode?.match(/^[LS](\d+)/)?.[1] ?? 1);
    this.paused = producerPaused;
    this.score = consumerScore;
  }

  get isOfScreen() {
    return /^screen/.test(this.source);
  }
}

export class Session {
  /** "joining", "in", "away", "refused" or "left". */
  state = "joining";
  /** Why it is not "in". */
  error = null;
  /** By which the server and the others know this side. */
  peer = [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  up = null;
  down = null;

  #what;
  #signaling = null;
  #consumers = new Map();
  #channels = new Map();
  /** Transports that have been connected. */
  #begun = new Set();
  #stop = new AbortController();
  #hurry = new AbortController();

  /**
   * @param what room, name, token; and who is called:
   * prepare(up) adds what is sent to a new transport, and returns what `up.send` takes;
   * sent(up) when the server has made producers of that;
   * joined(peers), came(peer), left(id), renamed(id, name) tell of { peerId, displayName };
   * consumed(consumer), consumerChanged(consumer), consumerEnded(consumer) of what is received;
   * heard(peer, label, data) of a message; volumes([{ peerId, volume }]) and speaker(id or null) of who speaks;
   * closing(seconds) that the server stops; muted({ audio, video }) by an operator; changed() of the state
   */
  constructor(what) {
    this.#what = what;
    this.#run();
  }

  /** Tries again now instead of later: the network is back. */
  hurry() {
    this.#hurry.abort();
  }

  /** Restarts ICE of both transports. */
  restartIce() {
    return Promise.all([this.up, this.down].filter(Boolean).map((transport) => transport.restartIce()));
  }

  /** Tells the server something that needs no answer. */
  tell(method, data) {
    this.#signaling?.tell(method, data);
  }

  /** "connecting", "connected" or "restoring": how a transport does. */
  stateOf(transport) {
    if (!transport || this.state !== "in") return this.state === "away" ? "restoring" : "connecting";
    if (transport.isConnected) return "connected";
    return this.#begun.has(transport) ? "restoring" : "connecting";
  }

  /** Ends it; safe while the page goes. */
  close() {
    if (this.state === "left") return;
    this.#stop.abort();
    this.#drop();
    this.#set("left");
  }

  get #stopped() {
    return this.#stop.signal.aborted;
  }

  #set(state, error = null) {
    if (this.state === "left") return;
    this.state = state;
    this.error = error;
    this.#what.changed();
  }

  get #address() {
    const { room, token } = this.#what;
    const query = new URLSearchParams({ roomId: room, peerId: this.peer });
    if (token) query.set("token", token);
    return new URL(`protoo?${query}`, location.href);
  }

  async #run() {
    for (let failures = 0; !this.#stopped; ) {
      const gone = new AbortController();
      const begun = performance.now();
      let trouble;
      try {
        await this.#join(gone);
        this.#set("in");
        await Promise.race([over(gone.signal), this.#keep(this.up, gone.signal), this.#keep(this.down, gone.signal)]);
      } catch (error) {
        trouble = error;
      }
      gone.abort();
      this.#drop();
      if (this.#stopped) return;
      if (trouble instanceof Refused && !trouble.mayPass) return this.#set("refused", trouble);
      failures = !trouble && performance.now() - begun > SHORT_MS ? 0 : failures + 1;
      this.#set("away", trouble);
      this.#hurry = new AbortController();
      const waitMs = trouble?.retryAfterMs ?? (failures ? backoffMs(failures) : 0);
      await sleep(waitMs, AbortSignal.any([this.#hurry.signal, this.#stop.signal]));
    }
  }

  async #open(gone) {
    const url = this.#address;
    url.protocol = url.protocol.replace("http", "ws");
    const signaling = new Protoo({
      url,
      asked: (method, data) => this.#asked(method, data),
      told: (method, data) => this.#told[method]?.(data),
      closed: () => gone.abort(),
    });
    this.#signaling = signaling;
    const late = sleep(OPEN_LIMIT_MS, gone.signal).then(() => { throw new Error("The server does not answer."); });
    try {
      await Promise.race([signaling.opened, late]);
    } catch (error) {
      if (this.#stopped) throw error;
      throw (await whyRefused(this.#address, this.#what.token)) ?? error;
    }
    return (method, data) => signaling.request(method, data);
  }

  /** All that does not wait for an answer is asked at once. */
  async #join(gone) {
    const { room, name, token, prepare, sent } = this.#what;
    const servers = iceServers(room, token);
    const request = await this.#open(gone);
    const transport = (direction) => request("createWebRtcTransport", { appData: { direction } });
    const [{ routerRtpCapabilities: router }, above, below, offer, iceServerList] = await Promise.all([
      request("getRouterRtpCapabilities"), transport("producer"), transport("consumer"), receivingOffer(), servers,
    ]);
    if (this.#stopped) throw new Error("The page has left.");
    const changed = () => this.#what.changed();
    const common = { iceServers: iceServerList, request, changed };
    const up = this.up = new SendTransport({ ...common, made: above, router });
    const down = this.down = new ReceiveTransport({ ...common, made: below });
    const rtpCapabilities = receivable(router, offer);
    const joining = request("join", { displayName: name, device: device(), rtpCapabilities });
    // Consumers are offered from now on: who is there must be known before.
    const joined = joining.then(({ peers }) => this.#what.joined(peers));
    const sending = Promise.resolve(prepare(up)).then((news) => up.send(news));
    await Promise.all([joined, down.open(), sending]);
    await sent(up);
  }

  /** Returns when the stay is over. Throws if the path is lost and does not come back. */
  async #keep(transport, gone) {
    const { pc } = transport;
    const comes = (ms) => until(pc, STATES, () => transport.isConnected, ms, gone);
    if (!(await comes(CONNECT_LIMIT_MS)) && !gone.aborted) throw new NoPath();
    this.#begun.add(transport);
    while (!gone.aborted) {
      await until(pc, STATES, () => !transport.isConnected, Infinity, gone);
      if (gone.aborted || (await comes(PATIENCE_MS))) continue;
      const isBack = await this.#restore(transport, comes, gone);
      if (!isBack && !gone.aborted) throw new NoPath();
      this.#what.changed();
    }
  }

  async #restore(transport, comes, gone) {
    for (let attempt = 1; attempt <= RESTARTS && !gone.aborted; attempt += 1) {
      try {
        await transport.restartIce();
        if (await comes(RESTORE_LIMIT_MS)) return true;
      } catch (error) {
        // Without an answer there is no WebSocket either.
        if (!(error instanceof Refused)) return false;
        await sleep(backoffMs(attempt), gone);
      }
    }
    return false;
  }

  #drop() {
    const ended = [this.#signaling, this.up, this.down];
    this.#signaling = this.up = this.down = null;
    for (const consumer of [...this.#consumers.values()]) this.#end(consumer);
    this.#channels.clear();
    this.#begun.clear();
    for (const one of ended) one?.close();
  }

  /** What the server asks for: that this side takes what it offers. */
  async #asked(method, data) {
    if (method === "newConsumer") return this.#consume(data);
    if (method === "newDataConsumer") return this.#consumeData(data);
    throw new Error(`unknown request ${method}`);
  }

  async #consume(data) {
    const consumer = new Consumer(data);
    // It may be paused, or closed, before the browser has taken it.
    this.#consumers.set(consumer.id, consumer);
    const { kind, rtpParameters } = data;
    const streamId = `${consumer.peer}-${consumer.isOfScreen ? "screen" : "camera"}`;
    const receiver = await this.down.receive({ kind, rtpParameters, streamId });
    if (!this.#consumers.has(consumer.id)) throw new Error("closed meanwhile");
    consumer.receiver = receiver;
    this.#what.consumed(consumer);
  }

  #consumeData({ dataConsumerId, peerId, label, protocol, sctpStreamParameters }) {
    if (!peerId || !this.#what.labels.includes(label)) throw new Error(`the page has no channel ${label}`);
    const channel = this.down.channel({ label, protocol, sctpStreamParameters });
    this.#channels.set(dataConsumerId, channel);
    channel.addEventListener("message", ({ data }) => this.#what.heard(peerId, label, data));
  }

  #end(consumer) {
    this.#consumers.delete(consumer.id);
    this.down?.end(consumer.mid);
    if (consumer.receiver) this.#what.consumerEnded(consumer);
  }

  #change(id, change) {
    const consumer = this.#consumers.get(id);
    if (!consumer) return;
    Object.assign(consumer, change);
    if (consumer.receiver) this.#what.consumerChanged(consumer);
  }

  /** What the server tells, by its name. */
  #told = {
    newPeer: ({ peer }) => this.#what.came(peer),
    peerClosed: ({ peerId }) => this.#what.left(peerId),
    peerDisplayNameChanged: ({ peerId, displayName }) => this.#what.renamed(peerId, displayName),
    consumerClosed: ({ consumerId }) => {
      const consumer = this.#consumers.get(consumerId);
      if (consumer) this.#end(consumer);
    },
    consumerPaused: ({ consumerId }) => this.#change(consumerId, { paused: true }),
    consumerResumed: ({ consumerId }) => this.#change(consumerId, { paused: false }),
    consumerLayersChanged: ({ consumerId, spatialLayer }) => this.#change(consumerId, { spatial: spatialLayer }),
    consumerScore: ({ consumerId, score }) => this.#change(consumerId, { score }),
    dataConsumerClosed: ({ dataConsumerId }) => {
      this.#channels.get(dataConsumerId)?.close();
      this.#channels.delete(dataConsumerId);
    },
    closing: ({ seconds }) => this.#what.closing(seconds),
    muted: (kinds) => this.#what.muted(kinds),
    speakingPeers: ({ peerVolumes }) => this.#what.volumes(peerVolumes),
    activeSpeaker: ({ peerId }) => this.#what.speaker(peerId ?? null),
  };
}

/** Resolves when the signal is aborted. */
function over(signal) {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", resolve, { once: true });
  });
}

/** What others are told of this browser, in the words of mediasoup-demo. */
function device() {
  const [, name = "unknown", version] = navigator.userAgent.match(/(Firefox|Edg|Chrome|Version)\/(\d+)/) ?? [];
  const known = { Firefox: "firefox", Edg: "edge", Chrome: "chrome", Version: "safari" };
  return { flag: known[name] ?? "unknown", name: known[name] ?? name, version };
}
