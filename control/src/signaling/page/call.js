// One stay in one room: sends what this side has, shows everybody who is there, and says how it goes.

import { Figures } from "./figures.js";
import { CODEC_NAMES, Publisher, canSend } from "./publisher.js";
import { NoPath, Session } from "./session.js";
import { loudnessOf } from "./speaking.js";
import { LABELS, Talk } from "./talk.js";
import { Viewer, codecName } from "./viewer.js";

const FIGURES_EVERY_MS = 1_000;
/** Figures in a row without a packet. */
const GONE_AFTER = 2;
/** Who is there and sends nothing for so long only watches. */
const WATCHES_AFTER_MS = 1_500;
/** A hand that is up is told every 3 s. */
const HAND_LASTS_MS = 15_000;
/** For media that came before the stay was lost to come again. */
const COMES_AGAIN_MS = 5_000;
/** A WebSocket that comes back sooner is nothing that anybody need know of. */
const CUT_MS = 2_500;
/** For so many seconds pictures came whole, and none was ever decoded. */
const UNDECODED_AFTER = 5;
const CUT = "The connection to the server is interrupted. The call goes on, and the page connects again by itself.";
const SUSPENDED = "Your network is too slow for this picture.";

export class Call {
  /** "joining", "in", "away" (the server does not answer), "refused" or "left". */
  state = "joining";
  talk;
  session;
  /** What is shown of others, by peer or, of a screen, by `peer/screen`. */
  viewers = new Map();

  #what;
  #publisher = null;
  /** The others: { name, since, tiles by key of their viewer, handUntil }. */
  #people = new Map();
  /** Our own tiles, "camera" and "screen". */
  #own = new Map();
  #figures = new Map();
  #speaker = null;
  #timers = [];
  #cut = 0;

  /**
   * @param what room, name, token, options { codec, simulcast }, media (null: watches only), grid, notices,
   * speaker() (id of an output, if one was chosen), said({ name, text }), changed(), refused(error)
   */
  constructor(what) {
    this.#what = what;
    const { room, name, token, media, options } = what;
    this.talk = new Talk({ heard: (message) => this.#heard(message) });
    if (media) {
      this.#publisher = new Publisher({ media, options, tell: (method, data) => this.session.tell(method, data) });
      media.addEventListener("change", this.#showSelf);
      this.#showSelf();
      if (!canSend(options.codec)) {
        const words = `This browser cannot send ${CODEC_NAMES[options.codec]}. It sends another codec instead.`;
        what.notices.show("codec", "warning", words);
      }
    }
    this.session = new Session({ room, name, token, labels: LABELS, ...this.#told() });
    this.#timers = [setInterval(() => this.#measure(), FIGURES_EVERY_MS)];
  }

  /** Whether this side sends anything. */
  get sends() {
    return this.#publisher !== null;
  }

  /** Those who send something, this side among them. */
  get count() {
    return [...this.#people.values()].filter(({ tiles }) => tiles.size > 0).length + (this.sends ? 1 : 0);
  }

  /** Names of those who only watch. */
  get watching() {
    const now = performance.now();
    const only = ({ tiles, since }) => tiles.size === 0 && now - since > WATCHES_AFTER_MS;
    return [...this.#people.values()].filter(only).map(({ name }) => name);
  }

  restartIce() {
    return this.session.restartIce();
  }

  /** Whatever waits tries again now. */
  hurry() {
    this.session.hurry();
  }

  /** Ends it; safe while the page goes. */
  leave() {
    this.state = "left";
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#cut);
    this.talk.close();
    this.#publisher?.close();
    this.session.close();
    for (const peer of [...this.#people.keys()]) this.#forget(peer);
    this.#what.media?.removeEventListener("change", this.#showSelf);
    this.#what.grid.clear();
    for (const key of ["away", "cut", "closing", "autoplay", "codec", "muted"]) this.#what.notices.clear(key);
  }

  /** Plays everything with sound: called from a click, which browsers ask for. */
  unmute() {
    for (const { element } of this.viewers.values()) {
      element.muted = false;
      element.play().catch(() => {});
    }
    this.#what.notices.clear("autoplay");
  }

  /** Shows on our own tile what the others are shown. */
  raise(up) {
    this.talk.raise(up);
    const tile = this.#own.get("camera");
    if (tile) tile.hand = up;
  }

  react(emoji) {
    if (this.talk.react(emoji)) this.#own.get("camera")?.react(emoji);
  }

  /** What the session tells. */
  #told() {
    return {
      prepare: (up) => {
        this.talk.prepare(up);
        return this.#publisher?.prepare(up) ?? [];
      },
      sent: (up) => Promise.all([this.talk.begin(up), this.#publisher?.begin(up)]),
      prepareData: (up) => this.talk.prepare(up),
      sentData: (up) => this.talk.begin(up),
      joined: (peers) => this.#joined(peers),
      resumed: (producers) => {
        this.#publisher?.agree(producers);
        this.#what.notices.clear("closing");
      },
      came: (peer) => this.#meet(peer),
      left: (peer) => this.#forget(peer),
      renamed: (peer, name) => this.#rename(peer, name),
      consumed: (consumer) => this.#consumed(consumer),
      consumerChanged: (consumer) => this.#consumerChanged(consumer),
      consumerEnded: (consumer) => this.#ended(consumer),
      unplayable: (of) => this.#unplayable(of),
      unplayableEnded: (producer) => this.#unplayableEnded(producer),
      heard: (peer, label, data) => this.talk.take(peer, label, data),
      unwanted: (producer, layers) => this.#publisher?.leaveOut(producer, layers),
      volumes: (volumes) => this.#hear(volumes),
      speaker: (peer) => this.#frame(peer),
      closing: (seconds) => {
        const words = "The call may be interrupted then, and goes on by itself.";
        this.#what.notices.show("closing", "warning", `The server stops in ${seconds} seconds. ${words}`);
      },
      muted: (kinds) => this.#muted(kinds),
      changed: () => this.#sessionChanged(),
    };
  }

  /** An operator has muted us, or not any longer. */
  #muted({ audio, video }) {
    const what = audio && video ? "You are muted" : audio ? "Your microphone is muted" : "Your camera is muted";
    const { notices } = this.#what;
    if (audio || video) notices.show("muted", "warning", `${what} by an operator: nobody gets what you send.`);
    else notices.clear("muted");
  }

  #heard({ peer, kind, text, up, emoji }) {
    const person = this.#people.get(peer);
    if (!person) return;
    const { name, tiles } = person;
    const tile = tiles.get(peer);
    if (kind === "chat") this.#what.said({ name: tiles.size ? name : `${name} (watching)`, text });
    else if (tile && kind === "reaction") tile.react(emoji);
    else if (tile) {
      tile.hand = up;
      person.handUntil = up ? performance.now() + HAND_LASTS_MS : Infinity;
    }
  }

  /** A hand that is up is told again and again; of one that went down meanwhile nobody need have heard. */
  #lowerHands() {
    for (const [peer, person] of this.#people) {
      if (performance.now() < person.handUntil) continue;
      person.handUntil = Infinity;
      const tile = person.tiles.get(peer);
      if (tile) tile.hand = false;
    }
  }

  #sessionChanged() {
    if (!this.session || this.state === "left") return;
    const { state, error } = this.session;
    const before = this.state;
    this.state = before === "joining" && state === "away" ? "joining" : state;
    const { notices } = this.#what;
    this.#showCut(this.session.isCut);
    if (state === "refused") return this.#what.refused(error);
    if (state === "away") {
      notices.clear("closing");
      const why = error?.words ?? (error instanceof NoPath ? error.message : "The server does not answer.");
      notices.show("away", "bad", `${why} This page keeps trying, and goes on by itself.`);
    } else if (state === "in") {
      notices.clear("away");
      if (before === "away") notices.show("back", "info", "You are back in the call.", { passing: true });
    }
    this.#showStates();
    this.#what.changed();
  }

  #showCut(isCut) {
    if (!isCut) {
      clearTimeout(this.#cut);
      this.#cut = 0;
      this.#what.notices.clear("cut");
    } else if (!this.#cut) {
      this.#cut = setTimeout(() => this.#what.notices.show("cut", "info", CUT), CUT_MS);
    }
  }

  #showStates() {
    const { session } = this;
    const [up, down] = [session.stateOf(session.up), session.stateOf(session.down)];
    // What has not been there is not restored.
    const own = this.state === "joining" && up === "restoring" ? "connecting" : up;
    for (const tile of this.#own.values()) {
      tile.item.dataset.peer = session.peer;
      tile.state = own;
      tile.note = words(own);
    }
    for (const [key, viewer] of this.viewers) {
      const { tile } = viewer;
      tile.state = down;
      const suspended = viewer.isSuspended ? SUSPENDED : "";
      tile.note = words(down) || viewer.unplayableWords || suspended || this.#waiting(key, viewer);
    }
  }

  /** Why a picture has not come yet, in words; empty if it is there, or has had little time. */
  #waiting(key, { tile, video }) {
    if (tile.camera !== "loading") return "";
    const { still = 0, undecoded = 0 } = this.#figures.get(key) ?? {};
    if (undecoded >= UNDECODED_AFTER) return `Your browser cannot show this picture (${codecName(video.codec)}).`;
    return still >= GONE_AFTER ? "No picture arrives." : "";
  }

  #showSelf = () => {
    const { media, grid, name } = this.#what;
    if (!this.#own.has("camera")) this.#own.set("camera", grid.add({ peer: "", name, self: true }));
    const tile = this.#own.get("camera");
    play(tile, media.video);
    tile.camera = media.video ? "on" : "off";
    tile.mirrored = Boolean(media.video);
    tile.sound = media.audio ? "on" : "muted";
    const shown = this.#own.get("screen");
    if (media.screen && !shown) this.#own.set("screen", grid.add({ peer: "", name, self: true, screen: true }));
    else if (!media.screen && shown) {
      grid.remove(shown);
      this.#own.delete("screen");
    }
    if (media.screen) {
      const screen = this.#own.get("screen");
      play(screen, media.screen);
      screen.camera = "on";
    }
    if (this.session) this.#showStates();
  };

  /** Who is there: after a reconnection those who are not have left meanwhile. */
  #joined(peers) {
    const there = new Set(peers.map(({ peerId }) => peerId));
    for (const peer of [...this.#people.keys()]) if (!there.has(peer)) this.#forget(peer);
    for (const peer of peers) this.#meet(peer);
    // What cannot be played is told again.
    for (const viewer of this.viewers.values()) viewer.unplayable = { audio: null, video: null };
    const old = [...this.viewers.values()];
    setTimeout(() => old.forEach((viewer) => this.#removeEmpty(viewer)), COMES_AGAIN_MS);
  }

  #meet({ peerId, displayName }) {
    const known = this.#people.get(peerId);
    if (known) return this.#rename(peerId, displayName);
    const since = performance.now();
    this.#people.set(peerId, { name: displayName || "Guest", since, tiles: new Map(), handUntil: Infinity });
    setTimeout(() => this.#what.changed(), WATCHES_AFTER_MS + 50);
    this.#what.changed();
  }

  #rename(peer, name) {
    const person = this.#people.get(peer);
    if (!person) return;
    person.name = name || "Guest";
    for (const tile of person.tiles.values()) tile.rename(person.name);
    this.#what.changed();
  }

  #forget(peer) {
    const person = this.#people.get(peer);
    if (!person) return;
    for (const key of [...person.tiles.keys()]) this.#remove(key, person);
    this.#people.delete(peer);
    this.talk.forget(peer);
    this.#what.changed();
  }

  #remove(key, person) {
    this.viewers.get(key)?.close();
    this.viewers.delete(key);
    this.#figures.delete(key);
    this.#what.grid.remove(person.tiles.get(key));
    person.tiles.delete(key);
  }

  #viewerOf(consumer) {
    return [...this.viewers.values()].find((viewer) => viewer[consumer.kind] === consumer);
  }

  #consumed(consumer) {
    const { peer, isOfScreen, kind, id } = consumer;
    const person = this.#people.get(peer);
    if (!person) return;
    let key = isOfScreen ? `${peer}/screen` : peer;
    // Who sends two of a kind has a tile for each.
    if (this.viewers.get(key)?.[kind]) key = `${peer}/${id}`;
    const viewer = this.#viewer(key, person, { peer, isOfScreen });
    viewer.take(consumer);
    this.#show(key, viewer);
    this.#showStates();
    this.#what.changed();
  }

  /** The viewer of this key, a new one if there is none. */
  #viewer(key, person, { peer, isOfScreen }) {
    const known = this.viewers.get(key);
    if (known) return known;
    const { grid, speaker } = this.#what;
    const tile = grid.add({ peer, name: person.name, screen: isOfScreen });
    person.tiles.set(key, tile);
    const viewer = new Viewer({ peer, isScreen: isOfScreen, tile, session: this.session });
    this.viewers.set(key, viewer);
    if (speaker()) tile.video.setSinkId?.(speaker()).catch(() => {});
    tile.video.addEventListener("loadedmetadata", () => this.#play(tile.video));
    return viewer;
  }

  /** There is something that this browser has no codec for. */
  #unplayable({ producer, peer, kind, codec, isOfScreen, paused }) {
    const person = this.#people.get(peer);
    if (!person) return;
    const key = isOfScreen ? `${peer}/screen` : peer;
    const viewer = this.#viewer(key, person, { peer, isOfScreen });
    viewer.unplayable[kind] = { producer, codec, paused };
    this.#show(key, viewer);
    this.#showStates();
    this.#what.changed();
  }

  #unplayableEnded(producer) {
    for (const [key, viewer] of [...this.viewers]) {
      const kind = ["audio", "video"].find((one) => viewer.unplayable[one]?.producer === producer);
      if (!kind) continue;
      viewer.unplayable[kind] = null;
      this.#show(key, viewer);
      this.#removeEmpty(viewer);
    }
    this.#showStates();
  }

  #consumerChanged(consumer) {
    const [key, viewer] = [...this.viewers].find(([, one]) => one[consumer.kind] === consumer) ?? [];
    if (!viewer) return;
    viewer.changed();
    this.#show(key, viewer);
  }

  #ended(consumer) {
    const viewer = this.#viewerOf(consumer);
    viewer?.drop(consumer);
    // A stay that was lost goes on with the tiles that it had.
    if (viewer && this.session.down) this.#removeEmpty(viewer);
  }

  /** Removes a tile if nothing comes for it. */
  #removeEmpty(viewer) {
    const person = this.#people.get(viewer.peer);
    const [key] = [...this.viewers].find(([, one]) => one === viewer) ?? [];
    if (!key || !person || !viewer.isEmpty) return;
    this.#remove(key, person);
    this.#what.changed();
  }

  async #play(video) {
    try {
      await video.play();
    } catch (error) {
      if (error.name !== "NotAllowedError" || video.muted) return;
      video.muted = true;
      video.play().catch(() => {});
      const action = { label: "Turn sound on", run: () => this.unmute() };
      const words = "The browser plays no sound before you have touched the page.";
      this.#what.notices.show("autoplay", "warning", words, { action, closable: false });
    }
  }

  /** How loud everybody is, as the server measures it. */
  #hear(volumes) {
    const loud = new Map(volumes.map(({ peerId, volume }) => [peerId, loudnessOf(volume)]));
    const own = this.#own.get("camera");
    if (own) own.level = loud.get(this.session.peer) ?? 0;
    for (const { peer, isScreen, tile } of this.viewers.values()) if (!isScreen) tile.level = loud.get(peer) ?? 0;
  }

  /** Marks who speaks. */
  #frame(peer) {
    const tile = peer === this.session.peer ? this.#own.get("camera") : this.viewers.get(peer)?.tile;
    if (this.#speaker === tile) return;
    if (this.#speaker) this.#speaker.speaking = false;
    if (tile) tile.speaking = true;
    this.#speaker = tile ?? null;
    this.#what.grid.speaker = tile;
  }

  /** What a person sees of a viewer's media. */
  #show(key, viewer) {
    const { audio, video, tile, element } = viewer;
    const { quiet = 0, still = 0 } = this.#figures.get(key) ?? {};
    tile.sound = !audio || audio.paused ? "muted" : quiet < GONE_AFTER ? "on" : "none";
    const moves = still < GONE_AFTER && element.videoWidth > 0;
    const hasOther = viewer.unplayable.video?.paused === false;
    tile.camera = hasOther ? "unplayable" : !video || video.paused ? "off" : moves ? "on" : "loading";
    if (viewer.unplayable.audio?.paused === false) tile.sound = "none";
    if (viewer.isScreen && !audio) tile.sound = "on";
    tile.weakness = viewer.weakness;
  }

  async #measure() {
    this.#lowerHands();
    const { up, down } = this.session;
    const [sent, got] = await Promise.all([up, down].map((one) => one?.pc.getStats().catch(() => null)));
    if (this.state === "left") return;
    if (sent) this.#figuresOf("", this.#own.get("camera"), { report: sent, sends: true });
    if (!got) return;
    for (const [key, viewer] of this.viewers) {
      const { tile, ssrcs, limitWords, layerWords } = viewer;
      const figures = this.#figuresOf(key, tile, { report: got, ssrcs }, { limited: limitWords, layer: layerWords });
      figures.quiet = figures.last.packets.audio ? 0 : figures.quiet + 1;
      figures.still = figures.last.frames ? 0 : figures.still + 1;
      const { hasDecoded, whole } = figures.last;
      figures.undecoded = hasDecoded ? 0 : figures.undecoded + (whole ? 1 : 0);
      this.#show(key, viewer);
    }
    this.#showStates();
  }

  #figuresOf(key, tile, from, more = {}) {
    const known = this.#figures.get(key) ?? { figures: new Figures(), quiet: 0, still: 0, undecoded: 0 };
    this.#figures.set(key, known);
    known.last = known.figures.read(from);
    if (tile) tile.figures = { ...known.last, ...more };
    return known;
  }
}

/** Plays a track of our own, or nothing. */
function play({ video }, track) {
  const [shown] = video.srcObject?.getTracks() ?? [];
  if (shown !== (track ?? undefined)) video.srcObject = track ? new MediaStream([track]) : null;
}

/** A transport's state, where it is not as it should be. */
function words(state) {
  if (state === "connecting") return "Connecting…";
  return state === "restoring" ? "Connection interrupted, restoring it…" : "";
}
