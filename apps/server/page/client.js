/**
 * The client of `POST /agent/stream`: sends an input, yields the objects that come back as server-sent events.
 */

const KEY = "llm-compiler-key";
const PATIENCE = 5_000; // ms in which a run that was stopped may still be about to end
const PAUSE = 300; // ms from one attempt to the next
const SILENCE = 60_000; // ms without a byte, after which the server counts as gone; it pings every 15 s

/** The server wants an API key, or another one. */
export class KeyError extends Error {}

/** The connection broke, or could not be made. */
export class ConnectionError extends Error {}

/** The server refused the request, or the run failed; the message is the server's own. */
export class ServerError extends Error {}

/**
 * @typedef {{type: string, [field: string]: any}} Event
 * @typedef {{type: "approve"} | {type: "edit", edited_action: {name: string, args: object}}
 *   | {type: "reject" | "respond", message: string}} Decision
 * @typedef {{question?: string, thread_id?: string, decisions?: Decision[], resume?: any}} Input
 */

/** @param {string} key */
export function rememberKey(key) {
  sessionStorage.setItem(KEY, key);
}

/**
 * Run the agent, and yield what it tells. Aborting the signal closes the connection, and so cancels the run.
 *
 * @param {Input} input
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<Event>}
 * @throws {KeyError | ConnectionError | ServerError | DOMException} The last one, an AbortError, if it was aborted.
 */
export async function* stream(input, signal) {
  const alive = new Watch();
  const either = AbortSignal.any([signal, alive.signal]);
  try {
    const response = await send(input, either);
    let ended = false;
    for await (const { event, data } of serverSentEvents(response.body, alive)) {
      if (event === "data") yield JSON.parse(data);
      else if (event === "error") throw new ServerError(message(data) ?? "The run failed.");
      else if (event === "end") ended = true;
    }
    if (!ended) throw new ConnectionError("The connection to the server was lost.");
  } catch (error) {
    if (signal.aborted || error instanceof ServerError || error instanceof KeyError) throw error;
    if (error instanceof ConnectionError) throw error;
    if (alive.signal.aborted) throw new ConnectionError("The server has fallen silent.");
    if (error instanceof SyntaxError) throw new ServerError("The server sent something that is not JSON.");
    throw new ConnectionError("The connection to the server was lost.");
  } finally {
    alive.end();
  }
}

/**
 * @param {Input} input
 * @param {AbortSignal} signal
 * @returns {Promise<Response>}
 */
async function send(input, signal) {
  const until = Date.now() + PATIENCE;
  for (;;) {
    const response = await post(input, signal);
    if (response.ok) return response;
    const said = message(await response.text()) ?? `The server answered ${response.status} ${response.statusText}`.trim();
    if (response.status === 409 && said.includes("is answering another request") && Date.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
      continue;
    }
    const wait = response.headers.get("Retry-After");
    throw new ServerError(wait && /^\d+$/.test(wait) ? `${said} Try again in ${wait} s.` : said);
  }
}

/**
 * @param {Input} input
 * @param {AbortSignal} signal
 * @returns {Promise<Response>}
 */
async function post(input, signal) {
  const key = sessionStorage.getItem(KEY);
  let response;
  try {
    response = await fetch("agent/stream", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...(key ? { "X-API-Key": key } : {}) },
      body: JSON.stringify({ input }),
      signal,
    });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new ConnectionError("The server can't be reached.");
  }
  if (response.status === 401) throw new KeyError(key ? "The server does not accept this key." : "");
  return response;
}

/**
 * What an error of the server says: a plain message, or FastAPI's `detail`.
 *
 * @param {string} body
 * @returns {string | undefined}
 */
function message(body) {
  let said;
  try {
    said = JSON.parse(body);
  } catch {
    return undefined;
  }
  const detail = said?.message ?? said?.detail ?? said?.error;
  if (Array.isArray(detail)) return detail.map((one) => one?.msg ?? JSON.stringify(one)).join(" ");
  return detail === undefined || typeof detail === "string" ? detail : JSON.stringify(detail);
}

/**
 * The events of a stream in the format that the HTML standard calls `text/event-stream`.
 *
 * @param {ReadableStream<BufferSource> | null} body
 * @param {Watch} alive Told of every piece that comes.
 * @returns {AsyncGenerator<{event: string, data: string}>}
 */
async function* serverSentEvents(body, alive) {
  if (!body) return;
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let event = "message";
  /** @type {string[]} */
  let data = [];
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      alive.note();
      const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line === "") {
          if (data.length || event !== "message") yield { event, data: data.join("\n") };
          [event, data] = ["message", []];
        } else if (line.startsWith("event:")) event = line.slice(6).trim();
        else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Aborts when nothing has come for a while. */
class Watch {
  #abort = new AbortController();
  #timer = 0;

  constructor() {
    this.note();
  }

  get signal() {
    return this.#abort.signal;
  }

  note() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#abort.abort(), SILENCE);
  }

  end() {
    clearTimeout(this.#timer);
  }
}
