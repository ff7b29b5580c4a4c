/** The calls that wait for a person: a card for each, and the decisions that are sent when all are made. */

import { element, icon } from "./dom.js";

/** @typedef {import("./client.js").Decision} Decision */
/** @typedef {import("./run.js").Approval} Approval */
/** @typedef {{name: string, args: object, description?: string}} Action */

const ALL = ["approve", "edit", "reject", "respond"];
/** @type {Record<string, string>} */
const LABELS = { approve: "Approve", edit: "Edit", reject: "Reject", respond: "Respond" };
/** @type {Record<string, string>} */
const DECIDED = { approve: "Approved", edit: "Approved with changes", reject: "Rejected", respond: "Answered in its place" };

/**
 * @param {Approval} approval
 * @param {(decisions: Decision[]) => void} send Called once, with a decision for each call.
 * @returns {HTMLElement}
 */
export function approvalView({ request }, send) {
  const { action_requests: actions, review_configs: configs = [], error } = request;
  /** @type {(Decision | undefined)[]} */
  const decisions = actions.map(() => undefined);
  const submit = element("button", { type: "button", class: "primary", disabled: true, click: () => finish() }, "Go on");
  const finish = () => {
    submit.disabled = true;
    for (const button of root.querySelectorAll("button, textarea")) button.disabled = true;
    send(/** @type {Decision[]} */ (decisions));
  };
  const cards = actions.map((action, index) => {
    const allowed = configs.find((config) => config.action_name === action.name)?.allowed_decisions ?? ALL;
    return new Card(action, allowed, (decision) => {
      decisions[index] = decision;
      const complete = decisions.every((one) => one);
      if (complete && actions.length === 1) finish();
      else submit.disabled = !complete;
    });
  });
  const title = actions.length === 1 ? "This call wants your approval" : `${actions.length} calls want your approval`;
  const root = element(
    "section",
    { class: "approval", "aria-label": "Approval" },
    element("h3", {}, icon("pause"), title),
    ...(error ? [element("p", { class: "error", role: "alert" }, error)] : []),
    element("div", { class: "cards" }, ...cards.map((card) => card.root)),
    ...(actions.length > 1 ? [element("p", { class: "buttons" }, submit)] : []),
  );
  return root;
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
      return element("button", { type: "button", class: type, click }, LABELS[kind] ?? kind);
    });
    this.#body.replaceChildren(element("p", { class: "buttons" }, ...buttons));
  }

  /** @param {Decision} decision */
  #decided(decision) {
    const undo = () => {
      this.decide(undefined);
      this.#choose();
      this.root.querySelector("button")?.focus();
    };
    const change = element("button", { type: "button", class: "link", click: undo }, "Change");
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
    const back = () => {
      this.#choose();
      this.root.querySelector("button")?.focus();
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
        element("button", { type: "button", class: "primary", click: send }, editing ? "Approve these" : LABELS[kind]),
        element("button", { type: "button", class: "secondary", click: back }, "Back"),
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
