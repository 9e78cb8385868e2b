// What the model said lately, and how long the sensor was in each state.

import { fill, h } from "./dom.js";
import { badge, diagnosis, duration, moment, percent } from "./words.js";

const KINDS = ["normal", "inner_race", "outer_race", "ball"];
const kindOf = (label) => (label === null ? "none" : KINDS.includes(label) ? label : "other");

export class History {
  constructor() {
    this.strip = h("svg", { class: "strip", viewBox: "0 0 800 24", preserveAspectRatio: "none", role: "img" });
    this.legend = h("ul", { class: "legend" });
    this.states = h("ul", { class: "legend" });
    this.element = h("section", { class: "panel" }, h("h2", {}, "Class history"), this.strip, this.legend,
      h("h2", {}, "Time in each state, since the start"), this.states);
  }

  /** @param {{classes: {unix_s: number, label: string|null}[], seconds_in_state: Record<string, number>, settings: {bundle: string|null}}} found */
  draw({ classes, seconds_in_state: seconds, settings }) {
    const width = 800 / Math.max(classes.length, 1);
    fill(this.strip, classes.map(({ unix_s: at, label }, place) =>
      h("rect", { x: (place * width).toFixed(2), y: 0, width: (width + 0.3).toFixed(2), height: 24, class: `class-${kindOf(label)}` },
        h("title", {}, `${diagnosis(label)}, ${moment(at)}`))));
    const by = Object.groupBy(classes, ({ label }) => diagnosis(label));
    const shares = Object.entries(by).map(([name, entries]) => [name, entries[0].label, entries.length / classes.length]);
    this.strip.setAttribute("aria-label", `Classes of the last ${classes.length} bursts: ${shares.map(([name, , share]) => `${name} ${percent(share)}`).join(", ")}`);
    fill(this.legend, classes.length ? shares.map(([name, label, share]) =>
      h("li", {}, h("span", { class: `swatch class-${kindOf(label)}`, "aria-hidden": "true" }), `${name} ${percent(share)}`))
      : h("li", {}, settings.bundle ? "no diagnosis yet" : "this sensor has no diagnosis by a model"));
    const total = Object.values(seconds).reduce((sum, value) => sum + value, 0);
    fill(this.states, total > 0 ? Object.entries(seconds).map(([state, value]) =>
      h("li", {}, badge(state), ` ${duration(value)} (${percent(value / total)})`)) : h("li", {}, "nothing yet"));
  }
}
