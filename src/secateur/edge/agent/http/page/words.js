// Numbers, times and states in words.

import { h } from "./dom.js";

export const FAMILY_NAMES = {
  bpfo: "outer race (BPFO)", bpfi: "inner race (BPFI)", bsf2: "ball (2 × BSF)", ftf: "cage (FTF)", shaft: "shaft",
};
const SIGNS = { normal: "●", ok: "●", warning: "▲", alarm: "■", defect: "✕", silent: "○", waiting: "○", unknown: "○", learning: "◌", unavailable: "✕" };

/** A number with three digits that count. */
export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e6)) return value.toExponential(2);
  return String(Number(value.toPrecision(size >= 1000 ? 4 : 3)));
}

/** A share; one that is not whole is never said to be 100 %. */
export function percent(share) {
  if (share === null || share === undefined) return "–";
  if (share === 0) return "0 %";
  const parts = share < 1 ? Math.min(100 * share, 99.9) : 100 * share;
  return `${parts.toFixed(share < 0.1 || (parts >= 99 && share < 1) ? 1 : 0)} %`;
}
const upTo10 = (value) => value.toFixed(value < 10 ? 1 : 0);
export const mebibytes = (bytes) => (bytes < 2 ** 33 ? `${upTo10(bytes / 2 ** 20)} MiB` : `${upTo10(bytes / 2 ** 30)} GiB`);
export const plain = (text) => String(text).replaceAll("_", " ");

/** A length of time. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 100) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${(seconds / 3600).toFixed(1)} h`;
  if (seconds < 730 * 86400) return `${(seconds / 86400).toFixed(1)} days`;
  return `${Math.round(seconds / (365.25 * 86400))} years`;
}

/** A moment, as the reader's clock shows it. */
export function moment(unixSeconds) {
  return unixSeconds === null ? "–" : new Date(1000 * unixSeconds).toLocaleString();
}

/** A state as a word with a sign of its own: colour is never the only difference. */
export function badge(state) {
  const known = SIGNS[state] ?? "◆";
  return h("span", { class: `badge state-${String(state).replaceAll(" ", "-")}` },
    h("span", { "aria-hidden": "true" }, known), ` ${plain(state)}`);
}

const INDICATORS = { rms: "RMS", diagnosis: "diagnosis of the model" };

/** An indicator as people call it. */
export const indicator = (name) => INDICATORS[name]
  ?? (name.startsWith("line_") ? `lines of the ${FAMILY_NAMES[name.slice(5)] ?? plain(name.slice(5))}` : plain(name));

/** The unit of an indicator, given that of the samples. */
export const unitOf = (name, unit) => (name.startsWith("line_") ? "dB" : ["kurtosis", "crest_factor"].includes(name) ? "" : unit);

/** What the agent says of an alarm, with the names of indicators as people call them. */
export const told = (text) => text.replace(/\b(line_[a-z0-9]+|band_\d+|crest_factor|rms)\b/g, indicator);

/** The bands of a sensor with the frequencies that they hold. */
export function bandWords({ sampling_rate_hz: rateHz, indicators: { bands, lowest_hz: lowestHz } }) {
  const edge = (place) => number(lowestHz * (rateHz / 2 / lowestHz) ** (place / bands));
  return Object.fromEntries(Array.from({ length: bands }, (_, place) => [`band_${place + 1}`, `band ${place + 1} (${edge(place)} to ${edge(place + 1)} Hz)`]));
}

/** What is raised, the worst first; bands with their frequencies where these are known. */
export const raised = (causes, bands = {}) => ["alarm", "warning"].map((level) => [level, Object.keys(causes).filter((name) => causes[name] === level)])
  .filter(([, names]) => names.length).map(([level, names]) => `${level}: ${names.sort().map((name) => bands[name] ?? indicator(name)).join(", ")}`).join("; ");

const FLAGS = {
  "wrong rate": "the sender states another sampling rate", "wrong unit": "the sender states another unit",
  "wrong length": "another number of samples than set up", "not finite": "holds values that are no numbers",
  "out of range": "holds values that no sensor gives", dead: "dead: no signal at all", stuck: "stuck: long stretches of one value",
  repeated: "the same samples as before", clipped: "clipped: beyond the range of the sensor", offset: "offset: the mean is far from zero",
  gap: "bursts before it are missing", "clock ahead": "the sender's clock is ahead", "clock not set": "the sender's clock is not set",
  "standing still": "the machine stands still", "speed changing": "the machine runs up or coasts down", "speed stale": "the speed is too old", "speed not believed": "a speed that is not believed",
};

/** What is wrong with a burst. */
export const flag = (name) => FLAGS[name] ?? plain(name);

/** The class that a model gives, or that it cannot say. */
export const diagnosis = (label) => (label === null ? "cannot say" : plain(label));
