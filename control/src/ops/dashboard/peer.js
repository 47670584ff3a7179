// One peer: its paths, with what was seen of them and decided, and its streams.

import { plot } from "./plot.js";
import { bits, called, count, element, put, short, table } from "./words.js";

const path = (...parts) => parts.map(encodeURIComponent).join("/");
const yes = (value, text) => (value ? text : "");
const fixed = (value, unit) => (value === null || value === undefined ? "–" : `${value.toFixed(0)} ${unit}`);

/** Asks for everything about a peer, and shows it in the dialog. */
export async function show(dialog, ask, room, name) {
  const peer = await ask(`rooms/${path(room)}/peers/${path(name)}`);
  const traces = [];
  for (const one of peer.transports.filter((one) => one.outgoingBitrateCause !== undefined).slice(0, 2)) {
    const trace = ask(`rooms/${path(room)}/transports/${path(one.id)}/trace`);
    // One that has closed meanwhile has none.
    traces.push((await trace.catch(() => ({ decisions: [] }))).decisions);
  }
  const title = called({ ...peer, peer: peer.peerId });
  const workers = [...new Set(peer.transports.map((one) => one.worker))].join(", ");
  put(dialog,
    element("div", { class: "close" },
      element("button", { type: "button", "aria-label": "Close", click: () => dialog.close() }, "×")),
    element("h2", { id: "peer-title" }, title),
    element("p", { class: "soft" }, `${peer.kind} ${peer.peerId} in room ${peer.roomId}, worker ${workers || "none"}`,
      yes(peer.leftOut, `; ${count(peer.leftOut, "object")} of it are left out here`)),
    traces.map(decided),
    paths(peer.transports),
    published(peer.producers),
    received(peer.consumers),
  );
  if (!dialog.open) dialog.showModal();
  // On a narrow screen the newest is shown first.
  for (const box of dialog.querySelectorAll(".wide")) box.scrollLeft = box.scrollWidth;
}

/** What was seen of a path, and decided for it. */
function decided(decisions) {
  const seen = decisions.filter((one) => one.type === "path");
  if (!seen.length) return null;
  const marks = decisions.filter((one) => one.type === "layers").map((one) => ({ at: -one.agoMs, what: layers(one) }));
  const line = (name, kind, member) => ({ name, kind, values: seen.map((one) => one[member]) });
  const span = Math.max(10_000, seen[0].agoMs);
  const newest = seen.at(-1);
  return element("section", {},
    element("h3", {}, "What its path carries, and what was decided"),
    element("div", { class: "wide", tabindex: 0, role: "group", "aria-label": "Bit rates over time" },
      plot({ title: "bit/s", xs: seen.map((one) => -one.agoMs), to: 0, span, least: 100_000, short, marks, width: 680,
        height: 200, lines: [line("wanted", "third", "wantedOutgoingBitrate"),
          line("given", "second", "givenOutgoingBitrate"), line("carried", "first", "availableOutgoingBitrate")] })),
    element("p", { class: "soft" }, `Last: ${newest.outgoingBitrateCause}. ${count(marks.length, "change")} of layers`,
      yes(marks.length, `, the last: ${marks.at(-1)?.what}`), "."),
  );
}

const layers = (one) => (one.suspended ? `${one.consumerId} suspended`
  : `${one.consumerId} spatial ${one.spatialLayer ?? "all"}, temporal ${one.temporalLayer ?? "all"}`);

/** A table in a box that scrolls. */
function scrolled(title, heads, left, rows) {
  const box = { class: "scroll", tabindex: 0, role: "group", "aria-label": title };
  return element("div", box, table(title, heads, left, rows));
}

const discards = (one) => Object.entries(one.discards ?? {}).sort((a, b) => b[1] - a[1]).slice(0, 3)
  .map(([reason, packets]) => `${reason} ${short(packets)}`).join(", ") || "–";

function paths(transports) {
  const rows = transports.map((one) => [
    one.remote ?? "not connected", [one.protocol ?? "udp", one.iceState, one.dtlsState].filter(Boolean).join(", "),
    one.availableOutgoingBitrate ? bits(one.availableOutgoingBitrate) : "–", one.outgoingBitrateCause ?? "–",
    fixed(one.outgoingQueue, "ms"), short(one.packetsReceived), short(one.packetsSent), discards(one),
  ]);
  const heads = ["remote", "state", "carries", "last cause", "queue", "packets in", "packets out", "discarded"];
  return scrolled("Transports", heads, [0, 1, 3, 7], rows);
}

function published(producers) {
  const rows = producers.flatMap((one) => one.streams.map((stream) => [
    `${one.kind}${stream.rid ? ` ${stream.rid}` : ""}`, one.codec ?? "–",
    one.paused ? "paused" : stream.active ? "sends" : "silent",
    stream.frameWidth ? `${stream.frameWidth}×${stream.frameHeight}` : "–",
    short(stream.packetCount), short(Math.max(0, stream.packetsLost)), short(stream.packetsRepaired),
    short(stream.keyFrames), short(stream.pliCount + stream.firCount), fixed(stream.roundTripTime, "ms"),
  ]));
  if (!rows.length) return null;
  const heads = ["stream", "codec", "state", "picture", "packets", "lost on the way here", "of these repaired",
    "key frames", "asked for", "round trip"];
  return scrolled("Streams that it sends", heads, [0, 1, 2, 3], rows);
}

function received(consumers) {
  const rows = consumers.map((one) => [
    one.producerPeerId ?? "–", one.codec ?? "–",
    one.paused ? "paused" : one.suspended ? "suspended" : "is sent", one.limitedBy ?? "–",
    one.currentSpatialLayer === null ? "–" : `${one.currentSpatialLayer} of ${one.preferredSpatialLayer}`,
    short(one.packetCount), `${((one.fractionLost * 100) / 256).toFixed(1)} %`, short(one.packetsRetransmitted),
    short(one.pliCount + one.firCount), fixed(one.roundTripTime, "ms"), discards(one),
  ]);
  if (!rows.length) return null;
  const heads = ["from", "codec", "state", "limited by", "layer", "packets", "loss", "retransmitted",
    "key frames asked for", "round trip", "not sent"];
  return scrolled("Streams that it is sent", heads, [0, 1, 2, 3, 10], rows);
}
