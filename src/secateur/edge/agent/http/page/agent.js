// The agent itself: outbox, sinks, sources, latency and memory.

import { get } from "./api.js";
import { facts, fill, h } from "./dom.js";
import { badge, duration, mebibytes, moment, number, percent } from "./words.js";

const counts = (values) => Object.entries(values ?? {}).map(([name, value]) => `${name} ${value}`).join(", ") || "–";

/** State of a connection, and what is wrong with it. */
const link = (isThere, trouble) => h("span", {}, badge(isThere ? "ok" : "unavailable"), trouble ? ` ${trouble}` : "");

/** Connections one under the other: names, states and counts are long, and screens may be narrow. */
const connections = (title, entries) => h("ul", { class: "connections", "aria-label": title },
  entries.map(([name, state, told]) => h("li", {}, h("strong", {}, name), " ", state, h("p", {}, told))));

export class AgentView {
  constructor() {
    this.title = "Agent";
    this.body = h("div", { class: "cards" });
    this.element = h("div", {}, h("h1", {}, "Agent"), this.body);
  }

  async refresh() {
    const [agent, outbox] = await Promise.all([get("/api/status"), get("/api/outbox")]);
    const ms = (value) => (value === null ? "–" : `${number(value)} ms`);
    fill(this.body,
      h("section", { class: "card" }, h("h2", {}, "Outbox"),
        outbox.storage_trouble ? h("p", { class: "trouble" }, outbox.storage_trouble) : null,
        h("p", {}, h("strong", {}, outbox.hours_left === null ? `nothing to send in the last ${duration(outbox.rate_over_s)}`
          : `${duration(3600 * outbox.hours_left)} still fit at the rate of the last ${duration(outbox.rate_over_s)}`)),
        h("meter", { min: 0, max: 1, high: 0.8, value: outbox.share, "aria-label": `outbox ${percent(outbox.share)} full` }),
        facts([["full", percent(outbox.share)], ["waiting", `${outbox.rows} results, ${mebibytes(outbox.bytes)} of ${mebibytes(outbox.most_bytes)}`], ["room on the disk", mebibytes(outbox.room_bytes)],
          ["when full", `drops the ${outbox.drop_policy}`], ["dropped", counts(outbox.dropped)]]),
        connections("Sinks", outbox.sinks.map((sink) => [sink.name, link(sink.available, sink.trouble),
          `sent ${sink.sent}, waiting ${sink.waiting}`]))),
      h("section", { class: "card" }, h("h2", {}, "Work"),
        facts([["ready", agent.ready ? "yes" : "no"], ["latency, median", ms(agent.latency_ms.p50)], ["latency, 99 %", ms(agent.latency_ms.p99)],
          ["memory", mebibytes(agent.memory_bytes)], ["memory, highest", mebibytes(agent.peak_memory_bytes)], ["bursts", counts(agent.bursts)],
          ["database repairs", String(agent.database_repairs)]])),
      h("section", { class: "card" }, h("h2", {}, "Program"),
        facts([["name", agent.agent], ["version", agent.version], ["started", moment(agent.started_unix_s)],
          ["running in all", duration(agent.running_s)]]),
        agent.config_trouble ? h("p", { class: "trouble" }, `The configuration was read again, and the former one goes on: ${agent.config_trouble}`) : null,
        h("p", {}, h("a", { href: "/openapi.json" }, "Description of the interface"), " · ", h("a", { href: "/metrics" }, "Metrics for Prometheus"))),
      h("section", { class: "card wide" }, h("h2", {}, "Sources"),
        agent.sources.length ? null : h("p", {}, "No source is configured; bursts come over HTTP alone."),
        connections("Sources", agent.sources.map((source) => [source.name, link(source.connected, source.trouble),
          `${counts(source.counts)}${source.last_refusal ? `; last refused: ${source.last_refusal}` : ""}`]))));
  }
}
