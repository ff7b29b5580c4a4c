"""OpenAI's client, with connections of its own on each event loop, and without objects of what it streams."""

import asyncio
import sys
import weakref
from functools import cache
from typing import Any

from anyio import to_thread


def on_each_loop(client: Any) -> Any:
    """OpenAI's async client, with connections of its own on each event loop: sync code has another than async code, and
    each `asyncio.run` one of its own."""
    from openai import DefaultAsyncHttpxClient

    given = client._client

    class Http(DefaultAsyncHttpxClient):
        async def send(self, *request: Any, **options: Any) -> Any:
            return await (await _http_here(given)).send(*request, **options)

    # It sends nothing itself, and a transport of its own would make a TLS context.
    return client.copy(http_client=Http(transport=given._transport))


_first_loop: "weakref.ref[asyncio.AbstractEventLoop] | None" = None
_http_of_others: dict[asyncio.AbstractEventLoop, Any] = {}


async def _http_here(given: Any) -> Any:
    """The given HTTP client on the first loop of the process, and one of its own on each other."""
    global _first_loop
    here = asyncio.get_running_loop()
    _first_loop = _first_loop or weakref.ref(here)
    if _first_loop() is here:
        return given
    if here not in _http_of_others:
        from openai import DefaultAsyncHttpxClient

        certificates = await to_thread.run_sync(_certificates)  # read from disk
        for loop in [loop for loop in _http_of_others if loop.is_closed()]:
            del _http_of_others[loop]
        _http_of_others.setdefault(here, DefaultAsyncHttpxClient(verify=certificates))
    return _http_of_others[here]


@cache
def _certificates() -> Any:
    from openai import DefaultAsyncHttpxClient

    httpx = sys.modules[DefaultAsyncHttpxClient.__mro__[1].__module__]  # or httpx2, as OpenAI's client has it
    return httpx.create_ssl_context()


class Untyped:
    """OpenAI's client of chat completions, with streams of dicts. Objects are half of what a token takes of a core."""

    def __init__(self, completions: Any) -> None:
        self._completions = completions

    def __getattr__(self, name: str) -> Any:
        return getattr(self._completions, name)

    async def create(self, **asked: Any) -> Any:
        """What the client's `create` gives."""
        if not asked.get("stream"):
            return await self._completions.create(**asked)
        from openai import AsyncStream

        response = await self._completions.with_raw_response.create(**asked)
        return response.parse(to=AsyncStream[object])
