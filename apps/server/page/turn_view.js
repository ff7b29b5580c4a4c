/** One question with all that comes of it: status, plans, graphs, timeline, approvals, answer, summary. */

import { approvalView } from "./approval_view.js";
import { DetailsView } from "./details_view.js";
import { button, element, icon, setAttribute, setIcon, setText } from "./dom.js";
import { plural, seconds } from "./format.js";
import { richText } from "./rich_text.js";
import { RoundView } from "./round_view.js";
import { clock } from "./states.js";
import { summaryView } from "./summary_view.js";
import { TimelineView } from "./timeline_view.js";
import { unitsOf } from "./units.js";

const HINT = "Choose a task to see its arguments and its result.";
const NARROW = matchMedia("(max-width: 900px)"); // as in page.css

/** @typedef {import("./run.js").Run} Run */
/** @typedef {import("./units.js").Unit} Unit */
/** @typedef {import("./approval_view.js").Reply} Reply */

/** @type {Record<import("./run.js").Phase, [string, string]>} The icon and the words of each phase. */
const PHASES = {
  sending: ["running", "Asking"],
  planning: ["running", "Planning"],
  running: ["running", "Running the tasks"],
  joining: ["running", "Joining the results"],
  answering: ["running", "Answering"],
  waiting: ["paused", "Waiting for your approval"],
  done: ["done", "Done"],
  stopped: ["stopped", "Stopped"],
  failed: ["failed", "Failed"],
};

export class TurnView {
  #phase = icon("running");
  #words = element("span", { role: "status" });
  #numbers = element("span", { class: "numbers" });
  #stop;
  #fold;
  #rounds = element("div", { class: "rounds" });
  #approvals = element("div");
  #answer = element("div", {
    class: "answer",
    role: "region",
    "aria-label": "Answer",
    "aria-live": "polite",
    hidden: true,
  });
  #problem = element("div");
  #summary = element("div");
  #timeline;
  #details;
  #work;
  /** @type {RoundView[]} */
  #views = [];
  /** @type {string | undefined} */
  #selected;
  /** @type {unknown} */
  #asked;
  #answered = "";
  #ended = false;

  /**
   * @param {Run} run
   * @param {{stop: () => void, retry: () => void, resume: () => void, reply: (reply: Reply) => void}} actions
   */
  constructor(run, actions) {
    this.run = run;
    this.actions = actions;
    this.#stop = button("secondary", actions.stop, "Stop");
    const fold = () => {
      this.fold(!this.root.classList.contains("folded"));
      this.update(); // what was hidden had no width
    };
    this.#fold = button("link", fold);
    const select = (/** @type {string} */ key) => this.#select(key);
    this.#timeline = new TimelineView(run, select);
    this.#details = new DetailsView(run, select, () => this.#select(undefined));
    this.#work = element(
      "div",
      { class: "work", hidden: true },
      this.#rounds,
      element(
        "div",
        { class: "columns" },
        element(
          "section",
          { class: "panel" },
          element("h3", {}, "Timeline", element("span", { class: "hint" }, HINT)),
          this.#timeline.root,
        ),
        this.#details.root,
      ),
    );
    this.root = element(
      "article",
      { class: "turn", "aria-label": run.question },
      element("h2", {}, run.question),
      element("p", { class: "status" }, this.#phase, this.#words, this.#numbers, this.#stop, this.#fold),
      this.#work,
      this.#approvals,
      this.#answer,
      this.#problem,
      this.#summary,
    );
    this.root.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "Escape" || this.#selected === undefined) return;
      event.stopPropagation();
      this.#select(undefined);
    });
    this.fold(false);
    this.update();
  }

  /**
   * Hide how the answer came about, or show it again.
   *
   * @param {boolean} folded
   */
  fold(folded) {
    this.root.classList.toggle("folded", folded);
    setAttribute(this.#fold, "aria-expanded", folded ? "false" : "true");
    setText(this.#fold, folded ? "Show work" : "Hide work");
  }

  /** Show the run as it is now. */
  update() {
    const { run } = this;
    const [symbol, words] = PHASES[run.phase];
    this.root.dataset.phase = run.phase;
    setIcon(this.#phase, symbol);
    this.#phase.dataset.state = symbol;
    setText(this.#words, words);
    setText(this.#numbers, this.#progress());
    this.#stop.hidden = run.ended;
    const nothing = !run.tasks.size && run.rounds.every((round) => !round.text);
    this.#fold.hidden = !run.ended || nothing;

    this.#placeWork();
    this.#work.hidden = run.started === undefined || (run.ended && nothing);
    while (this.#views.length < run.rounds.length) {
      const view = new RoundView(run, this.#views.length, (key) => this.#select(key));
      this.#views.push(view);
      this.#rounds.append(view.root);
    }
    for (const view of this.#views) view.update(this.#selected);
    this.#timeline.update(this.#selected);
    this.#details.update(this.#unit(this.#selected));

    this.#showApproval();
    this.#showAnswer();
    if (run.ended && !this.#ended) this.#showEnd();
    if (!run.ended && this.#ended) {
      this.#problem.replaceChildren();
      this.#summary.replaceChildren();
    }
    this.#ended = run.ended;
  }

  /** Before the answer, to which it leads; where there is room for one of them only, after it. */
  #placeWork() {
    const next = NARROW.matches ? null : this.#approvals;
    if (this.#work.nextElementSibling !== next) this.root.insertBefore(this.#work, next);
  }

  /** @returns {string} */
  #progress() {
    const { run } = this;
    const tasks = [...run.tasks.values()];
    const settled = tasks.filter((task) => !task.open);
    const missing = tasks.filter((task) => task.state === "failed" || task.state === "skipped").length;
    const parts = [];
    if (tasks.length)
      parts.push(run.ended ? plural(tasks.length, "task") : `${settled.length} of ${plural(tasks.length, "task")}`);
    if (missing) parts.push(`${missing} without a result`);
    if (run.started !== undefined && !run.recalled) parts.push(run.ended ? seconds(run.elapsed()) : clock(run.elapsed()));
    return parts.join(" · ");
  }

  #showApproval() {
    const { approval } = this.run;
    if (approval === this.#asked) return;
    this.#asked = approval;
    this.#approvals.replaceChildren();
    if (!approval) return;
    this.#approvals.append(approvalView(approval, (reply) => this.actions.reply(reply)));
    this.#approvals.firstElementChild?.scrollIntoView({ block: "nearest" });
  }

  #showAnswer() {
    const { run } = this;
    const streaming = run.phase === "answering" || run.phase === "joining";
    // Busy, so that it is read out once, when it is complete.
    setAttribute(this.#answer, "aria-busy", streaming ? "true" : "false");
    this.#answer.classList.toggle("streaming", run.phase === "answering");
    const begins = this.#answer.hidden && run.answer !== "";
    this.#answer.hidden = run.answer === "";
    if (run.answer !== this.#answered) this.#answer.replaceChildren(...richText(run.answer));
    this.#answered = run.answer;
    if (begins) this.#answer.scrollIntoView({ block: "nearest" });
  }

  #showEnd() {
    const { run } = this;
    if (run.phase === "done") this.#summary.replaceChildren(...(run.recalled ? [] : [summaryView(run)]));
    else {
      const role = run.phase === "failed" ? "alert" : null;
      this.#problem.replaceChildren(
        element(
          "div",
          { class: "problem", role },
          element("p", {}, run.error),
          ...(run.resumable ? [button("secondary", this.actions.resume, "Resume")] : []),
          button("secondary", this.actions.retry, run.resumable ? "Ask again" : "Try again"),
        ),
      );
    }
    const end = run.phase === "done" ? this.#summary : this.#problem;
    end.firstElementChild?.scrollIntoView({ block: "nearest" });
  }

  /**
   * Show the details of a unit or a task; of none when they are shown already.
   *
   * @param {string | undefined} key
   */
  #select(key) {
    const before = this.#selected;
    this.#selected = key === before ? undefined : key;
    this.update();
    if (this.#selected === undefined && document.activeElement === document.body) this.#focus(before);
  }

  /** @param {string | undefined} key */
  #focus(key) {
    const buttons = /** @type {HTMLElement[]} */ ([...this.root.querySelectorAll("button[data-key]")]);
    const map = key?.replace(/\[.*$/, "[*]");
    (buttons.find((one) => one.dataset.key === key) ?? buttons.find((one) => one.dataset.key === map))?.focus();
  }

  /**
   * @param {string | undefined} key Of a unit, or of one task of a map.
   * @returns {Unit | undefined}
   */
  #unit(key) {
    if (key === undefined) return undefined;
    const units = this.run.rounds.flatMap((round) => unitsOf(round.tasks));
    const task = this.run.tasks.get(key);
    return units.find((unit) => unit.key === key) ?? (task && { key, label: key, tasks: [task] });
  }
}
