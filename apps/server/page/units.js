/**
 * What is drawn as one: a task, or all elements of a map that has too many of them.
 */

/** @typedef {import("./run.js").Task} Task */
/** @typedef {import("./run.js").TaskState} TaskState */

/** The elements that a map may have before they are drawn as one. */
export const MOST_ELEMENTS = 12;

/** @typedef {{key: string, label: string, tasks: Task[]}} Unit */

/**
 * @param {Task[]} tasks In the order of the plan.
 * @returns {Unit[]} In the same order.
 */
export function unitsOf(tasks) {
  /** @type {Map<number, Task[]>} */
  const byNumber = new Map();
  for (const task of tasks) {
    const siblings = byNumber.get(task.number);
    if (siblings) siblings.push(task);
    else byNumber.set(task.number, [task]);
  }
  const units = [];
  for (const task of tasks) {
    const siblings = byNumber.get(task.number) ?? [];
    if (siblings.length <= MOST_ELEMENTS) units.push({ key: task.key, label: task.key, tasks: [task] });
    else if (siblings[0] === task)
      units.push({ key: `${task.number}[*]`, label: String(task.number), tasks: siblings });
  }
  return units;
}

/**
 * The units that each unit needs, of those given.
 *
 * @param {Unit[]} units
 * @returns {Map<Unit, Unit[]>}
 */
export function needsOf(units) {
  /** @type {Map<string, Set<Unit>>} By the tasks' keys, and by their numbers. */
  const named = new Map();
  for (const unit of units) {
    for (const task of unit.tasks) {
      for (const name of [task.key, String(task.number)]) named.set(name, (named.get(name) ?? new Set()).add(unit));
    }
  }
  return new Map(
    units.map((unit) => {
      const needed = unit.tasks.flatMap((task) =>
        task.dependencies.flatMap((number) => {
          const elements = elementsNeeded(task, number).filter((key) => named.has(key));
          return (elements.length ? elements : [String(number)]).flatMap((name) => [...(named.get(name) ?? [])]);
        }),
      );
      return [unit, [...new Set(needed)].filter((other) => other !== unit)];
    }),
  );
}

/**
 * The elements of a map that a task refers to, `$1[0]`; none if it refers to the whole of it, too.
 *
 * @param {Task} task
 * @param {number} number The map's.
 * @returns {string[]} Their keys.
 */
function elementsNeeded(task, number) {
  const references = [...JSON.stringify(task.template).matchAll(/\$\{?(\d+)(\[\d+\])?/g)];
  const keys = references
    .filter((found) => Number(found[1]) === number)
    .map((found) => found[2] && found[1] + found[2]);
  return keys.every((key) => key) ? keys : [];
}

/**
 * @param {Unit} unit
 * @returns {string} Its tool, and how many calls of it there are if there are several.
 */
export function titleOf({ tasks }) {
  return tasks.length > 1 ? `${tasks[0].tool} ×${tasks.length}` : tasks[0].tool;
}

/**
 * The state of a unit; of a map's elements, what most needs to be known.
 *
 * @param {Unit} unit
 * @returns {TaskState}
 */
export function stateOf(unit) {
  const states = new Set(unit.tasks.map((task) => task.state));
  for (const state of /** @type {TaskState[]} */ (["paused", "running", "stopped", "failed", "skipped"])) {
    if (states.has(state)) return states.has("planned") && states.has("done") ? "running" : state;
  }
  return states.has("planned") ? (states.has("done") ? "running" : "planned") : "done";
}

/**
 * How many of a unit's tasks have an outcome.
 *
 * @param {Unit} unit
 * @returns {number}
 */
export function settled(unit) {
  return unit.tasks.filter((task) => !task.open).length;
}

/**
 * When the first of a unit's tasks started, and the last one ended; the latter undefined while any is to run.
 *
 * @param {Unit} unit
 * @returns {{planned: number | undefined, started: number | undefined, finished: number | undefined}}
 */
export function spanOf(unit) {
  const known = (/** @type {(number | undefined)[]} */ times) => times.filter((time) => time !== undefined);
  const ends = known(unit.tasks.map((task) => task.finished));
  const starts = known(unit.tasks.map((task) => task.started));
  const plans = known(unit.tasks.map((task) => task.planned));
  return {
    planned: plans.length ? Math.min(...plans) : undefined,
    started: starts.length ? Math.min(...starts) : undefined,
    finished: settled(unit) === unit.tasks.length && ends.length ? Math.max(...ends) : undefined,
  };
}
