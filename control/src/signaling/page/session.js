// One stay in one room, as the server knows it: a WebSocket with its signaling (docs/protocol.md, "Protoo"), a
// transport up and a transport down, and what is received of whom.
//
// It keeps itself alive until close(): a path that was interrupted is restored by an ICE restart. A WebSocket that is
// lost is opened again, after longer and longer waits, by the same peer, which goes on with the transports that it has;
// only if the server does not know it by then, or its transports have ended, it joins again with new ones.

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
/** While media may go on, a WebSocket that is lost is tried for more often, and each try is shorter. */
const RECONNECT_MS = 2_000;
const REOPEN_LIMIT_MS = 4_000;
/** What is asked while there is no WebSocket waits for so long. */
const BACK_LIMIT_MS = 15_000;
/** Answers that are needed soon, or else the WebSocket is as dead as the path was. */
const LIMITS_MS = { restartIce: 4_000 };
/** With these the server closes the WebSocket of a peer that has left: for good, or since the server stops. */
const LEFT = [4_000, 1_012];
const STATES = ["connectionstatechange", "iceconnectionstatechange"];

/** The server answers, and media does not get through to it. */
export class NoPath extends Error {
  constructor() {
    super("Sound and pictures do not get through to the server.");
  }
}

/** There is no WebSocket, and was none for a while. */
class NotBack extends Error {}

/** The server goes on with something else than this side has. */
class Differs extends Error {}

/** Whether what a producer says of itself is a screen, or its sound. */
const isOfScreen = ({ kind, appData }) => /^screen/.test(appData?.source ?? (appData?.share ? "screensharing" : kind));

/** What is received of one producer of a peer. */
export class Consumer {
  receiver = null;
  /** Whether it is of a screen that is shared, or its sound. */
  isOfScreen;
  /** Its MIME type. */
  codec;
  /** Whether its producer is paused: muted, or a camera that is off. */
  paused;
  /** Spatial layer that is sent, the lowest is 0; null while none is; undefined before anybody has said. */
  spatial;
  /** { score, producerScore, producerScores } of mediasoup, 0 to 10 each. */
  score;
  /** Number of spatial layers that its producer may send. */
  layers;
  /** Whether this side wants nothing of it just now, and the highest layer that it wants; null for the best. */
  isUnwanted = false;
  preferred = null;

  constructor({ consumerId, peerId, kind, rtpParameters, producerPaused, consumerScore, appData }) {
    this.id = consumerId;
    this.peer = peerId;
    this.kind = kind;
    this.isOfScreen = isOfScreen({ kind, appData });
    this.codec = rtpParameters.codecs[0].mimeType;
    const [encoding] = rtpParameters.encodings;
    this.ssrc = encoding.ssrc;
    this.mid = rtpParameters.mid;
    this.layers = Number(encoding.scalabilityMode?.match(/^[LS](\d+)/)?.[1] ?? 1);
    this.paused = producerPaused;
    this.score = consumerScore;
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
  /** While there is no WebSocket and the stay goes on: { promise, done, fail } of its coming back. */
  #cut = null;
  /** By which this side goes on as the peer that it is. */
  #secret = null;
  /** Transports for messages alone, once those of media carry none: { up, down, isReady }. */
  #data = null;
  /** Ends the stay. */
  #fail = () => {};
  #consumers = new Map();
  #channels = new Map();
  /** Transports that have been connected. */
  #begun = new Set();
  #iceServers = [];
  #renewal = null;
  #stop = new AbortController();
  #hurry = new AbortController();

  /**
   * @param what room, name, token; and who is called:
   * prepare(up) adds what is sent to a new transport, and returns what `up.send` takes;
   * sent(up) when the server has made producers of that; prepareData(up) and sentData(up) the same for messages alone;
   * resumed(producers) when the server goes on with these, { producerId, paused, unwantedLayers };
   * unwanted(producer, layers) that nobody takes these layers of what is sent;
   * joined(peers), came(peer), left(id), renamed(id, name) tell of { peerId, displayName };
   * consumed(consumer), consumerChanged(consumer), consumerEnded(consumer) of what is received;
   * unplayable({ producer, peer, kind, codec, isOfScreen, paused }) of what this browser has no codec for, again when
   * it is paused or resumed, and unplayableEnded(producer);
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
    const signaling = this.#signaling;
    // One that was open on the network before does not say that it is dead.
    signaling?.request("getRouterRtpCapabilities", {}, LIMITS_MS.restartIce).catch((error) => {
      if (!(error instanceof Refused)) signaling.giveUp();
    });
  }

  /** Whether the stay goes on without a WebSocket just now. */
  get isCut() {
    return this.state === "in" && this.#cut !== null;
  }

  /** Restarts ICE of all transports. */
  restartIce() {
    return Promise.all(this.#transports.map((transport) => transport.restartIce()));
  }

  /** Tells the server something that needs no answer. */
  tell(method, data) {
    this.#signaling?.tell(method, data);
  }

  /** Wants nothing of a consumer from now on, or something again. */
  pause(consumer, isUnwanted) {
    consumer.isUnwanted = isUnwanted;
    this.tell(isUnwanted ? "pauseConsumer" : "resumeConsumer", { consumerId: consumer.id });
  }

  /** Wants no higher layer of a consumer than this. */
  prefer(consumer, spatialLayer) {
    consumer.preferred = spatialLayer;
    this.tell("setConsumerPreferredLayers", { consumerId: consumer.id, spatialLayer });
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

  #address(secret) {
    const { room, token } = this.#what;
    const query = new URLSearchParams({ roomId: room, peerId: this.peer });
    if (token) query.set("token", token);
    if (secret) query.set("resume", secret);
    return new URL(`protoo?${query}`, location.href);
  }

  get #transports() {
    return [this.up, this.down, this.#data?.up, this.#data?.down].filter(Boolean);
  }

  async #run() {
    for (let failures = 0; !this.#stopped; ) {
      const stay = new AbortController();
      const gone = AbortSignal.any([stay.signal, this.#stop.signal]);
      const begun = performance.now();
      let trouble;
      try {
        await this.#join(gone);
        const failed = new Promise((_, reject) => { this.#fail = reject; });
        this.#set("in");
        for (const transport of this.#transports) this.#keep(transport, gone).catch(this.#fail);
        await Promise.race([this.#attend(gone), failed]);
      } catch (error) {
        trouble = error;
      }
      stay.abort();
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

  /** A WebSocket that has opened, of a new peer or of the one that has this secret; not after the signal is aborted. */
  async #open(signal, secret = null) {
    const url = this.#address(secret);
    url.protocol = url.protocol.replace("http", "ws");
    const signaling = new Protoo({
      url,
      asked: (method, data) => this.#asked(method, data),
      told: (method, data) => this.#told[method]?.(data),
    });
    const late = new Error("The server does not answer.");
    const limit = sleep(secret ? REOPEN_LIMIT_MS : OPEN_LIMIT_MS, signal).then(() => { throw late; });
    try {
      await Promise.race([signaling.opened, limit]);
      if (signal.aborted) throw late;
      return signaling;
    } catch (error) {
      signaling.close();
      if (error === late) throw error;
      throw (await whyRefused(this.#address(secret), this.#what.token)) ?? error;
    }
  }

  /** Asks the server; while there is no WebSocket, once there is one again. */
  async #ask(method, data) {
    const late = () => { throw new NotBack("The server does not answer."); };
    const back = this.#cut && Promise.race([this.#cut.promise, sleep(BACK_LIMIT_MS).then(late)]);
    const signaling = (await back) ?? this.#signaling;
    if (!signaling) throw new Error("The page has left.");
    return signaling.request(method, data, LIMITS_MS[method]);
  }

  /** Sees to it that there is a WebSocket. Returns when the server no longer has this side as the peer that it is. */
  async #attend(gone) {
    for (;;) {
      const code = await this.#signaling.closed;
      if (gone.aborted || LEFT.includes(code) || !this.#secret) return;
      this.#signaling = null;
      const cut = this.#cut = {};
      cut.promise = new Promise((done, fail) => Object.assign(cut, { done, fail }));
      cut.promise.catch(() => {});
      this.#what.changed();
      const signaling = await this.#reconnect(gone);
      if (!signaling) return;
      this.#cut = null;
      cut.done(signaling);
      this.#what.changed();
    }
  }

  /** The WebSocket by which the stay goes on; null if it does not. */
  async #reconnect(gone) {
    for (let failures = 0; !gone.aborted; failures += 1) {
      const hurried = () => {
        this.#hurry = new AbortController();
        return AbortSignal.any([this.#hurry.signal, gone]);
      };
      if (failures) await sleep(Math.min(RECONNECT_MS, backoffMs(failures)), hurried());
      let signaling;
      try {
        signaling = await this.#open(hurried(), this.#secret);
        await this.#resume(signaling, gone);
        return signaling;
      } catch (error) {
        signaling?.giveUp();
        if (error instanceof Differs || error.status === 404) return null;
        if (error instanceof Refused && !error.mayPass) throw error;
      }
    }
    return null;
  }

  /** The same peer goes on: says what this side has, and takes what has changed meanwhile. */
  async #resume(signaling, gone) {
    const { up, down } = this;
    const held = [...this.#consumers.values()].filter(({ receiver }) => receiver);
    const now = await signaling.request("resume", {
      consumerTransportId: down.id,
      dataConsumerTransportId: (this.#data?.down ?? down).id,
      consumers: held.map(({ id, isUnwanted }) => ({ consumerId: id, paused: isUnwanted })),
      dataConsumers: [...this.#channels.keys()].map((dataConsumerId) => ({ dataConsumerId })),
    }).catch((error) => { throw error instanceof Refused ? new Differs() : error; });
    const transports = new Map(now.transports.map(({ transportId, sctp }) => [transportId, sctp]));
    const producers = new Set(now.producers.map(({ producerId }) => producerId));
    const own = up.producers;
    if (gone.aborted || up.isBroken || ![up, down].every(({ id }) => transports.has(id))) throw new Differs();
    if (![...own].every((id) => producers.has(id))) throw new Differs();
    this.#signaling = signaling;
    for (const producerId of producers) if (!own.has(producerId)) this.tell("closeProducer", { producerId });
    this.#what.joined(now.peers);
    this.#what.muted(now.muted);
    const consumers = new Map(now.consumers.map(({ consumerId, ...rest }) => [consumerId, rest]));
    for (const consumer of [...this.#consumers.values()]) {
      const one = consumers.get(consumer.id);
      if (!one) {
        this.#end(consumer);
        continue;
      }
      const { producerPaused: paused, spatialLayer: spatial = consumer.spatial } = one;
      this.#change(consumer.id, { paused, spatial });
      if (consumer.preferred !== null) this.prefer(consumer, consumer.preferred);
    }
    this.#what.resumed(now.producers);
    const { up: above, down: below, isReady = true } = this.#data ?? this;
    if (isReady && transports.get(above.id) && transports.get(below.id)) this.#agreeData(now.dataConsumers);
    else this.#renewData(signaling, gone).catch(() => {});
  }

  /** Channels of data consumers that have ended meanwhile close. */
  #agreeData(dataConsumers) {
    const there = new Set(dataConsumers.map(({ dataConsumerId }) => dataConsumerId));
    for (const dataConsumerId of [...this.#channels.keys()]) {
      if (!there.has(dataConsumerId)) this.#told.dataConsumerClosed({ dataConsumerId });
    }
  }

  /** Messages do not outlive the server as media does: they get transports of their own. */
  async #renewData(signaling, gone) {
    for (const channel of this.#channels.values()) channel.close();
    this.#channels.clear();
    const request = (method, data) => this.#ask(method, data);
    for (const old of this.#data ? [this.#data.up, this.#data.down] : []) {
      this.#begun.delete(old);
      await signaling.request("closeWebRtcTransport", { transportId: old.id }).catch(() => {});
      old.close();
    }
    this.#data = null;
    // The WebSocket may break meanwhile, and messages be renewed another time.
    const renewal = this.#renewal = Symbol("renewal");
    const made = (direction) => request("createWebRtcTransport", { appData: { direction, carries: "data" } });
    const [above, below] = await Promise.all([made("producer"), made("consumer")]);
    if (gone.aborted || this.#renewal !== renewal) return;
    const common = { iceServers: this.#iceServers, request, changed: () => this.#what.changed() };
    const up = new SendTransport({ ...common, made: above });
    const down = new ReceiveTransport({ ...common, made: below });
    const data = this.#data = { up, down, isReady: false };
    this.#what.prepareData(up);
    await Promise.all([up.send([]), down.open()]);
    await this.#what.sentData(up);
    data.isReady = true;
    for (const transport of [up, down]) this.#keep(transport, gone).catch(this.#fail);
  }

  /** All that does not wait for an answer is asked at once. */
  async #join(gone) {
    const { room, name, token, prepare, sent } = this.#what;
    const [servers, receiving] = [iceServers(room, token), receivingOffer()];
    receiving.catch(() => {});
    this.#signaling = await this.#open(gone);
    const request = (method, data) => this.#ask(method, data);
    const transport = (direction) => request("createWebRtcTransport", { appData: { direction } });
    const [{ routerRtpCapabilities: router }, above, below, offer, iceServerList] = await Promise.all([
      request("getRouterRtpCapabilities"), transport("producer"), transport("consumer"), receiving, servers,
    ]);
    if (this.#stopped) throw new Error("The page has left.");
    const changed = () => this.#what.changed();
    this.#iceServers = iceServerList;
    const common = { iceServers: iceServerList, request, changed };
    const up = this.up = new SendTransport({ ...common, made: above, router });
    const down = this.down = new ReceiveTransport({ ...common, made: below });
    const rtpCapabilities = receivable(router, offer);
    const joining = request("join", { displayName: name, device: device(), rtpCapabilities, resume: true });
    // Consumers are offered from now on: who is there must be known before.
    const joined = joining.then(({ peers, resume }) => {
      this.#secret = resume ?? null;
      this.#what.joined(peers);
    });
    const sending = Promise.resolve(prepare(up)).then((news) => up.send(news));
    await Promise.all([joined, down.open(), sending]);
    await sent(up);
  }

  /** Returns when the transport, or the stay, is over. Throws if the path is lost and does not come back. */
  async #keep(transport, stay) {
    const { pc } = transport;
    const gone = AbortSignal.any([stay, transport.ended]);
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
        if (error instanceof NotBack) return false;
        if (error instanceof Refused) await sleep(backoffMs(attempt), gone);
        // No answer comes: the WebSocket is as dead as the path was.
        else if (!gone.aborted) this.#signaling?.giveUp();
      }
    }
    return false;
  }

  #drop() {
    const ended = [this.#signaling, ...this.#transports];
    this.#cut?.fail(new Error("The page has left."));
    this.#signaling = this.up = this.down = this.#data = this.#cut = this.#secret = null;
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
    const channel = (this.#data?.down ?? this.down).channel({ label, protocol, sctpStreamParameters });
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
    unplayable: ({ producerId, peerId, kind, mimeType, producerPaused, appData }) => this.#what.unplayable({
      producer: producerId, peer: peerId, kind, codec: mimeType, isOfScreen: isOfScreen({ kind, appData }),
      paused: producerPaused,
    }),
    unplayableClosed: ({ producerId }) => this.#what.unplayableEnded(producerId),
    producerLayersUnwanted: ({ producerId, layers }) => this.#what.unwanted(producerId, layers),
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

/** What others are told of this browser, in the words of mediasoup-demo. */
function device() {
  const [, name = "unknown", version] = navigator.userAgent.match(/(Firefox|Edg|Chrome|Version)\/(\d+)/) ?? [];
  const known = { Firefox: "firefox", Edg: "edge", Chrome: "chrome", Version: "safari" };
  return { flag: known[name] ?? "unknown", name: known[name] ?? name, version };
}
