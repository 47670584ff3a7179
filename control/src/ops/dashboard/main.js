// The dashboard: asks the server once a second and shows what it says.

import { forget, newest, show as showCores, take } from "./cores.js";
import { answers, peers, rooms, viewers } from "./lists.js";
import { show as showPeer } from "./peer.js";
import { element, put, since } from "./words.js";

const EVERY_MS = 1000;
const at = (id) => document.getElementById(id);
let token = new URLSearchParams(location.hash.slice(1)).get("token");
let room = null;
let last = null;
let lastSeen = Date.now();

class NoToken extends Error {}

/** JSON from below the server's path. */
async function ask(path) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { cache: "no-store", headers, signal: AbortSignal.timeout(4000) });
  if (answer.status === 401 || answer.status === 403) throw new NoToken((await answer.text()).trim());
  if (!answer.ok) throw new Error((await answer.text()).trim() || `status ${answer.status}`);
  return answer.json();
}

const act = {
  room(name) {
    room = name;
    at("viewers-title").scrollIntoView({ block: "start" });
    void refresh();
  },
  all() {
    room = null;
    void refresh();
  },
  async peer(of, name) {
    try {
      await showPeer(at("peer"), ask, of, name);
    } catch (error) {
      say(`${name} cannot be shown: ${error.message}`);
    }
  },
};

function say(sentence) {
  at("away").hidden = !sentence;
  at("away").textContent = sentence;
}

function show(picture) {
  last = picture;
  lastSeen = Date.now();
  say("");
  at("token").hidden = true;
  at("all").hidden = false;
  put(at("facts"), "up ", element("b", {}, since(picture.uptimeMs)), ", version ", element("b", {}, picture.version));
  const look = picture.look;
  const looked = look && `last ${since(look.agoMs)} ago: ${look.objects} objects in ${look.tookMs} ms`;
  at("look").textContent = looked ?? "not yet";
  answers(picture, at("answers"), act);
  showCores(picture, at("cores"), at("more"));
  rooms(picture, at("rooms"), act);
  at("chosen").hidden = room === null;
  if (room !== null) {
    const back = element("button", { type: "button", class: "link", click: act.all }, "Show all rooms");
    put(at("chosen"), `Room ${room}. `, back);
  }
  viewers(picture, room, at("viewers"), act);
  peers(picture, room, at("peers"), act);
  document.body.dataset.at = picture.uptimeMs;
}

/** The button with the focus, of those that are made again with each picture: its text, and what it is in. */
function focused() {
  const button = document.activeElement;
  const within = ["rooms", "viewers", "peers", "answers"].find((id) => button !== at(id) && at(id).contains(button));
  return within ? { text: button.textContent, within } : null;
}

async function refresh() {
  const wanted = room === null ? "" : `&room=${encodeURIComponent(room)}`;
  const picture = await ask(`dashboard/data?since=${newest()}${wanted}`);
  if (last && last.pid !== picture.pid) forget();
  take(picture.cores);
  if (last && last.pid !== picture.pid) {
    last = picture;
    return refresh();
  }
  const held = focused();
  show(picture);
  // Who moves among the rows by keyboard stays where they are.
  const buttons = held ? [...at(held.within).querySelectorAll("button")] : [];
  buttons.find((one) => one.textContent === held.text)?.focus({ preventScroll: true });
}

async function loop() {
  try {
    await refresh();
  } catch (error) {
    if (error instanceof NoToken) {
      at("token").hidden = false;
      at("all").hidden = true;
      at("facts").textContent = token ? "this token is not the one" : "a token is asked for";
      return;
    }
    const silence = since(Date.now() - lastSeen);
    say(`The server has not answered for ${silence}. What you see is what it said last; this page goes on by itself.`);
  }
  setTimeout(loop, document.hidden ? 5 * EVERY_MS : EVERY_MS);
}

at("token").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("given").value;
  // A reload finds it again; no server is sent what is behind the mark.
  history.replaceState(null, "", `#token=${encodeURIComponent(token)}`);
  void loop();
});
window.addEventListener("hashchange", () => location.reload());
void loop();
