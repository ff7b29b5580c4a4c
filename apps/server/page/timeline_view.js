/** The timeline of a run: a row and a bar in time for each plan, task and join, growing with the clock. */

import { element, icon, setAttribute, setIcon, setText } from "./dom.js";
import { seconds } from "./format.js";
import { byArrows } from "./roving.js";
import { clock, spoken } from "./states.js";
import { settled, spanOf, stateOf, titleOf, unitsOf } from "./units.js";

/** @typedef {import("./run.js").Run} Run */
/** @typedef {import("./run.js").Step} Step */
/** @typedef {import("./units.js").Unit} Unit */

const STEPS = [1, 2, 5];
const CROWDED = 24; // rows, from which on they are low
const WORD = 48; // px that a mark needs to either side

/**
 * @typedef {object} Row
 * @property {string} key
 * @property {Unit} [unit] Of a row that stands for tasks.
 * @property {string} label
 * @property {string} text
 * @property {string} state
 * @property {number} [planned]
 * @property {number} [started]
 * @property {number} [finished]
 */

export class TimelineView {
  /** @type {Map<string, HTMLElement>} */
  #rows = new Map();
  #axis = element("div", { class: "axis", "aria-hidden": "true" });
  #grid = element("div", { class: "grid", "aria-hidden": "true" });
  #list = element("div", { class: "rows" });
  #ticks = "";
  #order = "";

  /**
   * @param {Run} run
   * @param {(key: string) => void} select Called with the key of a unit.
   */
  constructor(run, select) {
    this.run = run;
    this.select = select;
    this.root = element("div", { class: "timeline", role: "group", "aria-label": "Timeline" });
    this.root.append(this.#axis, element("div", { class: "plot" }, this.#grid, this.#list));
    byArrows(this.root, "button");
  }

  /** @param {string | undefined} selected The key of the unit whose details are shown. */
  update(selected) {
    const rows = this.#rowsOf();
    const order = rows.map((row) => row.key).join();
    for (const row of rows) if (!this.#rows.has(row.key)) this.#rows.set(row.key, this.#add(row));
    if (order !== this.#order) {
      this.#order = order;
      this.#keepOrder(rows);
      this.root.dataset.kind = rows.length > CROWDED ? "crowded" : "roomy";
    }
    const total = this.#drawAxis();
    for (const row of rows) this.#draw(row, total, selected);
  }

  /** @returns {Row[]} */
  #rowsOf() {
    const several = this.run.rounds.length > 1;
    return this.run.rounds.flatMap((round, index) => {
      const suffix = several ? ` ${index + 1}` : "";
      const units = unitsOf(round.tasks).map((unit) => ({
        key: unit.key,
        unit,
        label: unit.label,
        text: titleOf(unit),
        state: stateOf(unit),
        ...spanOf(unit),
      }));
      return [
        ...rowOfModel(`plan ${index}`, `plan${suffix}`, round.plan),
        ...units,
        ...rowOfModel(`join ${index}`, `join${suffix}`, round.join),
      ];
    });
  }

  /**
   * Elements are moved only where they must be: a button that is moved loses the focus.
   *
   * @param {Row[]} rows
   */
  #keepOrder(rows) {
    const keys = new Set(rows.map((row) => row.key));
    for (const [key, made] of this.#rows) {
      if (keys.has(key)) continue;
      made.remove();
      this.#rows.delete(key);
    }
    rows.forEach((row, index) => {
      const made = /** @type {HTMLElement} */ (this.#rows.get(row.key));
      if (this.#list.children[index] !== made) this.#list.insertBefore(made, this.#list.children[index] ?? null);
    });
  }

  /** @returns {number} How many seconds the axis has. */
  #drawAxis() {
    const { run } = this;
    const now = run.elapsed();
    const total = run.ended ? Math.max(now, 0.001) : roomFor(now);
    const step = stepOf(total, this.root.clientWidth < 560 ? 3 : 6);
    const pauses = run.pauses.map((pause) => run.elapsed(pause.from));
    const key = JSON.stringify([total, step, pauses]);
    if (key === this.#ticks) return total;
    this.#ticks = key;
    /** @type {[string, number, string][]} */
    const marks = [];
    const width = this.#axis.clientWidth;
    for (let tick = 0; tick <= total; tick += step) {
      const covered = pauses.some((pause) => (Math.abs(pause - tick) / total) * width < WORD);
      marks.push(["tick", tick / total, covered ? "" : `${Number(tick.toFixed(4))} s`]);
    }
    for (const pause of pauses) marks.push(["pause", pause / total, "pause"]);
    this.#axis.replaceChildren(...marks.map(([kind, share, text]) => mark(kind, share, text)));
    this.#grid.replaceChildren(...marks.map(([kind, share]) => mark(kind, share, "")));
    return total;
  }

  /** @param {Row} row */
  #add(row) {
    const { unit } = row;
    const inner = [
      icon("planned"),
      element("span", { class: "label" }, element("span", { class: "number" }), element("span", { class: "tool" })),
      element("span", { class: "track" }, element("span", { class: "wait" }), element("span", { class: "bar" })),
      element("span", { class: "took" }),
    ];
    if (!unit) return element("div", { class: "row of-model" }, ...inner);
    const click = () => this.select(unit.key);
    return element("button", { type: "button", class: "row", "data-key": unit.key, click }, ...inner);
  }

  /**
   * @param {Row} row
   * @param {number} total
   * @param {string | undefined} selected
   */
  #draw(row, total, selected) {
    const { run } = this;
    const made = /** @type {HTMLElement} */ (this.#rows.get(row.key));
    const [symbol, label, track, took] = /** @type {any} */ (made.children);
    const [wait, bar] = track.children;
    made.dataset.state = row.state;
    setIcon(symbol, row.state);
    setText(label.children[0], row.unit ? row.label : "");
    setText(label.children[1], row.text);

    const start = row.started === undefined ? undefined : run.elapsed(row.started);
    const end = run.elapsed(row.finished);
    stretch(bar, start, end, total);
    const waited = row.planned === undefined ? undefined : run.elapsed(row.planned);
    stretch(wait, waited, start ?? end, total);
    const lasted = start === undefined ? undefined : end - start;
    const reused = row.unit?.tasks.every((task) => task.reused);
    const missing = reused ? "reused" : "";
    setText(took, lasted === undefined ? missing : row.finished === undefined ? clock(lasted) : seconds(lasted));
    if (!row.unit) return;
    const when = start === undefined ? "" : `, from ${clock(start)}${row.finished ? ` to ${clock(end)}` : ""}`;
    setAttribute(made, "title", row.unit.tasks.length > 1 ? `${settled(row.unit)} of ${row.unit.tasks.length}` : row.unit.tasks[0].given);
    setAttribute(made, "aria-label", spoken(row.unit) + (row.finished || !start ? when : ""));
    setAttribute(made, "aria-expanded", row.key === selected ? "true" : "false");
  }
}

/**
 * The row of a plan or a join, once it has begun.
 *
 * @param {string} key
 * @param {string} text
 * @param {Step} step
 * @returns {Row[]}
 */
function rowOfModel(key, text, { started, finished, broken }) {
  if (started === undefined) return [];
  return [{ key, label: "", text, state: broken ?? (finished === undefined ? "running" : "done"), started, finished }];
}

/**
 * @param {HTMLElement} bar
 * @param {number | undefined} from
 * @param {number} to
 * @param {number} total
 */
function stretch(bar, from, to, total) {
  bar.hidden = from === undefined;
  if (from === undefined) return;
  bar.style.left = `${(100 * from) / total}%`;
  bar.style.width = `${(100 * Math.max(0, to - from)) / total}%`;
}

/**
 * @param {string} kind
 * @param {number} share
 * @param {string} text
 */
function mark(kind, share, text) {
  const made = element("span", { class: kind }, text);
  made.style.left = `${100 * share}%`;
  return made;
}

/**
 * The least round number of seconds above the time gone by, so that the scale changes seldom.
 *
 * @param {number} gone
 * @returns {number}
 */
function roomFor(gone) {
  const least = Math.max(0.5, gone * 1.05);
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 1.5, 2, 3, 5, 7.5, 10].find((factor) => factor * power >= least) ?? 10);
}

/**
 * @param {number} total
 * @param {number} most
 * @returns {number} Seconds between two ticks.
 */
function stepOf(total, most) {
  for (let power = 0.001; ; power *= 10) {
    const step = STEPS.find((factor) => total / (factor * power) <= most);
    if (step) return step * power;
  }
}
