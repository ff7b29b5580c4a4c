/** The client of the server's API: a run as the objects that come back as server-sent events, and its thread. */

const KEY = "llm-compiler-key";
const SILENCE = 60_000; // ms without a byte, after which the server counts as gone; it pings every 15 s

/** The server wants an API key, or another one. */
export class KeyError extends Error {}

/** The connection could not be made. */
export class ConnectionError extends Error {}

/** The connection broke while a run was being told. */
export class LostError extends ConnectionError {}

/** The server refused the request, or the run failed; the message is the server's own. */
export class ServerError extends Error {
  /**
   * @param {string} message
   * @param {number} [status] Of the HTTP response, if the request was refused.
   */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/**
 * @typedef {{type: string, [field: string]: any}} Event
 * @typedef {{type: "approve"} | {type: "edit", edited_action: {name: string, args: object}}
 *   | {type: "reject" | "respond", message: string}} Decision
 * @typedef {{question?: string, thread_id?: string, decisions?: Decision[], resume?: any}} Input
 * @typedef {{question: string, answer: string | null, approval: any, plans: string[], replans: string[],
 *   tasks: any[]}} KnownTurn
 * @typedef {{thread_id: string, state: "running" | "finished" | "broken" | "waiting", turns: KnownTurn[]}} Conversation
 */

/** @param {string} key */
export function rememberKey(key) {
  sessionStorage.setItem(KEY, key);
}

/**
 * Run the agent, and yield what it tells. The run goes on when the signal is aborted, or the connection breaks.
 *
 * @param {Input} input With a thread.
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<Event>}
 * @throws {KeyError | ConnectionError | ServerError | DOMException} The last one, an AbortError, if it was aborted.
 */
export function run(input, signal) {
  return events("agent/stream", { input, on_disconnect: "continue" }, signal);
}

/**
 * Yield what the run that goes on in a thread has told so far, and tells; throws as `run` does.
 *
 * @param {string} thread
 * @param {AbortSignal} signal
 */
export function readAgain(thread, signal) {
  return events(`agent/threads/${thread}/stream`, {}, signal);
}

/**
 * @param {string} thread
 * @returns {Promise<Conversation | undefined>} Undefined if the server has no such thread.
 * @throws {KeyError | ConnectionError | ServerError}
 */
export async function conversation(thread) {
  try {
    return await (await send("GET", `agent/threads/${thread}`)).json();
  } catch (error) {
    if (error instanceof ServerError && (error.status === 404 || error.status === 422)) return undefined;
    throw error;
  }
}

/**
 * Stop the run that goes on in a thread; throws as `conversation` does.
 *
 * @param {string} thread
 */
export async function stop(thread) {
  await send("DELETE", `agent/threads/${thread}/stream`);
}

/**
 * Delete a thread; throws as `conversation` does.
 *
 * @param {string} thread
 */
export async function forget(thread) {
  await send("DELETE", `agent/threads/${thread}`);
}

/**
 * @param {string} path
 * @param {object} body
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<Event>}
 */
async function* events(path, body, signal) {
  const alive = new Watch();
  try {
    const response = await send("POST", path, body, AbortSignal.any([signal, alive.signal]));
    let ended = false;
    for await (const { event, data } of serverSentEvents(response.body, alive)) {
      if (event === "data") yield JSON.parse(data);
      else if (event === "error") throw new ServerError(message(data) ?? "The run failed.");
      else if (event === "end") ended = true;
    }
    if (!ended) throw new LostError();
  } catch (error) {
    if (signal.aborted || [ServerError, KeyError, ConnectionError].some((kind) => error instanceof kind)) throw error;
    if (error instanceof SyntaxError) throw new ServerError("The server sent something that is not JSON.");
    throw new LostError();
  } finally {
    alive.end();
  }
}

/**
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 * @param {AbortSignal} [signal]
 * @returns {Promise<Response>}
 */
async function send(method, path, body, signal) {
  const key = sessionStorage.getItem(KEY);
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: { "Content-Type": "application/json", ...(key ? { "X-API-Key": key } : {}) },
      body: body && JSON.stringify(body),
      signal,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ConnectionError("The server can't be reached.");
  }
  if (response.ok) return response;
  if (response.status === 401) throw new KeyError(key ? "The server does not accept this key." : "");
  const said = message(await response.text()) ?? `The server answered ${response.status} ${response.statusText}`.trim();
  const wait = response.headers.get("Retry-After");
  throw new ServerError(wait && /^\d+$/.test(wait) ? `${said} Try again in ${wait} s.` : said, response.status);
}

/**
 * @param {string} body Of an error.
 * @returns {string | undefined} What the server says; undefined if it isn't the server's.
 */
function message(body) {
  try {
    return JSON.parse(body).message;
  } catch {
    return undefined;
  }
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
