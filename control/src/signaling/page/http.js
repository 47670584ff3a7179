// What the page asks by HTTP beside the signaling: why it is refused, and which ICE servers there are.

const LIMIT_MS = 10_000;

const REMOVED = "An operator has removed you from this room. Wait until you are invited.";

/** The server answered, and not with what was asked for. */
export class Refused extends Error {
  /**
   * @param status of HTTP, or a code of protoo
   * @param sentence what the server says
   * @param retryAfterMs when to ask again, if the server said it
   */
  constructor(status, sentence, retryAfterMs) {
    super(sentence || `The server answered with status ${status}.`);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }

  static async from(response) {
    const text = await response.text().catch(() => "");
    const seconds = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
    const sentence = /^text\/plain/.test(response.headers.get("Content-Type") ?? "") ? text.trim().slice(0, 300) : "";
    return new Refused(response.status, sentence, Number.isFinite(seconds) ? seconds * 1000 : undefined);
  }

  /** Asking again may help: not there yet, taken, too many at once, restarting. */
  get mayPass() {
    const passing = [404, 408, 409, 410, 425, 429];
    return this.retryAfterMs !== undefined || passing.includes(this.status) || this.status >= 500;
  }

  get needsToken() {
    return this.status === 401;
  }

  /** Its client may watch, and not send. */
  get isForWatching() {
    return this.status === 403 && /for watching alone/.test(this.message);
  }

  /** What it means for somebody who wants to join a call; the server's own sentence where it is not known better. */
  get words() {
    switch (this.status) {
      case 401:
        return this.#wordsAboutToken;
      case 403:
        if (/removed/.test(this.message)) return REMOVED;
        if (/not for room/.test(this.message)) return "Your token is for another room.";
        return /token/.test(this.message) ? "Your token is not for joining this call." : asSentence(this.message);
      case 429:
        return "Too many people are joining from your network at once.";
      case 503:
        if (/participants already/.test(this.message)) return "This room is full.";
        if (/about to stop|cordoned/.test(this.message)) return "The server begins no new calls just now.";
        return "The server is full, or about to restart.";
      default:
        return asSentence(this.message);
    }
  }

  get #wordsAboutToken() {
    if (/expired/.test(this.message)) return "Your token has expired.";
    if (/not hold yet/.test(this.message)) return "Your token is not valid yet.";
    if (/give a bearer token/.test(this.message)) return "This call is for people with a token.";
    return "Your token is wrong.";
  }
}

/** The server's words as people write. */
function asSentence(words) {
  const sentence = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?]$/.test(sentence) ? sentence : `${sentence}.`;
}

const bearer = (token) => (token ? { Authorization: `Bearer ${token}` } : {});

function ask(address, method, token) {
  const signal = AbortSignal.timeout(LIMIT_MS);
  return fetch(address, { method, headers: bearer(token), cache: "no-store", signal });
}

/**
 * Why the WebSocket of this address was refused: browsers do not tell. The server refuses a plain request for the same
 * reasons, in the same order, and at last because it is no WebSocket (426).
 * @returns a Refused, or null if the reason has passed; throws if the server does not answer
 */
export async function whyRefused(address, token) {
  const response = await ask(address, "GET", token);
  return response.status === 426 ? null : Refused.from(response);
}

/** ICE servers that the server names in Link headers (RFC 9725 section 4.6); none if it does not answer. */
export async function iceServers(room, token) {
  const response = await ask(`whep/${encodeURIComponent(room)}`, "OPTIONS", token).catch(() => null);
  const links = response?.ok ? response.headers.get("Link") ?? "" : "";
  return [...links.matchAll(/<((?:stun|turn)s?:[^>]+)>([^<]*)/g)].flatMap(([, urls, rest]) => {
    const value = (name) => rest.match(new RegExp(`${name}="([^"]*)"`))?.[1];
    if (!/rel="?ice-server/.test(rest)) return [];
    return [{ urls, username: value("username"), credential: value("credential") }];
  });
}
