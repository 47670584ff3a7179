// What those who are in a room tell each other over data channels: chat, raised hands, reactions.
//
// What a publisher says on its channel reaches all who watch it. Who only watches says it to each publisher in turn.
// Nothing is kept: who comes later is told of hands that are up, by those who hold them up, and of nothing else.
// What comes is anybody's: it is checked here, and shown as text.

const LABEL = "corecast";
export const REACTIONS = ["👍", "❤️", "😂", "👏", "🎉"];
export const MAX_CHARS = 1_000;
const MAX_NAME_CHARS = 64;
/** No message of ours is longer. */
const MAX_MESSAGE_CHARS = 8_000;
/** Messages of one channel that are shown at once, and how often one more is. */
const AT_ONCE = 20;
const EVERY_MS = 200;

export class Talk {
  /** Whether our hand is up. */
  hand = false;

  #name;
  #heard;
  /** Our publisher's channel, if we publish. */
  #own = null;
  #others = new Map();

  /**
   * @param name what we are called
   * @param heard is told { peer, name, kind: "chat" | "hand" | "reaction", text, up, emoji }; peer is empty, and name
   * what it says itself, if it comes of somebody who only watches
   */
  constructor({ name, heard }) {
    this.#name = name;
    this.#heard = heard;
  }

  /** Opens the channel of a publisher's new connection, before its offer. */
  publish(pc) {
    this.#own = this.#open(pc, "", () => { if (this.hand) this.raise(true); });
  }

  /** The same of a connection by which a peer is watched. */
  watch(pc, peer) {
    // Who watches asks for what there is to know of before.
    const channel = this.#open(pc, peer, () => channel.send(JSON.stringify({ kind: "hello" })));
    this.#others.set(peer, channel);
  }

  forget(peer) {
    this.#others.delete(peer);
  }

  /** Says something to everybody; whether anybody was reached. */
  say(text) {
    return this.#send({ kind: "chat", text, name: this.#name });
  }

  react(emoji) {
    return this.#send({ kind: "reaction", emoji });
  }

  raise(up) {
    this.hand = up;
    return this.#send({ kind: "hand", up });
  }

  #send(message) {
    const channels = this.#own ? [this.#own] : [...this.#others.values()];
    const open = channels.filter(({ readyState }) => readyState === "open");
    for (const channel of open) channel.send(JSON.stringify(message));
    return open.length > 0;
  }

  #open(pc, peer, opened) {
    const channel = pc.createDataChannel(LABEL);
    const ration = { left: AT_ONCE, at: 0 };
    channel.addEventListener("open", opened);
    channel.addEventListener("message", ({ data }) => {
      const message = read(data);
      if (!message) return;
      if (message.kind === "hello") {
        if (this.hand && peer === "") this.raise(true);
      } else if (take(ration) && (peer || message.kind === "chat")) {
        this.#heard({ ...message, peer });
      }
    });
    return channel;
  }
}

/** A message, if it is one of ours. */
function read(data) {
  if (typeof data !== "string" || data.length > MAX_MESSAGE_CHARS) return null;
  let said;
  try {
    said = JSON.parse(data);
  } catch {
    return null;
  }
  const { kind, text, name, up, emoji } = said ?? {};
  if (kind === "hello") return { kind };
  if (kind === "hand" && typeof up === "boolean") return { kind, up };
  if (kind === "reaction" && REACTIONS.includes(emoji)) return { kind, emoji };
  if (kind !== "chat" || typeof text !== "string" || !text.trim()) return null;
  const called = typeof name === "string" ? name.trim().slice(0, MAX_NAME_CHARS) : "";
  return { kind, text: text.slice(0, MAX_CHARS), name: called };
}

/** Whether one more may be shown. */
function take(ration) {
  const now = performance.now();
  ration.left = Math.min(AT_ONCE, ration.left + (now - ration.at) / EVERY_MS);
  ration.at = now;
  if (ration.left < 1) return false;
  ration.left -= 1;
  return true;
}
