// One sensor: its state in words, and everything that can be drawn of it.

import { get, post, Refusal, sensorPath } from "./api.js";
import { ask } from "./ask.js";
import { announce, fill, h } from "./dom.js";
import { latest } from "./evidence.js";
import { History } from "./history.js";
import { LinePlot } from "./plot.js";
import { timeTicks, timeWords } from "./time_axis.js";
import { Waterfall } from "./waterfall.js";
import { bandWords, FAMILY_NAMES, indicator, number, unitOf } from "./words.js";

const HARMONICS = 4;
const TIERS = { bursts: 0, minutes: 60, hours: 3600 };
const scaled = (step, count, first = 0) => Array.from({ length: count }, (_, place) => first + place * step);

export class Sensor {
  constructor(machine, name) {
    this.path = sensorPath(machine, name);
    this.title = `${machine} / ${name}`;
    this.words = h("div", { class: "panels" });
    this.unit = "";
    this.bands = {};
    this.waveform = new LinePlot({ title: "Waveform", xTitle: "s", yTitle: "" });
    this.spectrum = new LinePlot({ title: "Spectrum", xTitle: "Hz", yTitle: "" });
    this.envelope = new LinePlot({ title: "Envelope spectrum", xTitle: "orders", yTitle: "" });
    this.trend = new LinePlot({ title: "Trend", xTitle: "", yTitle: "", sayX: timeWords(0), ticksX: timeTicks });
    this.waterfall = new Waterfall();
    this.history = new History();
    this.band = null;
    this.shown = new Set(["bpfo", "bpfi", "bsf2"]);
    this.element = h("div", {},
      h("p", { class: "path" }, h("a", { href: "#/" }, "Fleet"), " / ", h("a", { href: `#/machine/${encodeURIComponent(machine)}` }, machine), " /"),
      h("h1", {}, name), this.words, this.lines = this.lineChoice(),
      h("div", { class: "plots" }, this.waveform.element, this.withControls(this.spectrum, this.rangeChoice()),
        this.withControls(this.envelope, this.bandChoice()), this.withControls(this.trend, this.trendChoice()),
        this.waterfall.element, this.history.element),
      h("p", { class: "controls" }, h("button", { type: "button", onclick: () => this.commission(machine, name) }, "Learn the healthy machine anew")));
  }

  withControls(plot, controls) {
    plot.element.querySelector("figcaption").after(controls);
    return plot.element;
  }

  lineChoice() {
    return h("fieldset", { class: "controls" }, h("legend", {}, `Fault lines, with ${HARMONICS} harmonics`),
      Object.entries(FAMILY_NAMES).map(([family, name]) => h("label", { class: `mark-${family}` },
        h("input", {
          type: "checkbox", checked: this.shown.has(family), onchange: (event) => {
            if (event.target.checked) this.shown.add(family); else this.shown.delete(family);
            this.refresh();
          },
        }), ` ${name}`)));
  }

  rangeChoice() {
    this.upTo = h("input", { type: "number", min: 1, step: "any", onchange: () => this.refresh() });
    return h("p", { class: "controls" }, h("label", {}, "up to ", this.upTo, " Hz"));
  }

  bandChoice() {
    this.low = h("input", { type: "number", min: 0, step: "any", required: true, "aria-label": "lower edge of the band in Hz" });
    this.high = h("input", { type: "number", min: 0, step: "any", required: true, "aria-label": "upper edge of the band in Hz" });
    this.refused = h("span", { class: "trouble", role: "alert", hidden: true });
    return h("form", {
      class: "controls", onsubmit: (event) => {
        event.preventDefault();
        this.band = [Number(this.low.value), Number(this.high.value)];
        this.refresh();
      },
    }, "Band ", this.low, " to ", this.high, " Hz ", h("button", { type: "submit" }, "Apply to the latest burst"),
    h("button", { type: "button", onclick: () => { this.band = null; this.refused.hidden = true; this.refresh(); } }, "As watched"), this.refused);
  }

  trendChoice() {
    this.indicator = h("select", { "aria-label": "indicator", onchange: () => this.refresh() });
    this.tier = h("select", { "aria-label": "a point for each", onchange: () => this.refresh() },
      [["bursts", "each burst"], ["minutes", "each minute"], ["hours", "each hour"]].map(([value, name]) => h("option", { value }, name)));
    return h("p", { class: "controls" }, this.indicator, this.tier);
  }

  async refresh() {
    const banded = this.band === null ? "" : `?low_hz=${this.band[0]}&high_hz=${this.band[1]}`;
    const [sensor, waveform, spectrum, envelope, trend, waterfall] = await Promise.all([get(this.path),
      ...["waveform", "spectrum"].map((name) => get(`${this.path}/${name}`)),
      get(`${this.path}/envelope${banded}`).catch((error) => this.refuseBand(error)),
      get(`${this.path}/trend?tier=${this.tier.value}&most=1000&indicator=${this.indicator.value || "rms"}`), get(`${this.path}/waterfall`)]);
    this.unit = sensor.settings.unit;
    this.bands = bandWords(sensor.settings);
    this.lines.hidden = sensor.fault_orders === null;
    fill(this.words, latest(sensor));
    if (this.low.value === "") [this.low.value, this.high.value] = sensor.band_hz;
    this.waveform.draw({ xs: scaled(waveform.step_s, waveform.samples.length), ys: waveform.samples, yTitle: this.unit, note: `${number(waveform.duration_s)} s` });
    if (this.upTo.value === "") this.upTo.value = sensor.settings.sampling_rate_hz / 2;
    this.spectrum.draw({ high: Number(this.upTo.value), xs: scaled(spectrum.step_hz, spectrum.amplitude.length), ys: spectrum.amplitude, yTitle: `${this.unit} peak`, marks: this.marks(spectrum.lines) });
    if (envelope) this.drawEnvelope(envelope, sensor.fault_orders);
    this.drawTrend(trend, sensor.settings.silent_after_s, [...new Set([...Object.keys(sensor.result?.indicators ?? {}), ...Object.keys(trend.medians)])]);
    this.waterfall.draw(waterfall);
    this.history.draw(sensor);
  }

  refuseBand(error) {
    if (this.band === null || !(error instanceof Refusal) || error.status !== 400) throw error;
    this.refused.textContent = error.message;
    this.refused.hidden = false;
    return null;
  }

  drawEnvelope(found, orders) {
    this.refused.hidden = true;
    const highest = orders === null ? undefined : (HARMONICS + 0.6) * Math.max(orders.bpfi, orders.bpfo) * (found.in_orders ? 1 : (found.speed_rpm ?? NaN) / 60);
    this.envelope.draw({
      xs: scaled(found.step, found.amplitude.length).slice(1), ys: found.amplitude.slice(1), marks: this.marks(found.lines),
      xTitle: found.in_orders ? "orders of the shaft" : "Hz", yTitle: this.unit, high: Number.isFinite(highest) ? highest : undefined,
      note: found.band_hz ? `latest burst, ${number(found.band_hz[0])} to ${number(found.band_hz[1])} Hz` : `mean of ${found.bursts} bursts, ${number(Number(this.low.value))} to ${number(Number(this.high.value))} Hz`,
    });
  }

  marks(lines) {
    if (!lines) return [];
    return Object.entries(lines).filter(([family]) => this.shown.has(family)).flatMap(([family, rate]) =>
      scaled(rate, HARMONICS, rate).map((x, place) => ({ x, kind: family, name: `${family.toUpperCase().replace("BSF2", "2BSF")}${place ? ` ×${place + 1}` : ""}` })));
  }

  drawTrend({ entries, medians, limits, tier }, silentAfter, names) {
    const chosen = names.includes(this.indicator.value) ? this.indicator.value : "rms";
    if (names.join() !== [...this.indicator.options].map((option) => option.value).join()) {
      fill(this.indicator, names.map((name) => h("option", { value: name }, this.bands[name] ?? indicator(name))));
    }
    this.indicator.value = chosen;
    this.indicator.hidden = names.length === 0;
    this.trend.sayX = timeWords(entries.length ? entries.at(-1).start_unix_s - entries[0].start_unix_s : 0);
    const levels = [["median", medians[chosen]], ["warning", limits[chosen]?.warning], ["alarm", limits[chosen]?.alarm]];
    return this.trend.draw({
      xs: entries.map((entry) => entry.start_unix_s), ys: entries.map((entry) => entry.means[chosen] ?? null), yTitle: [this.bands[chosen] ?? indicator(chosen), unitOf(chosen, this.unit)].filter(Boolean).join(" in "),
      levels: levels.filter(([, y]) => y !== undefined && y !== null).map(([name, y]) => ({ y, name, kind: name })), note: `${entries.length} ${tier}`,
      gap: silentAfter + 2 * TIERS[tier],
    });
  }

  async commission(machine, name) {
    const done = await ask({
      title: `Learn ${machine} / ${name} anew?`, text: "What was learned of the healthy machine is forgotten. Do this after a repair.",
      verb: "Learn anew", act: () => post(`${this.path}/commission`),
    });
    if (done !== null) announce("The machine is being learned anew.");
    await this.refresh();
  }
}
