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
  put(into,
    tile("Hottest core", core ? `Core ${core.core}` : "–", core ? `${percent(core.now.cpuPercent)} CPU, ${short(core.now.outPps)} packets/s out`
      : "no figures yet", core ? heat(core.now.cpuPercent, limit) : ""),
    tile("Room to the limit", core ? percent(left) : "–", limit ? `no new rooms once every core is past ${limit} %` : "no limit is set",
      core ? heat(core.now.cpuPercent, limit) : ""),
    tile("Hottest room", room ? link(room.room, () => act.room(room.room)) : "–", room
      ? `about ${percent(room.cpuPercent)} of core ${coreOf(picture, room.worker)}, ${count(room.viewers, "viewer")}` : "there are no rooms"),
    tile("Unhappy viewers", unhappy ? `${unhappy} of ${picture.viewersTotal}` : picture.viewersTotal ? "none" : "–",
      unhappy ? why : picture.viewersTotal ? `of ${picture.viewersTotal}` : "nobody is sent anything",
      server ? "hot" : unhappy ? "warm" : ""),
    tile("Worst off", worst ? link(called(worst), () => act.peer(worst.room, worst.peer)) : "–",
      worst ? `${worst.reason}: ${worst.complaints[0].what}` : "nobody suffers", worst ? (worst.reason === "server" ? "hot" : "warm") : ""),
  );
}

/** The number of a worker's core. */
const coreOf = (picture, worker) => picture.cores.find((core) => core.worker === worker)?.core ?? worker;

/** The hottest rooms. */
export function rooms(picture, into, act) {
  if (!picture.rooms.length) {
    put(into, element("p", { class: "none" }, picture.look ? "There are no rooms." : "Rooms have not been looked at yet."));
    return;
  }
  const rows = picture.rooms.map((room) => [
    link(room.room, () => act.room(room.room)), [room.worker, ...room.branches].map((worker) => coreOf(picture, worker)).join(", "), percent(room.cpuPercent), short(room.inPps), short(room.outPps),
    bits(room.outBps), `${room.producers}`, `${room.viewers}`,
    room.unhappy ? element("span", { class: "warm" }, `${room.unhappy}`) : "0",
  ]);
  const more = picture.roomsTotal > picture.rooms.length ? `The ${picture.rooms.length} hottest of ${picture.roomsTotal} rooms` : count(picture.roomsTotal, "room");
  put(into, table(more, ["room", "core", "CPU, about", "packets/s in", "packets/s out", "out", "producers", "viewers", "unhappy"], [0], rows));
}

/** The unhappiest viewers, of all rooms or of the chosen one. */
export function viewers(picture, room, into, act) {
  if (!picture.viewers.length) {
    put(into, element("p", { class: "none" }, picture.look ? "Nobody is sent anything." : "Viewers have not been looked at yet."));
    return;
  }
  const rows = picture.viewers.map((viewer) => [
    link(called(viewer), () => act.peer(viewer.room, viewer.peer)),
    viewer.room,
    pain(viewer),
    element("span", { class: `reason ${viewer.reason ?? ""}` }, viewer.reason ?? "–"),
    viewer.complaints.length ? viewer.complaints.map((one) => element("span", { class: "complaint" }, one.what)) : "nothing",
    viewer.availableBps === null ? "–" : bits(viewer.availableBps), viewer.wantedBps ? bits(viewer.wantedBps) : "–", bits(viewer.sentBps),
    percent(viewer.lossPercent), viewer.roundTripMs === null ? "–" : `${viewer.roundTripMs.toFixed(0)} ms`,
  ]);
  const caption = room === null ? `The unhappiest ${rows.length} of ${count(picture.viewersTotal, "viewer")}` : `${count(rows.length, "viewer")} of room ${room}`;
  put(into, table(caption, ["viewer", "room", "pain", "why", "what", "path carries", "wants", "is sent", "loss", "round trip"], [0, 1, 3, 4], rows));
}

/** Pain from 0 to 100, as a bar and a number. */
function pain(viewer) {
  const bar = element("meter", { min: 0, max: 100, low: 20, high: 60, optimum: 0, value: viewer.pain, "aria-label": `pain of ${called(viewer)}` });
  return [bar, ` ${viewer.pain}`];
}

/** Who else is in the chosen room. */
export function peers(picture, room, into, act) {
  into.hidden = room === null || !picture.peers.length;
  if (into.hidden) return;
  const rows = picture.peers.map((peer) => [link(called(peer), () => act.peer(room, peer.peer)), peer.kind, peer.publishes.join(", ") || "nothing"]);
  put(into, table(`Others in room ${room}`, ["peer", "came as", "publishes"], [0, 1, 2], rows));
}
