"""Runs as server-sent events, and those that go on when their client has gone, so that it can come back to them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

from sse_starlette import EventSourceResponse
from starlette.types import Receive, Scope, Send

from apps.server.errors import RefusedError

PING_SECONDS = 15
KEPT_CHARS = 1_000_000
"""How much of what a run has told is kept for who comes back: the last of it, if it is more."""

UNREAD_CHARS = 20_000_000
"""How much a run may have told that its client has not taken yet. Tools and models can't be made to wait: what they
tell would be kept, however much it is."""

NOT_READ = "The run tells more than its client reads: {most:,} characters were left unread, and so it was stopped."

SERVER_SENT: dict[int | str, dict[str, Any]] = {
    200: {"description": "Server-sent events", "content": {"text/event-stream": {}}}
}
"""An answer that is a stream, for the OpenAPI document."""

Message = Mapping[str, str]
"""A server-sent event: `event` and `data`."""

T = TypeVar("T")


async def first_of(items: AsyncGenerator[T]) -> T:
    """The first item, before a stream begins: what fails until then is an HTTP error."""
    try:
        return await anext(items)
    except BaseException:
        await items.aclose()
        raise


class ServerSent(EventSourceResponse):
    """Messages as server-sent events."""

    def __init__(self, messages: AsyncIterable[Message], grace: float, **options: Any) -> None:
        """
        Args:
            messages: What is sent.
            grace: Seconds that it may go on when the server is stopped.
            options: Of `EventSourceResponse`.
        """
        # Line ends as OpenAI's servers have them: clients such as AG-UI's look for nothing else between events.
        super().__init__(messages, sep="\n", ping=PING_SECONDS, shutdown_grace_period=grace, **options)


class Stream(ServerSent):
    """A run as server-sent events. They are made ahead of its client, who may be slower."""

    def __init__(
        self, source: AsyncGenerator[T], told: Callable[[AsyncGenerator[T]], AsyncGenerator[Message]], grace: float
    ) -> None:
        """
        Args:
            source: What happens. It is closed however this ends.
            told: Makes messages of it. If the run tells more while too much has not been taken, a `RefusedError` comes
                out of what this gets, for its last message.
            grace: Seconds that it may go on when the server is stopped.
        """
        self._source = source
        self._messages = told(self._bounded(source))
        self._made: asyncio.Queue[Message | None] = asyncio.Queue()
        self._unread = 0
        super().__init__(self._take(), grace, data_sender_callable=self._make)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._source.aclose()

    async def _bounded(self, source: AsyncGenerator[T]) -> AsyncGenerator[T]:
        async for item in source:
            if self._unread > UNREAD_CHARS:
                await source.aclose()
                raise RefusedError(408, NOT_READ.format(most=UNREAD_CHARS))
            yield item

    async def _make(self) -> None:
        async with aclosing(self._messages):
            async for message in self._messages:
                self._unread += len(message["data"])
                self._made.put_nowait(message)
        self._made.put_nowait(None)

    async def _take(self) -> AsyncGenerator[Message]:
        while message := await self._made.get():
            yield message
            self._unread -= len(message["data"])


class LiveRun:
    """A run that needs no reader: it ends by itself, at the latest after `LLM_COMPILER_RUN_TIMEOUT`."""

    def __init__(self, question: str | None, messages: AsyncGenerator[Message], source: AsyncGenerator[Any]) -> None:
        """
        Args:
            question: What was asked; None if the run goes on with what was asked before.
            messages: What it tells.
            source: Where it comes from, which is closed however this ends.
        """
        self.question = question
        self._told: list[Message] = []
        self._dropped = 0
        self._chars = 0
        self._news = asyncio.Event()
        self.running = asyncio.create_task(self._run(messages, source))
        self.running.add_done_callback(lambda _: self._tell())

    async def read(self) -> AsyncGenerator[Message]:
        """What it has told so far, and then what it tells."""
        number = 0
        while True:
            number = max(number, self._dropped)
            if number < self._dropped + len(self._told):
                yield self._told[number - self._dropped]
                number += 1
            elif self.running.done():
                return
            else:
                await self._news.wait()

    async def stop(self) -> None:
        """Cancel it, and wait until it has ended."""
        self.running.cancel()
        await asyncio.wait([self.running])

    async def _run(self, messages: AsyncGenerator[Message], source: AsyncGenerator[Any]) -> None:
        async with aclosing(source), aclosing(messages):
            async for message in messages:
                self._told.append(message)
                self._chars += len(message["data"])
                if self._chars > KEPT_CHARS:
                    self._drop()
                self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _drop(self) -> None:
        """Half of what is kept, but never the last."""
        count = 0
        while self._chars > KEPT_CHARS // 2 and count < len(self._told) - 1:
            self._chars -= len(self._told[count]["data"])
            count += 1
        del self._told[:count]
        self._dropped += count


class LiveRuns:
    """The runs that need no reader, by their threads."""

    def __init__(self) -> None:
        self._runs: dict[str, LiveRun] = {}

    def get(self, thread: str) -> LiveRun | None:
        """The one in this thread."""
        return self._runs.get(thread)

    def add(self, thread: str, run: LiveRun) -> LiveRun:
        """Know it until it ends."""
        self._runs[thread] = run
        run.running.add_done_callback(lambda _: self._forget(thread, run))
        return run

    async def stop(self) -> None:
        """Cancel all."""
        await asyncio.gather(*(run.stop() for run in list(self._runs.values())))

    def _forget(self, thread: str, run: LiveRun) -> None:
        if self._runs.get(thread) is run:
            del self._runs[thread]
