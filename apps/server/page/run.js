/**
 * A question on its way through the agent, as far as it has come: what the stream of events amounts to. Times are
 * Unix seconds of the server's clock.
 */

/**
 * @typedef {"planned" | "paused" | "running" | "done" | "failed" | "skipped" | "stopped"} TaskState
 * @typedef {"sending" | "planning" | "running" | "joining" | "answering" | "waiting"} Underway
 * @typedef {Underway | "done" | "stopped" | "failed"} Phase
 * @typedef {import("./client.js").Event} Event
 */

import { preview, readable } from "./format.js";

/** From when to when something ran. */
export class Span {
  /** @type {number | undefined} */ started;
  /** @type {number | undefined} */ finished;
}

/** One tool call. */
export class Task extends Span {
  /** @type {TaskState} */ state = "planned";
  /** @type {number | undefined} */ planned;
  /** @type {Record<string, any>} As planned, with references. */ template = {};
  /** @type {Record<string, any>} With the references resolved, once it has started. */ arguments = {};
  /** The same, as plans write it. */
  call = "";
  /** @type {number[]} The numbers of the tasks that it refers to. */ dependencies = [];
  /** The result, or why there is none. */
  outcome = "";
  /** The task whose result it has, because the call is the same. */
  reused = "";
  /** How often it was tried again. */
  retries = 0;

  /**
   * @param {number} number
   * @param {number | undefined} index Which element of a map it is.
   * @param {string} tool
   */
  constructor(number, index, tool) {
    super();
    this.number = number;
    this.index = index;
    this.tool = tool;
  }

  get key() {
    return keyOf(this.number, this.index);
  }

  /** What stands between the call's parentheses. */
  get given() {
    return readable(this.call.slice(this.call.indexOf("(", this.tool.length) + 1, -1));
  }

  /** Whether something is still to come of it. */
  get open() {
    return this.state === "planned" || this.state === "paused" || this.state === "running";
  }
}

/** What a model does: it plans, or it joins. */
export class Step extends Span {
  /** @type {"stopped" | "failed" | undefined} How the run ended in the midst of it. */ broken;
}

/** A plan, its tasks, and the joiner's look at their results. */
export class Round {
  plan = new Step();
  join = new Step();
  /** The plan in the model's own words. */
  text = "";
  /** @type {Task[]} */ tasks = [];

  /** @param {string} reason Why there is a further plan, if it is not the first. */
  constructor(reason = "") {
    this.reason = reason;
  }
}

/** @typedef {{thread_id: string, request: {action_requests: {name: string, args: object, description?: string}[],
 *   review_configs: {action_name: string, allowed_decisions: string[]}[], error?: string}}} Approval */

export class Run {
  /** @type {Round[]} */ rounds = [];
  /** @type {Map<string, Task>} */ tasks = new Map();
  answer = "";
  /** @type {Approval | undefined} What has to be decided before it can go on. */ approval;
  /** @type {Event | undefined} The last event: answer, usage, timings, model. */ result;
  /** Why it ended without an answer. */
  error = "";
  /** @type {Phase} */ phase = "sending";
  /** @type {number | undefined} */ started;
  /** @type {number | undefined} */ finished;
  /** @type {{from: number, until: number | undefined}[]} While it waited for a person. */ pauses = [];
  /** Whether it can go on where it was broken off. */
  resumable = false;
  /** Whether it is from the server's memory, which has the tools' times but not the run's. */
  recalled = false;
  #ahead = Infinity; // how far the clock of this machine is ahead of the server's, in seconds

  /** @param {string} question */
  constructor(question) {
    this.question = question;
  }

  get ended() {
    return this.phase === "done" || this.phase === "stopped" || this.phase === "failed";
  }

  /** The time on the server's clock. */
  get now() {
    return Date.now() / 1000 - (this.#ahead === Infinity ? 0 : this.#ahead);
  }

  /**
   * Seconds from the start to a time, or to now, less the time spent waiting for people.
   *
   * @param {number} [time]
   * @returns {number}
   */
  elapsed(time = this.finished ?? this.now) {
    if (this.started === undefined) return 0;
    let waited = 0;
    for (const { from, until } of this.pauses) waited += Math.max(0, Math.min(time, until ?? time) - from);
    return Math.max(0, time - this.started - waited);
  }

  /**
   * @param {Span} span
   * @returns {number | undefined} Seconds that it ran, or has been running; undefined if it has not started.
   */
  duration({ started, finished }) {
    return started === undefined ? undefined : this.elapsed(finished) - this.elapsed(started);
  }

  /**
   * Take note of an event. What is unknown is ignored; what has been told before, as when a run is resumed, changes
   * nothing.
   *
   * @param {Event} event
   */
  take(event) {
    if (typeof event.time === "number") {
      this.#ahead = Math.min(this.#ahead, Date.now() / 1000 - event.time);
      this.started ??= event.time;
    }
    const time = typeof event.time === "number" ? event.time : this.now;
    const round = this.rounds.at(-1);
    switch (event.type) {
      case "plan_started":
        this.#openRound(event.round, time, event.anew);
        break;
      case "plan_text":
        if (round) round.text += event.text;
        break;
      case "plan_finished":
        if (round) round.plan.finished ??= time;
        if (this.phase === "planning") this.phase = "running";
        break;
      case "joiner_started":
        if (round) round.join.started ??= time;
        this.phase = "joining";
        break;
      case "replanning":
        if (round) round.join.finished ??= time;
        this.rounds.push(new Round(event.feedback));
        this.answer = "";
        this.phase = "planning";
        break;
      case "answer_text":
        this.answer = (event.restart ? "" : this.answer) + event.text;
        this.phase = "answering";
        break;
      case "approval":
        this.approval = /** @type {any} */ (event);
        this.phase = "waiting";
        this.pauses.push({ from: time, until: undefined });
        break;
      case "result":
        this.#end(event);
        break;
      case "task_planned":
      case "task_paused":
      case "task_started":
      case "task_retried":
      case "task_finished":
      case "task_failed":
      case "task_skipped":
        this.#takeTask(event, time);
    }
  }

  /**
   * What the server has kept of it.
   *
   * @param {import("./client.js").KnownTurn} turn
   */
  recall({ plans, replans, tasks, answer, approval }) {
    this.recalled = true;
    this.rounds = plans.map((text, index) => Object.assign(new Round(index ? replans[index - 1] : ""), { text }));
    for (const { task: number, element, round, tool, planned, arguments: args, ...known } of tasks) {
      const { status: state, result: outcome, dependencies, started = undefined, finished = undefined } = known;
      const task = new Task(number, element ?? undefined, tool);
      Object.assign(task, { state, outcome, dependencies, template: planned, arguments: args });
      Object.assign(task, { call: `${tool}(${preview(args)})`, started: started ?? undefined, finished });
      this.tasks.set(task.key, task);
      insert(this.rounds[round].tasks, task);
    }
    const times = tasks.flatMap(({ started, finished }) => (started && finished ? [started, finished] : []));
    this.started = times.length ? Math.min(...times) : plans.length ? this.now : undefined;
    this.finished = times.length ? Math.max(...times) : this.started;
    this.answer = answer ?? "";
    this.phase = "done";
    if (answer !== null) return;
    this.pauses.push({ from: this.finished ?? this.now, until: undefined });
    this.approval = approval ?? undefined;
    this.phase = approval ? "waiting" : "stopped";
    this.error = approval ? "" : "This run was interrupted.";
    this.resumable = !approval;
  }

  /** Go on after the decisions have been made, or after an interruption. */
  resume() {
    const pause = this.pauses.at(-1);
    if (pause) pause.until ??= this.now;
    this.approval = undefined;
    this.phase = "running";
    this.error = "";
    this.finished = undefined;
    // What had been broken off.
    for (const task of this.tasks.values()) {
      if (task.state === "stopped") Object.assign(task, { state: "planned", finished: undefined });
    }
    for (const step of this.#steps) {
      if (step.broken) Object.assign(step, { broken: undefined, finished: undefined });
    }
  }

  /**
   * It ends here, without an answer.
   *
   * @param {"stopped" | "failed"} phase
   * @param {string} error
   * @param {boolean} [resumable]
   */
  breakOff(phase, error, resumable = this.started !== undefined && this.phase !== "waiting") {
    this.finished = this.now;
    this.resumable = resumable;
    this.phase = phase;
    this.error = error;
    this.approval = undefined;
    for (const task of this.tasks.values()) {
      if (task.state === "running") task.finished = this.finished;
      if (task.open) task.state = "stopped";
    }
    for (const step of this.#steps) {
      if (step.started === undefined || step.finished !== undefined) continue;
      step.finished = this.finished;
      step.broken = phase;
    }
  }

  get #steps() {
    return this.rounds.flatMap(({ plan, join }) => [plan, join]);
  }

  /**
   * @param {number} index
   * @param {number} time
   */
  #openRound(index, time, anew = false) {
    // A replan's round has been opened by `replanning`, which has its reason.
    if (!this.rounds.length || (index >= this.rounds.length && this.rounds.at(-1)?.plan.started !== undefined)) {
      this.rounds.push(new Round());
    }
    const round = this.rounds.at(-1);
    if (round) {
      // It was only a thought, or had been broken off.
      if (anew || (round.plan.started !== undefined && round.plan.finished === undefined)) this.#empty(round);
      round.plan.started ??= time;
    }
    this.phase = "planning";
  }

  /** @param {Round} round Its plan is written once more. */
  #empty(round) {
    for (const task of round.tasks) this.tasks.delete(task.key);
    round.tasks = [];
    round.text = "";
  }

  /**
   * @param {Event} event
   * @param {number} time
   */
  #takeTask(event, time) {
    const key = keyOf(event.task, event.element);
    let task = this.tasks.get(key);
    if (!task) {
      task = new Task(event.task, event.element, event.tool);
      this.tasks.set(key, task);
      if (!this.rounds.length) this.rounds.push(new Round());
      insert(/** @type {Round} */ (this.rounds.at(-1)).tasks, task);
    }
    if (!task.open) return;
    const { dependencies, tool, call, arguments: args } = event; // a person may have put another call in its place
    Object.assign(task, { dependencies, tool, call, arguments: args });
    switch (event.type) {
      case "task_planned":
        task.planned ??= time;
        if (task.state === "planned") task.template = args;
        break;
      case "task_paused":
        task.state = "paused";
        break;
      case "task_started":
        task.started = time;
        task.state = "running";
        break;
      case "task_retried":
        task.retries += 1;
        break;
      case "task_finished":
      case "task_failed":
      case "task_skipped":
        task.state = event.type === "task_finished" ? "done" : event.type === "task_failed" ? "failed" : "skipped";
        task.finished = time;
        task.outcome = event.result ?? event.error;
        task.reused = event.reused ?? "";
    }
    if (this.phase === "planning" && this.rounds.at(-1)?.plan.finished !== undefined) this.phase = "running";
  }

  /** @param {Event} event */
  #end(event) {
    if (event.approval || this.approval) return; // the stream ends, the run does not
    this.result = event;
    this.answer = event.answer;
    this.#takeResults(event.tasks);
    const { total } = event.timings;
    // Of a run that paused, the server has seen the last part only.
    this.finished = total && this.started !== undefined && !this.pauses.length ? this.started + total : this.now;
    this.phase = "done";
    for (const step of this.#steps) if (step.started !== undefined) step.finished ??= this.finished;
  }

  /**
   * The tasks as the server keeps them: results in full, and the tools' own times.
   *
   * @param {any} tasks
   */
  #takeResults(tasks) {
    for (const { task, element, result, started, finished } of tasks) {
      const known = this.tasks.get(keyOf(task, element));
      if (!known) continue;
      known.outcome = result;
      // One that has the result of another call never started; the times are the other's.
      if (known.started === undefined) continue;
      if (typeof started === "number" && typeof finished === "number") Object.assign(known, { started, finished });
    }
  }
}

/**
 * @param {number} number
 * @param {number | null | undefined} index
 * @returns {string} `3`, or `1[0]` for an element of a map.
 */
export function keyOf(number, index) {
  return index === undefined || index === null ? String(number) : `${number}[${index}]`;
}

/**
 * Put a task where it belongs in the order of the plan. A map's calls may come late: when its list is known.
 *
 * @param {Task[]} tasks
 * @param {Task} task
 */
function insert(tasks, task) {
  const comesAfter = (/** @type {Task} */ other) =>
    other.number > task.number || (other.number === task.number && (other.index ?? 0) > (task.index ?? 0));
  const place = tasks.findIndex(comesAfter);
  tasks.splice(place < 0 ? tasks.length : place, 0, task);
}
