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
  const parts = share < 1 ? Math.min(100 * share, 99.9) : 100 * share;
  return `${parts.toFixed(share < 0.1 || (parts >= 99 && share < 1) ? 1 : 0)} %`;
}
export const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(bytes < 10 * 2 ** 20 ? 1 : 0)} MiB`;
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

/** What is raised, the worst first. */
export const raised = (causes) => Object.entries(causes)
  .sort(([one, low], [other, high]) => (low < high ? -1 : low > high ? 1 : one < other ? -1 : 1)) // "alarm" before "warning"
  .map(([name, level]) => `${plain(name)} (${level})`).join(", ");

/** The class that a model gives, or that it cannot say. */
export const diagnosis = (label) => (label === null ? "cannot say" : plain(label));
