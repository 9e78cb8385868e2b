// All machines with their sensors, the worst first.

import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { badge, diagnosis, duration, percent, raised } from "./words.js";

const FEW = 7; // machines that are found at a glance
const LEVELS = ["alarm", "warning", "unknown", "learning", "normal"];

/** The level of a machine: the worst that is known of its sensors. */
function machineLevel(entry) {
  const found = new Set(entry.sensors.map((sensor) => sensor.bearing_state));
  return ["alarm", "warning", "normal", "learning", "unknown"].find((level) => found.has(level));
}

/** How many sensors give nothing that can be used; one that is waited for since the start a moment ago is no fault. */
const silent = (sensors) => sensors.filter((entry) => !["ok", "waiting"].includes(entry.sensor_state)).length;

/** Address of a sensor's view. */
export const sensorAddress = (machine, sensor) => `#/machine/${encodeURIComponent(machine)}/${encodeURIComponent(sensor)}`;

function sensorRow(machine, entry) {
  const causes = raised(entry.causes);
  return h("li", { class: entry.stale ? "stale" : null },
    h("a", { href: sensorAddress(machine, entry.sensor) }, entry.sensor), " ", entry.bearing_state === "unknown" && entry.sensor_state !== "ok" ? null : badge(entry.bearing_state),
    entry.sensor_state === "ok" ? null : [" ", badge(entry.sensor_state)],
    h("p", {}, [
      causes,
      entry.confidence === null ? "" : `diagnosis: ${diagnosis(entry.label)}${entry.label === null ? "" : ` (${percent(entry.confidence)})`}`,
      entry.baseline_trouble ? `no baseline: ${entry.baseline_trouble}` : entry.learned < 1 && entry.last_burst_age_s !== null ? `learning the healthy machine: ${percent(entry.learned)}` : "",
      entry.last_burst_age_s === null ? "no burst yet" : `last burst ${duration(entry.last_burst_age_s)} ago`,
    ].filter(Boolean).join(" · ")));
}

function card(entry) {
  const level = machineLevel(entry), lost = silent(entry.sensors);
  return h("section", { class: `card level-of-${level}` },
    h("h2", {}, h("a", { href: `#/machine/${encodeURIComponent(entry.machine)}` }, entry.machine), " ", badge(level)),
    lost ? h("p", { class: "trouble" }, `sensors without usable bursts: ${lost} of ${entry.sensors.length}`) : null,
    entry.description ? h("p", {}, entry.description) : null,
    h("ul", {}, entry.sensors.map((sensor) => sensorRow(entry.machine, sensor))));
}

export class Fleet {
  constructor() {
    this.title = "Fleet";
    this.counts = h("p", { class: "summary" });
    this.find = h("input", { type: "search", "aria-label": "Find a machine", placeholder: "Find a machine", oninput: () => this.draw() });
    this.cards = h("div", { class: "cards" });
    this.machines = [];
    this.element = h("div", {}, h("h1", {}, "Fleet"), this.counts, h("p", { class: "controls" }, this.find), this.cards);
  }

  async refresh() {
    this.machines = (await get("/api/fleet")).machines;
    this.draw();
  }

  draw() {
    const { machines } = this;
    const by = Object.groupBy(machines, machineLevel);
    const sensors = machines.flatMap((entry) => entry.sensors), lost = silent(sensors);
    fill(this.counts, `${machines.length} ${machines.length === 1 ? "machine" : "machines"}: `,
      LEVELS.filter((level) => by[level]).map((level) => `${by[level].length} ${level}`).join(", "),
      lost ? `; sensors without usable bursts: ${lost} of ${sensors.length}` : "");
    const rank = (entry) => 2 * LEVELS.indexOf(machineLevel(entry)) - (silent(entry.sensors) > 0);
    this.find.hidden = machines.length < FEW;
    const wanted = this.find.value.trim().toLowerCase();
    const shown = machines.filter((entry) => [entry.machine, entry.description, ...entry.sensors.map((sensor) => sensor.sensor)]
      .some((text) => text.toLowerCase().includes(wanted)));
    fill(this.cards, shown.length ? shown.sort((one, other) => rank(one) - rank(other)).map(card) : h("p", {}, "No machine of that name."));
  }
}

/** One machine: its sensors, and its alarms. */
export class Machine {
  constructor(name, alarms) {
    this.name = name;
    this.title = name;
    this.cards = h("div", { class: "cards" });
    this.alarms = alarms;
    this.element = h("div", {}, h("p", { class: "path" }, h("a", { href: "#/" }, "Fleet"), " / "),
      h("h1", {}, name), this.cards, h("h2", {}, "Alarms"), alarms.list);
  }

  async refresh() {
    fill(this.cards, card(await get(`/api/machines/${encodeURIComponent(this.name)}`)));
    await this.alarms.refresh();
  }
}
