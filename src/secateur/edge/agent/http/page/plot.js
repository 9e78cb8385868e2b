// A line plot in SVG with marks, a cursor for pointer and arrow keys, and its values in words.

import { h } from "./dom.js";
import { number } from "./words.js";

const HEIGHT = 220, LEFT = 52, RIGHT = 10, TOP = 18, BOTTOM = 34;
const LETTER = 7.7, LETTERS_HIGH = 12;

/** Round places between two ends, about as many as asked for. */
export function ticks(low, high, count) {
  const raw = (high - low) / count;
  if (!(raw > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step) found.push(Math.abs(at) < step * 1e-9 ? 0 : at);
  return found;
}

export class LinePlot {
  /** @param {{title: string, xTitle: string, yTitle: string, sayX?: (x: number) => string,
   *   ticksX?: typeof ticks}} given */
  constructor({ title, xTitle, yTitle, sayX = number, ticksX = ticks }) {
    this.title = title;
    this.yTitle = yTitle;
    this.xTitle = xTitle;
    this.sayX = sayX;
    this.ticksX = ticksX;
    this.at = null;
    this.svg = h("svg", {
      height: HEIGHT, role: "img", tabindex: "0", class: "plot", "aria-label": title,
      onpointermove: (event) => this.point(event), onpointerdown: (event) => this.point(event),
      onkeydown: (event) => this.key(event),
    });
    this.readout = h("output", { class: "readout" }, "");
    this.note = h("p", { class: "note" });
    this.element = h("figure", { class: "panel" },
      h("figcaption", {}, h("h2", {}, title), this.readout), this.svg, this.note);
    this.width = 0;
    new ResizeObserver(() => this.fit()).observe(this.svg);
  }

  /** Draw in the pixels of the screen, so that letters are as large on a phone as on a wide screen. */
  fit() {
    const width = Math.round(this.svg.getBoundingClientRect().width);
    if (width === this.width) return;
    this.width = width;
    if (this.given) this.draw(this.given);
  }

  /**
   * Draw values.
   * @param {{xs: number[], ys: (number|null)[], xTitle?: string, yTitle?: string, high?: number, note?: string, gap?: number,
   *   marks?: {x: number, name: string, kind: string}[], levels?: {y: number, name: string, kind: string}[]}} given
   */
  draw(given) {
    this.given = given;
    const { xs, ys, xTitle, yTitle, high, gap = Infinity, marks = [], levels = [], note = "" } = given;
    this.xTitle = xTitle ?? this.xTitle;
    this.yTitle = yTitle ?? this.yTitle;
    const shown = xs.map((x, place) => [x, ys[place]]).filter(([x, y]) => y !== null && Number.isFinite(y) && (high === undefined || x <= high));
    this.points = shown;
    this.note.textContent = shown.length ? note : "nothing to show yet";
    this.svg.setAttribute("height", shown.length ? HEIGHT : 0);
    this.svg.replaceChildren();
    if (!shown.length || this.width <= LEFT + RIGHT) return;
    this.limits(shown, levels);
    const inside = marks.filter((mark) => mark.x >= this.x0 && mark.x <= this.x1);
    this.svg.append(...this.axes(), ...this.levels(levels.filter((level) => level.y >= this.y0 && level.y <= this.y1)),
      ...this.marks(inside));
    const follows = shown.map(([x], place) => place > 0 && x - shown[place - 1][0] <= gap); // no line where nothing was measured
    const path = shown.map(([x, y], place) => `${follows[place] ? "L" : "M"}${this.px(x).toFixed(1)} ${this.py(y).toFixed(1)}`).join("");
    const alone = shown.filter((_, place) => !follows[place] && !follows[place + 1]);
    this.svg.append(h("path", { d: path, class: "curve" }),
      ...alone.map(([x, y]) => h("rect", { x: this.px(x) - 2, y: this.py(y) - 2, width: 4, height: 4, class: "dot" })));
    this.cursor = h("line", { y1: TOP, y2: HEIGHT - BOTTOM, class: "cursor", visibility: "hidden" });
    this.svg.append(this.cursor);
    const highest = shown.reduce((best, entry) => (entry[1] > best[1] ? entry : best));
    this.svg.setAttribute("aria-label",
      `${this.title}: ${shown.length} values, highest ${number(highest[1])} ${this.yTitle} at ${this.sayX(highest[0])} ${this.xTitle}. Arrow keys move the cursor.`);
    if (this.at !== null) this.place(this.at, false);
  }

  limits(points, levels) {
    const ys = points.map((entry) => entry[1]);
    let low = Math.min(...ys), top = Math.max(...ys);
    for (const { y } of levels) if (y <= Math.max(top + 3 * (top - low), 2.5 * Math.abs(top))) top = Math.max(top, y);
    if (low >= 0) low = 0;
    if (top === low) top = low + 1;
    const spare = 0.06 * (top - low);
    [this.y0, this.y1] = [low === 0 ? 0 : low - spare, top + spare];
    this.x0 = points[0][0];
    this.x1 = points.at(-1)[0] > this.x0 ? points.at(-1)[0] : this.x0 + 1;
  }

  px(x) { return LEFT + ((x - this.x0) / (this.x1 - this.x0)) * (this.width - LEFT - RIGHT); }
  py(y) { return HEIGHT - BOTTOM - ((y - this.y0) / (this.y1 - this.y0)) * (HEIGHT - TOP - BOTTOM); }

  axes() {
    const found = [];
    const least = (LETTER * (this.sayX(this.x1).length + 2)) / (this.width - LEFT - RIGHT);
    for (const x of this.ticksX(this.x0, this.x1, Math.max(1, Math.min(8, Math.floor(1 / least))))) {
      found.push(h("line", { x1: this.px(x), x2: this.px(x), y1: TOP, y2: HEIGHT - BOTTOM, class: "grid" }),
        this.tick(this.px(x), this.sayX(x)));
    }
    for (const y of ticks(this.y0, this.y1, 6)) {
      found.push(h("line", { x1: LEFT, x2: this.width - RIGHT, y1: this.py(y), y2: this.py(y), class: "grid" }),
        h("text", { x: LEFT - 6, y: this.py(y) + 4, class: "tick", "text-anchor": "end" }, number(y)));
    }
    found.push(h("text", { x: this.width - RIGHT, y: HEIGHT - 4, class: "axis", "text-anchor": "end" }, this.xTitle),
      h("text", { x: 4, y: 11, class: "axis" }, this.yTitle));
    return found;
  }

  tick(x, text) {
    const half = (LETTER * text.length) / 2, inside = Math.max(half, Math.min(this.width - half, x));
    return h("text", { x: inside, y: HEIGHT - BOTTOM + 14, class: "tick", "text-anchor": "middle" }, text);
  }

  marks(marks) {
    let free = -Infinity;
    return [...marks].sort((one, other) => one.x - other.x).flatMap((mark) => {
      const x = this.px(mark.x), end = x + 3 + LETTER * mark.name.length, named = x >= free && end <= this.width;
      if (named) free = end;
      return [h("line", { x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM, class: `mark mark-${mark.kind}` }, h("title", {}, mark.name)),
        named ? h("text", { x: x + 3, y: TOP + 8, class: `mark-name mark-${mark.kind}` }, mark.name) : null];
    }).filter(Boolean).sort((one, other) => Number(one.tagName === "text") - Number(other.tagName === "text")); // names over lines
  }

  /** Lines across, named from the lowest up; a name that would lie on another goes above it. */
  levels(levels) {
    let free = Infinity;
    return [...levels].sort((one, other) => one.y - other.y).map(({ y, name, kind }) => {
      const text = Math.min(this.py(y) - 3, free);
      free = text - LETTERS_HIGH;
      return h("g", {}, h("line", { x1: LEFT, x2: this.width - RIGHT, y1: this.py(y), y2: this.py(y), class: `level level-${kind}` }),
        h("text", { x: this.width - RIGHT - 4, y: text, class: "axis level-name", "text-anchor": "end" }, name));
    });
  }

  point(event) {
    if (!this.points?.length) return;
    const box = this.svg.getBoundingClientRect();
    const x = this.x0 + (event.clientX - box.left - LEFT) / (this.width - LEFT - RIGHT) * (this.x1 - this.x0);
    this.place(this.nearest(x));
  }

  nearest(x) {
    let low = 0, top = this.points.length - 1;
    while (top - low > 1) {
      const middle = (low + top) >> 1;
      if (this.points[middle][0] < x) low = middle; else top = middle;
    }
    return x - this.points[low][0] < this.points[top][0] - x ? low : top;
  }

  key(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -25, PageDown: 25, Home: -1e9, End: 1e9 };
    if (!(event.key in steps) || !this.points?.length) return;
    event.preventDefault();
    const last = this.points.length - 1;
    this.place(Math.max(0, Math.min(last, (this.at ?? 0) + steps[event.key])));
  }

  place(at, tell = true) {
    this.at = Math.min(at, this.points.length - 1);
    const [x, y] = this.points[this.at];
    this.cursor.setAttribute("x1", this.px(x));
    this.cursor.setAttribute("x2", this.px(x));
    this.cursor.setAttribute("visibility", "visible");
    const text = `${this.sayX(x)} ${this.xTitle}: ${number(y)} ${this.yTitle}`;
    if (tell || this.readout.textContent !== text) this.readout.textContent = text;
  }
}
