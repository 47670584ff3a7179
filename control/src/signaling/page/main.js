// The page: a lobby, then a call, then the lobby again.
//
// In the address: ?room= and ?name=; ?auto=1 joins at once, ?watch=1 without camera and microphone;
// ?codec=vp8|vp9|h264|av1 sends that codec only; ?simulcast=0 sends one size; #token= is the bearer token.
//
// For tests, and stable:
//   window.corecast.state      "lobby", or the call's: "joining", "in", "away", "refused"
//   window.corecast.publisher  null, or { pc, peer, state }
//   window.corecast.viewers    Map from peer, or `peer/screen`, to { pc, video, state, ssrcs, layer, layers }: which
//                              layer is sent of so many, the lowest is 0; null where there is one, or nothing comes
//   window.corecast.restartIce()  restarts ICE both ways; a promise
//   window.corecast.leave()       as the button does
// and on each tile (`#grid > .tile`) data-peer, data-state ("connecting", "connected", "restoring", "refused"),
// data-picture ("yes", "no"), data-camera ("on", "off", "loading", "unplayable"), data-sound ("on", "muted", "none"),
// data-level (0 to 100), data-hand ("up", "down"); data-self on one's own, data-screen on a shared screen. Messages
// have data-notice, what was said is in #chat-log.

import { Call } from "./call.js";
import { Chat } from "./chat.js";
import { Lobby, press } from "./lobby.js";
import { Media } from "./media.js";
import { Notices } from "./notices.js";
import { REACTIONS } from "./talk.js";
import { Grid } from "./tiles.js";
import { receivingOffer } from "./transports.js";

const JOINED = "corecast.joined";
const LOBBY_AFTER_MS = 700;
const at = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const codec = (query.get("codec") ?? "").toLowerCase();
const options = {
  codec: ["vp8", "vp9", "h264", "av1"].includes(codec) ? codec : "",
  simulcast: query.get("simulcast") !== "0",
};

const media = new Media();
const notices = new Notices(at("notices"));
const grid = new Grid(at("grid"));
const chat = new Chat({
  panel: at("chat"),
  log: at("chat-log"),
  form: at("chat-form"),
  field: at("chat-field"),
  button: at("chat-button"),
  badge: at("chat-badge"),
  close: at("chat-close"),
  call: at("call"),
  sends: (text) => {
    if (!call?.talk.say(text)) {
      const why = call?.talk.mayTalk === false ? "Your token is not for writing" : "You are not connected just now";
      notices.show("chat", "warning", `${why}: this was not sent.`, { passing: true });
      return false;
    }
    chat.add({ name: "You", text, own: true });
    return true;
  },
});
const before = stored();
let token = new URLSearchParams(location.hash.slice(1)).get("token") ?? before.token ?? "";
let call = null;

const lobby = new Lobby({
  media,
  room: query.get("room"),
  name: query.get("name"),
  token,
  joins: (whereTo) => {
    if (whereTo.token) token = whereTo.token;
    join(whereTo);
  },
});

window.corecast = {
  get state() { return call?.state ?? "lobby"; },
  get publisher() {
    if (!call?.sends) return null;
    const { session } = call;
    return { pc: session.up?.pc ?? null, peer: session.peer, state: session.stateOf(session.up) };
  },
  get viewers() {
    const { down } = call?.session ?? {};
    const shown = ({ element, ssrcs, layer, video, tile }) => ({
      pc: down?.pc ?? null, video: element, state: tile.item.dataset.state, ssrcs, layer, layers: video?.layers ?? 0,
    });
    return new Map([...(call?.viewers ?? [])].map(([key, viewer]) => [key, shown(viewer)]));
  },
  restartIce: () => call?.restartIce(),
  leave,
};

/** What a reload goes on with; gone with the tab. */
function stored() {
  try {
    return JSON.parse(sessionStorage.getItem(JOINED)) ?? {};
  } catch {
    return {};
  }
}

function store(what) {
  try {
    if (what) sessionStorage.setItem(JOINED, JSON.stringify(what));
    else sessionStorage.removeItem(JOINED);
  } catch { /* Then a reload shows the lobby. */ }
}

function join({ room, name, watch }) {
  if (!room) return;
  const there = new URLSearchParams(location.search);
  there.set("room", room);
  history.replaceState(null, "", `?${there}${location.hash}`);
  document.title = `${room} · corecast`;
  store({ room, name, watch, token, cameraOn: media.cameraOn, microphoneOn: media.microphoneOn });
  lobby.hide();
  if (watch) media.close();
  at("call").hidden = false;
  at("call-room").textContent = room;
  document.body.classList.toggle("watching", watch);
  const speaker = () => media.chosen.audiooutput;
  const own = watch ? null : media;
  const said = (line) => chat.add(line);
  call = new Call({ room, name, token, options, grid, notices, media: own, speaker, said, changed: show, refused });
  show();
  at("call-room").focus();
}

function leave(message = "You have left the call.", isTrouble = false) {
  if (!call) return;
  end();
  at("call").hidden = true;
  at("devices-dialog").close();
  document.title = "corecast";
  lobby.show(message, isTrouble);
  at("join").focus();
}

function end() {
  call.leave();
  call = null;
  media.close();
  notices.clearAll();
  chat.clear();
  showReactions(false);
  raise(false);
  store(null);
}

/** The server will not have us: back to the lobby, with its reason. But who may not send may still watch. */
function refused(error) {
  if (error.isForWatching && call.sends) {
    const { room, name } = stored();
    end();
    join({ room, name, watch: true });
    notices.show("watching", "info", "Your token is for watching: nobody sees or hears you.");
    return;
  }
  const again = error.needsToken || (error.status === 403 && /token/.test(error.message));
  leave(error.words, true);
  if (again) lobby.askForToken(`${error.words} Open the link that you were given, or enter the token here.`);
}

function show() {
  if (!call) return;
  const { viewers, count, watching, state } = call;
  at("call").dataset.state = state;
  const people = count === 0 ? "" : count === 1 ? "1 person" : `${count} people`;
  at("people").textContent = [people, watchers(watching)].filter(Boolean).join(", ");
  at("people").title = watching.length ? `Watching: ${watching.join(", ")}` : "";
  at("alone").hidden = viewers.size > 0 || state !== "in";
  at("alone-words").textContent = call.sends ? "Nobody else is here yet." : "Nobody is sending anything yet.";
  controls();
}

/** Who only watches, in words. */
function watchers(names) {
  if (!names.length) return "";
  // That is what the server calls those who come without a name.
  const [name] = names[0] === "viewer" ? ["somebody"] : names;
  return names.length === 1 ? `${name} is watching` : `${names.length} are watching`;
}

function controls() {
  press(at("microphone-button"), Boolean(media.audio), "microphone", "M");
  press(at("camera-button"), Boolean(media.cameraOn && media.camera), "camera", "V");
  at("microphone-words").textContent = media.audio ? "Mute" : "Unmute";
  const sharing = Boolean(media.screen);
  at("screen-words").textContent = sharing ? "Stop" : "Share";
  const screenWords = sharing ? "Stop sharing the screen" : "Share the screen";
  Object.assign(at("screen-button"), { ariaLabel: screenWords, title: `${screenWords} (D)` });
  at("screen-button").classList.toggle("active", sharing);
}

/** Runs what a button asks for, and says what went wrong. */
async function attempt(action) {
  notices.clear("media");
  try {
    await action();
  } catch (trouble) {
    notices.show("media", "warning", trouble.message);
  }
  if (call) store({ ...stored(), cameraOn: media.cameraOn, microphoneOn: media.microphoneOn });
}

async function invite() {
  const link = new URL(location.pathname, location.href);
  link.search = new URLSearchParams({ room: at("call-room").textContent });
  try {
    await navigator.clipboard.writeText(link.href);
    notices.show("invite", "info", "The link to this room is in the clipboard.", { passing: true });
  } catch {
    notices.show("invite", "info", "Copy this link:", { field: link.href });
  }
}

function raise(up) {
  call?.raise(up);
  at("hand-button").setAttribute("aria-pressed", String(up));
  at("hand-button").classList.toggle("active", up);
}

function showReactions(open) {
  at("reactions").hidden = !open;
  at("react-button").setAttribute("aria-expanded", String(open));
  at("react-button").classList.toggle("active", open);
}

/** All in one size, or who speaks large. */
function setView(view) {
  grid.view = view;
  const words = view === "grid" ? "Show who speaks large" : "Show everybody in one size";
  Object.assign(at("view-button"), { title: `${words} (W)`, ariaLabel: words });
  at("view-button").querySelector("use").setAttribute("href", view === "grid" ? "#i-speaker" : "#i-grid");
}

/** The row of reactions, which closes when one was chosen. */
function prepareReactions() {
  for (const emoji of REACTIONS) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: emoji });
    button.addEventListener("click", () => {
      call?.react(emoji);
      showReactions(false);
    });
    at("reactions").append(button);
  }
}

function listen() {
  prepareReactions();
  const click = (id, action) => at(id).addEventListener("click", action);
  click("microphone-button", () => attempt(() => media.setMicrophone(!media.audio)));
  click("camera-button", () => attempt(() => media.setCamera(!(media.cameraOn && media.camera))));
  click("screen-button", () => attempt(() => (media.screen ? media.stopScreen() : media.shareScreen())));
  click("leave-button", () => leave());
  click("view-button", () => setView(grid.view === "grid" ? "speaker" : "grid"));
  click("hand-button", () => raise(!call?.talk.hand));
  click("react-button", () => showReactions(at("reactions").hidden));
  for (const button of document.querySelectorAll(".invite")) button.addEventListener("click", invite);
  click("figures-button", ({ currentTarget }) => {
    const shown = document.body.classList.toggle("with-figures");
    currentTarget.setAttribute("aria-pressed", String(shown));
    currentTarget.classList.toggle("active", shown);
  });
  click("devices-button", () => {
    at("dialog-devices").append(at("devices"));
    at("devices-dialog").showModal();
  });
  click("devices-done", () => at("devices-dialog").close());
  at("speaker").addEventListener("change", ({ target }) => {
    for (const { element } of call?.viewers.values() ?? []) element.setSinkId?.(target.value).catch(() => {});
  });
  if (!navigator.mediaDevices?.getDisplayMedia) at("screen-button").hidden = true;
  media.addEventListener("change", controls);
  media.addEventListener("lost", ({ detail }) => { if (call) notices.show("media", "warning", detail.message); });
  window.addEventListener("online", () => call?.hurry());
  window.addEventListener("pagehide", () => call?.leave());
  // A page that the browser has kept is a call that has ended.
  window.addEventListener("pageshow", ({ persisted }) => { if (persisted) location.reload(); });
}

/** Keys that press buttons, while nothing is being written. */
const KEYS = {
  m: "microphone-button", v: "camera-button", d: "screen-button", h: "hand-button", r: "react-button", c: "chat-button",
  w: "view-button",
};

function prepareKeys() {
  for (const [key, id] of Object.entries(KEYS)) at(id).setAttribute("aria-keyshortcuts", key.toUpperCase());
  document.addEventListener("keydown", (event) => {
    const { key, target, ctrlKey, altKey, metaKey, repeat } = event;
    if (!call || ctrlKey || altKey || metaKey || repeat || at("devices-dialog").open) return;
    if (target.closest("input, select, textarea")) return;
    const button = at(KEYS[key.toLowerCase()] ?? "");
    // What is hidden from those who only watch has no key either.
    if (!button?.checkVisibility()) return;
    event.preventDefault();
    button.click();
  });
}

async function start() {
  listen();
  prepareKeys();
  setView("grid");
  // The browser's WebRTC begins while one is in the lobby.
  receivingOffer().catch(() => {});
  const room = query.get("room");
  const rejoins = before.room && before.room === room;
  if (rejoins) Object.assign(media, { cameraOn: before.cameraOn, microphoneOn: before.microphoneOn });
  const watch = rejoins ? before.watch : query.get("watch") === "1";
  const atOnce = room && (rejoins || query.get("auto") === "1");
  const name = (rejoins && before.name) || query.get("name") || "Guest";
  if (atOnce && watch) return join({ room, name, watch });
  // A reload goes from call to call, unless the browser asks for permission again.
  const showing = setTimeout(() => lobby.show(), atOnce ? LOBBY_AFTER_MS : 0);
  const opened = await lobby.open();
  clearTimeout(showing);
  if (atOnce && opened) return join({ room, name, watch: false });
  lobby.show();
}

start();
