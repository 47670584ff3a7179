// One stay in one room: publishes, watches everybody who is there, and says how it goes.

import { Figures } from "./figures.js";
import { Presence } from "./presence.js";
import { CODEC_NAMES, Publisher, canSend } from "./publisher.js";
import { levelOf, loudness, meterOf } from "./speaking.js";
import { Talk } from "./talk.js";
import { Viewer } from "./viewer.js";

const LEVELS_EVERY_MS = 150;
const FIGURES_EVERY_MS = 1_000;
/** Below it a room is quiet and nobody is marked. */
const SPEECH = 45;
/** Figures in a row without a packet. */
const GONE_AFTER = 2;

export class Call {
  /** "joining", "in", "away" (the server does not answer), "refused" or "left". */
  state = "joining";
  publisher = null;
  viewers = new Map();
  talk;

  #what;
  #people = new Map();
  #presence;
  #meter = null;
  #metered = null;
  #timers = [];
  #loudest = null;
  #sent = "";
  /** Our name, if the server has listed us under it. */
  #listed = "";

  /**
   * @param what room, name, token, options { codec, simulcast }, media (null: watches only), grid, notices,
   * speaker() (id of an output, if one was chosen), said({ name, text }), changed(), refused(error)
   */
  constructor(what) {
    this.#what = what;
    const { room, name, token, media, options, grid } = what;
    this.talk = new Talk({ name, heard: (message) => this.#heard(message) });
    if (media) {
      const tile = grid.add({ peer: "", name, self: true });
      this.#people.set("", { tile, figures: new Figures(), quiet: 0, still: 0 });
      media.addEventListener("change", this.#showSelf);
      const changed = (session) => this.#published(session);
      this.publisher = new Publisher({ room, name, token, media, options, talk: this.talk, changed });
      this.#showSelf();
      if (!canSend(options.codec)) {
        const name = CODEC_NAMES[options.codec];
        what.notices.show("codec", "warning", `This browser cannot send ${name}. It sends another codec instead.`);
      }
    }
    this.#presence = new Presence({ room, token, changed: (said) => this.#present(said) });
    this.#timers = [
      setInterval(() => this.#hear(), LEVELS_EVERY_MS),
      setInterval(() => this.#measure(), FIGURES_EVERY_MS),
    ];
  }

  get count() {
    return this.viewers.size + (this.publisher ? 1 : 0);
  }

  /** Everybody's sessions at once. */
  restartIce() {
    const sessions = [this.publisher, ...this.viewers.values()].filter(Boolean).map(({ session }) => session);
    return Promise.all(sessions.map((session) => session.restartIce()));
  }

  /** Whatever waits tries again now. */
  hurry() {
    this.#presence.hurry();
    for (const { session } of [this.publisher, ...this.viewers.values()].filter(Boolean)) session.hurry();
  }

  /** Ends every session, at the server too; safe while the page goes. */
  leave() {
    this.state = "left";
    for (const timer of this.#timers) clearInterval(timer);
    this.#presence.close();
    this.publisher?.close();
    for (const viewer of this.viewers.values()) viewer.close();
    this.viewers.clear();
    this.#what.media?.removeEventListener("change", this.#showSelf);
    this.#meter?.close();
    this.#what.grid.clear();
    for (const key of ["away", "publish", "autoplay", "codec"]) this.#what.notices.clear(key);
  }

  /** Plays everything with sound: called from a click, which browsers ask for. */
  unmute() {
    for (const { video } of this.viewers.values()) {
      video.muted = false;
      video.play().catch(() => {});
    }
    this.#what.notices.clear("autoplay");
  }

  /** Shows on our own tile what the others are shown. */
  raise(up) {
    this.talk.raise(up);
    this.#people.get("").tile.hand = up;
  }

  react(emoji) {
    if (this.talk.react(emoji)) this.#people.get("").tile.react(emoji);
  }

  #heard({ peer, name, kind, text, up, emoji }) {
    const tile = peer ? this.#people.get(peer)?.tile : null;
    if (kind === "chat") {
      this.#what.said({ name: tile?.name ?? `${name || "Guest"} (watching)`, text });
    } else if (tile && kind === "reaction") {
      tile.react(emoji);
    } else if (tile) {
      tile.hand = up;
    }
  }

  #set(state) {
    if (this.state === state || this.state === "left") return;
    this.state = state;
    this.#what.changed();
  }

  #showSelf = () => {
    const { media } = this.#what;
    const { tile } = this.#people.get("");
    const track = media.video;
    const [shown] = tile.video.srcObject?.getTracks() ?? [];
    if (shown !== (track ?? undefined)) tile.video.srcObject = track ? new MediaStream([track]) : null;
    tile.picture = Boolean(track);
    tile.mirrored = Boolean(track) && track === media.camera;
    tile.silent = !media.audio;
    if (media.microphone === this.#metered) return;
    this.#meter?.close();
    this.#metered = media.microphone;
    this.#meter = media.microphone ? meterOf(media.microphone) : null;
  };

  #published(session) {
    const { tile } = this.#people.get("");
    tile.item.dataset.peer = this.publisher?.peer ?? "";
    tile.state = session.state;
    tile.note = note(session);
    if (session.state === "connected") {
      this.#what.notices.clear("publish");
      // The server did not know us any more: it may not know our stream of events either.
      if (this.#sent && this.#sent !== this.publisher.peer) this.#presence.renew();
      this.#sent = this.publisher.peer;
    } else if (session.state === "refused") {
      this.#refused(session.error);
    } else if (session.error?.status && session.state !== "closed") {
      this.#what.notices.show("publish", "warning", `You are not seen yet: ${session.error.message}`);
    }
    this.#what.changed();
  }

  #refused(error) {
    this.#set("refused");
    this.#what.refused(error);
  }

  #present({ state, peers, error, seconds }) {
    const { notices } = this.#what;
    if (state === "closing") {
      const words = `The server stops in ${seconds} seconds. The call may be interrupted then, and goes on by itself.`;
      notices.show("closing", "warning", words);
      return;
    }
    if (state === "refused") return this.#refused(error);
    if (state === "away") {
      this.#set("away");
      const words = "The server does not answer. This page keeps trying, and goes on by itself when it is back.";
      notices.show("away", "bad", words);
      return;
    }
    if (this.state === "away") {
      notices.clear("away");
      notices.show("back", "info", "The server is back.", { passing: true });
      this.hurry();
      // A server that has been restarted knows nobody.
      const known = peers.some(({ peer }) => peer === this.publisher?.peer);
      if (this.publisher?.session.state === "connected" && !known) this.publisher.session.renew();
    }
    this.#set("in");
    this.#lookForSelf(peers);
    const others = peers.filter(({ peer }) => !this.publisher?.names.has(peer));
    const there = new Map(others.map((peer) => [peer.peer, peer]));
    for (const peer of [...this.viewers.keys()]) if (!there.has(peer)) this.#forget(peer);
    for (const peer of there.values()) this.#meet(peer);
    this.#what.changed();
  }

  /** Who was listed and no longer is has lost the session, though the browser takes it for connected still. */
  async #lookForSelf(peers) {
    const { peer, session } = this.publisher ?? {};
    if (peers.some((one) => one.peer === peer)) {
      this.#listed = peer;
    } else if (peer && this.#listed === peer && session.state === "connected") {
      this.#listed = "";
      const why = await session.whyEnded();
      if (why === null) return;
      session.renew();
      this.#what.notices.show("ended", "info", `Joining again: ${why}`, { passing: true });
    }
  }

  #meet({ peer, name, tracks }) {
    const known = this.#people.get(peer);
    if (known) {
      known.tile.rename(name || "Guest");
      const viewer = this.viewers.get(peer);
      const more = (tracks ?? []).some((kind) => !viewer.tracks.includes(kind));
      viewer.tracks = tracks ?? viewer.tracks;
      // A kind that was not there when we asked: ask again.
      if (more) viewer.session.renew();
      return;
    }
    const { room, token, grid, speaker } = this.#what;
    const tile = grid.add({ peer, name: name || "Guest", self: false });
    const person = { tile, figures: new Figures(), quiet: 0, still: 0 };
    this.#people.set(peer, person);
    const changed = (session) => this.#watched(peer, session);
    const [{ talk }, kinds] = [this, tracks ?? ["audio", "video"]];
    const viewer = new Viewer({ room, peer, tracks: kinds, token, video: tile.video, talk, changed });
    this.viewers.set(peer, viewer);
    if (speaker()) tile.video.setSinkId?.(speaker()).catch(() => {});
    tile.video.addEventListener("loadedmetadata", () => this.#play(tile.video));
    tile.note = note(viewer.session);
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

  #watched(peer, session) {
    const person = this.#people.get(peer);
    if (!person) return;
    const viewer = this.viewers.get(peer);
    person.tile.state = session.state;
    person.tile.note = note(session) || undecodable(viewer);
  }

  #forget(peer) {
    this.viewers.get(peer)?.close();
    this.viewers.delete(peer);
    this.talk.forget(peer);
    const person = this.#people.get(peer);
    if (person) this.#what.grid.remove(person.tile);
    this.#people.delete(peer);
  }

  #hear() {
    let loudest = null, most = SPEECH;
    for (const [peer, { tile }] of this.#people) {
      const own = this.#what.media?.audio && this.#meter ? this.#meter.level : 0;
      const level = loudness(peer === "" ? own : levelOf(this.viewers.get(peer)?.pc));
      tile.level = level;
      // Who speaks keeps the mark until somebody is clearly louder.
      const weight = level + (tile === this.#loudest ? 6 : 0);
      if (weight > most) [loudest, most] = [tile, weight];
    }
    if (loudest === this.#loudest) return;
    if (this.#loudest) this.#loudest.speaking = false;
    if (loudest) loudest.speaking = true;
    this.#loudest = loudest;
  }

  async #measure() {
    for (const [peer, person] of [...this.#people]) {
      const pc = peer === "" ? this.publisher.pc : this.viewers.get(peer)?.pc;
      const figures = await person.figures.read(pc);
      if (!figures) continue;
      const viewer = this.viewers.get(peer);
      const limited = viewer ? viewer.limitWords : figures.limited;
      person.tile.figures = { ...figures, limited, layer: viewer?.layerWords };
      if (peer === "") continue;
      person.tile.note = note(viewer.session) || undecodable(viewer) || suspended(viewer);
      person.quiet = figures.packets.audio ? 0 : person.quiet + 1;
      person.still = figures.frames ? 0 : person.still + 1;
      person.tile.silent = person.quiet >= GONE_AFTER;
      person.tile.picture = person.still < GONE_AFTER && person.tile.video.videoWidth > 0;
    }
  }
}

function note(session) {
  if (session.state === "connecting") return session.error ? `Waiting: ${session.error.message}` : "Connecting…";
  if (session.state === "restoring") return "Connection interrupted, restoring it…";
  if (session.state === "refused") return session.error.message;
  return "";
}

function suspended({ suspended: isSuspended }) {
  return isSuspended ? "Your network is too slow for this picture; the sound goes on." : "";
}

function undecodable({ undecodable: kinds }) {
  if (kinds.includes("video")) return "This browser cannot decode the codec of this video.";
  return kinds.includes("audio") ? "This browser cannot decode the codec of this sound." : "";
}
