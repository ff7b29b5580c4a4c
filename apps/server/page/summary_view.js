/** What a run took, and what the same calls would have taken one after another. */

import { element } from "./dom.js";
import { count, seconds } from "./format.js";

/** @typedef {import("./run.js").Run} Run */

/**
 * @param {Run} run One that is done.
 * @returns {HTMLElement}
 */
export function summaryView(run) {
  const { usage, model } = /** @type {import("./client.js").Event} */ (run.result);
  const spans = run.rounds.flatMap(({ plan, tasks, join }) => [plan, ...tasks, join]);
  const apart = spans.reduce((sum, span) => sum + (run.duration(span) ?? 0), 0);
  const total = run.elapsed();
  const facts = [["Total", seconds(total)]];
  const compares = run.tasks.size > 1 && !run.pauses.length; // of a run that paused, the calls' time is not the run's
  if (compares) facts.push(["One after another", seconds(apart)]);
  if (compares && total > 0 && apart / total >= 1.05) facts.push(["Faster", `${(apart / total).toFixed(1)}×`]);
  facts.push(["Tasks", count(run.tasks.size)]);
  const tokens = tokensOf(usage);
  if (tokens) facts.push(["Tokens", tokens]);
  if (model) facts.push(["Model", model]);
  const list = facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)));
  return element("dl", { class: "summary", "aria-label": "Summary" }, ...list);
}

/**
 * @param {Record<string, Record<string, number>>} usage Token counts by the models' names.
 * @returns {string} Empty if nothing was counted.
 */
function tokensOf(usage) {
  const sum = (/** @type {string} */ name) => Object.values(usage).reduce((all, counts) => all + counts[name], 0);
  const [read, written] = [sum("input_tokens"), sum("output_tokens")];
  return read + written ? `${count(read)} in, ${count(written)} out` : "";
}
