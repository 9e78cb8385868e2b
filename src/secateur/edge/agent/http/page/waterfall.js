// Spectra over time as an image: the newest row on top, brightness in decibels.

import { h } from "./dom.js";
import { duration, number } from "./words.js";

const RANGE_DB = 60, LEAST = 1e-12;
// dark blue over green to yellow: grows in lightness, so it can be read without colour
const STOPS = [[13, 22, 62], [38, 76, 122], [33, 122, 122], [84, 168, 92], [190, 202, 60], [253, 231, 90]];

function colour(share) {
  const place = Math.max(0, Math.min(1, share)) * (STOPS.length - 1);
  const low = Math.min(Math.floor(place), STOPS.length - 2), part = place - low;
  return STOPS[low].map((value, channel) => value + part * (STOPS[low + 1][channel] - value));
}

export class Waterfall {
  constructor() {
    this.canvas = h("canvas", { class: "waterfall", role: "img" });
    this.low = h("span", {}, "0 Hz");
    this.high = h("span", {});
    this.ends = h("p", { class: "ends" }, this.low, this.high);
    this.note = h("p", { class: "note" });
    this.element = h("figure", { class: "panel" }, h("figcaption", {}, h("h2", {}, "Waterfall")),
      this.canvas, this.ends, this.note);
  }

  /** @param {{highest_hz: number, rows: {unix_s: number, amplitude: number[]}[]}} found */
  draw({ highest_hz: highestHz, rows }) {
    const columns = rows.at(-1)?.amplitude.length, shown = rows.filter((row) => row.amplitude.length === columns);
    const top = Math.max(0, ...shown.flatMap((row) => row.amplitude));
    this.canvas.hidden = this.ends.hidden = !(top > LEAST);
    if (!(top > LEAST)) {
      this.note.textContent = rows.length ? "no signal" : "nothing to show yet";
      return;
    }
    this.canvas.width = columns;
    this.canvas.height = shown.length;
    const image = new ImageData(columns, shown.length);
    shown.toReversed().forEach((row, line) => row.amplitude.forEach((value, column) => {
      const share = 1 + (20 * Math.log10(Math.max(value, LEAST) / top)) / RANGE_DB;
      image.data.set([...colour(share), 255], 4 * (line * columns + column));
    }));
    this.canvas.getContext("2d").putImageData(image, 0, 0);
    const span = duration(Math.abs(shown.at(-1).unix_s - shown[0].unix_s)); // clocks may go back
    this.high.textContent = `${number(highestHz)} Hz`;
    this.note.textContent = `${shown.length} bursts over ${span}, newest on top; ${RANGE_DB} dB below ${number(top)}`;
    this.canvas.setAttribute("aria-label", `Waterfall of spectra: ${this.note.textContent}`);
  }
}
