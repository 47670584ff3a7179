// One session by WHIP (RFC 9725) or WHEP: offer and answer over HTTP, ICE restart, end.
//
// It keeps itself alive until close(): an interrupted path is restored by an ICE restart, a session that the server
// no longer knows is opened anew, a server that does not answer is asked again, after longer and longer waits.
// Candidates are not sent: the server is reached directly and learns our address from our checks (RFC 8445).

import { backoffMs, sleep, until } from "./wait.js";

const HTTP_LIMIT_MS = 10_000;
const CONNECT_LIMIT_MS = 12_000;
const RESTORE_LIMIT_MS = 6_000;
/** A short interruption ends by itself: many a handover between radio cells does. */
const PATIENCE_MS = 1_500;
const RESTARTS = 3;
/** For the server to take in that a session ends. */
const FAREWELL_MS = 500;
const STATES = ["connectionstatechange", "iceconnectionstatechange"];

/** The server answered, and not with what was asked for. */
export class Refused extends Error {
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
}

export const bearer = (token) => (token ? { Authorization: `Bearer ${token}` } : {});

/** ICE servers that the server has named in Link headers (RFC 9725 section 4.6). */
let iceServers = [];

export class Session {
  /** "connecting", "connected", "restoring", "refused" or "closed". */
  state = "connecting";
  pc = null;
  /** Why it is not connected. */
  error = null;

  #what;
  #token;
  #stop = new AbortController();
  #hurry = new AbortController();
  #url = null;
  /** URL of the session that came before: the server may not know yet that it is over. */
  #last = null;
  #once = false;
  #restarting = null;
  #renew = new AbortController();
  /** URLs of what the server can do beyond the protocol, by the name of the extension. */
  #extensions = new Map();

  /**
   * @param address URL to POST to, asked for before each attempt
   * @param token bearer token, if any
   * @param replaces whether a session takes the place of the one before at the server (WHIP)
   * @param prepare adds transceivers to a new connection
   * @param answered is told when an answer has been applied
   * @param changed is told when the state has changed
   */
  constructor({ token, ...what }) {
    this.#what = what;
    this.#token = token;
    this.#run();
  }

  /** Tries again now instead of later: somebody has seen that the server is back. */
  hurry() {
    this.#hurry.abort();
  }

  /** Opens a new session instead of this one: what is to be had has changed, or the server knows it no more. */
  renew() {
    this.#renew.abort();
    if (this.state === "connected") this.#set("connecting");
  }

  /** Why the server has ended this session, if it has: the connection itself tells nothing for many seconds. */
  async whyEnded() {
    const url = this.#url;
    if (!url) return null;
    try {
      const headers = bearer(this.#token);
      const response = await fetch(url, { headers, signal: AbortSignal.timeout(HTTP_LIMIT_MS) });
      // Another has taken its place meanwhile: of this one nobody needs to know.
      if (response.status !== 404 || url !== this.#url) return null;
      return (await Refused.from(response)).message;
    } catch {
      return null;
    }
  }

  /** For tests, and used when the path is lost. */
  restartIce() {
    this.#restarting ??= this.#restart().finally(() => { this.#restarting = null; });
    return this.#restarting;
  }

  /** Ends it, at the server too, even if the page is being closed. */
  close() {
    if (this.state === "closed") return;
    this.#stop.abort();
    this.#drop();
    this.#set("closed");
  }

  /**
   * Asks an extension of the session, or tells it something (WHEP, section on protocol extensions): what it answers in
   * JSON, or null where there is none such, or no answer.
   */
  async ask(extension, told) {
    const url = this.#extensions.get(extension);
    if (!url || this.state !== "connected") return null;
    const body = told === undefined ? undefined : JSON.stringify(told);
    const type = body ? { "Content-Type": "application/json" } : {};
    const options = { method: body ? "POST" : "GET", body, headers: { ...bearer(this.#token), ...type } };
    try {
      const response = await fetch(url, { ...options, signal: AbortSignal.timeout(HTTP_LIMIT_MS) });
      if (!response.ok) return null;
      return JSON.parse((await response.text()) || "{}");
    } catch {
      return null;
    }
  }

  get #stopped() {
    return this.#stop.signal.aborted;
  }

  #set(state, error = null) {
    if (this.state === "closed" || (state === this.state && error?.message === this.error?.message)) return;
    this.state = state;
    this.error = error;
    this.#what.changed?.(this);
  }

  async #run() {
    for (let failures = 0; !this.#stopped; ) {
      let waitMs = 0;
      try {
        await this.#open();
        if (!(await this.#connected(CONNECT_LIMIT_MS))) throw new Error("No media path to the server was found.");
        failures = 0;
        this.#once = true;
        this.#set("connected");
        await this.#hold();
      } catch (error) {
        failures += 1;
        if (this.#stopped) return;
        if (error instanceof Refused && !error.mayPass) {
          this.#drop();
          return this.#set("refused", error);
        }
        this.#set(this.#once ? "restoring" : "connecting", error);
        waitMs = error.retryAfterMs ?? backoffMs(failures);
      }
      if (this.#stopped) return;
      this.#drop();
      await this.#wait(waitMs);
    }
  }

  async #wait(ms) {
    this.#hurry = new AbortController();
    await sleep(ms, AbortSignal.any([this.#hurry.signal, this.#stop.signal]));
  }

  async #open() {
    this.#renew = new AbortController();
    const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers });
    this.pc = pc;
    await this.#what.prepare(pc);
    await pc.setLocalDescription();
    const proof = this.#what.replaces && this.#last ? { Replaces: this.#last } : {};
    const address = this.#what.address();
    const response = await this.#fetch(address, "POST", "application/sdp", pc.localDescription.sdp, proof);
    if (response.status !== 201) throw await Refused.from(response);
    this.#url = this.#last = new URL(response.headers.get("Location") ?? "", response.url).href;
    if (this.#stopped) return this.#drop();
    const links = response.headers.get("Link");
    this.#learnServers(links, pc);
    const extensions = [...(links ?? "").matchAll(/<([^>]*)>; rel="urn:ietf:params:whep:ext:core:([^"]+)"/g)];
    this.#extensions = new Map(extensions.map(([, url, name]) => [name, new URL(url, response.url).href]));
    const sdp = await response.text();
    await pc.setRemoteDescription({ type: "answer", sdp });
    await this.#what.answered?.(pc);
  }

  #fetch(url, method, type, body, more = {}) {
    const headers = { ...bearer(this.#token), "Content-Type": type, ...more };
    return fetch(url, { method, headers, body, signal: AbortSignal.timeout(HTTP_LIMIT_MS) });
  }

  #learnServers(link, pc) {
    const servers = [...(link ?? "").matchAll(/<((?:stun|turn)s?:[^>]+)>([^<]*)/g)].flatMap(([, urls, rest]) => {
      const value = (name) => rest.match(new RegExp(`${name}="([^"]*)"`))?.[1];
      if (!/rel="?ice-server/.test(rest)) return [];
      return [{ urls, username: value("username"), credential: value("credential") }];
    });
    if (!servers.length) return;
    iceServers = servers;
    pc.setConfiguration({ ...pc.getConfiguration(), iceServers });
  }

  /** Returns when the connection is lost for good. */
  async #hold() {
    const { pc } = this;
    for (;;) {
      const lost = () => /^(disconnected|failed)$/.test(pc.iceConnectionState) || pc.connectionState === "failed";
      const signal = AbortSignal.any([this.#stop.signal, this.#renew.signal]);
      if (!(await until(pc, STATES, lost, Infinity, signal))) return;
      this.#set("restoring");
      const waits = pc.iceConnectionState === "disconnected";
      if (!(waits && (await this.#connected(PATIENCE_MS))) && !(await this.#restore())) return;
      this.#set("connected");
    }
  }

  async #restore() {
    for (let attempt = 1; attempt <= RESTARTS && !this.#stopped; attempt += 1) {
      try {
        await this.restartIce();
        if (await this.#connected(RESTORE_LIMIT_MS)) return true;
      } catch (error) {
        if (error instanceof Refused) return false;
        await this.#wait(backoffMs(attempt));
      }
    }
    return false;
  }

  #connected(ms) {
    const { pc } = this;
    const good = () => pc.connectionState === "connected" && /^(connected|completed)$/.test(pc.iceConnectionState);
    const settled = () => good() || pc.connectionState === "failed";
    return until(pc, STATES, settled, ms, this.#stop.signal).then(good);
  }

  /** RFC 9725 section 4.3.3: our new credentials in a PATCH, the server's in its answer. */
  async #restart() {
    const { pc } = this;
    await pc.setLocalDescription(await pc.createOffer({ iceRestart: true }));
    try {
      const fragment = fragmentOf(pc.localDescription.sdp);
      const type = "application/trickle-ice-sdpfrag";
      const response = await this.#fetch(this.#url, "PATCH", type, fragment, { "If-Match": "*" });
      if (response.status !== 200) throw await Refused.from(response);
      await pc.setRemoteDescription({ type: "answer", sdp: merge(pc.remoteDescription.sdp, await response.text()) });
    } catch (error) {
      if (pc.signalingState === "have-local-offer") await pc.setLocalDescription({ type: "rollback" });
      throw error;
    }
  }

  #drop() {
    const { pc } = this;
    if (!this.#url) {
      pc?.close();
      return;
    }
    // Kept alive by the browser when the page goes. The server hears of it before DTLS is closed, or else from that.
    const headers = bearer(this.#token);
    const told = fetch(this.#url, { method: "DELETE", headers, keepalive: true }).catch(() => {});
    Promise.race([told, sleep(FAREWELL_MS)]).then(() => pc?.close());
    this.#url = null;
  }
}

/** What a PATCH says of an offer: with BUNDLE its first media section stands for all (RFC 8840 section 4). */
function fragmentOf(sdp) {
  const lines = sdp.split(/\r?\n/);
  const first = (start) => lines.find((line) => line.startsWith(start));
  const wanted = ["a=ice-options:", "a=group:BUNDLE", "m=", "a=mid:", "a=ice-ufrag:", "a=ice-pwd:"].map(first);
  return wanted.filter(Boolean).map((line) => line + "\r\n").join("");
}

/** The answer that was, with the credentials and candidates of the fragment. */
function merge(sdp, fragment) {
  const news = fragment.split(/\r?\n/);
  const credential = (name) => news.find((line) => line.startsWith(`a=${name}:`));
  const [ufrag, pwd] = [credential("ice-ufrag"), credential("ice-pwd")];
  if (!ufrag || !pwd) throw new Refused(200, "The server's answer to an ICE restart holds no credentials.");
  const candidates = news.filter((line) => line.startsWith("a=candidate:") || line === "a=end-of-candidates");
  const old = (line) => candidates.length && /^a=(candidate:|end-of-candidates)/.test(line);
  const kept = sdp.split(/\r?\n/).filter((line) => !old(line));
  let first = true;
  const merged = kept.flatMap((line) => {
    if (line.startsWith("a=ice-ufrag:")) return [ufrag];
    if (!line.startsWith("a=ice-pwd:")) return [line];
    const more = first ? candidates : [];
    first = false;
    return [pwd, ...more];
  });
  return merged.join("\r\n");
}
