/** The page: a conversation, in which each question is asked by the form at its foot. */

import { ConnectionError, KeyError, rememberKey, ServerError, stream } from "./client.js";
import { element } from "./dom.js";
import { Run } from "./run.js";
import { TurnView } from "./turn_view.js";

/** @typedef {import("./client.js").Input} Input */

const FRAME = 100; // ms between two pictures of a running clock
const DECIDE_FIRST = "The last question waits for your approval. Decide, or stop it, and ask then.";
const ONE_AT_A_TIME = "The last question is still being answered. Wait, or stop it, and ask then.";

const find = (/** @type {string} */ selector) => /** @type {any} */ (document.querySelector(selector));
const form = find("#ask");
const box = find("#question");
const turns = find("#turns");

/** @type {string | undefined} The conversation that the next question goes on with. */
let thread;
/** @type {Turn | undefined} */
let current;
/** @type {Turn[]} The conversation on the page. */
let all = [];

/** A question, the stream that answers it, and its place on the page. */
class Turn {
  #abort = new AbortController();
  /** @type {Input} */
  #input = {};
  #lost = false;
  #frame = 0;

  /** @param {string} question */
  constructor(question) {
    this.run = new Run(question);
    this.view = new TurnView(this.run, {
      stop: () => this.stop(),
      retry: () => this.#retry(),
      reply: (reply) => this.#reply(reply),
    });
    this.thread = thread;
    all.push(this);
  }

  async ask() {
    await this.#follow({ question: this.run.question, ...(this.thread ? { thread_id: this.thread } : {}) });
  }

  stop() {
    this.#abort.abort();
    if (this.run.ended) return;
    if (this.run.phase === "waiting") thread = undefined; // it waits for decisions, and takes no question
    this.run.breakOff("stopped", "");
    this.view.update();
    showState();
  }

  update() {
    this.view.update();
  }

  /** @param {import("./approval_view.js").Reply} reply */
  async #reply(reply) {
    const id = this.run.approval?.thread_id ?? thread;
    this.run.resume();
    keepFocus();
    await this.#follow({ thread_id: id, ...reply });
  }

  /**
   * @param {Input} input
   * @returns {Promise<void>}
   */
  async #follow(input) {
    this.#input = input;
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    const { run } = this;
    showState();
    const clock = setInterval(() => this.#draw(), FRAME);
    try {
      for await (const event of stream(input, signal)) {
        run.take(event);
        if (typeof event.thread_id === "string") thread = event.thread_id;
        this.#draw();
      }
      if (run.phase !== "waiting" && !run.ended) run.breakOff("failed", "The server ended without an answer.");
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof KeyError && (await wantKey(error.message))) return await this.#follow(input);
      this.#lost = error instanceof ConnectionError;
      run.breakOff("failed", explain(error));
    } finally {
      clearInterval(clock);
      this.#draw();
      showState();
    }
  }

  #draw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.view.update();
    });
  }

  /** Send a reply again if it was lost on the way; else ask the same again, in the place of this turn. */
  #retry() {
    const { run } = this;
    keepFocus();
    if (!("question" in this.#input) && run.phase === "failed" && this.#lost) {
      run.resume();
      void this.#follow(this.#input);
      return;
    }
    thread = run.pauses.length ? undefined : this.thread;
    all = all.filter((turn) => turn !== this);
    const next = new Turn(this.run.question);
    this.view.root.replaceWith(next.view.root);
    begin(next);
  }
}

/** @param {Turn} turn */
function begin(turn) {
  current = turn;
  document.body.classList.add("asked");
  turn.view.root.scrollIntoView({ block: "start" });
  void turn.ask();
}

/** @param {string} question */
function ask(question) {
  if (!question.trim()) return;
  if (busy()) {
    find("#why").textContent = current?.run.phase === "waiting" ? DECIDE_FIRST : ONE_AT_A_TIME;
    return;
  }
  for (const turn of all) turn.view.fold(true);
  const turn = new Turn(question.trim());
  turns.append(turn.view.root);
  box.value = "";
  begin(turn);
}

/** Give the focus a place when the button that has it goes, if it is used with the keyboard. */
function keepFocus() {
  if (document.activeElement?.matches(":focus-visible")) box.focus({ preventScroll: true });
}

function busy() {
  return current !== undefined && !current.run.ended;
}

/** One question at a time: while one runs, the next can be written but not asked. */
function showState() {
  find("#send").disabled = busy();
  find("#why").textContent = "";
  const asking = current ? "Ask a follow-up question" : "Ask a question";
  box.placeholder = current?.run.phase === "waiting" ? "Waiting for your approval" : asking;
}

/**
 * Ask for the server's key.
 *
 * @param {string} problem
 * @returns {Promise<boolean>} Whether there is one now.
 */
async function wantKey(problem) {
  const dialog = find("#key");
  find("#key-problem").textContent = problem;
  find("#key-value").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  const key = find("#key-value").value;
  find("#key-value").value = "";
  if (dialog.returnValue !== "use" || !key) return false;
  rememberKey(key);
  return true;
}

/** @param {unknown} error */
function explain(error) {
  if (error instanceof ConnectionError || error instanceof ServerError) return error.message;
  if (error instanceof KeyError) return "This server wants an API key.";
  console.error(error);
  return "The page has made a mistake; its console says which.";
}

form.addEventListener("submit", (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  ask(box.value);
});

box.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
});

find("#examples").addEventListener("click", (/** @type {MouseEvent} */ event) => {
  const example = /** @type {HTMLElement} */ (event.target).closest("button");
  if (example) ask(example.textContent ?? "");
});

fetch("questions").then(async (answer) => {
  const questions = answer.ok ? await answer.json() : [];
  const buttons = questions.map((/** @type {string} */ question) => element("button", { type: "button" }, question));
  find("#examples").append(...buttons);
}, () => {});

find("#new").addEventListener("click", () => {
  current?.stop();
  current = undefined;
  thread = undefined;
  all = [];
  turns.replaceChildren();
  document.body.classList.remove("asked");
  showState();
  box.focus();
});

// What gets the focus is not hidden behind the form, however high it has grown.
new ResizeObserver(() => {
  document.documentElement.style.scrollPaddingBottom = `${form.offsetHeight + 16}px`;
}).observe(form);

window.addEventListener("resize", () => {
  for (const turn of all) turn.update();
});

// A reload begins anew: what ran was cancelled with its stream, and browsers may bring back a form as it was.
showState();
