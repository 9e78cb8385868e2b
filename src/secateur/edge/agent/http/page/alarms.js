// Alarms: what is open, what happened, and who has seen it.

import { download, get, post } from "./api.js";
import { ask } from "./ask.js";
import { announce, fill, h } from "./dom.js";
import { sensorAddress } from "./fleet.js";
import { badge, moment, raised, told } from "./words.js";

const MOST = 200;

/** The latest alarms of a query, and whether there are more than are shown. */
export async function latestAlarms(query) {
  const { alarms } = await get(`/api/alarms?${new URLSearchParams({ ...query, most: MOST + 1 })}`);
  return { alarms: alarms.slice(0, MOST), more: alarms.length > MOST };
}

export class Alarms {
  /** @param {string|null} machine of which machine; null: of all */
  constructor(machine = null) {
    this.title = "Alarms";
    this.machine = machine;
    this.threads = new Map();
    this.openOnly = h("input", { type: "checkbox", id: "open-only", checked: true, onchange: () => this.refresh() });
    this.list = h("div", { class: "alarms" });
    this.element = h("div", {}, h("h1", {}, "Alarms"),
      h("p", { class: "controls" },
        h("label", { for: "open-only" }, this.openOnly, " only those open or not acknowledged"),
        h("button", { type: "button", onclick: () => this.save() }, "Export as CSV")),
      this.list);
  }

  async refresh() {
    const { alarms, more } = await latestAlarms(this.machine === null ? { open: this.openOnly.checked } : { machine: this.machine });
    const open = alarms.filter((alarm) => this.threads.has(alarm.id));
    await Promise.all(open.map(async (alarm) => this.threads.set(alarm.id, (await this.events(alarm.id)))));
    fill(this.list, alarms.length ? alarms.map((alarm) => this.entry(alarm)) : h("p", {}, "No alarms."),
      more ? h("p", {}, `Only the latest ${MOST} are shown; the export holds all.`) : null);
  }

  entry(alarm) {
    const ended = alarm.closed_unix_s === null ? "still there" : `ended ${moment(alarm.closed_unix_s)}`;
    const events = this.threads.get(alarm.id), place = `${alarm.machine} / ${alarm.sensor}`;
    const control = (words, act, more = {}) => h("button", { type: "button", onclick: act, "aria-label": `${words}: ${place}`, ...more }, words);
    return h("article", { class: `alarm level-of-${alarm.open ? alarm.level : "normal"}` },
      h(this.machine === null ? "h2" : "h3", {}, badge(alarm.highest), " ",
        h("a", { href: sensorAddress(alarm.machine, alarm.sensor) }, place)),
      h("p", {}, `since ${moment(alarm.opened_unix_s)}, ${ended}; `, alarm.open ? `now ${alarm.level}` : "closed"),
      h("p", {}, raised(alarm.causes) || "nothing is raised"),
      alarm.acknowledged_by === null ? null
        : h("p", {}, `seen by ${alarm.acknowledged_by}, ${moment(alarm.acknowledged_unix_s)}${alarm.comment ? `: ${alarm.comment}` : ""}`),
      h("p", { class: "controls" },
        alarm.acknowledged_by === null ? control("Acknowledge", () => this.acknowledge(alarm.id)) : null,
        control("Events", () => this.toggle(alarm.id), { "aria-expanded": String(events !== undefined) })),
      events === undefined ? null : h("ol", { class: "thread" }, events.map((event) =>
        h("li", {}, `${moment(event.unix_s)}: ${event.kind}${event.author ? ` by ${event.author}` : ""}${event.text ? `, ${event.author ? event.text : told(event.text)}` : ""}`))));
  }

  async events(id) {
    return (await get(`/api/alarms/${encodeURIComponent(id)}`)).events;
  }

  async toggle(id) {
    if (!this.threads.delete(id)) this.threads.set(id, []);
    await this.refresh();
  }

  async acknowledge(id) {
    const done = await ask({
      title: "Acknowledge the alarm",
      fields: [
        { name: "author", label: "Your name", value: localStorage.getItem("author") ?? "", required: true, most: 80 },
        { name: "comment", label: "Comment", value: "", most: 2000, isLong: true },
      ],
      verb: "Acknowledge",
      act: (form) => post(`/api/alarms/${encodeURIComponent(id)}/acknowledge`, form),
    });
    if (done === null) return;
    localStorage.setItem("author", done.author);
    announce("The alarm is acknowledged.");
    await this.refresh();
  }

  save() {
    return download("/api/alarms.csv", "alarms.csv");
  }
}
