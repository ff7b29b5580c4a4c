"""Tools of Model Context Protocol servers, which a file lists (see `tools.mcp.config`). Needs the extra `mcp`."""

import asyncio
import importlib
import logging
import os
import re
import threading
import weakref
from collections.abc import Collection, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_core.tools import BaseTool, ToolException
from pydantic import ValidationError

from tools.mcp import session as mcp_session
from tools.mcp.config import ServerConfig, read_config
from tools.mcp.session import McpServerError, Session, SessionExpiredError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from mcp import ClientSession
    from mcp.types import CallToolResult, ContentBlock, Tool, ToolAnnotations

log = logging.getLogger(__name__)

RETRY_AFTER = 60.0
"""Seconds after which a server that could not be reached is tried again, when the tools are asked for again."""

LEFT_OUT = "The tool {tool!r} of the MCP server {server!r} is left out: {why}"
NO_TOOLS = "No tools of the MCP server %r. %s"
WRONG_LIST = "Its list of tools can't be read: {reason}."

NOT_INSTALLED = "MCP servers need the extra 'mcp': pip install -e '.[mcp]'"

_NOT_IN_NAMES = re.compile(r"[^\w.\-]")
T = TypeVar("T")


async def load_mcp_tools(path: str | Path = "mcp.json") -> list[BaseTool]:
    """The tools of the servers that the file lists; see `McpServers`.

    Raises:
        McpConfigError: The file can't be read or used.
        ImportError: The extra `mcp` isn't installed.
    """
    return await McpServers(path).tools()


class McpServers:
    """The servers that a file lists, and their tools.

    Each server has one session, opened when its tools are first asked for and shared by all calls; when a server has
    died, the next call opens it again. The sessions live on an event loop of their own, so that tools can be called
    from any other, and end when neither this object nor any of its tools is in use, or with the process. The tools of a
    server are listed once, and anew when it says that they have changed.

    A server that can't be reached is logged as an error, in a line that says what it printed, and its tools are
    missing; so is a tool that no plan could call. The others work. A server that dies or hangs fails the calls that
    were made to it.
    """

    def __init__(self, path: str | Path = "mcp.json") -> None:
        """
        Args:
            path: The file; it is read when the tools are first asked for.
        """
        self._path = Path(path)
        self._loop: _LoopThread | None = None
        self._servers: list[_Server] = []
        self._told: set[str] = set()
        self._lock = threading.Lock()

    async def tools(self, *, taken: Collection[str] = ()) -> list[BaseTool]:
        """The tools of all servers that can be reached. One whose name is taken, or that two servers have, has the name
        of its server before its own: `files_search`.

        Args:
            taken: Names that the tools can't have.

        Raises:
            McpConfigError: The file can't be read or used.
            ImportError: The extra `mcp` isn't installed.
        """
        servers = await asyncio.to_thread(self._open)
        listed = await asyncio.gather(*(server.tools() for server in servers))
        names = [_plain(tool.name) for tools in listed for tool in tools]
        made: list[BaseTool] = []
        for server, tools in zip(servers, listed, strict=True):
            for tool in tools:
                name = _plain(tool.name)
                if names.count(name) > 1 or name in taken or name == "join":
                    name = _plain(f"{server.config.name}_{name}")
                fault = _fault_of(tool.inputSchema)
                if name in taken or any(other.name == name for other in made):
                    fault = f"another one is named {name!r}."
                if fault:
                    self._tell(LEFT_OUT.format(tool=tool.name, server=server.config.name, why=fault))
                else:
                    made.append(McpTool.of(server, tool, name))
        return made

    def _tell(self, warning: str) -> None:
        """Once: the tools are asked for at each run of a LangGraph server."""
        if warning not in self._told:
            self._told.add(warning)
            log.warning("%s", warning)

    def close(self) -> None:
        """End all sessions, and the servers that were started for them. Blocks until that is done."""
        with self._lock:
            if self._loop:
                self._loop.close()
            self._loop, self._servers = None, []

    def _open(self) -> "list[_Server]":
        with self._lock:
            if self._loop is None:
                configs = read_config(self._path)
                try:
                    importlib.import_module("langchain_mcp_adapters.sessions")
                except ImportError as error:
                    raise ImportError(NOT_INSTALLED) from error
                self._loop = _LoopThread()
                self._servers = [_Server(config, self._loop) for config in configs]
            return self._servers


# --- tools


def _metadata(hints: "ToolAnnotations | None", *, allowed: bool) -> dict[str, Any]:
    """What a server's hints mean. Without somebody's word that it only reads, a call is not tried again, nor made
    unasked after results; and without the server's that it has to do with nothing outside (a browser's click shows the
    next page), its results are no receipts."""
    only_reads = allowed or bool(hints and hints.readOnlyHint)
    is_closed = hints is not None and hints.openWorldHint is False
    return {"side_effects": not only_reads, "trusted": is_closed and not only_reads}


class McpTool(BaseTool):
    """A tool of a server. Its result is the structured content where the server gives it, else text.

    If that content is a text in the one field of an object, as a file's under `content`, the result is the server's
    text, with the object as its artifact.
    """

    server: Any
    """The `_Server`."""

    original_name: str
    """Its name at the server."""

    result_schema: dict[str, Any] | None
    """The JSON schema of its result, if the server tells."""

    wrapped: bool
    """Whether the result is the one field of an object, since structured content must be an object."""

    @classmethod
    def of(cls, server: "_Server", tool: "Tool", name: str) -> "McpTool":
        """The server's tool under this name."""
        hints = tool.annotations
        schema = tool.outputSchema
        fields: dict[str, Any] = (schema or {}).get("properties", {})
        wrapped = list(fields) == ["result"]
        in_a_field = not wrapped and [field.get("type") for field in fields.values()] == ["string"]
        if schema and wrapped:
            schema = {**schema["properties"]["result"], "$defs": schema.get("$defs", {})}
        return cls(
            name=name,
            description=tool.description or tool.title or tool.name,
            args_schema=tool.inputSchema,
            metadata=_metadata(hints, allowed=bool({tool.name, "*"} & server.config.allowed)),
            server=server,
            original_name=tool.name,
            result_schema=schema,
            wrapped=wrapped,
            response_format="content_and_artifact" if in_a_field else "content",
        )

    def _run(self, /, **arguments: Any) -> Any:
        return self._value(self.server.call_from_thread(self.original_name, arguments))

    async def _arun(self, /, **arguments: Any) -> Any:
        return self._value(await self.server.call(self.original_name, arguments))

    def _value(self, result: "CallToolResult") -> Any:
        if result.isError:
            raise ToolException(_text(result.content) or f"{self.name} failed, and did not say why.")
        if self.response_format == "content_and_artifact":
            return _text(result.content), result.structuredContent
        if result.structuredContent is not None:
            return result.structuredContent.get("result") if self.wrapped else result.structuredContent
        return _text(result.content)


def _text(content: "list[ContentBlock]") -> str:
    return "\n".join(_block_text(block) for block in content)


def _block_text(block: "ContentBlock") -> str:
    """A block as text; what is none is named."""
    match block.type:
        case "text":
            return block.text
        case "image" | "audio":
            return f"[{block.type} {block.mimeType}]"
        case "resource_link":
            return f"[{block.name}: {block.uri}]"
        case "resource":
            text = getattr(block.resource, "text", None)
            return text if text is not None else f"[{block.resource.mimeType or 'file'}: {block.resource.uri}]"


def _plain(name: str) -> str:
    """The name with what can't stand in a plan replaced."""
    plain = _NOT_IN_NAMES.sub("_", name)
    return plain if plain[:1].isalpha() or plain[:1] == "_" else f"_{plain}"


def _fault_of(schema: Any) -> str:
    """Why no plan could give the arguments that a schema describes; or nothing."""
    if not isinstance(schema, dict):
        return ""
    properties = schema.get("properties") or {}
    if not isinstance(properties, dict):
        return f"its schema has {properties!r} for 'properties'."
    for name in properties:
        if not name.isprintable():
            return f"its argument {name!r} has a name that can't be written."
    parts = [
        part for kind in ("anyOf", "oneOf", "allOf") if isinstance(schema.get(kind), list) for part in schema[kind]
    ]
    definitions = [known for kind in ("$defs", "definitions") if isinstance(known := schema.get(kind), dict)]
    parts += [part for known in definitions for part in known.values()]
    return next(filter(None, map(_fault_of, parts)), "")


# --- sessions


class _LoopThread:
    """An event loop in a thread, which ends when nobody holds this object. A process that is forked has its own."""

    def __init__(self) -> None:
        self._starting = threading.Lock()
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = runner.get_loop()
        self._thread = threading.Thread(target=_run, args=(runner,), name="mcp-servers", daemon=True)
        self._thread.start()
        self._stop = weakref.finalize(self, self._loop.call_soon_threadsafe, self._loop.stop)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work gives, done on that loop. Cancelling the caller cancels it."""
        return await asyncio.wrap_future(self._begin(work))

    def run_from_thread(self, work: Coroutine[Any, Any, T]) -> T:
        """The same, for a caller in a thread."""
        return self._begin(work).result()

    def _begin(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        with self._starting:
            if self._process != os.getpid():
                self._start()
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """End all that runs on the loop, and wait for that."""
        self._stop()
        self._thread.join(timeout=10)


def _run(runner: asyncio.Runner) -> None:
    """Run the loop until it is stopped, and then cancel and close what is left on it."""
    with runner:
        runner.get_loop().run_forever()


class _Server:
    """One server and its session, if it has one. Its private methods run on the loop of the sessions."""

    def __init__(self, config: ServerConfig, loop: _LoopThread) -> None:
        self.config = config
        self._loop = loop
        self._session: Session | None = None
        self._tools: list[Tool] | None = None
        self._failed_at: float | None = None

    async def tools(self) -> "list[Tool]":
        """Its tools; none if it can't be reached, which is logged."""
        return await self._loop.run(self._list())

    async def call(self, tool: str, arguments: dict[str, Any]) -> "CallToolResult":
        """The result of one of its tools.

        Raises:
            McpServerError: It can't be reached, or went away during the call.
            ToolException: It refused the call.
        """
        return await self._loop.run(self._call(tool, arguments))

    def call_from_thread(self, tool: str, arguments: dict[str, Any]) -> "CallToolResult":
        """The same, for a caller in a thread."""
        return self._loop.run_from_thread(self._call(tool, arguments))

    async def _list(self) -> "list[Tool]":
        now = asyncio.get_running_loop().time()
        if self._session and self._session.tools_changed:
            self._session.tools_changed, self._tools = False, None
        if self._tools is None and (self._failed_at is None or now - self._failed_at > RETRY_AFTER):
            try:
                session = await self._open()
                async with asyncio.timeout(mcp_session.START_TIMEOUT):
                    self._tools = await session.do(_list_tools)
            except TimeoutError:
                self._fail(now, "It does not list them.")
            except ValidationError as error:
                self._fail(now, WRONG_LIST.format(reason=error.errors()[0]["msg"]))
            except (McpServerError, ToolException) as error:
                printed = getattr(error, "printed", "")
                self._fail(now, f"{error} It printed: {printed}" if printed else str(error))
        return self._tools or []

    def _fail(self, now: float, reason: str) -> None:
        self._failed_at = now
        log.error(NO_TOOLS, self.config.name, " ".join(reason.split()))

    async def _call(self, tool: str, arguments: dict[str, Any]) -> "CallToolResult":
        for _ in range(2):
            try:
                return await (await self._open()).do(lambda session: session.call_tool(tool, arguments))
            except SessionExpiredError as error:
                expired = error
            except McpServerError as error:
                if error.printed:
                    mcp_session.log.error("The %s printed: %s", self.config, error.printed)
                raise
        raise expired

    async def _open(self) -> "Session":
        if self._session is None or not self._session.alive:
            self._session = Session(self.config)
        session = self._session
        await session.opened()
        return session


async def _list_tools(session: "ClientSession") -> "list[Tool]":
    from mcp.types import PaginatedRequestParams

    tools: list[Tool] = []
    cursor: str | None = None
    while True:
        page = await session.list_tools(params=PaginatedRequestParams(cursor=cursor) if cursor else None)
        tools += page.tools
        if not (cursor := page.nextCursor):
            return tools
