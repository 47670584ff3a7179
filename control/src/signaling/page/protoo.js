// Messages of the signaling: requests, their answers and notifications, one JSON object each, over one WebSocket
// (docs/protocol.md, "Protoo"). What they mean is in session.js.

import { Refused } from "./http.js";

const ANSWER_LIMIT_MS = 10_000;
/** Says that this side has not left: it goes on by another WebSocket. */
const GOES_ON = 4_001;

export class Protoo {
  /** Resolves when the WebSocket is open; rejects if it does not open. */
  opened;
  /** Resolves with the code when the WebSocket has closed, or was given up. */
  closed;

  #socket;
  #asked;
  #waiting = new Map();
  #next = 0;
  #over;

  /**
   * @param url of the WebSocket
   * @param asked is given (method, data) of the server's requests; what it returns or throws is the answer
   * @param told is given (method, data) of notifications
   */
  constructor({ url, asked, told }) {
    this.#asked = asked;
    const socket = this.#socket = new WebSocket(url, "protoo");
    this.opened = new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve);
      socket.addEventListener("close", () => reject(new Error("The server takes no WebSocket.")));
    });
    this.opened.catch(() => {});
    this.closed = new Promise((resolve) => {
      this.#over = (code) => {
        for (const { fail } of this.#waiting.values()) fail(new Error("The connection to the server was lost."));
        this.#waiting.clear();
        resolve(code);
      };
    });
    socket.addEventListener("close", ({ code }) => this.#over(code));
    socket.addEventListener("message", ({ data }) => {
      if (socket.readyState !== WebSocket.OPEN) return;
      const message = JSON.parse(data);
      if (message.response) this.#answered(message);
      else if (message.request) this.#answer(message);
      else if (message.notification) told(message.method, message.data ?? {});
    });
  }

  /** Asks for something. Throws a Refused with the server's sentence, or an Error if no answer comes. */
  request(method, data = {}, limitMs = ANSWER_LIMIT_MS) {
    const id = this.#next += 1;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error(`The server does not answer (${method}).`));
      }, limitMs);
      const settle = (with_) => (value) => {
        clearTimeout(timer);
        with_(value);
      };
      this.#waiting.set(id, { done: settle(resolve), fail: settle(reject) });
      if (!this.#send({ request: true, id, method, data })) {
        this.#waiting.delete(id);
        settle(reject)(new Error("The connection to the server was lost."));
      }
    });
  }

  /** Tells something that has no answer. */
  tell(method, data = {}) {
    this.#send({ notification: true, method, data });
  }

  close() {
    this.#socket.close();
  }

  /** Gives up a WebSocket on which no answer comes, without waiting for the end of it. */
  giveUp() {
    this.#socket.close(GOES_ON);
    this.#over(GOES_ON);
  }

  #send(message) {
    if (this.#socket.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #answered({ id, ok, data, errorCode, errorReason }) {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (ok) waiting?.done(data);
    else waiting?.fail(new Refused(errorCode, errorReason));
  }

  async #answer({ id, method, data }) {
    try {
      await this.#asked(method, data ?? {});
      this.#send({ response: true, id, ok: true, data: {} });
    } catch (error) {
      this.#send({ response: true, id, ok: false, errorCode: 400, errorReason: String(error?.message ?? error) });
    }
  }
}
