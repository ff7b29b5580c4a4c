"""The agent over HTTP: `make serve`.

| path | what it is |
|---|---|
| `/` | the page, on which a question is seen compiling (`apps/server/page/`) |
| `/agent/stream` | a question in, progress and answer out, as they happen |
| `/agent/invoke`, `/agent/batch` | the same at the end; for one question, and for several |
| `/agent/threads/{thread_id}` | GET: what a thread holds; DELETE: forget it |
| `/agent/threads/{thread_id}/stream` | POST: read a run again that goes on without its client; DELETE: stop it |
| `/agent/stream_events`, `/agent/stream_log` | LangChain's own events of everything inside |
| `/agent/input_schema`, `output_schema`, `config_schema` | JSON schemas |
| `/agent/playground/` | LangServe's form for trying it out |
| `/v1/chat/completions`, `/v1/models` | the same for OpenAI's clients, of each graph; see `apps.server.openai` |
| `/mcp` | the same as a tool for MCP hosts, see `apps.server.mcp`; needs the extra `mcp` |
| `/ag-ui` | the same for AG-UI's front ends (CopilotKit), see `apps.server.ag_ui`; needs the extra `ag-ui` |
| `/docs` | the API's documentation: Swagger UI of `/openapi.json` |
| `/healthz` | whether the server is up; it needs no key |

`langserve.RemoteRunnable("http://127.0.0.1:8000/agent/")` is the client in Python.

A request is JSON (`Content-Type: application/json`):

    {"input": {"question": "…"}}                      or {"input": {"messages": [{"role": "user", "content": "…"}]}}
    {"input": {"question": "…", "thread_id": "…"}}    goes on with a conversation
    {"input": "…", "config": {"configurable": {"thread_id": "…"}}}       the same
    {"input": {"decisions": [{"type": "approve"}], "thread_id": "…"}}    answers an approval (see `Decision`)
    {"input": {"resume": …, "thread_id": "…"}}        answers what a tool of yours asked with `interrupt`
    {"input": {"resume": true, "thread_id": "…"}}     goes on with a run that died, or failed: what is done is kept
    {"input": …, "config": {"configurable": {"max_replans": 1}}}         a run's settings, see `agent.Context`

A run is cancelled when its client goes, or closes its half of the connection. One that was started with
`"on_disconnect": "continue"` beside its `input`, as the page does, goes on to its end, and can be read again in its
thread.

`/agent/stream` answers with server-sent events. Each `event: data` is one JSON object with a `type`:

- the agent's progress, as `agent.events` lists it: `plan_started`, `plan_text`, `task_planned`, `task_started`,
  `task_finished`, … Kinds and fields may be added; ignore those that you don't know.
- `answer_text` {`text`}: a piece of the answer. One with `"restart": true` makes those before it void, and so does
  `replanning`.
- `approval` {`thread_id`, `request`: {`action_requests`, `review_configs`, `error`?}}: the run has paused. Answer with
  one decision for each action request.
- `result`, always the last: the run's report, as `llm-compiler --json` prints it (`apps.runs.report`): {`answer`,
  `approval`, `tasks`: [{`task`, `element`, `tool`, `arguments`, `status`: done | failed | skipped, `result`, …}],
  `thread_id`, `model`, `usage`, `timings`, …}. Of a run that paused, `answer` is null and `approval` is what it waits
  for. `timings` are of this request: `total` is until the answer or the pause, and when a pause is answered, from
  there on. `/agent/invoke` has the same as its `output`.

Then comes `event: end`. If the run fails, `event: error` comes instead, with {`status_code`, `message`}; before the
first event a failure is an HTTP error, with `message` in its body. The first event of all is `event: metadata`
{`run_id`}, and comments (`: ping`) may stand between events.

What clients may do is bounded by the environment; each of these variables has `LLM_COMPILER_` before it:

| variable | default | what it bounds |
|---|---|---|
| `API_KEY` | none | every request but `/healthz` must bring it: `Authorization: Bearer`, `X-API-Key`, Basic; else 401 |
| `MAX_REQUEST_BYTES` | 1000000 | a request's body; else 413 |
| `MAX_QUESTION_CHARS` | 20000 | a question, or its messages; else 422 |
| `MAX_BATCH` | 20 | the questions of a batch; else 422 |
| `MAX_RUNS` | 100 | requests, and runs, at once; else 503 with `Retry-After`. Connections: 400 more |
| `RUN_TIMEOUT` | 300 | seconds of a run; else 504 |
| `CLIENT_TIMEOUT` | 30 | seconds that a client may take to send a request, or to read on; idle connections |
| `SHUTDOWN_TIMEOUT` | 10 | seconds that runs with a client may go on when the server is stopped; others are cancelled |
| `MAX_THREADS` | 1000 | threads kept without a database; the one not used for longest goes first |
| `CLIENT_MODELS` | the server's own | the models that a client may name, as `openai:gpt-4.1*,anthropic:*`; or `none` |

Limits of a run (`max_tasks`, …) can be lowered by clients, and not raised above the server's own. Without a key the
server answers its own machine alone, and nothing that shows that it came through a proxy. Threads are gone with it, or
kept in the database that `CHECKPOINT_DB` names (see `apps.runs.checkpoints`); then they outlive the server, and
several servers and the command line may share them: a thread is run by one of them at a time, and the others answer
409. Who dies gives its threads free; a server that starts logs the runs that died so, and clients have them go on with
`resume`.
"""

import asyncio
import gc
import mimetypes
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from agent import default_model, load_model
from agent.tooling.fit import reason_of
from apps.runs.checkpoints import CheckpointError
from apps.runs.errors import TOLD
from apps.runs.graphs import Graph, GraphError, served_graph
from apps.runs.locks import BusyError
from apps.runs.wording import in_short

NOT_INSTALLED = "The server needs the extra 'serve': pip install -e '.[serve]'"

try:
    from fastapi import APIRouter, FastAPI, Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse
    from fastapi_offline import FastAPIOffline
    from starlette.exceptions import HTTPException
    from starlette.responses import Response
    from starlette.staticfiles import StaticFiles

    from apps.server.agent import ServedAgent
    from apps.server.conversations import add_conversations
    from apps.server.errors import OF_ALL, Failure, RefusedError, explain
    from apps.server.guard import Guard
    from apps.server.langserve import add_agent
    from apps.server.limits import Limits
    from apps.server.openai import add_openai
except ModuleNotFoundError as error:
    if error.name not in ("fastapi", "fastapi_offline", "langserve", "sse_starlette", "starlette"):
        raise
    raise ImportError(NOT_INSTALLED) from error

PAGE = Path(__file__).parent / "page"
ABOUT = "An LLMCompiler agent: it plans tool calls as a DAG, runs them in parallel, and joins the results."
SHOWN_CHARS = 200
LIST_WANTED = "Input should be a valid list"
NOTHING_THERE = "{method} {path} is not served. /docs lists what is."


def create_app(
    graph: Graph | None = None,
    limits: Limits | None = None,
    database: str | None = None,
) -> FastAPI:
    """The server.

    Args:
        graph: The agent; the one that LLM_COMPILER_GRAPH names, if it is not given.
        limits: What clients may do; if not given, what the environment says when the server starts.
        database: Where threads are kept, see `apps.runs.checkpoints`; if not given, `CHECKPOINT_DB`, else as long as
            the server runs.
    """
    agent = ServedAgent()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        served = graph if graph is not None else await asyncio.to_thread(_served_graph)
        await asyncio.to_thread(mimetypes.init)  # reads files, and Starlette would have it do so in the event loop
        bounds = limits or Limits.from_environment()
        async with agent.open(served, bounds, database or os.environ.get("CHECKPOINT_DB")):
            gc.set_threshold(50_000, 10, 10)  # up to 0.6 times the CPU under load of Python's own (tests/benchmarks)
            yield

    app = FastAPIOffline(title="LLMCompiler", description=ABOUT, lifespan=lifespan)
    app.state.agent = agent
    app.add_middleware(Guard, limits=lambda: agent.limits)
    app.add_exception_handler(RequestValidationError, _explain_request)
    app.add_exception_handler(HTTPException, _explain_status)
    for kind in (RefusedError, BusyError, CheckpointError, GraphError):
        app.add_exception_handler(kind, _explain_refusal)
    router = APIRouter(responses=OF_ALL)
    add_agent(router, agent)
    add_conversations(router, agent)
    add_openai(router, agent, alone=graph is not None)
    if find_spec("ag_ui"):
        from apps.server.ag_ui import add_ag_ui

        add_ag_ui(router, agent)
    app.routes.extend(router.routes)  # as they are: `include_router` would make each of them a second time
    if find_spec("mcp"):
        from apps.server.mcp import add_mcp

        add_mcp(app, agent)

    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz", tags=["server"])
    async def healthz() -> dict[str, str]:
        """Whether the server is up."""
        return {"status": "ok"}

    @app.get("/questions", include_in_schema=False)
    def questions() -> list[str]:
        """What may be asked, for the page: the examples of the graph that is served."""
        return [] if graph else list(served_graph().questions)

    if PAGE.is_dir():
        # Not mounted at `/`: a mount takes all requests, also those that a path of ours has another method for.
        app.router.default = PageFiles(directory=PAGE, html=True)
    return app


class PageFiles(StaticFiles):
    """The page. A browser asks each time whether what it has is still so: after an upgrade, old and new modules would
    meet."""

    def file_response(self, *given: Any, **named: Any) -> Response:
        response = super().file_response(*given, **named)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _served_graph() -> Graph:
    graph = served_graph().graph
    # A model imports its client, for which the first request would have to wait half a second.
    with suppress(Exception):  # what is wrong with a model, the run that wants it tells
        load_model(default_model("planner"))
        load_model(default_model("joiner"))
    return graph


async def _explain_request(request: Request, error: Exception) -> JSONResponse:
    """What is wrong with a request, without what it says."""
    assert isinstance(error, RequestValidationError)
    details = [_detail(detail) for detail in error.errors()[:TOLD]]
    message = "; ".join(reason_of(detail["loc"][1:], detail["msg"]) for detail in details)
    return JSONResponse({**Failure(422, message).body(request.url.path), "detail": details}, 422)


def _detail(error: Any) -> dict[str, Any]:
    """Where it is and what it is."""
    message = LIST_WANTED if error["type"] == "tuple_type" else error["msg"].removeprefix("Value error, ")
    return {"loc": list(error["loc"]), "msg": message}


async def _explain_status(request: Request, error: Exception) -> JSONResponse:
    """Why there is no answer, in the form of all other errors."""
    assert isinstance(error, HTTPException)
    message = error.detail
    if error.status_code in (404, 405) and message == HTTPStatus(error.status_code).phrase:
        message = NOTHING_THERE.format(method=request.method, path=in_short(request.url.path, SHOWN_CHARS))
    body = Failure(error.status_code, message).body(request.url.path)
    return JSONResponse({**body, "detail": message}, error.status_code, error.headers)


async def _explain_refusal(request: Request, error: Exception) -> JSONResponse:
    failure = explain(error)
    return JSONResponse(failure.body(request.url.path), failure.status, failure.headers)


app = create_app()
