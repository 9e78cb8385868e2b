// Requests to the agent.

const ANSWERED_WITHIN_MS = 15_000;

let token = sessionStorage.getItem("token") ?? "";

export const hasToken = () => token !== "";

/** Keep the token until the tab is closed. */
export function keepToken(text) {
  token = text.trim();
  sessionStorage.setItem("token", token);
}

const headers = () => (token ? { Authorization: `Bearer ${token}` } : {});

/** An answer that is no success; its message is the agent's own. */
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function answerOf(response) {
  if (response.ok) return response;
  let message = `the agent answered ${response.status}.`;
  try {
    message = (await response.json()).error ?? message;
  } catch { /* no JSON: the status says enough */ }
  throw new Refusal(response.status, message);
}

/** Path of a sensor in the interface. */
export const sensorPath = (machine, sensor) =>
  `/api/machines/${encodeURIComponent(machine)}/sensors/${encodeURIComponent(sensor)}`;

/** Give up what is not answered in time: a cable that was pulled refuses nothing, and old values would look live. */
async function within(path, options = {}, time = ANSWERED_WITHIN_MS) {
  const signal = time === null ? undefined : AbortSignal.timeout(time);
  try {
    return await answerOf(await fetch(path, { headers: headers(), signal, ...options }));
  } catch (error) {
    throw error.name === "TimeoutError" ? new Error("The agent does not answer.") : error;
  }
}

export async function get(path) {
  return (await within(path)).json();
}

/** Change something: a JSON object, or a file as it is. */
export async function post(path, body = {}) {
  const isFile = body instanceof Blob;
  const type = isFile ? "application/octet-stream" : "application/json";
  const content = isFile ? body : JSON.stringify(body);
  const sent = { method: "POST", headers: { ...headers(), "Content-Type": type }, body: content };
  return (await within(path, sent, isFile ? null : ANSWERED_WITHIN_MS)).json();
}

/** Save a table that an address gives as a file; the token goes with it. */
export async function download(path, name) {
  const table = await (await answerOf(await fetch(path, { headers: headers() }))).blob();
  const content = new Blob(["\ufeff", table], { type: "text/csv" }); // the mark by which Excel knows UTF-8
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
