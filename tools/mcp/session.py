"""A session with a Model Context Protocol server."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import BrokenResourceError, ClosedResourceError
from langchain_core.tools import ToolException

from tools.mcp.config import ServerConfig

if TYPE_CHECKING:
    from mcp import ClientSession

log = logging.getLogger(__name__)

START_TIMEOUT = 30.0
"""Seconds that a server may take to start, and to list its tools."""

UNREACHABLE = "The {server} can't be reached: {reason}"
WENT_AWAY = "The {server} went away during the call: {reason}"

_PRINTED_CHARS = 1000
_SESSION_TERMINATED = 32600
"""The SDK's code for a session that the server doesn't know (any more)."""

T = TypeVar("T")


class McpServerError(ConnectionError):
    """A server can't be reached, or went away."""

    def __init__(self, message: str, printed: str = "") -> None:
        super().__init__(message)
        self.printed = printed
        """The last that the server printed. It is for who runs it, and not for a model or a client."""


class SessionExpiredError(McpServerError):
    """The server has forgotten the session, and so has not done what it was asked."""


class Session:
    """A session with a server, held open by a task of its own."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._printed = _Printed()
        self._opened: asyncio.Future[ClientSession] = asyncio.get_running_loop().create_future()
        self._is_connected: Callable[[], bool] = lambda: True
        self.tools_changed = False
        """Whether the server has said that its tools are others now."""

        self._holding = asyncio.create_task(self._hold())
        self._holding.add_done_callback(lambda held: held.cancelled() or held.exception())  # taken note of

    @property
    def alive(self) -> bool:
        is_here = self._opened.get_loop() is asyncio.get_running_loop()  # and not the process's that forked this one
        return is_here and not self._holding.done() and self._is_connected()

    async def opened(self) -> None:
        """Wait until it is open.

        Raises:
            McpServerError: It can't be opened.
        """
        waited_for: list[asyncio.Future[Any]] = [self._opened, self._holding]
        await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED, timeout=START_TIMEOUT)
        if not self._opened.done():
            late = not self._holding.done()
            self._holding.cancel()
            await asyncio.wait([self._holding])  # until the server has ended: who closes the loop now would leave it
            reason = f"it did not answer within {START_TIMEOUT:g} s." if late else self._reason()
            raise McpServerError(UNREACHABLE.format(server=self._config, reason=reason), self._printed.last)

    async def do(self, work: "Callable[[ClientSession], Coroutine[Any, Any, T]]") -> T:
        """What the work gives; see `tools.mcp` for what it raises."""
        from mcp import McpError
        from mcp.types import CONNECTION_CLOSED

        doing = asyncio.create_task(work(self._opened.result()))
        try:
            waited_for: list[asyncio.Future[Any]] = [doing, self._holding]
            await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                return doing.result()
        except McpError as error:
            if error.error.code != CONNECTION_CLOSED and self.alive:
                if error.error.code != _SESSION_TERMINATED:
                    raise ToolException(str(error)) from error
                self._holding.cancel()
                raise SessionExpiredError(UNREACHABLE.format(server=self._config, reason=error)) from error
            self._holding.cancel()
        except (ClosedResourceError, BrokenResourceError):
            self._holding.cancel()
        finally:
            doing.cancel()
        await asyncio.wait([self._holding])
        raise McpServerError(WENT_AWAY.format(server=self._config, reason=self._reason()), self._printed.last)

    async def _hold(self) -> None:
        async with self._connect() as session:
            await session.initialize()
            self._opened.set_result(session)
            await asyncio.Event().wait()

    @asynccontextmanager
    async def _connect(self) -> "AsyncIterator[ClientSession]":
        config = self._config
        if config.url:
            from langchain_mcp_adapters.sessions import create_session

            from tools.mcp.http import WatchedClient

            connection: Any = {"transport": config.transport, "url": config.url, "headers": dict(config.headers)}
            connection["session_kwargs"] = {"message_handler": self._hear}
            if config.transport == "http":
                connection["httpx_client_factory"] = partial(WatchedClient, self._holding.cancel)
            async with create_session(connection) as session:
                yield session
            return
        from mcp import ClientSession, StdioServerParameters
        from mcp.client.stdio import stdio_client

        server = StdioServerParameters(
            command=config.command, args=list(config.args), env=dict(config.env), cwd=config.cwd
        )
        async with self._printed.file() as errors, stdio_client(server, errlog=errors) as (read, write):
            if errors is not sys.stderr:
                errors.close()  # the server has its own end
            self._is_connected = lambda: read.statistics().open_send_streams > 0
            async with ClientSession(read, write, message_handler=self._hear) as session:
                yield session

    async def _hear(self, message: Any) -> None:
        from mcp.types import ServerNotification, ToolListChangedNotification

        if isinstance(message, ServerNotification) and isinstance(message.root, ToolListChangedNotification):
            self.tools_changed = True

    def _reason(self) -> str:
        """Why the session ended."""
        if self._holding.cancelled():
            return "it closed the connection."
        error = self._holding.exception()
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, ClosedResourceError | BrokenResourceError):
            return "Connection closed."  # the words of the SDK, which notices it at one end or the other
        said = str(error).replace(self._config.url or "\0", self._config.address)
        return f"{said or type(error).__name__}."


class _Printed(asyncio.Protocol):
    """The last of what a server prints on its standard error stream."""

    text = ""

    def data_received(self, data: bytes) -> None:
        text = data.decode(errors="replace")
        log.debug("%s", text.rstrip())
        self.text = (self.text + text)[-_PRINTED_CHARS:]

    @property
    def last(self) -> str:
        """Its last lines, in one."""
        return " / ".join(line.strip() for line in self.text.splitlines()[-3:])

    @asynccontextmanager
    async def file(self) -> AsyncIterator[Any]:
        """A file to print to."""
        if os.name == "nt":  # whose event loop can't read from such a pipe
            yield sys.stderr
            return
        reading, writing = os.pipe()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: self, os.fdopen(reading, "rb"))
        with os.fdopen(writing, "w") as file:
            try:
                yield file
            finally:
                transport.close()
