"""The agent over HTTP: `make serve`, or `uvicorn graphs.server:app --env-file .env`.

| path | what it is |
|---|---|
| `/` | the page, on which a question is seen compiling (`graphs/page/`) |
| `/agent/stream` | a question in, progress and answer out, as they happen |
| `/agent/invoke`, `/agent/batch` | the same at the end; for one question, and for several |
| `/agent/stream_events`, `/agent/stream_log` | LangChain's own events of everything inside |
| `/agent/input_schema`, `output_schema`, `config_schema` | JSON schemas |
| `/agent/playground/` | LangServe's form for trying it out |
| `/docs`, `/healthz` | the API's documentation; whether the server is up (it needs no key) |

`langserve.RemoteRunnable("http://127.0.0.1:8000/agent/")` is the client in Python.

A request is JSON (`Content-Type: application/json`):

    {"input": {"question": "…"}}                      or {"input": {"messages": [{"role": "user", "content": "…"}]}}
    {"input": {"question": "…", "thread_id": "…"}}    goes on with a conversation
    {"input": {"decisions": [{"type": "approve"}], "thread_id": "…"}}    answers an approval
    {"input": …, "config": {"configurable": {"max_replans": 1}}}         a run's settings, see `agent.Context`

`/agent/stream` answers with server-sent events. Each `event: data` is one JSON object with a `type`:

- the agent's progress, as `agent.events` lists it: `plan_started`, `plan_text`, `task_planned`, `task_started`,
  `task_finished`, … Kinds and fields may be added; ignore those that you don't know.
- `answer_text` {`text`}: a piece of the answer. One with `"restart": true` makes those before it void, and so does
  `replanning`.
- `approval` {`thread_id`, `request`: {`action_requests`, `review_configs`, `error`?}}: the run has paused. Answer with
  one decision for each action request.
- `result`, always the last: {`answer`, `approval`, `tasks`: [{`task`, `element`, `tool`, `arguments`, `dependencies`,
  `status`: done | failed | skipped, `result`, `started`, `finished`}], `thread_id`, `model`, `usage`, `timings`}. Of a
  run that paused, `answer` is null and `approval` is what it waits for. `/agent/invoke` has the same as its `output`.

Then comes `event: end`. If the run fails, `event: error` comes instead, with {`status_code`, `message`}. The first event
of all is `event: metadata` {`run_id`}, and comments (`: ping`) may stand between events.
"""
