// A dialog with some fields; what the agent refuses is told in it, and the dialog stays.

import { hasToken, keepToken, Refusal } from "./api.js";
import { h } from "./dom.js";

let fieldNumber = 0;

function fieldOf({ name, label, value = "", required = false, most = 200, isLong = false, isSecret = false }) {
  const id = `field-${fieldNumber++}`;
  const input = h(isLong ? "textarea" : "input", {
    id, name, value, required, maxlength: most, type: isLong ? null : isSecret ? "password" : "text",
    autocomplete: isSecret ? "current-password" : "off",
  });
  return h("p", {}, h("label", { for: id }, label), input);
}

/**
 * Ask, act, and return what was filled in; null if nothing was done. Where no token is known, it is asked for too.
 * @param {{title: string, text?: string, fields?: object[], verb: string, withToken?: boolean,
 *   act: (form: object) => Promise<unknown>}} given
 */
export function ask({ title, text = "", fields = [], verb, act, withToken = !hasToken() }) {
  const token = { name: "token", label: "Token of the agent", required: true, isSecret: true };
  const entries = h("div", {}, fields.map(fieldOf), withToken ? fieldOf(token) : null);
  const trouble = h("p", { class: "trouble", role: "alert", hidden: true });
  const go = h("button", { type: "submit", class: "main" }, verb);
  const form = h("form", {}, h("h2", { id: "ask-title" }, title), text ? h("p", {}, text) : null, entries, trouble,
    h("p", { class: "controls" }, go, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel")));
  const dialog = h("dialog", { "aria-labelledby": "ask-title" }, form);
  document.body.append(dialog);
  return new Promise((resolve) => {
    let answer = null;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const { token: given, ...found } = Object.fromEntries(new FormData(form));
      if (given !== undefined) keepToken(given);
      go.disabled = true;
      try {
        await act(found);
        answer = found;
        dialog.close();
      } catch (error) {
        const isToken = error instanceof Refusal && error.status === 401;
        trouble.textContent = isToken ? (given === undefined ? "The agent asks for its token." : "That is not the token of the agent.") : error.message;
        trouble.hidden = false;
        if (isToken && !form.elements.namedItem("token")) entries.append(fieldOf(token));
      } finally {
        go.disabled = false;
      }
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    dialog.showModal();
  });
}
