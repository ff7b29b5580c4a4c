/** The graph of a plan: a node for each task, in layers from left to right, which grows while the plan is written. */

import { element, icon, setAttribute, setIcon, setText, svg, widthOf } from "./dom.js";
import { layout } from "./layout.js";
import { byArrows } from "./roving.js";
import { shortState, spoken } from "./states.js";
import { needsOf, settled, spanOf, stateOf, titleOf, unitsOf } from "./units.js";

/** @typedef {import("./run.js").Run} Run */
/** @typedef {import("./run.js").Round} Round */
/** @typedef {import("./units.js").Unit} Unit */

const PADDING = 16;
const CROWDED = 24; // nodes, from which on they are small
const NARROW = 560; // px
/**
 * How large nodes are and how far apart, in px; `frame` is what is beside the texts. They are made as wide as lets all
 * layers fit, and never so narrow that a tool's name doesn't, if it is shorter than `most`.
 */
const SIZES = {
  wide: { least: 120, most: 240, height: 50, across: 52, down: 12, frame: 52, font: 13 },
  narrow: { least: 88, most: 180, height: 48, across: 20, down: 10, frame: 41, font: 13 },
  crowded: { least: 120, most: 240, height: 28, across: 40, down: 6, frame: 52, font: 12 },
};

export class GraphView {
  /** @type {Map<string, HTMLElement>} */
  #nodes = new Map();
  #shape = "";
  #newest = ""; // the key of what has started last
  #following = true; // what runs, as long as the reader does not scroll
  #left = 0;
  #top = 0;
  #edges = svg("svg", { class: "edges", "aria-hidden": "true" });
  #canvas = element("div", { class: "canvas" }, this.#edges);

  /**
   * @param {Run} run
   * @param {Round} round
   * @param {string} label
   * @param {(key: string) => void} select Called with the key of a unit.
   */
  constructor(run, round, label, select) {
    this.run = run;
    this.round = round;
    this.select = select;
    const scroll = () => this.#noteScroll();
    this.root = element("div", { class: "graph", role: "group", "aria-label": label, scroll }, this.#canvas);
    byArrows(this.root, "button");
  }

  /** @param {string | undefined} selected The key of the unit whose details are shown. */
  update(selected) {
    const units = unitsOf(this.round.tasks);
    const needs = needsOf(units);
    this.#arrange(units, needs);
    for (const unit of units) this.#draw(unit, needs.get(unit) ?? [], selected);
    for (const edge of this.#edges.children) {
      const source = units.find((unit) => unit.key === edge.dataset.from);
      edge.dataset.state = source ? stateOf(source) : "planned";
    }
    this.#follow(units);
  }

  #noteScroll() {
    const { scrollLeft, scrollTop } = this.root;
    if (Math.abs(scrollLeft - this.#left) > 1 || Math.abs(scrollTop - this.#top) > 1) this.#following = false;
  }

  /**
   * Keep what has started last in sight.
   *
   * @param {Unit[]} units
   */
  #follow(units) {
    const begun = (/** @type {Unit} */ unit) => spanOf(unit).started ?? 0;
    const running = units.filter((unit) => stateOf(unit) === "running").sort((one, other) => begun(other) - begun(one));
    if (!this.#following || !running.length || running[0].key === this.#newest) return;
    this.#newest = running[0].key;
    const node = /** @type {HTMLElement} */ (this.#nodes.get(this.#newest));
    const { left, top, width, height } = node.style;
    const { root } = this;
    root.scrollLeft = inSight(root.scrollLeft, root.clientWidth, parseFloat(left), parseFloat(width));
    root.scrollTop = inSight(root.scrollTop, root.clientHeight, parseFloat(top), parseFloat(height));
    this.#left = root.scrollLeft;
    this.#top = root.scrollTop;
  }

  /**
   * Place nodes and edges, if there are others than before or the width is another one.
   *
   * @param {Unit[]} units
   * @param {Map<Unit, Unit[]>} needs
   */
  #arrange(units, needs) {
    const room = this.root.clientWidth;
    const kind = units.length > CROWDED ? "crowded" : room < NARROW ? "narrow" : "wide";
    const names = new Map(units.map((unit) => [unit.key, (needs.get(unit) ?? []).map((other) => other.key)]));
    const shape = JSON.stringify([kind, room, units.map(titleOf), ...names]);
    if (shape === this.#shape) return;
    this.#shape = shape;

    const { places, edges, layers, rows } = layout([...names.keys()], names);
    const { least, most, height, across, down, frame, font } = SIZES[kind];
    const titles = units.map((unit) => widthOf(unit.label, `${font}px`) + widthOf(titleOf(unit), `600 ${font}px`));
    const title = frame + Math.max(0, ...titles);
    const full = title + 6 + widthOf("paused", "12px");
    const fitting = Math.floor((room - 2 * PADDING + across) / layers) - across;
    const width = Math.min(Math.max(least, kind === "crowded" ? full : title, fitting), most);
    this.root.dataset.lines = width < full && kind !== "crowded" ? "two" : "one";
    const left = (/** @type {number} */ layer) => PADDING + layer * (width + across);
    const middle = (/** @type {number} */ row) => PADDING + row * (height + down) - down / 2;
    const size = {
      width: 2 * PADDING + Math.max(0, layers * (width + across) - across),
      height: 2 * PADDING + Math.max(0, rows * (height + down) - down),
    };
    this.root.dataset.kind = kind;
    this.#canvas.style.width = `${size.width}px`;
    this.#canvas.style.height = `${size.height}px`;
    setAttribute(this.#edges, "viewBox", `0 0 ${size.width} ${size.height}`);

    for (const [key, node] of this.#nodes) {
      if (names.has(key)) continue;
      node.remove();
      this.#nodes.delete(key);
    }
    for (const [index, unit] of units.entries()) {
      const { layer, row } = /** @type {import("./layout.js").Place} */ (places.get(unit.key));
      const node = this.#nodes.get(unit.key) ?? this.#add(unit, index);
      Object.assign(node.style, {
        left: `${left(layer)}px`,
        top: `${middle(row) - height / 2}px`,
        width: `${width}px`,
        height: `${height}px`,
      });
    }
    this.#edges.replaceChildren(
      ...edges.map(({ from, to, through }) => {
        const start = /** @type {import("./layout.js").Place} */ (places.get(from));
        const end = /** @type {import("./layout.js").Place} */ (places.get(to));
        const points = [[left(start.layer) + width, middle(start.row)]];
        for (const { layer, row } of through)
          points.push([left(layer), middle(row)], [left(layer) + width, middle(row)]);
        points.push([left(end.layer) - 2, middle(end.row)]);
        const path = svg("path", { d: curve(points) });
        path.dataset.from = from;
        return path;
      }),
    );
  }

  /**
   * @param {Unit} unit
   * @param {number} index Its place among the units; those before it have their nodes.
   */
  #add(unit, index) {
    const node = element(
      "button",
      { type: "button", class: "node", "data-key": unit.key, click: () => this.select(unit.key) },
      icon("planned"),
      element("span", { class: "number" }, unit.label),
      element("span", { class: "tool" }),
      element("span", { class: "foot" }, element("span", { class: "state" }), element("span", { class: "preview" })),
    );
    this.#nodes.set(unit.key, node);
    this.#canvas.insertBefore(node, this.#canvas.children[index + 1] ?? null);
    return node;
  }

  /**
   * @param {Unit} unit
   * @param {Unit[]} needs
   * @param {string | undefined} selected
   */
  #draw(unit, needs, selected) {
    const node = /** @type {any} */ (this.#nodes.get(unit.key));
    const [symbol, , tool, foot] = node.children;
    const [state, args] = foot.children;
    const now = stateOf(unit);
    const many = unit.tasks.length > 1;
    const [task] = unit.tasks;
    node.dataset.state = now;
    setIcon(symbol, now);
    setText(tool, titleOf(unit));
    setText(state, many ? `${settled(unit)}/${unit.tasks.length}` : shortState(this.run, task));
    setText(args, task.given);
    const after = needs.length && now === "planned" ? `, needs ${needs.map((one) => one.label).join(", ")}` : "";
    setAttribute(node, "aria-label", spoken(unit) + after);
    setAttribute(node, "aria-expanded", unit.key === selected ? "true" : "false");
  }
}

/**
 * @param {number} position As far as it is scrolled.
 * @param {number} room What can be seen from there.
 * @param {number} start Of what is to be seen.
 * @param {number} size
 * @returns {number} The nearest position from which all of it can be seen.
 */
function inSight(position, room, start, size) {
  return Math.max(Math.min(position, start - PADDING), start + size + PADDING - room);
}

/**
 * A smooth line from left to right: level at every point, with an arrow's head at its end.
 *
 * @param {number[][]} points
 * @returns {string}
 */
function curve(points) {
  let path = `M${points[0][0]},${points[0][1]}`;
  for (let index = 1; index < points.length; index++) {
    const [[x, y], [toX, toY]] = [points[index - 1], points[index]];
    const bend = Math.max(16, Math.abs(toX - x) / 2);
    path += index % 2 ? `C${x + bend},${y} ${toX - bend},${toY} ${toX},${toY}` : `L${toX},${toY}`;
  }
  const [x, y] = points[points.length - 1];
  return `${path}M${x - 5},${y - 4}L${x},${y}L${x - 5},${y + 4}`;
}
