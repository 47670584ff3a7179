// Numbers and times as people read them, and elements from code: nothing of what clients say is taken for markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element with these attributes and children. Functions are listeners, null and false are left out. */
export function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same in a drawing. */
export function drawn(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value !== null && value !== false) made.setAttribute(key, value);
  }
  made.append(...children.flat().filter(isThere));
  return made;
}

const isThere = (child) => child !== null && child !== undefined && child !== false;

/** Puts these in the place of what is in an element. */
export function put(into, ...children) {
  into.replaceChildren(...children.flat().filter(isThere));
}

/** 12 300 as "12.3 k". */
export function short(value) {
  if (value >= 1e9) return `${(value / 1e9).toFixed(2)} G`;
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)} M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(1)} k`;
  return value >= 100 || Number.isInteger(value) ? value.toFixed(0) : value.toFixed(1);
}

export function bits(bps) {
  if (bps >= 1e9) return `${(bps / 1e9).toFixed(2)} Gbit/s`;
  return bps >= 1e6 ? `${(bps / 1e6).toFixed(1)} Mbit/s` : `${(bps / 1e3).toFixed(0)} kbit/s`;
}

export function micros(us) {
  if (us === null || us === undefined) return "–";
  return us >= 1000 ? `${(us / 1000).toFixed(1)} ms` : `${us} µs`;
}

export const percent = (value) => `${value >= 10 ? value.toFixed(0) : value.toFixed(1)} %`;

export function since(ms) {
  const s = Math.floor(ms / 1000);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

export const count = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;

/** What a peer is called: as it says, or else by its name in the room, of a long number the beginning. */
export const called = (peer) => peer.displayName
  || (/^[0-9a-f]{8}-[0-9a-f-]{27}$/.test(peer.peer) ? `viewer ${peer.peer.slice(0, 8)}` : peer.peer);

/** A table: its heads, of which those in `left` are aligned so, and rows of cells. */
export function table(caption, heads, left, rows) {
  const side = (at) => (left.includes(at) ? { class: "left" } : {});
  const head = (text, at) => element("th", { scope: "col", ...side(at) }, text);
  const cell = (what, at) => (at ? element("td", side(at), what) : element("th", { scope: "row", ...side(at) }, what));
  return element("table", {},
    element("caption", {}, caption),
    element("thead", {}, element("tr", {}, heads.map(head))),
    element("tbody", {}, rows.map((cells) => element("tr", {}, cells.map(cell)))));
}
