// What the latest burst says: level, sensor, diagnosis, and the fault lines beside it.

import { facts, h, table } from "./dom.js";
import { badge, bandWords, diagnosis, duration, FAMILY_NAMES, flag, moment, number, percent, plain, raised } from "./words.js";

function agreement(found) {
  if (found.agrees_with_lines === null) return "the fault lines say nothing";
  return found.agrees_with_lines ? "the fault lines agree" : "the fault lines say something else; the confidence is lowered";
}

function opinion(found, { bundle }) {
  if (!found) return h("p", {}, bundle ? "This burst was not shown to the model." : "This sensor has no diagnosis by a model.");
  return h("div", {},
    h("p", {}, h("strong", {}, diagnosis(found.label)), found.label === null ? `: ${found.reason}` : `, confidence ${percent(found.confidence)}; ${agreement(found)}`),
    found.fit_for_use === false ? h("p", { class: "trouble" }, "The run that made this model found it unfit for use.") : null,
    h("ul", { class: "bars" }, Object.entries(found.probabilities).map(([name, share]) =>
      h("li", {}, h("span", {}, plain(name)), h("meter", { min: 0, max: 1, value: share, "aria-label": `${plain(name)} ${percent(share)}` }), h("span", {}, percent(share))))),
    h("p", { class: "note" }, `${found.model}, version ${found.version}, ${number(found.latency_ms)} ms`));
}

function lines(evidence) {
  if (!evidence) return null;
  if (!evidence.lines) return h("p", {}, `No fault lines: ${evidence.reason}.`);
  const rows = Object.entries(evidence.lines).map(([family, line]) => [FAMILY_NAMES[family], `${number(line.rate_hz)} Hz`,
    `${line.strength_db} dB`, String(line.harmonics), String(line.sidebands)]);
  return h("div", {}, table("Fault lines of the latest burst", ["line", "at", "over median", "harmonics", "sidebands"], rows),
    evidence.rule ? h("p", {}, `By the lines alone: ${diagnosis(evidence.rule.label)}; ${evidence.rule.reason}.`) : null);
}

const causes = (sensor) => (Object.keys(sensor.causes).length ? h("p", {}, raised(sensor.causes, bandWords(sensor.settings))) : null);

function baseline(sensor) {
  if (sensor.baseline_trouble) return h("span", { class: "trouble" }, sensor.baseline_trouble);
  if (sensor.learned >= 1) return "learned";
  return `${percent(sensor.learned)} of ${sensor.settings.commissioning.bursts} bursts learned${sensor.level === "normal" ? "" : "; not while a level is raised"}`;
}

/** Everything of the latest result that is said in words. */
export function latest(sensor) {
  const { result } = sensor;
  if (!result) {
    return [h("section", { class: "panel" }, h("h2", {}, "State"), h("p", {}, "No burst has come yet."),
      facts([["bearing", badge(sensor.bearing_state)], ["sensor", badge(sensor.sensor_state)], ["baseline", baseline(sensor)]]), causes(sensor))];
  }
  return [
    h("section", { class: "panel" }, h("h2", {}, "State"),
      causes(sensor),
      facts([["bearing", badge(sensor.bearing_state)], ["sensor", badge(sensor.sensor_state)],
        ["quality", result.quality.flags.map(flag).join(", ") || "sound"],
        ["baseline", baseline(sensor)],
        ["speed", result.speed.rpm === null ? "not known" : `${number(result.speed.rpm)} rpm${result.speed.age_s ? `, ${duration(result.speed.age_s)} old` : ""}`],
        ["measured", `${moment(result.measured_unix_s)}${sensor.stale ? " (old)" : ""}${
          result.quality.flags.some((flag) => flag.startsWith("clock")) ? `; the sender's clock says ${moment(result.stated_unix_s)}` : ""}`],
        ["received", `${duration(sensor.last_burst_age_s)} ago`], ["result took", `${number(result.latency_ms)} ms`]])),
    h("section", { class: "panel" }, h("h2", {}, "Diagnosis"), opinion(result.diagnosis, sensor.settings), lines(result.evidence)),
  ];
}
