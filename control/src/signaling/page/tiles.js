// The grid: one tile per person, as large as they fit.

import { describe } from "./figures.js";

const SVG = "http://www.w3.org/2000/svg";
/** Narrower tiles than this scroll instead. */
const LEAST_WIDTH = 150;
const GAP = 8;
/** A picture is cropped to its tile if no more than this goes; a screen or an upright phone is shown whole. */
const CROP = 1.4;
const REACTION_MS = 4_000;
/** Reactions that are shown on a tile at a time. */
const MOST_REACTIONS = 5;

/** One of the drawings in index.html. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "icon");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function initials(name) {
  const words = name.trim().split(/\s+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words.at(-1)] : words;
  return letters.map((word) => [...word][0]).join("").toUpperCase() || "?";
}

export class Tile {
  #name;
  #avatar;
  #silent;
  #hand;
  #quality;
  #note;
  #figures;
  #pin;

  /**
   * Attributes for tests and style: data-peer, data-state (the state of its session), data-level (0 to 100),
   * data-picture ("yes", "no"), data-camera ("on", "off", "loading", "unplayable"), data-sound ("on", "muted", "none"),
   * data-hand ("up", "down"), data-self on one's own, data-screen on a shared screen.
   */
  constructor({ peer, name, self = false, screen = false, pinned }) {
    this.video = element("video", { autoplay: true, playsInline: true, muted: self });
    this.#name = element("span", { className: "name" });
    this.#avatar = element("div", { className: "avatar" }, element("span", {}));
    this.#avatar.setAttribute("aria-hidden", "true");
    this.#silent = element("span", { className: "silent", hidden: true }, icon("mic-off"),
      element("span", { className: "unseen" }));
    this.#hand = element("span", { className: "hand", hidden: true, title: "Hand raised" }, icon("hand"),
      element("span", { className: "unseen", textContent: "hand raised" }));
    this.#quality = element("span", { className: "quality", hidden: true }, icon("weak"),
      element("span", { className: "unseen" }));
    this.#note = element("p", { className: "note", hidden: true });
    this.#figures = element("dl", { className: "figures" });
    this.#pin = element("button", { type: "button", className: "pin" }, icon("enlarge"));
    this.#pin.addEventListener("click", () => pinned(this));
    const label = element("div", { className: "label" }, this.#hand, this.#silent, this.#name, this.#quality);
    const parts = [this.video, this.#avatar, this.#note, this.#figures, label, this.#pin];
    this.item = element("li", { className: "tile" }, ...parts);
    this.item.dataset.peer = peer;
    if (self) this.item.dataset.self = "";
    if (screen) this.item.dataset.screen = "";
    this.video.addEventListener("resize", () => {
      if (this.item.dataset.camera === "loading" && this.video.videoWidth) this.camera = "on";
      this.fit();
    });
    this.self = self;
    this.screen = screen;
    this.rename(name);
    this.camera = "off";
    this.sound = "on";
    this.state = "connecting";
    this.level = 0;
    this.hand = false;
  }

  rename(name) {
    this.name = name;
    const shown = this.self ? `${name} (you)` : name;
    this.#name.textContent = this.screen ? `${shown}: screen` : shown;
    this.video.setAttribute("aria-label", this.#name.textContent);
    this.#avatar.firstChild.textContent = initials(name);
    this.pin(this.item.classList.contains("pinned"));
  }

  set state(state) { this.item.dataset.state = state; }

  /** "on", "off"; "loading": it is on, and its picture has not come yet; "unplayable": this browser cannot show it. */
  get camera() { return this.item.dataset.camera; }
  set camera(camera) {
    this.item.dataset.camera = camera;
    this.item.dataset.picture = camera === "on" ? "yes" : "no";
  }

  /** "on", "muted", or "none": it is on, and nothing comes. */
  set sound(sound) {
    this.item.dataset.sound = sound;
    this.#silent.hidden = sound === "on";
    const words = sound === "muted" ? "Muted" : "No sound arrives";
    if (this.#silent.title === words) return;
    this.#silent.title = words;
    this.#silent.lastChild.textContent = words;
  }

  set level(level) { this.item.dataset.level = level; }
  /** Why the connection is bad, in words; empty if it is good. */
  set weakness(words) {
    this.#quality.hidden = !words;
    if (this.#quality.title === words) return;
    this.#quality.title = words;
    this.#quality.lastChild.textContent = words;
  }

  set speaking(speaking) { this.item.classList.toggle("speaking", speaking); }
  set mirrored(mirrored) { this.video.classList.toggle("mirrored", mirrored); }

  /** Whether its hand is up. */
  set hand(up) {
    this.#hand.hidden = !up;
    this.item.dataset.hand = up ? "up" : "down";
  }

  /** Shows a reaction for a moment. */
  react(emoji) {
    const shown = element("span", { className: "reaction", textContent: emoji });
    shown.setAttribute("role", "status");
    this.item.append(shown);
    const all = [...this.item.querySelectorAll(".reaction")];
    for (const old of all.slice(0, -MOST_REACTIONS)) old.remove();
    setTimeout(() => shown.remove(), REACTION_MS);
  }

  set note(text) {
    this.#note.hidden = !text;
    if (this.#note.textContent !== text) this.#note.textContent = text;
  }

  set figures(figures) {
    if (!figures) return;
    const lines = describe(figures, this.self);
    this.#figures.replaceChildren(...lines.flatMap(([name, value]) => {
      const [term, figure] = [element("dt", { textContent: name }), element("dd", { textContent: value })];
      figure.dataset.of = name;
      return [term, figure];
    }));
  }

  pin(pinned) {
    this.item.classList.toggle("pinned", pinned);
    this.#pin.setAttribute("aria-pressed", String(pinned));
    this.#pin.setAttribute("aria-label", `Keep ${this.video.getAttribute("aria-label")} large`);
    this.#pin.title = pinned ? "No longer keep large" : "Keep large";
    this.#pin.replaceChildren(icon(pinned ? "shrink" : "enlarge"));
  }

  /** Cropped or whole. */
  fit() {
    const { videoWidth, videoHeight, clientWidth, clientHeight } = this.video;
    if (!videoWidth || !clientHeight) return;
    const ratio = (videoWidth / videoHeight) / (clientWidth / clientHeight);
    this.video.classList.toggle("whole", ratio > CROP || ratio < 1 / CROP);
  }
}

/**
 * Tiles of one size as they fit; or one large, and the others in a strip; or, of two people, the other as large as the
 * stage, and oneself in its corner.
 */
export class Grid {
  #list;
  #tiles = [];
  #pinned = null;
  /** Who spoke last of the others. */
  #speaker = null;
  #view = "grid";

  constructor(list) {
    this.#list = list;
    new ResizeObserver(() => this.#layOut()).observe(list.parentElement);
  }

  /** "grid", or "speaker": who speaks is large. */
  get view() {
    return this.#view;
  }

  set view(view) {
    this.#view = view;
    this.#pin(null);
  }

  /** Who speaks now. */
  set speaker(tile) {
    if (!tile || tile.self || tile === this.#speaker) return;
    this.#speaker = tile;
    if (this.#view === "speaker") this.#layOut();
  }

  /** A screen that is shared stands first. */
  add(options) {
    const tile = new Tile({ ...options, pinned: (which) => this.#pin(which === this.#pinned ? null : which) });
    this.#tiles.push(tile);
    if (options.screen && !options.self) this.#list.prepend(tile.item);
    else this.#list.append(tile.item);
    this.#layOut();
    return tile;
  }

  remove(tile) {
    this.#tiles = this.#tiles.filter((other) => other !== tile);
    if (this.#pinned === tile) this.#pinned = null;
    if (this.#speaker === tile) this.#speaker = null;
    tile.item.remove();
    this.#layOut();
  }

  clear() {
    for (const tile of [...this.#tiles]) this.remove(tile);
  }

  #pin(which) {
    this.#pinned = which;
    for (const tile of this.#tiles) tile.pin(tile === which);
    this.#layOut();
  }

  /** The large one; none in a grid. */
  get #main() {
    const others = this.#tiles.filter(({ self }) => !self);
    const screen = others.findLast((tile) => tile.screen);
    const speaker = this.#view === "speaker" ? this.#speaker ?? others[0] : null;
    return this.#pinned ?? screen ?? speaker ?? (this.#isDuo ? others[0] : null);
  }

  /** Two people, and nothing else. */
  get #isDuo() {
    return this.#tiles.length === 2 && this.#tiles.filter(({ self }) => self).length === 1 && !this.#pinned?.self;
  }

  #layOut() {
    const { clientWidth, clientHeight } = this.#list.parentElement;
    const main = this.#main;
    for (const tile of this.#tiles) tile.item.classList.toggle("main", tile === main);
    this.#list.classList.toggle("has-main", Boolean(main));
    this.#list.classList.toggle("duo", Boolean(main) && this.#isDuo);
    this.#list.style.setProperty("--stage-height", `${clientHeight}px`);
    this.#fill(clientWidth, clientHeight);
    for (const tile of this.#tiles) tile.fit();
  }

  /** As many columns as make the largest tiles. */
  #fill(clientWidth, clientHeight) {
    const count = this.#tiles.length;
    if (!count || !clientWidth) return;
    const ratio = clientWidth > clientHeight ? 16 / 9 : 4 / 3;
    let best = { columns: 1, width: 0 };
    for (let columns = 1; columns <= count; columns += 1) {
      const rows = Math.ceil(count / columns);
      const across = (clientWidth - GAP * (columns - 1)) / columns;
      const down = ((clientHeight - GAP * (rows - 1)) / rows) * ratio;
      const width = Math.floor(Math.min(across, down));
      if (width > best.width) best = { columns, width };
    }
    if (best.width < LEAST_WIDTH) {
      const columns = Math.max(1, Math.floor((clientWidth + GAP) / (LEAST_WIDTH + GAP)));
      best = { columns, width: Math.floor((clientWidth - GAP * (columns - 1)) / columns) };
    }
    this.#list.style.setProperty("--columns", best.columns);
    this.#list.style.setProperty("--tile-width", `${best.width}px`);
    this.#list.style.setProperty("--tile-height", `${Math.floor(best.width / ratio)}px`);
  }
}
