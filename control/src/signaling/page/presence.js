// Who is in the room: the server's event stream `/rooms/{room}/events`.
//
// A browser opens six connections to a server by HTTP/1.1, for all its tabs together, and an event stream holds one for
// ever. So the tabs that are in one room share one stream: whichever holds the lock reads it and tells the others.
// Read with fetch and not with EventSource, which hides the status of a refusal and would put the token into the URL.

import { Refused, bearer } from "./session.js";
import { backoffMs, sleep } from "./wait.js";

/** The server says something, if only a comment, every 15 s. */
const SILENCE_LIMIT_MS = 40_000;

export class Presence {
  #room;
  #token;
  #changed;
  #stop = new AbortController();
  #hurry = new AbortController();
  #again = new AbortController();
  #channel = null;
  #peers = new Map();
  /** What the others are told; none while another tab reads. */
  #said = null;

  /**
   * @param changed is told { state: "open", peers }, { state: "away", since } or { state: "refused", error }
   */
  constructor({ room, token, changed }) {
    this.#room = room;
    this.#token = token;
    this.#changed = changed;
    const shared = `corecast ${room} ${token ?? ""}`;
    if (!navigator.locks || !window.BroadcastChannel) {
      this.#read();
      return;
    }
    this.#channel = new BroadcastChannel(shared);
    this.#channel.onmessage = ({ data }) => {
      if (data.state === "hello") {
        if (this.#said) this.#channel.postMessage(this.#said);
      } else if (data.state === "renew") {
        this.#again.abort();
      } else {
        this.#hear(data);
      }
    };
    this.#channel.postMessage({ state: "hello" });
    navigator.locks.request(shared, { signal: this.#stop.signal }, () => this.#read()).catch(() => {});
  }

  /** Asks again now. */
  hurry() {
    this.#hurry.abort();
  }

  /** Listens anew: something has shown that the stream may be one of a server that has gone. */
  renew() {
    this.#again.abort();
    this.#channel?.postMessage({ state: "renew" });
  }

  close() {
    this.#stop.abort();
    this.#channel?.close();
  }

  #hear(said) {
    if (this.#stop.signal.aborted) return;
    const error = said.error && new Refused(said.error.status, said.error.sentence);
    this.#changed({ ...said, error });
  }

  #say(said) {
    if (this.#stop.signal.aborted) return;
    this.#said = said;
    this.#channel?.postMessage(said);
    this.#hear(said);
  }

  /** Returns when the tab leaves. */
  async #read() {
    const stop = this.#stop.signal;
    for (let failures = 0; !stop.aborted; ) {
      try {
        await this.#follow(() => { failures = 0; });
      } catch (error) {
        if (error instanceof Refused && !error.mayPass) {
          this.#say({ state: "refused", error: { status: error.status, sentence: error.message } });
          return;
        }
      }
      if (this.#again.signal.aborted) continue;
      failures += 1;
      if (this.#said?.state !== "away") this.#say({ state: "away", since: Date.now() });
      this.#hurry = new AbortController();
      await sleep(backoffMs(failures), AbortSignal.any([stop, this.#hurry.signal]));
    }
  }

  /** One stream, until it ends. */
  async #follow(opened) {
    const silence = new AbortController();
    this.#again = new AbortController();
    let timer = 0;
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_LIMIT_MS);
    };
    alive();
    try {
      const response = await fetch(`rooms/${encodeURIComponent(this.#room)}/events`, {
        headers: { ...bearer(this.#token), Accept: "text/event-stream" },
        cache: "no-store",
        signal: AbortSignal.any([this.#stop.signal, this.#again.signal, silence.signal]),
      });
      if (!response.ok) throw await Refused.from(response);
      opened();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      const parse = parser((event, data) => this.#event(event, JSON.parse(data)));
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        alive();
        parse(value);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #event(event, data) {
    if (event === "closing") {
      // Passes by: what the page knows of the room stays true.
      const said = { state: "closing", seconds: data.seconds };
      this.#channel?.postMessage(said);
      this.#hear(said);
      return;
    }
    if (event === "peers") this.#peers = new Map(data.map((peer) => [peer.peer, peer]));
    else if (event === "left") this.#peers.delete(data.peer);
    else if (event === "joined" || event === "changed") {
      this.#peers.set(data.peer, { ...this.#peers.get(data.peer), ...data });
    } else return;
    this.#say({ state: "open", peers: [...this.#peers.values()] });
  }
}

/** Cuts a stream of text into events (HTML, "Interpreting an event stream"). */
function parser(dispatch) {
  let rest = "", event = "", data = [];
  return (text) => {
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (data.length) dispatch(event || "message", data.join("\n"));
        [event, data] = ["", []];
        continue;
      }
      const [, field, value] = line.match(/^([^:]*):? ?(.*)$/s);
      if (field === "event") event = value;
      else if (field === "data") data.push(value);
    }
  };
}
