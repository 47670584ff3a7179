// The answers at a glance, the hottest rooms, and the unhappiest viewers.

import { heat, hottest } from "./cores.js";
import { bits, called, count, element, percent, put, short, table } from "./words.js";

/** A button that looks like a link. */
const link = (text, act) => element("button", { type: "button", class: "link", click: act }, text);

/** A tile: a question, its answer, and more about it. */
const tile = (question, answer, more, how = "") => element("div", { class: `card tile ${how}` },
  element("h2", {}, question), element("strong", {}, answer), element("p", {}, more));

/** Which core is hot, how near the limit; which room; who suffers, and why. */
export function answers(picture, into, act) {
  const core = hottest(picture.cores);
  const limit = picture.cpuLimitPercent;
  const room = picture.rooms[0];
  const worst = picture.viewers.find((viewer) => viewer.reason);
  const { network, publisher, server } = picture.unhappy;
  const unhappy = network + publisher + server;
  const why = [[network, "network"], [publisher, "publisher"], [server, "server"]].filter(([n]) => n)
    .map(([n, reason]) => `${n} by ${reason === "network" ? "their network" : `the ${reason}`}`).join(", ");
  const most = limit || 100;
  const left = core ? Math.max(0, most - core.now.cpuPercent) : 0;
  const how = core ? heat(core.now.cpuPercent, limit) : "";
  const all = picture.viewersTotal;
  put(into,
    tile("Hottest core", core ? `Core ${core.core}` : "–",
      core ? `${percent(core.now.cpuPercent)} CPU, ${short(core.now.outPps)} packets/s out` : "no figures yet", how),
    tile("Room to the limit", core ? percent(left) : "–",
      limit ? `no new rooms once every core is past ${limit} %` : "no limit is set", how),
    tile("Hottest room", room ? link(room.room, () => act.room(room.room)) : "–", room
      ? `about ${percent(room.cpuPercent)} of core ${coresOf(picture, room)}, ${count(room.viewers, "viewer")}`
      : "there are no rooms"),
    tile("Unhappy viewers", unhappy ? `${unhappy} of ${all}` : all ? "none" : "–",
      unhappy ? why : all ? `of ${all}` : "nobody is sent anything", server ? "hot" : unhappy ? "warm" : ""),
    tile("Worst off", worst ? link(called(worst), () => act.peer(worst.room, worst.peer)) : "–",
      worst ? `${worst.reason}: ${worst.complaints[0].what}` : "nobody suffers",
      worst ? (worst.reason === "server" ? "hot" : "warm") : ""),
  );
}

/** The numbers of a room's cores. */
const coresOf = (picture, room) => [room.worker, ...room.branches]
  .map((worker) => picture.cores.find((core) => core.worker === worker)?.core ?? worker).join(", ");

/** The hottest rooms. */
export function rooms(picture, into, act) {
  if (!picture.rooms.length) {
    const sentence = picture.look ? "There are no rooms." : "Rooms have not been looked at yet.";
    put(into, element("p", { class: "none" }, sentence));
    return;
  }
  const rows = picture.rooms.map((room) => [
    link(room.room, () => act.room(room.room)),
    coresOf(picture, room), percent(room.cpuPercent), short(room.inPps), short(room.outPps), bits(room.outBps),
    `${room.producers}`, `${room.viewers}`,
    room.unhappy ? element("span", { class: "warm" }, `${room.unhappy}`) : "0",
  ]);
  const shown = picture.rooms.length;
  const all = count(picture.roomsTotal, "room");
  const heads = ["room", "core", "CPU, about", "packets/s in", "packets/s out", "out", "producers", "viewers",
    "unhappy"];
  put(into, table(shown < picture.roomsTotal ? `The ${shown} hottest of ${all}` : all, heads, [0], rows));
}

/** The unhappiest viewers, of all rooms or of the chosen one. */
export function viewers(picture, room, into, act) {
  if (!picture.viewers.length) {
    const all = count(picture.viewersTotal, "viewer");
    const content = picture.viewersTotal ? `Nobody suffers: ${all}.` : "Nobody is sent anything.";
    const sentence = room !== null ? "Nobody is sent anything in this room." : content;
    put(into, element("p", { class: "none" }, picture.look ? sentence : "Viewers have not been looked at yet."));
    return;
  }
  const complaint = (one) => element("span", { class: "complaint" }, one.what);
  const rows = picture.viewers.map((viewer) => [
    link(called(viewer), () => act.peer(viewer.room, viewer.peer)),
    viewer.room,
    pain(viewer),
    element("span", { class: `reason ${viewer.reason ?? ""}` }, viewer.reason ?? "–"),
    viewer.complaints.length ? viewer.complaints.map(complaint) : "nothing",
    viewer.availableBps === null ? "–" : bits(viewer.availableBps),
    viewer.wantedBps ? bits(viewer.wantedBps) : "–",
    bits(viewer.sentBps),
    percent(viewer.lossPercent),
    viewer.roundTripMs === null ? "–" : `${viewer.roundTripMs.toFixed(0)} ms`,
  ]);
  const caption = room === null ? `The unhappiest of ${count(picture.viewersTotal, "viewer")}`
    : `${count(rows.length, "viewer")} of room ${room}`;
  const heads = ["viewer", "room", "pain", "why", "what", "path carries", "wants", "is sent", "loss", "round trip"];
  put(into, table(caption, heads, [0, 1, 3, 4], rows));
}

/** Pain from 0 to 100, as a bar and a number. */
function pain(viewer) {
  const scale = { min: 0, max: 100, low: 20, high: 60, optimum: 0 };
  const name = `pain of ${called(viewer)}`;
  return [element("meter", { ...scale, value: viewer.pain, "aria-label": name }), ` ${viewer.pain}`];
}

/** Who else is in the chosen room. */
export function peers(picture, room, into, act) {
  into.hidden = room === null || !picture.peers.length;
  if (into.hidden) return;
  const rows = picture.peers.map((peer) => [
    link(called(peer), () => act.peer(room, peer.peer)), peer.kind, peer.publishes.join(", ") || "nothing",
  ]);
  put(into, table(`Others in room ${room}`, ["peer", "came as", "publishes"], [0, 1, 2], rows));
}
