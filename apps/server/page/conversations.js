/**
 * The conversations that were begun in this browser: the threads' ids and titles. The server has what was said in them,
 * and tells it to who knows the id.
 */

const NAME = "llm-compiler-conversations";
const MOST = 200;

/** @typedef {{thread: string, title: string}} Known */

/** @returns {Known[]} The last used first. */
export function all() {
  try {
    const kept = JSON.parse(localStorage.getItem(NAME) ?? "[]");
    return Array.isArray(kept) ? kept.filter((one) => typeof one?.thread === "string") : [];
  } catch {
    return []; // a browser may be told to keep nothing
  }
}

/**
 * Note that a conversation is used.
 *
 * @param {string} thread
 * @param {string} title If it has none yet.
 */
export function use(thread, title) {
  const known = all().find((one) => one.thread === thread);
  keep([known ?? { thread, title: title.slice(0, 200) }, ...all().filter((one) => one.thread !== thread)]);
}

/**
 * @param {string} thread
 * @param {string} title
 */
export function rename(thread, title) {
  keep(all().map((one) => (one.thread === thread ? { thread, title } : one)));
}

/** @param {string} thread */
export function drop(thread) {
  keep(all().filter((one) => one.thread !== thread));
}

/** @param {Known[]} conversations */
function keep(conversations) {
  try {
    localStorage.setItem(NAME, JSON.stringify(conversations.slice(0, MOST)));
  } catch {
    // then the list is that of this visit's address alone
  }
}

/** @returns {string} The id of a new thread. It is what gives access to it, and so can't be guessed. */
export function newThread() {
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // `randomUUID` is for pages that came by HTTPS
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
