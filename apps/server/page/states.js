/** The words for a task's state, short on a node and in full for screen readers and details. */

import { plural, readable, seconds } from "./format.js";
import { settled, stateOf } from "./units.js";

/** @typedef {import("./run.js").Run} Run */
/** @typedef {import("./run.js").Task} Task */
/** @typedef {import("./units.js").Unit} Unit */

/**
 * A word or a time.
 *
 * @param {Run} run
 * @param {Task} task
 * @returns {string}
 */
export function shortState(run, task) {
  const took = run.duration(task);
  if (task.reused) return "reused";
  if (task.state === "done" && took !== undefined) return seconds(took);
  if (task.state === "running" && took !== undefined) return task.retries ? `try ${task.retries + 1}` : clock(took);
  return task.state;
}

/**
 * A time that is still growing: as few digits as can be read while they change.
 *
 * @param {number} value Seconds.
 * @returns {string}
 */
export function clock(value) {
  return value < 60 ? `${value.toFixed(1)} s` : seconds(value);
}

/**
 * A unit for those who don't see it.
 *
 * @param {Unit} unit
 * @returns {string}
 */
export function spoken(unit) {
  const [task] = unit.tasks;
  if (unit.tasks.length === 1) return `Task ${unit.label}, ${readable(task.call)}: ${task.state}`;
  const failed = unit.tasks.filter((one) => one.state === "failed" || one.state === "skipped").length;
  const trouble = failed ? `, ${failed} without a result` : "";
  const progress = `${settled(unit)} of ${plural(unit.tasks.length, "call")} settled${trouble}`;
  return `Task ${unit.label}, ${task.tool}, a map: ${stateOf(unit)}, ${progress}`;
}
