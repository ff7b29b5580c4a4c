/**
 * What waits for a person: calls that want approval, a card for each, with the decisions sent when all are made; or
 * whatever else a tool asks.
 */

import { button, element, icon } from "./dom.js";
import { inFull } from "./format.js";

/** @typedef {import("./client.js").Decision} Decision */
/** @typedef {{decisions: Decision[]} | {resume: string}} Reply */
/** @typedef {import("./run.js").Approval} Approval */
/** @typedef {{name: string, args: object, description?: string}} Action */

const ALL = ["approve", "edit", "reject", "respond"];
/** @type {Record<string, string>} */
const LABELS = { approve: "Approve", edit: "Edit", reject: "Reject", respond: "Respond" };
/** @type {Record<string, string>} */
const DECIDED = {
  approve: "Approved",
  edit: "Approved with changes",
  reject: "Rejected",
  respond: "Answered in its place",
};

/**
 * @param {Approval} approval
 * @param {(reply: Reply) => void} send Called once.
 * @returns {HTMLElement}
 */
export function approvalView({ request }, send) {
  const [title, ...content] = Array.isArray(request?.action_requests)
    ? decide(request, (decisions) => sendOnce({ decisions }))
    : answer(request, (resume) => sendOnce({ resume }));
  const root = element(
    "section",
    { class: "approval", "aria-label": "Approval" },
    element("h3", {}, icon("paused"), title),
    ...(request?.error ? [element("p", { class: "error", role: "alert" }, request.error)] : []),
    ...content,
  );
  const sendOnce = (/** @type {Reply} */ reply) => {
    for (const field of root.querySelectorAll("button, textarea")) field.disabled = true;
    send(reply);
  };
  return root;
}

/**
 * @param {Approval["request"]} request
 * @param {(decisions: Decision[]) => void} send
 * @returns {[string, ...HTMLElement[]]} A title, and what comes below it.
 */
function decide({ action_requests: actions, review_configs: configs = [] }, send) {
  /** @type {(Decision | undefined)[]} */
  const decisions = actions.map(() => undefined);
  const finish = () => send(/** @type {Decision[]} */ (decisions));
  const submit = button("primary", finish, "Go on");
  submit.disabled = true;
  const cards = actions.map((action, index) => {
    const allowed = configs.find((config) => config.action_name === action.name)?.allowed_decisions ?? ALL;
    return new Card(action, allowed, (decision) => {
      decisions[index] = decision;
      const complete = decisions.every((one) => one);
      if (complete && actions.length === 1) finish();
      else submit.disabled = !complete;
    });
  });
  const grid = element("div", { class: "cards" }, ...cards.map((card) => card.root));
  if (actions.length === 1) return ["This call wants your approval", grid];
  return [`${actions.length} calls want your approval`, grid, element("p", { class: "buttons" }, submit)];
}

/**
 * @param {any} question What a tool asks, in whatever form.
 * @param {(answer: string) => void} send
 * @returns {[string, ...HTMLElement[]]} A title, and what comes below it.
 */
function answer(question, send) {
  const text = element("textarea", { rows: "2" });
  const card = element(
    "article",
    { class: "card", "aria-label": "Question of a tool" },
    element("pre", { class: "outcome", tabindex: "0" }, inFull(question)),
    element("label", {}, "Your answer", text),
    element("p", { class: "buttons" }, button("primary", () => send(text.value), "Answer")),
  );
  return ["A tool wants to know something", element("div", { class: "cards" }, card)];
}

/** One call, and the decision about it. */
class Card {
  #body = element("div");

  /**
   * @param {Action} action
   * @param {string[]} allowed
   * @param {(decision: Decision | undefined) => void} decide Called with undefined when a decision is taken back.
   */
  constructor(action, allowed, decide) {
    this.action = action;
    this.allowed = allowed;
    this.decide = decide;
    this.root = element(
      "article",
      { class: "card", "aria-label": `Call of ${action.name}` },
      element("h4", {}, action.name),
      ...(action.description ? [element("p", { class: "description" }, action.description)] : []),
      element("pre", { class: "outcome", tabindex: "0" }, JSON.stringify(action.args, null, 2)),
      this.#body,
    );
    this.#choose();
  }

  #choose() {
    const buttons = this.allowed.map((kind) => {
      const click = () => (kind === "approve" ? this.#decided({ type: "approve" }) : this.#write(kind));
      const type = kind === "approve" ? "primary" : "secondary";
      return button(type, click, LABELS[kind] ?? kind);
    });
    this.#body.replaceChildren(element("p", { class: "buttons" }, ...buttons));
  }

  #chooseAgain() {
    this.#choose();
    this.root.querySelector("button")?.focus();
  }

  /** @param {Decision} decision */
  #decided(decision) {
    const undo = () => {
      this.decide(undefined);
      this.#chooseAgain();
    };
    const change = button("link", undo, "Change");
    this.#body.replaceChildren(element("p", { class: "decided", role: "status" }, DECIDED[decision.type], " ", change));
    change.focus();
    this.decide(decision);
  }

  /** @param {string} kind */
  #write(kind) {
    const editing = kind === "edit";
    const problem = element("p", { class: "error", role: "alert" });
    const text = element("textarea", { rows: editing ? "6" : "2", spellcheck: editing ? "false" : "true" });
    if (editing) text.value = JSON.stringify(this.action.args, null, 2);
    const send = () => {
      try {
        this.#decided(decisionOf(kind, this.action.name, text.value));
      } catch (error) {
        problem.textContent = /** @type {Error} */ (error).message;
        text.setAttribute("aria-invalid", "true");
        text.focus();
      }
    };
    /** @type {Record<string, string>} */
    const labels = {
      edit: "Arguments, as JSON",
      reject: "Why not? The agent is told.",
      respond: "The result to use instead of calling the tool",
    };
    this.#body.replaceChildren(
      element("label", {}, labels[kind] ?? kind, text),
      problem,
      element(
        "p",
        { class: "buttons" },
        button("primary", send, editing ? "Approve these" : LABELS[kind]),
        button("secondary", () => this.#chooseAgain(), "Back"),
      ),
    );
    text.focus();
  }
}

/**
 * @param {string} kind
 * @param {string} name
 * @param {string} text
 * @returns {Decision}
 * @throws {Error} The arguments can't be read.
 */
function decisionOf(kind, name, text) {
  if (kind !== "edit") return { type: /** @type {"reject" | "respond"} */ (kind), message: text.trim() };
  let args;
  try {
    args = JSON.parse(text);
  } catch (error) {
    throw new Error(`This is not JSON: ${/** @type {Error} */ (error).message}`);
  }
  if (typeof args !== "object" || args === null || Array.isArray(args)) {
    throw new Error('Arguments are a JSON object, such as {"query": "K2"}.');
  }
  return { type: "edit", edited_action: { name, args } };
}
