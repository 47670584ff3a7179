// Camera, microphone and screen of this side: which are used, and whether they are on.
//
// Owns the tracks. What is off is stopped, so that the light beside the lens goes out.

const WANTED_VIDEO = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
const WANTED_AUDIO = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
const REMEMBERED = "corecast.devices";

/** Why something of the browser's could not be had, for people. */
export class Trouble extends Error {
  constructor(kind, sentence, cause) {
    super(sentence, { cause });
    this.kind = kind;
  }
}

/** Null if this page may ask for devices, otherwise why not. */
export function whyNoDevices() {
  if (!window.RTCPeerConnection) {
    return new Trouble("browser", "This browser has no WebRTC, or it is turned off in its settings. " +
      "Use a current Firefox, Chrome, Edge or Safari.");
  }
  if (navigator.mediaDevices?.getUserMedia) return null;
  if (!window.isSecureContext) {
    const address = `https://${location.host}${location.pathname}${location.search}`;
    return new Trouble("insecure", "Browsers give camera and microphone only to pages that came by https or " +
      `from localhost. Start the server with --tls-self-signed, or with --tls-cert and --tls-key, and open ${address}`);
  }
  return new Trouble("browser", "This browser gives no page a camera or microphone.");
}

function explain(error, what) {
  switch (error.name) {
    case "NotAllowedError":
    case "SecurityError":
      return new Trouble("refused", /system/i.test(error.message)
        ? `The operating system keeps this browser from the ${what}. Allow it in its privacy settings, then try again.`
        : `This page may not use the ${what}. Allow it beside the browser's address bar, then try again.`, error);
    case "NotFoundError":
      what = what.replace("and", "and no");
      return new Trouble("missing", `No ${what} was found. Plug one in, or only watch.`, error);
    case "NotReadableError":
    case "AbortError":
      return new Trouble("busy", `The ${what} cannot be opened. Another program may be using it.`, error);
    default:
      return new Trouble("other", `The ${what} cannot be opened: ${error.message || error.name}`, error);
  }
}

function remembered() {
  try {
    return JSON.parse(localStorage.getItem(REMEMBERED)) ?? {};
  } catch {
    return {};
  }
}

export class Media extends EventTarget {
  camera = null;
  microphone = null;
  screen = null;
  /** What is heard of what is shared, if the browser gives it. */
  screenSound = null;
  cameraOn = true;
  microphoneOn = true;
  /** Device ids by kind: videoinput, audioinput, audiooutput. */
  chosen = remembered();
  #opening = Promise.resolve();

  /** The camera's picture, if it is on. */
  get video() {
    return this.cameraOn ? this.camera : null;
  }

  get audio() {
    return this.microphoneOn ? this.microphone : null;
  }

  /**
   * Opens what there is of camera and microphone. Throws a Trouble if it gets neither, and returns one if it gets one.
   */
  async open() {
    const impossible = whyNoDevices();
    if (impossible) throw impossible;
    if (!this.cameraOn && !this.microphoneOn) return null;
    try {
      await this.#get(this.cameraOn, this.microphoneOn);
      return null;
    } catch (error) {
      if (error.kind === "refused" || !this.cameraOn || !this.microphoneOn) throw error;
      // One of the two may be missing or busy: each by itself, then.
      const single = await Promise.allSettled([this.#get(true, false), this.#get(false, true)]);
      const failed = single.filter(({ status }) => status === "rejected").map(({ reason }) => reason);
      if (failed.length === 2) throw failed[0].kind === "missing" && failed[1].kind === "missing" ? error : failed[0];
      return failed[0] ?? null;
    }
  }

  /** One at a time: two requests for one device would leave one of them open. */
  #get(video, audio) {
    const got = this.#opening.then(() => this.#getNow(video, audio));
    this.#opening = got.catch(() => {});
    return got;
  }

  async #getNow(video, audio) {
    const what = video && audio ? "camera and microphone" : video ? "camera" : "microphone";
    const exactly = (kind) => (this.chosen[kind] ? { deviceId: { exact: this.chosen[kind] } } : {});
    const ask = (pick) => navigator.mediaDevices.getUserMedia({
      video: video && { ...WANTED_VIDEO, ...pick("videoinput") },
      audio: audio && { ...WANTED_AUDIO, ...pick("audioinput") },
    });
    let stream;
    try {
      // What was chosen last time may be unplugged.
      stream = await ask(exactly).catch((error) => {
        if (!/OverconstrainedError|NotFoundError/.test(error.name)) throw error;
        return ask(() => ({}));
      });
    } catch (error) {
      throw explain(error, what);
    }
    for (const track of stream.getTracks()) this.#take(track);
    this.#changed();
  }

  #take(track) {
    const name = track.kind === "video" ? "camera" : "microphone";
    this[name]?.stop();
    this[name] = track;
    track.addEventListener("ended", () => {
      if (this[name] !== track) return;
      this[name] = null;
      this.#changed();
      const words = `The ${name} is gone: it was unplugged, or its permission was taken back.`;
      this.dispatchEvent(new CustomEvent("lost", { detail: new Trouble("lost", words) }));
    });
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }

  async setCamera(on) {
    this.cameraOn = on;
    try {
      if (on && !this.camera) await this.#get(true, false);
    } catch (error) {
      this.cameraOn = false;
      throw error;
    } finally {
      if (!this.cameraOn) {
        this.camera?.stop();
        this.camera = null;
      }
      this.#changed();
    }
  }

  async setMicrophone(on) {
    this.microphoneOn = on;
    try {
      if (on && !this.microphone) await this.#get(false, true);
    } catch (error) {
      this.microphoneOn = false;
      throw error;
    } finally {
      if (this.microphone) this.microphone.enabled = this.microphoneOn;
      this.#changed();
    }
  }

  /** Another device of a kind, from now on and the next time. */
  async choose(kind, id) {
    this.chosen[kind] = id;
    try {
      localStorage.setItem(REMEMBERED, JSON.stringify(this.chosen));
    } catch { /* A private window may forbid it. */ }
    if (kind === "videoinput" && this.cameraOn) await this.#get(true, false);
    else if (kind === "audioinput" && this.microphoneOn) await this.#get(false, true);
    else this.#changed();
  }

  async shareScreen() {
    try {
      const wanted = { video: { frameRate: { ideal: 15 } }, audio: true };
      const stream = await navigator.mediaDevices.getDisplayMedia(wanted);
      const [track] = stream.getVideoTracks();
      // Text must stay legible; motion may stutter.
      track.contentHint = "detail";
      track.addEventListener("ended", () => { if (this.screen === track) this.stopScreen(); });
      this.screen = track;
      [this.screenSound = null] = stream.getAudioTracks();
      this.#changed();
    } catch (error) {
      // Closing the choice is no trouble.
      if (error.name !== "NotAllowedError") throw explain(error, "screen");
      if (/system/i.test(error.message)) throw explain(error, "screen");
    }
  }

  stopScreen() {
    for (const track of [this.screen, this.screenSound]) track?.stop();
    this.screen = this.screenSound = null;
    this.#changed();
  }

  close() {
    for (const name of ["camera", "microphone", "screen", "screenSound"]) {
      const track = this[name];
      this[name] = null;
      track?.stop();
    }
    this.#changed();
  }
}

/** Lists of { id, label } by kind. Names are known only after a permission. */
export async function devices() {
  const lists = { audioinput: [], videoinput: [], audiooutput: [] };
  const names = { audioinput: "Microphone", videoinput: "Camera", audiooutput: "Speaker" };
  const found = await navigator.mediaDevices?.enumerateDevices?.().catch(() => []) ?? [];
  for (const { kind, deviceId, label } of found) {
    const list = lists[kind];
    if (list && deviceId) list.push({ id: deviceId, label: label || `${names[kind]} ${list.length + 1}` });
  }
  return lists;
}
