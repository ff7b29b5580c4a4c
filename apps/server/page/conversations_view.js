/** The list of conversations: each can be opened, renamed and deleted. */

import { all, drop, rename } from "./conversations.js";
import { button, closeButton, element } from "./dom.js";

export class ConversationsView {
  #list = element("ul");
  #problem = element("p", { class: "error", role: "alert" });

  /**
   * @param {(thread: string) => Promise<void>} forget Deletes a conversation on the server; what it throws is shown.
   */
  constructor(forget) {
    this.forget = forget;
    const close = () => this.root.close();
    this.root = element(
      "dialog",
      { id: "conversations", "aria-labelledby": "conversations-title" },
      element(
        "header",
        {},
        element("h2", { id: "conversations-title" }, "Conversations"),
        closeButton("Close", close),
      ),
      this.#problem,
      this.#list,
      element("p", { class: "hint" }, "Begun in this browser, which alone keeps this list."),
    );
    this.root.addEventListener("click", (/** @type {MouseEvent} */ event) => {
      if (event.target === this.root) close(); // beside it
    });
  }

  /** @param {string | undefined} current The thread that is open. */
  show(current) {
    this.current = current;
    this.#draw();
    this.root.showModal();
  }

  #draw() {
    this.#problem.textContent = "";
    const known = all();
    this.#list.replaceChildren(
      ...(known.length ? known.map((one) => this.#entry(one)) : [element("li", { class: "hint" }, "None yet.")]),
    );
  }

  /** @param {import("./conversations.js").Known} known */
  #entry({ thread, title }) {
    const open = element(
      "a",
      { href: `#${thread}`, "aria-current": thread === this.current ? "page" : null, click: () => this.root.close() },
      title,
    );
    const link = (/** @type {string} */ text, /** @type {() => void} */ click) => button("link", click, text);
    const edit = () => {
      const box = element("input", { "aria-label": "Title", maxlength: "200" });
      box.value = title;
      const done = (/** @type {boolean} */ keep) => {
        if (keep && box.value.trim()) rename(thread, box.value.trim());
        this.#draw();
      };
      box.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
        if (event.key === "Escape") event.preventDefault(); // the dialog stays open
        if (event.key === "Escape" || event.key === "Enter") done(event.key === "Enter");
      });
      entry.replaceChildren(box, link("Save", () => done(true)), link("Cancel", () => done(false)));
      box.select();
    };
    const ask = () => {
      const sure = link("Delete for good", () => void this.#delete(thread));
      entry.replaceChildren(element("span", {}, title), sure, link("Keep", () => this.#draw()));
      sure.focus();
    };
    const actions = [link("Rename", edit), link("Delete", ask)];
    for (const action of actions) action.ariaLabel = `${action.textContent} ${title}`;
    const entry = element("li", {}, open, ...actions);
    return entry;
  }

  /** @param {string} thread */
  async #delete(thread) {
    try {
      await this.forget(thread);
      drop(thread);
      this.#draw();
    } catch (error) {
      this.#draw();
      this.#problem.textContent = /** @type {Error} */ (error).message;
    }
  }
}
