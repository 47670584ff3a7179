// The chat beside the pictures: what was said since one came, and a field to say something.

const MOST_LINES = 200;
/** From the end: who has scrolled further up reads, and is left there. */
const NEAR_END = 60;

export class Chat {
  #panel;
  #log;
  #field;
  #button;
  #badge;
  #call;
  #unread = 0;

  /** @param parts elements: panel, log, form, field, button, badge, close; call: the element that makes room */
  constructor({ panel, log, form, field, button, badge, close, call, sends }) {
    [this.#panel, this.#log, this.#field] = [panel, log, field];
    [this.#button, this.#badge, this.#call] = [button, badge, call];
    button.addEventListener("click", () => this.show(panel.hidden));
    close.addEventListener("click", () => this.show(false));
    panel.addEventListener("keydown", ({ key }) => { if (key === "Escape") this.show(false); });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = field.value.trim();
      if (text && sends(text)) field.value = "";
    });
  }

  show(open) {
    this.#panel.hidden = !open;
    this.#call.classList.toggle("with-chat", open);
    this.#button.setAttribute("aria-expanded", String(open));
    this.#button.classList.toggle("active", open);
    if (!open) return this.#button.focus();
    this.#count(0);
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#field.focus();
  }

  /** Shows a line: of somebody, or what happened. */
  add({ name = "", text, own = false }) {
    const { scrollHeight, scrollTop, clientHeight } = this.#log;
    const follows = own || scrollHeight - scrollTop - clientHeight < NEAR_END;
    const line = document.createElement("li");
    line.classList.toggle("own", own);
    if (name) {
      const who = document.createElement("strong");
      who.textContent = name;
      line.append(who);
    }
    const words = document.createElement("p");
    words.textContent = text;
    line.append(words);
    this.#log.append(line);
    while (this.#log.childElementCount > MOST_LINES) this.#log.firstElementChild.remove();
    if (follows) this.#log.scrollTop = this.#log.scrollHeight;
    if (this.#panel.hidden && !own) this.#count(this.#unread + 1);
  }

  clear() {
    this.#log.replaceChildren();
    this.#count(0);
    this.#field.value = "";
    if (!this.#panel.hidden) this.show(false);
  }

  #count(unread) {
    this.#unread = unread;
    this.#badge.hidden = unread === 0;
    this.#badge.textContent = unread > 9 ? "9+" : String(unread);
    this.#button.setAttribute("aria-label", unread ? `Chat ${this.#badge.textContent} new` : "Chat");
  }
}
