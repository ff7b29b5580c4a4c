"""What a connection may cost before its request is looked at, and when nobody reads its answer.

uvicorn bounds the size of a request's head, and the time between two requests; it waits without end for the first one,
for the rest of a head, and for a client to read on.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

PIECE_BYTES = 2_048
"""How much of what has come over a connection is parsed at a time. Up to 256 KiB come at once, and in that much there
may be a chunk of a body in every 6 bytes, each of which is parsed for itself: others would wait for half a second."""


def bounded_to(most: int) -> type[asyncio.Protocol]:
    """A protocol for uvicorn, that waits for a client no longer than `timeout_keep_alive`.

    Args:
        most: How many connections there may be. For a further one, that which has waited for a request for longest is
            ended.
    """
    waiting: dict[H11Protocol, None] = {}

    class Connection(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None
        _unsent = 0

        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            self._received = bytearray()

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._wait()
            waiting[self] = None
            if len(self.connections) > most:
                next(iter(waiting)).transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            self._go_on()
            self._received.clear()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            self._received += data
            if len(self._received) == len(data):  # nothing is waiting to be parsed already
                self._parse()

        def _parse(self) -> None:
            piece = bytes(self._received[:PIECE_BYTES])
            super().data_received(piece)
            self._see()
            del self._received[:PIECE_BYTES]
            if self.transport.is_closing():
                return
            if self._received:
                self.transport.pause_reading()
                self.loop.call_soon(self._parse)
            elif not self.flow.read_paused:
                self.transport.resume_reading()

        def on_response_complete(self) -> None:
            self._wait()
            waiting[self] = None
            super().on_response_complete()  # which may begin to answer the next request
            self._see()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._wait()

        def resume_writing(self) -> None:
            super().resume_writing()
            self._see()

        def _see(self) -> None:
            if self.cycle and not self.cycle.response_complete and not self.flow.write_paused:
                self._go_on()

        def _wait(self) -> None:
            if self._deadline:
                self._deadline.cancel()
            self._unsent = self.transport.get_write_buffer_size()
            self._deadline = self.loop.call_later(self.timeout_keep_alive, self._expire)

        def _go_on(self) -> None:
            waiting.pop(self, None)
            if self._deadline:
                self._deadline.cancel()

        def _expire(self) -> None:
            if 0 < self.transport.get_write_buffer_size() < self._unsent:
                self._wait()  # the client reads, slowly
            else:
                self.transport.abort()

    return Connection
