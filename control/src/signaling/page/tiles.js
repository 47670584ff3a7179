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
  #note;
  #figures;
  #pin;

  /**
   * Attributes for tests and style: data-peer, data-state (the state of its session), data-level (0 to 100),
   * data-picture ("yes", "no"), data-hand ("up", "down"), data-self on one's own.
   */
  constructor({ peer, name, self, pinned }) {
    this.video = element("video", { autoplay: true, playsInline: true, muted: self });
    this.#name = element("span", { className: "name" });
    this.#avatar = element("div", { className: "avatar" }, element("span", {}));
    this.#avatar.setAttribute("aria-hidden", "true");
    this.#silent = element("span", { className: "silent", hidden: true, title: "No sound" }, icon("mic-off"),
      element("span", { className: "unseen", textContent: "no sound" }));
    this.#hand = element("span", { className: "hand", hidden: true, title: "Hand raised" }, icon("hand"),
      element("span", { className: "unseen", textContent: "hand raised" }));
    this.#note = element("p", { className: "note", hidden: true });
    this.#figures = element("dl", { className: "figures" });
    this.#pin = element("button", { type: "button", className: "pin" }, icon("enlarge"));
    this.#pin.addEventListener("click", () => pinned(this));
    const label = element("div", { className: "label" }, this.#hand, this.#silent, this.#name);
    const parts = [this.video, this.#avatar, this.#note, this.#figures, label, this.#pin];
    this.item = element("li", { className: "tile" }, ...parts);
    this.item.dataset.peer = peer;
    if (self) this.item.dataset.self = "";
    this.video.addEventListener("resize", () => {
      if (!self && this.video.videoWidth) this.picture = true;
      this.fit();
    });
    this.self = self;
    this.rename(name);
    this.picture = false;
    this.state = "connecting";
    this.level = 0;
    this.hand = false;
  }

  rename(name) {
    this.name = name;
    this.#name.textContent = this.self ? `${name} (you)` : name;
    this.video.setAttribute("aria-label", name);
    this.#avatar.firstChild.textContent = initials(name);
    this.pin(this.item.classList.contains("pinned"));
  }

  set state(state) { this.item.dataset.state = state; }
  set picture(there) { this.item.dataset.picture = there ? "yes" : "no"; }
  set level(level) { this.item.dataset.level = level; }
  set silent(silent) { this.#silent.hidden = !silent; }
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
    this.#pin.setAttribute("aria-label", `Enlarge ${this.name}`);
    this.#pin.title = pinned ? "Back to the grid" : "Enlarge";
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

export class Grid {
  #list;
  #tiles = [];

  constructor(list) {
    this.#list = list;
    new ResizeObserver(() => this.#layOut()).observe(list.parentElement);
  }

  add(options) {
    const tile = new Tile({ ...options, pinned: (which) => this.#pin(which) });
    this.#tiles.push(tile);
    this.#list.append(tile.item);
    this.#layOut();
    return tile;
  }

  remove(tile) {
    this.#tiles = this.#tiles.filter((other) => other !== tile);
    tile.item.remove();
    this.#layOut();
  }

  clear() {
    for (const tile of [...this.#tiles]) this.remove(tile);
  }

  #pin(which) {
    const pinned = which.item.classList.contains("pinned");
    for (const tile of this.#tiles) tile.pin(tile === which && !pinned);
    this.#layOut();
  }

  /** As many columns as make the largest tiles. */
  #layOut() {
    const { clientWidth, clientHeight } = this.#list.parentElement;
    const pinned = this.#tiles.some((tile) => tile.item.classList.contains("pinned"));
    this.#list.classList.toggle("has-pinned", pinned);
    this.#list.style.setProperty("--stage-height", `${clientHeight}px`);
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
    for (const tile of this.#tiles) tile.fit();
  }
}
