// Plots: lines over time with axes, drawn as SVG.

import { drawn } from "./words.js";

const WIDTH = 250, HEIGHT = 130, LEFT = 40, RIGHT = 8, TOP = 26, BOTTOM = 30;

/** The next of 1, 2 and 5 times a power of ten. */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9)));
  return [1, 2, 5, 10].find((step) => step * power >= value * 0.999) * power;
}

/** Points of lines, with a gap where a value is missing. */
function path(xs, ys, x, y) {
  let text = "", pen = "M";
  ys.forEach((value, at) => {
    if (value === null || value === undefined) {
      pen = "M";
      return;
    }
    text += `${pen}${x(xs[at]).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = "L";
  });
  return text;
}

/**
 * A plot. `title` has the unit; `lines` is a list of {name, kind, values}, `kind` being a class of the style sheet;
 * `xs` are times in milliseconds, of which `to` is now and the oldest that is shown lies `span` before; `least` is the
 * smallest scale; `limit` is a line across; `short` writes a value of the axis.
 */
export function plot(wanted) {
  const { title, lines, xs, to, span, least, most, limit, short, marks = [] } = wanted;
  const { width = WIDTH, height = HEIGHT } = wanted;
  const all = lines.flatMap((line) => line.values).filter((value) => value !== null && value !== undefined);
  const top = most ?? roundUp(Math.max(least, ...all));
  const x = (at) => LEFT + (width - LEFT - RIGHT) * Math.min(1, Math.max(0, 1 - (to - at) / span));
  const y = (value) => height - BOTTOM - (height - TOP - BOTTOM) * Math.min(1, value / top);
  const last = (values) => values.findLast((value) => value !== null && value !== undefined);
  const newest = (line) => (last(line.values) === undefined ? "unknown" : short(last(line.values)));
  const said = `${title}: now ${lines.map((line) => `${line.name} ${newest(line)}`).join(", ")}`;
  const picture = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": said },
    drawn("text", { x: 0, y: 11, class: "title" }, title));
  const right = width - RIGHT, bottom = height - BOTTOM;
  for (const part of [0, 0.5, 1]) {
    const at = y(top * part);
    picture.append(
      drawn("line", { x1: LEFT, x2: right, y1: at, y2: at, class: "grid" }),
      drawn("text", { x: LEFT - 5, y: at + 3.5, "text-anchor": "end" }, short(top * part)),
    );
  }
  for (const part of [0, 0.5, 1]) {
    const ago = Math.round((span * (1 - part)) / 1000);
    const anchor = part === 0 ? "start" : part === 1 ? "end" : "middle";
    const place = { x: LEFT + (right - LEFT) * part, y: bottom + 12, "text-anchor": anchor };
    picture.append(drawn("text", place, ago ? `${ago}` : "now"));
  }
  picture.append(drawn("text", { x: (LEFT + right) / 2, y: height - 4, "text-anchor": "middle" }, "seconds ago"));
  if (limit) picture.append(drawn("line", { x1: LEFT, x2: right, y1: y(limit), y2: y(limit), class: "limit" }));
  for (const mark of marks) {
    const at = { x1: x(mark.at), x2: x(mark.at), y1: TOP, y2: bottom };
    picture.append(drawn("line", { ...at, class: "mark" }, drawn("title", {}, mark.what)));
  }
  for (const { kind, values } of lines) {
    picture.append(drawn("path", { d: path(xs, values, x, y), class: `line ${kind}` }));
  }
  legend(picture, lines, right);
  return picture;
}

/** Names of lines, above on the right, where there are several. */
function legend(picture, lines, right) {
  if (lines.length < 2) return;
  let at = right;
  for (const line of [...lines].reverse()) {
    at -= 6 * line.name.length;
    picture.append(drawn("text", { x: at, y: 11 }, line.name));
    at -= 20;
    picture.append(drawn("line", { x1: at, x2: at + 15, y1: 7.5, y2: 7.5, class: `line ${line.kind}` }));
    at -= 8;
  }
}
