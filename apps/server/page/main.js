/** The page: a conversation, in which each question is asked by the form at its foot. Its thread is in the address. */

import * as client from "./client.js";
import { ConnectionError, KeyError, LostError, rememberKey, ServerError } from "./client.js";
import { drop, newThread, use } from "./conversations.js";
import { ConversationsView } from "./conversations_view.js";
import { button } from "./dom.js";
import { Run } from "./run.js";
import { TurnView } from "./turn_view.js";

/** @typedef {import("./client.js").Conversation} Conversation */
/** @typedef {import("./client.js").Input} Input */

const FRAME = 100; // ms between two pictures of a running clock
const WAITS = [0, 500, 1_000, 2_000, 4_000, 8_000]; // ms before each attempt to find the server again
const DECIDE_FIRST = "The last question waits for your approval. Decide, or stop it, and ask then.";
const ONE_AT_A_TIME = "The last question is still being answered. Wait, or stop it, and ask then.";
const CONNECTING = "The connection to the server was lost. Connecting again …";
const NOT_THERE = "This server has no such conversation, or no longer.";

const find = (/** @type {string} */ selector) => /** @type {any} */ (document.querySelector(selector));
const form = find("#ask");
const box = find("#question");
const why = find("#why");
const turns = find("#turns");

/** @type {string | undefined} The conversation that the next question goes on with. */
let thread;
/** @type {Turn[]} The conversation on the page. */
let all = [];
/** @type {Promise<void>} That what was stopped has ended. */
let stopping = Promise.resolve();
let visit = 0; // counts the conversations that were opened

/** A question, the stream that answers it, and its place on the page. */
class Turn {
  #abort = new AbortController();
  /** @type {Input | undefined} What was sent and may not have arrived. */
  #unsure;
  #frame = 0;
  /** Whether the server may know more of it than the page. */
  lost = false;

  /** @param {string} question */
  constructor(question) {
    this.run = new Run(question);
    this.view = new TurnView(this.run, {
      stop: () => this.stop(),
      retry: () => void this.#retry(),
      resume: () => void this.#goOn({ resume: true }),
      reply: (reply) => void this.#goOn(reply),
    });
    this.place = all.length;
    all.push(this);
  }

  async ask() {
    thread ??= newThread();
    if (location.hash.slice(1) !== thread) history.pushState(null, "", `#${thread}`);
    await this.#send({ question: this.run.question, thread_id: thread });
  }

  /** Read what the run has told so far, and tells. */
  async readAgain() {
    const { signal } = (this.#abort = new AbortController());
    await this.#follow(client.readAgain(String(thread), signal), signal);
  }

  /** Stop reading; the run goes on. */
  leave() {
    this.#abort.abort();
  }

  stop() {
    this.leave();
    if (this.run.ended) return;
    if (this.run.phase === "waiting") thread = undefined; // it waits for decisions, and takes no question
    else stopping = client.stop(String(thread)).catch(() => {});
    this.run.breakOff("stopped", "You stopped this run.");
    this.view.update();
    showState();
  }

  update() {
    this.view.update();
  }

  /** @param {Input} input */
  async #goOn(input) {
    thread ??= location.hash.slice(1);
    this.run.resume();
    keepFocus();
    await this.#send({ thread_id: thread, ...input });
  }

  /** @param {Input} input */
  async #send(input) {
    const { signal } = (this.#abort = new AbortController());
    this.#unsure = undefined;
    showState();
    await stopping;
    await this.#follow(client.run(input, signal), signal, input);
  }

  /**
   * @param {AsyncGenerator<import("./client.js").Event>} events
   * @param {AbortSignal} signal
   * @param {Input} [input] What they answer.
   * @returns {Promise<void>}
   */
  async #follow(events, signal, input) {
    const { run } = this;
    showState();
    const clock = setInterval(() => this.#draw(), FRAME);
    try {
      let arrived = false;
      for await (const event of events) {
        if (!arrived && thread) use(thread, run.question);
        arrived = true;
        run.take(event);
        this.#draw();
      }
      if (run.phase !== "waiting" && !run.ended) run.breakOff("failed", "The server ended without an answer.");
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof LostError || (!input && error instanceof ServerError && error.status === 404)) {
        void findAgain();
        return;
      }
      if (error instanceof KeyError && (await wantKey(error.message))) {
        return input ? await this.#send(input) : await this.readAgain();
      }
      const unsure = error instanceof ConnectionError;
      if (unsure) this.#unsure = input;
      run.breakOff("failed", explain(error), unsure ? false : undefined);
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

  /** Ask the same again, in the place of this turn. What may have arrived is not sent twice. */
  async #retry() {
    const unsure = this.#unsure;
    keepFocus();
    if (this.lost) return await findAgain();
    if (unsure) {
      try {
        const known = await withKey(() => client.conversation(String(thread)));
        const arrived = "question" in unsure ? known && known.turns.length > this.place : known?.state !== "waiting";
        if (known && arrived) return show(known);
      } catch (error) {
        this.run.error = explain(error);
        this.view.update();
        return;
      }
      if (!("question" in unsure)) {
        this.run.resume();
        return await this.#send(unsure);
      }
    }
    if (this.run.pauses.length) thread = undefined; // it may wait for decisions, and take no question
    all = all.filter((turn) => turn !== this);
    const next = new Turn(this.run.question);
    this.view.root.replaceWith(next.view.root);
    begin(next);
  }
}

/** @param {Turn} turn */
function begin(turn) {
  document.body.classList.add("asked");
  turn.view.root.scrollIntoView({ block: "start" });
  void turn.ask();
}

/** @param {string} question */
function ask(question) {
  if (!question.trim()) return;
  if (busy()) {
    why.textContent = all.at(-1)?.run.phase === "waiting" ? DECIDE_FIRST : ONE_AT_A_TIME;
    return;
  }
  for (const turn of all) turn.view.fold(true);
  const turn = new Turn(question.trim());
  turns.append(turn.view.root);
  box.value = "";
  begin(turn);
}

/** Go to the conversation that the address names. */
async function open() {
  const opened = ++visit;
  clear();
  thread = location.hash.slice(1) || undefined;
  if (!thread) return;
  document.body.classList.add("asked");
  try {
    const known = await withKey(() => client.conversation(String(thread)));
    if (opened !== visit) return;
    if (known) show(known);
    else leaveIt(NOT_THERE);
  } catch (error) {
    if (opened === visit) leaveIt(explain(error));
  }
}

/** @param {string} problem Why the conversation that the address names is not shown. */
function leaveIt(problem) {
  thread = undefined;
  document.body.classList.remove("asked");
  why.textContent = problem;
}

/** Show the conversation as the server has it, after the connection was lost. */
async function findAgain() {
  const opened = visit;
  why.textContent = CONNECTING;
  let problem = "";
  for (const wait of WAITS) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    if (opened !== visit) return;
    why.textContent = CONNECTING;
    try {
      const known = await withKey(() => client.conversation(String(thread)));
      if (opened !== visit) return;
      if (known) return show(known);
      problem = NOT_THERE;
      thread = undefined;
      break;
    } catch (error) {
      problem = explain(error);
    }
  }
  if (opened !== visit) return;
  const last = all.at(-1);
  if (!last) return;
  last.lost = thread !== undefined;
  last.run.breakOff("failed", problem, false);
  last.update();
  showState();
}

/** @param {Conversation} known */
function show(known) {
  clear();
  document.body.classList.add("asked");
  for (const one of known.turns) {
    const turn = new Turn(one.question);
    turns.append(turn.view.root);
    if (known.state !== "running" || one !== known.turns.at(-1)) turn.run.recall(one);
    turn.view.fold(one !== known.turns.at(-1));
    turn.update();
  }
  use(known.thread_id, known.turns[0]?.question ?? "");
  const last = all.at(-1);
  if (known.state === "running") void last?.readAgain();
  last?.view.root.scrollIntoView({ block: "start" });
  showState();
}

/** Take what is shown off the page; what runs goes on. */
function clear() {
  for (const turn of all) turn.leave();
  all = [];
  turns.replaceChildren();
  document.body.classList.remove("asked");
  showState();
}

/** Give the focus a place when the button that has it goes, if it is used with the keyboard. */
function keepFocus() {
  if (document.activeElement?.matches(":focus-visible")) box.focus({ preventScroll: true });
}

function busy() {
  const last = all.at(-1);
  return last !== undefined && !last.run.ended;
}

/** One question at a time: while one runs, the next can be written but not asked. */
function showState() {
  find("#send").disabled = busy();
  why.textContent = "";
  const asking = all.length ? "Ask a follow-up question" : "Ask a question";
  box.placeholder = all.at(-1)?.run.phase === "waiting" ? "Waiting for your approval" : asking;
}

/**
 * Do what may need the server's key, which is asked for then.
 *
 * @template T
 * @param {() => Promise<T>} attempt
 * @returns {Promise<T>}
 */
async function withKey(attempt) {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof KeyError) || !(await wantKey(error.message))) throw error;
    }
  }
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

fetch("questions").then(async (answer) => {
  const questions = answer.ok ? await answer.json() : [];
  const examples = questions.map((/** @type {string} */ question) => button("example", () => ask(question), question));
  find("#examples").append(...examples);
}, () => {});

const conversations = new ConversationsView(async (deleted) => {
  await withKey(() => client.forget(deleted));
  if (deleted !== thread) return;
  drop(deleted);
  startAnew();
});
document.body.append(conversations.root);
find("#list").addEventListener("click", () => conversations.show(thread));

function startAnew() {
  if (location.hash) history.pushState(null, "", location.pathname + location.search);
  void open();
}

find("#new").addEventListener("click", () => {
  startAnew();
  box.focus();
});

// What gets the focus is not hidden behind the form, however high it has grown.
new ResizeObserver(() => {
  document.documentElement.style.scrollPaddingBottom = `${form.offsetHeight + 16}px`;
}).observe(form);

window.addEventListener("resize", () => {
  for (const turn of all) turn.update();
});

window.addEventListener("hashchange", () => void open());
void open();
