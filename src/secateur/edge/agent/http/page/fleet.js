// All machines with their sensors, the worst first.

import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { badge, diagnosis, duration, percent, plain } from "./words.js";

const RANKS = { alarm: 0, warning: 1, normal: 2 };

/** Address of a sensor's view. */
export const sensorAddress = (machine, sensor) => `#/machine/${encodeURIComponent(machine)}/${encodeURIComponent(sensor)}`;

function sensorRow(machine, entry) {
  const causes = Object.keys(entry.causes).map(plain).join(", ");
  return h("li", { class: entry.stale ? "stale" : null },
    h("a", { href: sensorAddress(machine, entry.sensor) }, entry.sensor), " ", badge(entry.level),
    entry.sensor_state === "ok" ? null : [" ", badge(entry.sensor_state)],
    h("p", {}, [
      causes && `raised: ${causes}`,
      entry.confidence === null ? "" : `diagnosis: ${diagnosis(entry.label)}${entry.label === null ? "" : ` (${percent(entry.confidence)})`}`,
      entry.learned < 1 ? `learning the healthy machine: ${percent(entry.learned)}` : "",
      entry.last_burst_age_s === null ? "no burst yet" : `last burst ${duration(entry.last_burst_age_s)} ago`,
    ].filter(Boolean).join(" · ")));
}

function card(entry) {
  return h("section", { class: `card level-of-${entry.level}` },
    h("h2", {}, h("a", { href: `#/machine/${encodeURIComponent(entry.machine)}` }, entry.machine), " ", badge(entry.level)),
    entry.description ? h("p", {}, entry.description) : null,
    h("ul", {}, entry.sensors.map((sensor) => sensorRow(entry.machine, sensor))));
}

export class Fleet {
  constructor() {
    this.title = "Fleet";
    this.counts = h("p", { class: "summary" });
    this.cards = h("div", { class: "cards" });
    this.element = h("div", {}, h("h1", {}, "Fleet"), this.counts, this.cards);
  }

  async refresh() {
    const { machines } = await get("/api/fleet");
    const by = Object.groupBy(machines, (entry) => entry.level);
    const sensors = machines.flatMap((entry) => entry.sensors);
    const silent = sensors.filter((entry) => entry.sensor_state !== "ok").length;
    fill(this.counts, `${machines.length} machines: `,
      ["alarm", "warning", "normal"].map((level) => `${by[level]?.length ?? 0} ${level}`).join(", "),
      silent ? `; ${silent} of ${sensors.length} sensors are not ok` : "");
    fill(this.cards, [...machines].sort((one, other) => RANKS[one.level] - RANKS[other.level]).map(card));
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
