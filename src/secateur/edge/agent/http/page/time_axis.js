// Times on an axis: round by the reader's clock, and with a date where the axis is longer than a day.

const DAY = 86400;
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200,
  DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 91 * DAY, 182 * DAY, 365 * DAY];

/** Round times between two, at most about as many as asked for. */
export function timeTicks(low, high, count) {
  const step = STEPS.find((size) => size >= (high - low) / count) ?? STEPS.at(-1) * Math.ceil((high - low) / count / STEPS.at(-1));
  const ahead = 60 * new Date(1000 * low).getTimezoneOffset(); // of the reader's clock
  const found = [];
  for (let at = Math.ceil((low - ahead) / step) * step + ahead; at <= high; at += step) found.push(at);
  return found;
}

/** Say a time as shortly as an axis of that many seconds allows. */
export function timeWords(span) {
  const clock = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }, date = { month: "short", day: "numeric" };
  const parts = span < DAY ? { ...clock, second: "2-digit" } : span < 30 * DAY ? { ...date, ...clock } : { ...date, year: "numeric" };
  return (unixSeconds) => new Date(1000 * unixSeconds).toLocaleString([], parts);
}
