"""A real uvicorn for tests, in their own event loop: its tools can wait for a test's events."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.config import get_stream_writer
from langgraph.types import interrupt

from agent import create_llm_compiler
from apps.server.app import create_app
from apps.server.limits import Limits
from tests.support import PATIENCE


class Uvicorn(uvicorn.Server):
    """Tells when it listens, and leaves the signals to pytest."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncIterator[str]:
    """Serves an app on a free port of the loopback; gives its URL, which ends with a slash.

    Args:
        app: The ASGI app.
        options: Of `uvicorn.Config`.
    """
    usual = {"port": 0, "log_config": None, "timeout_graceful_shutdown": 2}
    usual |= {"timeout_keep_alive": 600}  # a connection that is closed while it is used again is an error
    config = uvicorn.Config(app, **{**usual, **options})
    server = Uvicorn(config)
    running = asyncio.create_task(server.serve())
    listening = asyncio.create_task(server.listening.wait())
    await asyncio.wait([running, listening], return_when=asyncio.FIRST_COMPLETED)
    if not server.started:
        listening.cancel()
        await running
        raise RuntimeError("The server did not start.")
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    try:
        yield f"http://{host}:{port}/"
    finally:
        server.should_exit = True
        await running


class Events:
    """The server-sent events of a response, one at a time: `(event, data)`, the data read as JSON."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    def __aiter__(self) -> "Events":
        return self

    async def __anext__(self) -> tuple[str, Any]:
        kind, data = "", ""
        async for line in self._lines:
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                data += line.removeprefix("data: ")
            elif not line and kind:
                return kind, json.loads(data) if data else None
        raise StopAsyncIteration

    async def until(self, type_: str) -> dict[str, Any]:
        """The next data event of this type; all before it are dropped."""
        async for kind, data in self:
            assert kind in ("metadata", "data"), (kind, data)
            if kind == "data" and data["type"] == type_:
                return dict(data)
        raise AssertionError(f"the stream ended without {type_}")


@dataclass
class Tools:
    """What the tools of the agent have been called with, and what keeps them waiting."""

    doors: dict[str, asyncio.Event] = field(default_factory=dict)
    called: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    told: int = 0
    """The megabytes of `chatter`."""

    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def close(self, name: str) -> asyncio.Event:
        """Have calls with this argument wait."""
        return self.doors.setdefault(name, asyncio.Event())

    async def note(self, what: list[str], name: str) -> None:
        async with self.changed:
            what.append(name)
            self.changed.notify_all()

    async def until(self, fact: Callable[[], bool]) -> None:
        async with self.changed:
            await self.changed.wait_for(fact)


_tools: ContextVar[Tools] = ContextVar("tools")
"""Of the server in whose context a tool is called. To make tools takes longer than to call them."""


@tool
async def search(query: str) -> str:
    """looks something up"""
    tools = _tools.get()
    await tools.note(tools.called, query)
    try:
        if query in tools.doors:
            await tools.doors[query].wait()
    except asyncio.CancelledError:
        await tools.note(tools.cancelled, query)
        raise
    return f"{query} is 8611 m"


@tool
def ask_back(question: str) -> str:
    """asks the user"""
    return f"said {interrupt(question)}"


@tool
async def book(flight: str) -> str:
    """books a flight"""
    await _tools.get().note(_tools.get().called, flight)
    return f"booked {flight}"


@tool
async def chatter(megabytes: int) -> str:
    """tells much"""
    text = "x" * 1_000_000
    for _ in range(megabytes):
        get_stream_writer()({"type": "chatter", "text": text})
        await RunnableLambda(str).ainvoke(text)  # which is in the run's trace
        _tools.get().told += 1
    return "told"


@tool
def count(number: int) -> int:
    """counts on"""
    return number + 1


book.metadata = {"requires_approval": True}
TOOLS = [search, ask_back, book, chatter, count]

Serve = Callable[..., Any]


@asynccontextmanager
async def serving_agent(
    model: ChatOpenAI,
    tools: Tools,
    database: str | None = None,
    options: dict[str, Any] | None = None,
    **limits: Any,
) -> AsyncIterator[str]:
    """Serves an agent; gives its URL.

    Args:
        model: Its model.
        tools: Knows what becomes of its tools' calls.
        database: Where threads are kept.
        options: Of uvicorn.
        limits: What is not to be as by default.
    """

    _tools.set(tools)
    graph = create_llm_compiler(TOOLS, model=model)
    with app_of(graph, Limits(**limits), database) as app:
        async with serving(app, **(options or {})) as url:
            yield url


_apps: list[FastAPI] = []
"""Those that serve nothing now. FastAPI takes longer to make one than it takes to answer a question."""


@contextmanager
def app_of(graph: Any, limits: Limits, database: str | None = None) -> Iterator[FastAPI]:
    """An app as `create_app` makes it."""
    app = _apps.pop() if _apps else create_app(graph)
    app.middleware_stack = None  # its guard
    app.router.lifespan_context = lambda _: app.state.agent.open(graph, limits, database)
    yield app
    _apps.append(app)


@asynccontextmanager
async def streaming(url: str, input: Any, **body: Any) -> AsyncIterator[Events]:
    """The events of a run."""
    async with (
        httpx.AsyncClient(timeout=PATIENCE) as client,
        client.stream("POST", f"{url}agent/stream", json={"input": input, **body}) as response,
    ):
        if not response.is_success:
            await response.aread()
        assert response.status_code == 200, response.text
        yield Events(response)


async def post(url: str, path: str, body: Any, **options: Any) -> httpx.Response:
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        return await client.post(f"{url}agent/{path}", json=body, **options)


async def ask(url: str, input: Any, **body: Any) -> dict[str, Any]:
    """The result of a run."""
    response = await post(url, "invoke", {"input": input, **body})
    assert response.status_code == 200, response.text
    return dict(response.json()["output"])
