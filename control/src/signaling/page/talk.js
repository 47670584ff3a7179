// What those who are in a room tell each other over data channels: chat, raised hands, reactions.
//
// Chat is plain text on the channel "chat", as in mediasoup-demo; the rest is JSON on the channel "corecast". The
// server passes on what one says to all others, and keeps nothing: who comes later is told of hands that are up, by
// those who hold them up, and of nothing else. What comes may be from anyone: it is checked here, and shown as text.

const CHAT = "chat";
const SIGNS = "corecast";
/** The channels that there are. */
export const LABELS = [CHAT, SIGNS];
export const REACTIONS = ["👍", "❤️", "😂", "👏", "🎉"];
const MAX_CHARS = 1_000;
/** No message of ours is longer. */
const MAX_MESSAGE_CHARS = 8_000;
/** Messages of one peer that are shown at once, and how often one more is. */
const AT_ONCE = 20;
const EVERY_MS = 200;
/** A hand that is up is told again, for those who have come meanwhile. */
const HAND_EVERY_MS = 3_000;

export class Talk {
  /** Whether our hand is up. */
  hand = false;
  /** The token that we came with is good for it. */
  mayTalk = true;

  #heard;
  #channels = new Map();
  #rations = new Map();
  #timer;

  /** @param heard is told { peer, kind: "chat" | "hand" | "reaction", text, up, emoji } */
  constructor({ heard }) {
    this.#heard = heard;
    this.#timer = setInterval(() => { if (this.hand) this.raise(true); }, HAND_EVERY_MS);
  }

  close() {
    clearInterval(this.#timer);
  }

  /** Opens our channels on a new transport, before its offer. */
  prepare(up) {
    this.#channels = new Map(LABELS.map((label) => [label, up.channel(label)]));
  }

  /** Has the server pass on what our channels say. */
  begin(up) {
    const produce = ([label, channel]) => up.ask("produceData", {
      sctpStreamParameters: { streamId: channel.id, ordered: true }, label, protocol: "", appData: { channel: label },
    });
    const granted = async (channel) => {
      try {
        await produce(channel);
      } catch (error) {
        // Its token is for media alone.
        if (error.status !== 403) throw error;
        this.mayTalk = false;
      }
    };
    this.mayTalk = true;
    return Promise.all([...this.#channels].map(granted));
  }

  forget(peer) {
    this.#rations.delete(peer);
  }

  /** Says something to everybody; whether it was sent. */
  say(text) {
    return this.#send(CHAT, text);
  }

  react(emoji) {
    return this.#send(SIGNS, JSON.stringify({ kind: "reaction", emoji }));
  }

  raise(up) {
    this.hand = up;
    return this.#send(SIGNS, JSON.stringify({ kind: "hand", up }));
  }

  /** Takes in what a peer has said on one of the channels. */
  take(peer, label, data) {
    const message = label === CHAT ? chat(data) : sign(data);
    // A hand is told again and again, and costs nothing.
    if (message && (message.kind === "hand" || this.#mayBeShown(peer))) this.#heard({ ...message, peer });
  }

  #send(label, text) {
    const channel = this.#channels.get(label);
    if (!this.mayTalk || channel?.readyState !== "open") return false;
    channel.send(text);
    return true;
  }

  #mayBeShown(peer) {
    const now = performance.now();
    const { left, at } = this.#rations.get(peer) ?? { left: AT_ONCE, at: now };
    const full = Math.min(AT_ONCE, left + (now - at) / EVERY_MS);
    this.#rations.set(peer, { left: full < 1 ? full : full - 1, at: now });
    return full >= 1;
  }
}

function chat(data) {
  if (typeof data !== "string" || !data.trim()) return null;
  return { kind: "chat", text: data.slice(0, MAX_CHARS) };
}

/** A message, if it is one of ours. */
function sign(data) {
  if (typeof data !== "string" || data.length > MAX_MESSAGE_CHARS) return null;
  let said;
  try {
    said = JSON.parse(data);
  } catch {
    return null;
  }
  const { kind, up, emoji } = said ?? {};
  if (kind === "hand" && typeof up === "boolean") return { kind, up };
  return kind === "reaction" && REACTIONS.includes(emoji) ? { kind, emoji } : null;
}
