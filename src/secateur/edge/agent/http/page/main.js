// The page: which view is shown, and when it asks again.

import { AgentView } from "./agent.js";
import { Alarms, latestAlarms } from "./alarms.js";
import { get, Refusal } from "./api.js";
import { ask } from "./ask.js";
import { announce } from "./dom.js";
import { Fleet, Machine } from "./fleet.js";
import { Models } from "./models.js";
import { Sensor } from "./sensor.js";
import { duration } from "./words.js";

// Asked now and then, and not told: a browser has six connections to an address for all its tabs, and a
// stream of events would hold one in each.
const EVERY_MS = 3000;
const element = (id) => document.getElementById(id);
const OWN_SENSOR = "outbox"; // the agent's alarms about itself name it as a machine with this sensor
let agentName = null, view = null, isBusy = false, lastAskedMs = 0, lastAnsweredMs = Date.now(), knownAlarms = null;

function decoded(parts) {
  try {
    return parts.map(decodeURIComponent);
  } catch { // an address that is none: the fleet
    return [];
  }
}

function viewOf(hash) {
  const [kind = "", ...names] = decoded(hash.slice(2).split("/"));
  if (kind === "machine" && names[0] === agentName && names[1] === OWN_SENSOR) return new AgentView();
  if (kind === "alarms") return new Alarms();
  if (kind === "models") return new Models();
  if (kind === "agent") return new AgentView();
  if (kind === "machine" && names.length === 2) return new Sensor(...names);
  if (kind === "machine" && names.length === 1) return new Machine(names[0], new Alarms(names[0]));
  return new Fleet();
}

function show(isFirst = false) {
  view = viewOf(location.hash);
  document.title = `${view.title} – secateur agent`;
  element("content").replaceChildren(view.element);
  for (const link of document.querySelectorAll("nav a")) {
    link.toggleAttribute("aria-current", false);
    if (link.getAttribute("href") === (location.hash || "#/")) link.setAttribute("aria-current", "page");
  }
  if (!isFirst) {
    window.scrollTo(0, 0);
    element("content").focus({ preventScroll: true });
    announce(view.title);
  }
  refresh();
}

async function refresh() {
  if (isBusy) return;
  [isBusy, lastAskedMs] = [true, Date.now()];
  const asked = view;
  try {
    const [alarms] = await Promise.all([latestAlarms({ open: true }), asked.refresh()]);
    countAlarms(alarms);
    sayAlarms(alarms.alarms);
    lastAnsweredMs = Date.now();
    tell("");
  } catch (error) {
    tell(error instanceof Refusal ? (error.status === 401 ? "The agent shows this only with its token." : error.message)
      : `No connection to the agent for ${duration((Date.now() - lastAnsweredMs) / 1000)}; what is shown is old.`);
    if (error instanceof Refusal && error.status === 401) askForToken();
  } finally {
    isBusy = false;
    if (asked !== view) refresh();
  }
}

function tell(text) {
  const trouble = element("trouble");
  if (trouble.textContent !== text) trouble.textContent = text;
  trouble.hidden = text === "";
  element("content").classList.toggle("old", text !== "");
  element("link-state").textContent = text === "" ? "live" : "not live";
  element("link-state").classList.toggle("lost", text !== "");
}

function countAlarms({ alarms, more }) {
  const unseen = alarms.filter((alarm) => alarm.acknowledged_unix_s === null).length;
  element("alarm-count").hidden = unseen === 0;
  element("alarm-count").textContent = more ? `${unseen}+` : unseen;
}

/** Say aloud what is new since the last look, or has another level. */
function sayAlarms(alarms) {
  const found = new Map(alarms.map(({ id, machine, sensor, level, open }) => [`${id} ${level} ${open}`, `${open ? "Alarm" : "Alarm ended"}: ${machine} / ${sensor}, ${level}`]));
  const fresh = knownAlarms === null ? [] : [...found].filter(([key]) => !knownAlarms.has(key));
  if (fresh.length) announce(fresh.map(([, words]) => words).join("; "));
  knownAlarms = new Set(found.keys());
}

let asksForToken = false;
async function askForToken() {
  if (asksForToken) return;
  asksForToken = true;
  await ask({ title: "Token", text: "It is kept until this tab is closed.", verb: "Use it", withToken: true,
    act: () => get("/api/fleet") });
  asksForToken = false;
  refresh();
}

function setTheme(theme) {
  localStorage.setItem("theme", theme);
  document.documentElement.dataset.theme = theme;
  element("theme").textContent = `Theme: ${theme}`;
}

const THEMES = ["auto", "light", "dark"];
setTheme(THEMES.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "auto");
element("theme").onclick = () => setTheme(THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length]);
element("token").onclick = askForToken;
element("skip").onclick = () => element("content").focus();
window.addEventListener("hashchange", () => show());
setInterval(() => {
  if (!document.hidden && Date.now() - lastAskedMs >= EVERY_MS) refresh();
}, 250);
show(true);
get("/api/status").then((found) => { agentName = element("brand").textContent = found.agent; }, () => {});
