// Elements made from code: text is always text, never markup.

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "path", "line", "rect", "text", "g", "title"]);

/** Make an element. Properties that start with "on" are listeners; null, undefined and false leave one out. */
export function h(tag, properties = {}, ...children) {
  const element = DRAWN.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else if (name === "checked") element.checked = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/**
 * Replace what an element holds, unless it would look the same; the focus stays where it was. Nothing is replaced
 * under a finger or a pressed mouse: what is let go over another element than it was pressed on is no click.
 */
export function fill(element, ...children) {
  if (element.matches(":active")) return;
  const next = element.cloneNode(false);
  next.append(...children.flat().filter(Boolean));
  if (next.innerHTML === element.innerHTML) return;
  const held = element.contains(document.activeElement) ? document.activeElement : null;
  const alike = () => [...element.querySelectorAll(held.tagName)].filter((other) => other.textContent === held.textContent);
  const place = held ? alike().indexOf(held) : -1;
  element.replaceChildren(...next.childNodes);
  if (held) (alike()[place] ?? document.getElementById("content")).focus({ preventScroll: true }); // what is gone holds no focus
}

/** A table with a caption for those who do not see the page. */
export function table(caption, heads, rows) {
  return h("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: 0 },
    h("table", {},
      h("caption", { class: "visually-hidden" }, caption),
      h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell, place) =>
        place === 0 ? h("th", { scope: "row" }, cell) : h("td", {}, cell)))))));
}

/** Pairs of name and value. */
export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.map(([name, value]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** Say something to a screen reader. */
export function announce(text) {
  document.getElementById("announce").textContent = text;
}
