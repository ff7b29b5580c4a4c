"""The agent as a tool of the Model Context Protocol, for Claude Desktop, Cursor and other hosts: `llm-compiler mcp` on
standard input and output, and `/mcp` of the server (streamable HTTP).

Each call asks anew, and no thread is kept; only of a run that waits for a person, whom this protocol can't ask: the
call fails, and says where to answer. Tasks are told as progress, when they start and end. A run is cancelled with its
call: over standard streams when the host says so or goes, over HTTP when the request's connection is closed.
"""

import asyncio
import json
import logging
import os
import sys
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TextIO

import anyio
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http import StreamableHTTPServerTransport
from mcp.types import TextContent, Tool
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from agent.compiled import in_a_task
from apps.runs.checkpoints import default_url
from apps.runs.graphs import description_of, served_graph, served_name
from apps.runs.wording import in_short, own_version
from apps.server.agent import Event, ServedAgent
from apps.server.errors import explain
from apps.server.limits import Limits
from apps.server.schema import AgentInput

ASK = "ask"
ABOUT = "Answers a question with an agent that has tools of its own, and plans their calls. {description}"
QUESTION = "The question, with all that is needed to understand it: the agent sees nothing else."
WAITS = "There is no answer yet: the run waits for a person. They answer {where}. It asks: {request}"
ON_THE_PAGE = "on the page {url}"
AT_A_TERMINAL = "at a terminal: llm-compiler --thread {thread}"
ENDS = {"task_finished": "done", "task_failed": "failed: {error}", "task_skipped": "skipped: {error}"}
CALL_CHARS = 60
"""Of a call; hosts show progress on one line, and arguments may be whole results."""

ERROR_CHARS = 200

Tell = Callable[[str], Awaitable[None]]


class CallError(Exception):
    """There is no answer; the message says why."""


def add_mcp(app: Starlette, agent: ServedAgent) -> None:
    """Serve the agent at `/mcp`."""
    app.router.routes.append(Route("/mcp", _Endpoint(_server(agent))))


async def serve_stdio() -> None:
    """Serve the graph that LLM_COMPILER_GRAPH names on standard input and output, until the input ends.

    What else is written to standard output, by tools and their processes, goes to standard error, and so does the log.

    Raises:
        apps.runs.graphs.GraphError: The graph can't be had.
        apps.runs.checkpoints.CheckpointError: The database of paused runs can't be had.
        ValueError: The environment has a setting that can't be.
    """
    read, write = _take_streams()
    logging.getLogger("apps").addHandler(logging.StreamHandler())
    graph = (await asyncio.to_thread(served_graph)).graph
    agent = ServedAgent()
    async with agent.open(graph, Limits.from_environment(), default_url()):
        server = _server(agent)
        async with stdio_server(anyio.wrap_file(read), anyio.wrap_file(write)) as (received, sent):
            await server.run(received, sent, server.create_initialization_options())


def _take_streams() -> tuple[TextIO, TextIO]:
    """Standard input and output, which nothing else has from here on."""
    read = os.fdopen(os.dup(0), encoding="utf-8", errors="replace")
    write = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return read, write


class _Endpoint:
    """ASGI app: each request has a session of its own, which ends with it."""

    def __init__(self, server: Server[Any, Any]) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":  # there is no session to listen to, or to end
            raise HTTPException(405, headers={"Allow": "POST"})
        transport = StreamableHTTPServerTransport(None)
        options = self._server.create_initialization_options()

        async def run(read: Any, write: Any) -> None:
            await self._server.run(read, write, options, stateless=True)

        async with transport.connect() as streams, anyio.create_task_group() as group:
            group.start_soon(run, *streams)
            await transport.handle_request(scope, receive, send)
            group.cancel_scope.cancel()


def _server(agent: ServedAgent) -> Server[Any, Any]:
    server: Server[Any, Any] = Server("llm-compiler", own_version())
    name = served_name()

    @server.list_tools()  # type: ignore[no-untyped-call, untyped-decorator]
    async def list_tools() -> list[Tool]:
        schema = {
            "type": "object",
            "properties": {"question": {"type": "string", "description": QUESTION}},
            "required": ["question"],
        }
        return [Tool(name=ASK, description=ABOUT.format(description=description_of(name)), inputSchema=schema)]

    @server.call_tool()  # type: ignore[untyped-decorator]
    async def call_tool(_: str, arguments: dict[str, Any]) -> list[TextContent]:
        context = server.request_context
        token = context.meta.progressToken if context.meta else None
        told = 0

        async def tell(message: str) -> None:
            nonlocal told
            told += 1
            if token is not None:
                await context.session.send_progress_notification(
                    token, told, message=message, related_request_id=str(context.request_id)
                )

        answer = await _answer(agent, arguments["question"], context.request, tell)
        return [TextContent(type="text", text=answer)]

    return server


async def _answer(agent: ServedAgent, question: str, request: Request | None, tell: Tell) -> str:
    """
    Raises:
        CallError: There is no answer.
    """
    thread, result = uuid.uuid4().hex, {}

    async def steps(events: AsyncGenerator[Event]) -> AsyncGenerator[str]:
        nonlocal result
        async for event in events:
            if message := _progress(event):
                yield message
            result = event

    try:
        asked = AgentInput(question=question, thread_id=thread)
        events = agent.events_once(asked, "mcp")
        # The run's events are taken as they come; what is told of them is short.
        async with aclosing(events), aclosing(in_a_task(steps(events), ahead=sys.maxsize)) as ahead:
            async for step in ahead:
                await tell(step)
    except Exception as error:
        raise CallError(explain(error).message) from error
    if approval := result["approval"]:
        where = ON_THE_PAGE.format(url=f"{request.base_url}#{thread}") if request else AT_A_TERMINAL
        wanted = json.dumps(approval["request"], default=str)
        raise CallError(WAITS.format(where=where.format(thread=thread), request=wanted))
    return str(result["answer"])


def _progress(event: Event) -> str | None:
    if event["type"] == "task_started":
        return in_short(event["call"], CALL_CHARS)
    if end := ENDS.get(event["type"]):
        return f"{in_short(event['call'], CALL_CHARS)}: {in_short(end.format(**event), ERROR_CHARS)}"
    return None
