"""What the SDK's HTTP client leaves out: that a server goes away in the midst of an answer."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx

SERVER_SENT = "text/event-stream"


class WatchedClient(httpx.AsyncClient):
    """Tells when an answer breaks off, or can't be resumed. The SDK takes note of neither, and would wait for ever."""

    def __init__(self, broken_off: Callable[[], Any], **options: Any) -> None:
        """
        Args:
            broken_off: Is told.
            options: Of `httpx.AsyncClient`.
        """
        super().__init__(**options)
        self._broken_off = broken_off

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send a request."""
        resumes = "last-event-id" in request.headers
        try:
            response = await super().send(request, **options)
        except httpx.TransportError:
            if resumes:
                self._broken_off()
            raise
        if resumes and response.is_error:
            self._broken_off()
        elif request.method == "POST" and response.headers.get("content-type", "").startswith(SERVER_SENT):
            assert isinstance(response.stream, httpx.AsyncByteStream)
            response.stream = _Answer(response.stream, self._broken_off)
        return response


class _Answer(httpx.AsyncByteStream):
    """Server-sent events. Who has got the answer among them closes this, and does not read to the end."""

    def __init__(self, stream: httpx.AsyncByteStream, broken_off: Callable[[], Any]) -> None:
        self._stream = stream
        self._broken_off = broken_off

    async def __aiter__(self) -> AsyncIterator[bytes]:
        resumable, line = False, b""
        try:
            async for chunk in self._stream:
                *lines, line = (line + chunk).split(b"\n")
                resumable = resumable or any(each.startswith(b"id:") for each in lines)
                yield chunk
        except httpx.TransportError:
            pass
        if not resumable:
            self._broken_off()

    async def aclose(self) -> None:
        await self._stream.aclose()
