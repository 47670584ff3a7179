// Each core: its figures, and plots of its last minutes.

import { plot } from "./plot.js";
import { count, element, micros, percent, put, short } from "./words.js";

const SPAN_MS = 180_000;
/** Cores that are shown before somebody asks for all: the hottest. */
const FEW = 8;
const LISTS = ["atMs", "cpuPercent", "busyPercent", "inPps", "outPps", "p50Us", "p99Us", "train", "discards"];

/** What is known of each worker, by its number. */
const histories = new Map();
const cards = new Map();
let wantsAll = false;

/** Forgets everything: another server counts from its own start. */
export function forget() {
  histories.clear();
  cards.clear();
}

/** The time of the newest point. */
export function newest() {
  return Math.max(0, ...[...histories.values()].map((history) => history.atMs.at(-1) ?? 0));
}

/** Adds new points to what is known. */
export function take(cores) {
  for (const core of cores) {
    const history = histories.get(core.worker) ?? Object.fromEntries(LISTS.map((list) => [list, []]));
    const known = history.atMs.at(-1) ?? 0;
    core.series.atMs.forEach((at, index) => {
      if (at > known) LISTS.forEach((list) => history[list].push(core.series[list][index]));
    });
    const old = history.atMs.findIndex((at) => at >= (history.atMs.at(-1) ?? 0) - SPAN_MS);
    if (old > 0) LISTS.forEach((list) => history[list].splice(0, old));
    histories.set(core.worker, history);
  }
}

/** How hot a core is against its limit, as a class: "", "warm" or "hot". */
export function heat(cpuPercent, limit) {
  const most = limit || 100;
  return cpuPercent >= most ? "hot" : cpuPercent >= most * 0.8 ? "warm" : "";
}

/** The hottest core; none before there are figures. */
export function hottest(cores) {
  return cores.filter((core) => core.now).sort((a, b) => b.now.cpuPercent - a.now.cpuPercent)[0] ?? null;
}

/** Shows the cores: in their order if they are few, the hottest first otherwise. */
export function show(picture, into, more) {
  let cores = picture.cores;
  if (cores.length > FEW) {
    cores = [...cores].sort((a, b) => (b.now?.cpuPercent ?? 0) - (a.now?.cpuPercent ?? 0) || a.worker - b.worker);
    if (!wantsAll) cores = cores.slice(0, FEW);
  }
  more.hidden = picture.cores.length <= FEW;
  more.textContent = wantsAll ? "Show the hottest only" : `Show all ${picture.cores.length} cores`;
  more.onclick = () => {
    wantsAll = !wantsAll;
    show(picture, into, more);
  };
  const wanted = cores.map((core) => {
    const made = cards.get(core.worker) ?? element("article", { class: "card core", "data-worker": core.worker });
    cards.set(core.worker, made);
    put(made, card(core, picture));
    return made;
  });
  if (wanted.length !== into.children.length || wanted.some((one, at) => into.children[at] !== one)) put(into, wanted);
}

function card(core, picture) {
  const now = core.now;
  const head = element("h3", {}, `Core ${core.core}`,
    element("small", {}, `worker ${core.worker}: ${count(core.rooms, "room")}, ${count(core.consumers, "consumer")}`));
  if (!now) return [head, element("p", { class: "soft" }, "starting")];
  const limit = picture.cpuLimitPercent;
  const facts = [
    ["CPU", percent(now.cpuPercent), heat(now.cpuPercent, limit)],
    ["core busy", percent(now.busyPercent), ""],
    ["stolen", percent(now.stealPercent), now.stealPercent >= 5 ? "warm" : ""],
    ["p99", micros(now.p99Us), now.p99Us >= 100_000 ? "hot" : now.p99Us >= 20_000 ? "warm" : ""],
    ["max", micros(now.maxUs), ""],
    ["train", now.train ? now.train.toFixed(1) : "–", ""],
  ];
  const discards = now.discards.slice(0, 3).map(([reason, perS]) => `${reason} ${short(perS)}/s`).join(", ");
  return [
    head,
    element("dl", {}, facts.map(fact)),
    element("div", { class: "plots", tabindex: 0, role: "group", "aria-label": `Plots of core ${core.core}` },
      plots(histories.get(core.worker), limit)),
    element("p", { class: discards ? "warm discards" : "soft discards" },
      discards ? `discarded: ${discards}` : "nothing discarded"),
  ];
}

const fact = ([name, value, how]) => element("div", {}, element("dt", {}, name), element("dd", { class: how }, value));

function plots(history, limit) {
  const common = { xs: history.atMs, to: history.atMs.at(-1) ?? 0, span: SPAN_MS };
  const line = (name, kind, list) => ({ name, kind, values: history[list] });
  return [
    plot({ ...common, title: "CPU, %", most: 100, limit, short,
      lines: [line("busy", "second", "busyPercent"), line("worker", "first", "cpuPercent")] }),
    plot({ ...common, title: "packets/s", least: 10, short,
      lines: [line("in", "second", "inPps"), line("out", "first", "outPps")] }),
    plot({ ...common, title: "latency, µs", least: 100, short,
      lines: [line("p50", "second", "p50Us"), line("p99", "first", "p99Us")] }),
    plot({ ...common, title: "packets of a train", least: 2, short, lines: [line("train", "first", "train")] }),
    plot({ ...common, title: "discarded packets/s", least: 1, short, lines: [line("discarded", "bad", "discards")] }),
  ];
}
