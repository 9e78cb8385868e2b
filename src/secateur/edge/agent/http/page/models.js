// Bundles: which version answers, which runs beside it, and what can be put to work.

import { get, post } from "./api.js";
import { ask } from "./ask.js";
import { announce, facts, fill, h } from "./dom.js";
import { number, percent } from "./words.js";

function described(version) {
  return facts([
    ["version", version.version], ["classes", version.labels.join(", ")],
    ["parameters", version.parameters?.toLocaleString() ?? "–"], ["window", `${number(version.window_s)} s`],
    ["format", `${version.format}, ${version.precision}`], ["signature", version.signature],
    ["fit for use", version.fit_for_use === null ? "no verdict" : version.fit_for_use ? "yes" : "no"],
  ]);
}

export class Models {
  constructor() {
    this.title = "Models";
    this.list = h("div", {});
    this.file = h("input", { type: "file", id: "bundle-file", accept: ".sct" });
    this.install = h("p", { class: "controls" }, h("label", { for: "bundle-file" }, "Signed bundle (.sct) "), this.file,
      h("button", { type: "button", onclick: () => this.send() }, "Install"));
    this.element = h("div", {}, h("h1", {}, "Models"), this.list, h("h2", {}, "Install"), this.install);
  }

  async refresh() {
    const found = await get("/api/models");
    fill(this.list, found.models.length ? found.models.map((entry) => this.slot(entry)) : h("p", {}, "No sensor names a bundle."),
      found.unused.length ? h("p", {}, `Installed but not named by a sensor: ${found.unused.map((entry) => entry.name).join(", ")}`) : null);
    const closed = found.installable ? null : h("p", {}, "The configuration names no key in models.trusted_keys, so nothing can be installed here.");
    if (closed) fill(this.install, closed);
  }

  slot(entry) {
    const others = entry.versions.filter((version) => version !== entry.active?.version);
    return h("section", { class: "card" }, h("h2", {}, entry.name),
      entry.trouble ? h("p", { class: "trouble" }, entry.trouble) : null,
      entry.active ? [h("h3", {}, "At work"), described(entry.active)] : null,
      entry.shadow ? [h("h3", {}, "In the shadow"), described(entry.shadow),
        h("p", {}, `says the same in ${percent(entry.shadow.agreement)} of ${entry.shadow.bursts} bursts (${entry.shadow.bursts_needed} wanted); answers in ${percent(entry.shadow.answered)}, the one at work in ${percent(entry.shadow.active_answered)}; ${entry.shadow.failures} failures`)] : null,
      others.length ? [h("h3", {}, "Other versions"), h("ul", {}, others.map((version) =>
        h("li", {}, `${version} ${version === entry.former ? "(former) " : ""}`,
          h("button", { type: "button", onclick: () => this.change(entry.name, "activate", { version }) }, `Activate ${version}`))))] : null,
      entry.former ? h("p", { class: "controls" }, h("button", { type: "button", onclick: () => this.change(entry.name, "roll_back", {}) }, "Roll back")) : null,
      entry.rolled_back.length ? h("p", {}, `Rolled back: ${entry.rolled_back.join("; ")}`) : null);
  }

  async change(name, what, form) {
    const done = await ask({
      title: what === "activate" ? `Put version ${form.version} of ${name} to work?` : `Go back to the former version of ${name}?`,
      verb: what === "activate" ? "Activate" : "Roll back",
      act: () => post(`/api/models/${encodeURIComponent(name)}/${what}`, form),
    });
    if (done !== null) announce("Done.");
    await this.refresh();
  }

  async send() {
    const [file] = this.file.files;
    if (!file) return announce("Choose a file first.");
    const done = await ask({ title: `Install ${file.name}?`, verb: "Install", act: () => post("/api/models", file) });
    if (done !== null) announce("The bundle is installed.");
    return this.refresh();
  }
}
