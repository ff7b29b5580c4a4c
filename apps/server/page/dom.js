/**
 * Making elements. Text goes in as text nodes only: what models, tools and users write can't become markup.
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An HTML element. A property that is a function is an event listener; `false`, `null` and `undefined` leave an
 * attribute away.
 *
 * @param {string} name
 * @param {Record<string, any>} [properties]
 * @param {...(Node | string)} children Strings become text.
 * @returns {any} The element, of whatever kind the name says.
 */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else setAttribute(made, key, value);
  }
  made.append(...children);
  return made;
}

/**
 * A button.
 *
 * @param {string} kind Its class.
 * @param {() => void} click
 * @param {...(Node | string)} children
 * @returns {HTMLButtonElement}
 */
export function button(kind, click, ...children) {
  return element("button", { type: "button", class: kind, click: () => click() }, ...children);
}

/**
 * A button that closes something.
 *
 * @param {string} label
 * @param {() => void} click
 */
export function closeButton(label, click) {
  const made = button("icon-button", click, icon("close"));
  made.ariaLabel = label;
  return made;
}

/**
 * An SVG element.
 *
 * @param {string} name
 * @param {Record<string, any>} [attributes]
 * @param {...Node} children
 * @returns {any}
 */
export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) setAttribute(made, key, value);
  made.append(...children);
  return made;
}

/**
 * An icon: one of the symbols in index.html. Use `setIcon` to change it.
 *
 * @param {string} name
 * @returns {SVGSVGElement}
 */
export function icon(name) {
  const use = svg("use", { href: `#icon-${name}` });
  return svg("svg", { class: "icon", "data-icon": name, viewBox: "0 0 16 16", "aria-hidden": "true" }, use);
}

/**
 * @param {SVGSVGElement} made
 * @param {string} name
 */
export function setIcon(made, name) {
  if (made.dataset.icon === name) return;
  made.dataset.icon = name;
  made.firstElementChild?.setAttribute("href", `#icon-${name}`);
}

/**
 * Change an element's text if it is another one, so that nothing is laid out or read aloud again for nothing.
 *
 * @param {Element} changed
 * @param {string} text
 */
export function setText(changed, text) {
  if (changed.textContent !== text) changed.textContent = text;
}

const pen = document.createElement("canvas").getContext("2d");

/**
 * @param {string} text
 * @param {string} font As in CSS, without the family: that is the page's.
 * @returns {number} How wide the text is, in px.
 */
export function widthOf(text, font) {
  if (!pen) return 0;
  pen.font = `${font} ${getComputedStyle(document.body).fontFamily}`;
  return Math.ceil(pen.measureText(text).width);
}

/**
 * Set an attribute; `false`, `null` and `undefined` take it away, `true` makes it empty.
 *
 * @param {Element} changed
 * @param {string} name
 * @param {string | number | boolean | null | undefined} value
 */
export function setAttribute(changed, name, value) {
  if (value === false || value === null || value === undefined) changed.removeAttribute(name);
  else if (changed.getAttribute(name) !== String(value === true ? "" : value)) {
    changed.setAttribute(name, String(value === true ? "" : value));
  }
}
