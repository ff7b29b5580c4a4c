/** A plan as text and as a graph. */

import { element, icon, setText } from "./dom.js";
import { preview } from "./format.js";
import { GraphView } from "./graph_view.js";

/** @typedef {import("./run.js").Run} Run */

export class RoundView {
  #text;
  #graph;
  #panel; // of the graph
  #following = true; // what is written, as long as the reader does not scroll back

  /**
   * @param {Run} run
   * @param {number} index
   * @param {(key: string) => void} select
   */
  constructor(run, index, select) {
    this.run = run;
    this.round = run.rounds[index];
    const { reason } = this.round;
    const title = index ? `Plan ${index + 1}` : "Plan";
    const label = "The plan as the model wrote it";
    this.#text = element("pre", {
      class: "plan",
      tabindex: "0",
      "aria-label": label,
      scroll: () => this.#noteScroll(),
    });
    this.#graph = new GraphView(run, this.round, `Tasks of plan ${index + 1}`, select);
    this.#panel = element(
      "section",
      { class: "panel" },
      element("h3", {}, index ? `Graph ${index + 1}` : "Graph"),
      this.#graph.root,
    );
    this.root = element(
      "div",
      { class: "round" },
      ...(index
        ? [element("p", { class: "reason" }, icon("again"), element("span", {}, `Planned again: ${reason}`))]
        : []),
      element(
        "div",
        { class: "columns" },
        this.#panel,
        element("section", { class: "panel" }, element("h3", {}, title), this.#text),
      ),
    );
  }

  #noteScroll() {
    const { scrollHeight, scrollTop, clientHeight } = this.#text;
    this.#following = scrollHeight - scrollTop - clientHeight < 8;
  }

  /** @param {string | undefined} selected */
  update(selected) {
    const { run, round } = this;
    const written =
      round.text || round.tasks.map((task) => `${task.key}. ${task.tool}(${preview(task.template)})`).join("\n");
    setText(this.#text, written);
    if (this.#following) this.#text.scrollTop = this.#text.scrollHeight;
    this.#text.classList.toggle("streaming", round.plan.started !== undefined && round.plan.finished === undefined);
    this.#panel.hidden = run.recalled && !round.tasks.length; // the server keeps no calls that wait
    this.#graph.update(selected);
  }
}
