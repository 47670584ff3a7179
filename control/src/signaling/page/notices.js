// Messages to whoever sits in front of the page. Each has a key; a new one takes the place of the one with its key.

import { icon } from "./tiles.js";

const PASSING_MS = 4_000;

export class Notices {
  #list;
  #shown = new Map();

  constructor(list) {
    this.#list = list;
  }

  /**
   * @param kind "info", "warning" or "bad"
   * @param more `action`: { label, run }; `field`: text to be copied by hand; `passing`: goes by itself
   */
  show(key, kind, text, { action, field, passing, closable = kind !== "bad" } = {}) {
    const before = this.#shown.get(key);
    if (before && before.dataset.text === text && !passing) return;
    this.clear(key);
    const item = document.createElement("li");
    item.className = `notice ${kind}`;
    item.dataset.notice = key;
    item.dataset.text = text;
    const words = document.createElement("p");
    words.textContent = text;
    item.append(icon(kind === "info" ? "info" : "warning"), words);
    if (field) {
      const input = Object.assign(document.createElement("input"), { readOnly: true, value: field });
      input.setAttribute("aria-label", "Link");
      input.addEventListener("focus", () => input.select());
      words.append(input);
    }
    if (action) item.append(button(action.label, action.run));
    if (closable) {
      const close = button("", () => this.clear(key));
      close.className = "close";
      close.setAttribute("aria-label", "Close this message");
      close.append(icon("close"));
      item.append(close);
    }
    this.#list.append(item);
    this.#shown.set(key, item);
    if (passing) setTimeout(() => { if (this.#shown.get(key) === item) this.clear(key); }, PASSING_MS);
  }

  clear(key) {
    this.#shown.get(key)?.remove();
    this.#shown.delete(key);
  }

  clearAll() {
    for (const key of [...this.#shown.keys()]) this.clear(key);
  }
}

function button(label, run) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = label;
  made.addEventListener("click", run);
  return made;
}
