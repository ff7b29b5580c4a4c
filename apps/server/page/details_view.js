/** What is known of the task that was chosen: its arguments, and its result or why there is none. */

import { closeButton, element, icon } from "./dom.js";
import { inFull, inline, readable, seconds } from "./format.js";
import { stateOf, titleOf } from "./units.js";

/** @typedef {import("./run.js").Run} Run */
/** @typedef {import("./run.js").Task} Task */
/** @typedef {import("./units.js").Unit} Unit */

export class DetailsView {
  #shown = "";
  #content = element("div", { class: "content" });

  /**
   * @param {Run} run
   * @param {(key: string) => void} select Called with the key of a task.
   * @param {() => void} close
   */
  constructor(run, select, close) {
    this.run = run;
    this.select = select;
    this.close = close;
    this.root = element(
      "section",
      { class: "details", "aria-label": "Details of the task", "aria-live": "polite" },
      this.#content,
    );
  }

  /** @param {Unit | undefined} unit */
  update(unit) {
    // Drawn anew only when something has changed, so that a selection of text stays.
    const shown = unit
      ? JSON.stringify(unit.tasks.map(({ state, outcome, retries }) => [state, outcome, retries]))
      : "";
    if (shown === this.#shown && unit?.key === this.root.dataset.key) return;
    this.#shown = shown;
    if (unit) this.root.dataset.key = unit.key;
    else delete this.root.dataset.key;
    this.root.classList.toggle("open", unit !== undefined);
    const content = !unit ? [] : unit.tasks.length > 1 ? this.#map(unit) : this.#task(unit.tasks[0]);
    this.#content.replaceChildren(...content);
  }

  /** @param {Task} task */
  #task(task) {
    const took = this.run.duration(task);
    const facts = [task.state];
    if (task.reused) facts.push(`the same call as ${task.reused}, made once`);
    if (task.finished && took !== undefined) facts.push(`took ${seconds(took)}`);
    if (task.retries) facts.push(`tried ${task.retries + 1} times`);
    if (task.dependencies.length) facts.push(`needs ${task.dependencies.join(", ")}`);
    const resolved = inline(task.arguments) !== inline(task.template);
    const failed = task.state === "failed" || task.state === "skipped";
    return [
      this.#header(task.key, task.tool, task.state),
      element("p", { class: "facts" }, facts.join(" · ")),
      ...(task.outcome
        ? [
            element("h4", {}, failed ? "Why there is no result" : "Result"),
            element("pre", { class: failed ? "outcome error" : "outcome" }, readable(task.outcome)),
          ]
        : []),
      element("h4", {}, "Arguments"),
      argumentList(task.arguments),
      ...(resolved ? [element("h4", {}, "As planned"), argumentList(task.template)] : []),
    ];
  }

  /** @param {Unit} unit */
  #map(unit) {
    return [
      this.#header(unit.label, titleOf(unit), stateOf(unit)),
      element(
        "ul",
        { class: "elements" },
        ...unit.tasks.map((task) => {
          const click = () => this.select(task.key);
          const open = element(
            "button",
            { type: "button", "data-state": task.state, click },
            icon(task.state),
            element("span", { class: "number" }, task.key),
            element("span", { class: "preview" }, task.given),
            element("span", { class: "state" }, task.state),
          );
          return element("li", {}, open);
        }),
      ),
    ];
  }

  /**
   * @param {string} label
   * @param {string} name
   * @param {string} state
   */
  #header(label, name, state) {
    const close = closeButton("Close the details", () => this.close());
    const heading = element("h3", {}, icon(state), element("span", { class: "number" }, label), ` ${name}`);
    return element("header", { "data-state": state }, heading, close);
  }
}

/** @param {Record<string, any>} args */
function argumentList(args) {
  const entries = Object.entries(args);
  if (!entries.length) return element("p", { class: "facts" }, "none");
  return element(
    "dl",
    { class: "arguments" },
    ...entries.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, readable(inFull(value)))]),
  );
}
