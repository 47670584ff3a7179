// Who is in a room, before one joins it: the server's event stream `/rooms/{room}/events`. Browsers open six
// connections to a server by HTTP/1.1, and the stream holds one: it ends with the lobby.

export class Present {
  #changed;
  #source = null;
  #peers = new Map();

  /** @param changed is told the names of those who are there, or null if nobody has said */
  constructor({ changed }) {
    this.#changed = changed;
  }

  /** Listens to a room, and to no other. */
  listen(room, token) {
    this.close();
    if (!room) return;
    const query = token ? `?${new URLSearchParams({ token })}` : "";
    const source = this.#source = new EventSource(`rooms/${encodeURIComponent(room)}/events${query}`);
    const on = (event, change) => source.addEventListener(event, ({ data }) => {
      change(JSON.parse(data));
      this.#changed([...this.#peers.values()]);
    });
    const called = ({ peer, name }) => this.#peers.set(peer, name || "Guest");
    on("peers", (peers) => {
      this.#peers.clear();
      peers.forEach(called);
    });
    on("joined", called);
    on("changed", called);
    on("left", ({ peer }) => this.#peers.delete(peer));
    // Refused or lost: joining will tell.
    source.addEventListener("error", () => this.#changed(null));
  }

  close() {
    this.#source?.close();
    this.#source = null;
    this.#peers.clear();
    this.#changed(null);
  }
}
