// Before the call: who one is, where one goes, how one looks and sounds there.

import { devices } from "./media.js";
import { Present } from "./present.js";
import { loudness, meterOf } from "./speaking.js";

const NAME = "corecast.name";
const METER_EVERY_MS = 100;
/** After the last letter of a room's name. */
const LISTEN_AFTER_MS = 400;
/** Names that are told; of more, how many. */
const NAMES = 3;
const KINDS = { videoinput: "camera", audioinput: "microphone", audiooutput: "speaker" };
const at = (id) => document.getElementById(id);

/** Three groups of letters that can be read out over a telephone. */
function roomName() {
  const group = (letters) => [...crypto.getRandomValues(new Uint8Array(letters))]
    .map((byte, index) => (index % 2 ? "aeiou" : "bdfgklmnprstvz")[byte % (index % 2 ? 5 : 14)]).join("");
  return `${group(4)}-${group(4)}`;
}

function remembered() {
  try {
    return localStorage.getItem(NAME) ?? "";
  } catch {
    return "";
  }
}

export class Lobby {
  #media;
  #meter = null;
  #metered = null;
  #timer = 0;
  #listening = 0;
  #token;
  #present = new Present({ changed: (names) => showPresent(names) });

  /**
   * @param joins called with { room, name, watch, token }
   * @param token the bearer token, if one is known
   */
  constructor({ media, room, name, token, joins }) {
    this.#media = media;
    this.#token = token;
    at("devices-home").open = innerWidth > 760 && innerHeight > 480;
    at("room").value = room || roomName();
    at("name").value = name || remembered();
    at("join-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#join(joins, event.submitter?.id === "watch");
    });
    at("lobby-camera").addEventListener("click", () => this.#turn(() => {
      if (this.#idle) media.cameraOn = !media.cameraOn;
      else return media.setCamera(!media.camera);
    }));
    at("lobby-microphone").addEventListener("click", () => this.#turn(() => {
      if (this.#idle) media.microphoneOn = !media.microphoneOn;
      else return media.setMicrophone(!media.audio);
    }));
    at("again").addEventListener("click", () => this.open());
    at("room").addEventListener("input", () => {
      clearTimeout(this.#listening);
      this.#listening = setTimeout(() => this.#listen(), LISTEN_AFTER_MS);
    });
    for (const [kind, id] of Object.entries(KINDS)) {
      at(id).addEventListener("change", ({ target }) => this.#turn(() => media.choose(kind, target.value)));
    }
    media.addEventListener("change", () => this.#show());
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.#list());
  }

  get name() {
    return at("name").value.trim();
  }

  /** After a call nothing is open, and nothing is opened before one joins again. */
  get #idle() {
    return at("lobby").dataset.media === "idle";
  }

  /** @param isTrouble the message says why one could not stay */
  show(message = "", isTrouble = false) {
    at("lobby").hidden = false;
    at("lobby-message").classList.toggle("warning", isTrouble);
    at("devices-home").append(at("devices"));
    at("lobby-message").hidden = !message;
    at("lobby-message").textContent = message;
    if (message) this.#trouble(null, "idle");
    this.#listen();
    clearInterval(this.#timer);
    this.#timer = setInterval(() => {
      at("meter").value = this.#meter && this.#media.audio ? loudness(this.#meter.level) : 0;
    }, METER_EVERY_MS);
    this.#show();
  }

  hide() {
    at("lobby").hidden = true;
    clearInterval(this.#timer);
    clearTimeout(this.#listening);
    this.#present.close();
    this.#meter?.close();
    this.#meter = this.#metered = null;
    at("preview").srcObject = null;
  }

  /** Asks for camera and microphone. True if there is anything to send. */
  async open() {
    this.#trouble(null, "asking");
    try {
      const partly = await this.#media.open();
      this.#trouble(partly);
      return true;
    } catch (trouble) {
      this.#trouble(trouble);
      return false;
    } finally {
      await this.#list();
    }
  }

  askForToken(sentence) {
    at("token-field").hidden = false;
    at("lobby-message").hidden = false;
    at("lobby-message").textContent = sentence;
    at("token").focus();
  }

  #listen() {
    if (!at("lobby").hidden) this.#present.listen(at("room").value.trim(), at("token").value.trim() || this.#token);
  }

  async #turn(action) {
    try {
      await action();
      this.#trouble(null, this.#idle ? "idle" : undefined);
    } catch (trouble) {
      this.#trouble(trouble);
    }
    await this.#list();
  }

  async #join(joins, watch) {
    const [room, name] = [at("room").value.trim(), this.name];
    try {
      localStorage.setItem(NAME, name);
    } catch { /* A private window may forbid it. */ }
    const { cameraOn, microphoneOn } = this.#media;
    if (!watch && this.#idle && (cameraOn || microphoneOn) && !(await this.open())) return;
    joins({ room, name: name || "Guest", watch, token: at("token").value.trim() });
  }

  #trouble(trouble, kind = trouble?.kind) {
    at("trouble").hidden = !trouble;
    at("trouble-text").textContent = trouble?.message ?? "";
    at("again").hidden = !["refused", "busy", "missing", "other", "lost"].includes(kind);
    at("lobby").dataset.media = kind ?? "ready";
    this.#show();
  }

  #show() {
    const { video, audio, camera, microphone, cameraOn, microphoneOn } = this.#media;
    const [shown] = at("preview").srcObject?.getTracks() ?? [];
    if (at("lobby").hidden) return;
    if (shown !== (video ?? undefined)) at("preview").srcObject = video ? new MediaStream([video]) : null;
    at("preview-off").hidden = Boolean(video);
    const asking = at("lobby").dataset.media === "asking";
    at("preview-words").textContent = asking ? "Waiting for your permission…"
      : !at("trouble").hidden && cameraOn ? "No camera"
      : this.#idle && cameraOn ? "Your camera opens when you join" : "Your camera is off";
    press(at("lobby-camera"), this.#idle ? cameraOn : Boolean(video), "camera");
    press(at("lobby-microphone"), this.#idle ? microphoneOn : Boolean(audio), "microphone");
    at("join").disabled = asking || (!at("trouble").hidden && !camera && !microphone);
    if (microphone === this.#metered) return;
    this.#meter?.close();
    this.#metered = microphone;
    this.#meter = microphone ? meterOf(microphone) : null;
  }

  async #list() {
    const lists = await devices();
    for (const [kind, id] of Object.entries(KINDS)) {
      const select = at(id);
      const used = { videoinput: this.#media.camera, audioinput: this.#media.microphone }[kind]?.getSettings().deviceId;
      select.replaceChildren(...lists[kind].map(({ id: value, label }) => new Option(label, value)));
      select.value = used ?? this.#media.chosen[kind] ?? lists[kind][0]?.id ?? "";
      if (!select.value && lists[kind].length) select.selectedIndex = 0;
      const usable = kind !== "audiooutput" || "setSinkId" in HTMLMediaElement.prototype;
      select.closest("label").hidden = !usable || !lists[kind].length;
    }
    at("devices-home").hidden = !at("devices").querySelector("label:not([hidden])");
  }
}

/** Who is in the room already, in words. */
function showPresent(names) {
  const shown = (names ?? []).slice(0, NAMES);
  const more = (names ?? []).length - shown.length;
  if (more > 0) shown.push(more === 1 ? "one more" : `${more} more`);
  const last = shown.pop();
  const all = shown.length ? `${shown.join(", ")} and ${last}` : last;
  const words = all ? `${all} ${names.length === 1 ? "is" : "are"} in this room.` : "Nobody is in this room yet.";
  at("present").textContent = names ? words : "";
}

const BUTTONS = {
  camera: { drawing: "camera", on: "Turn the camera off", off: "Turn the camera on" },
  microphone: { drawing: "mic", on: "Mute the microphone", off: "Unmute the microphone" },
};

/** Draws and names a button by what it is about, and what it would do; `key` presses it too. */
export function press(button, on, what, key) {
  const { drawing, on: turnsOff, off: turnsOn } = BUTTONS[what];
  button.setAttribute("aria-label", on ? turnsOff : turnsOn);
  if (key) button.title = `${on ? turnsOff : turnsOn} (${key})`;
  button.classList.toggle("off", !on);
  button.querySelector("use").setAttribute("href", on ? `#i-${drawing}` : `#i-${drawing}-off`);
}
