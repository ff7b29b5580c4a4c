"""What clients can do to the server before it looks at their key, and when they don't read."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
from langchain_openai import ChatOpenAI

from apps.server.connections import bounded_to
from apps.server.limits import Limits
from tests.support import PATIENCE
from tests.support.model_server import ModelServer
from tests.support.mountains import graph
from tests.support.serving import Tools, app_of, serving, serving_agent, streaming

HEAD = b"POST /agent/invoke HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
SOON: dict[str, Any] = {"http": bounded_to(100), "timeout_keep_alive": 0.3}


@pytest.fixture
async def url(model_server: ModelServer) -> AsyncIterator[str]:
    """A server with a key, and little patience."""
    with app_of(graph, Limits(api_key="key")) as app:  # type: ignore[arg-type]
        async with serving(app, **SOON) as url:
            yield url


@asynccontextmanager
async def connected(url: str, sending: bytes = b"") -> AsyncIterator[socket.socket]:
    """A raw connection."""
    with socket.socket() as client:
        client.setblocking(False)
        address = httpx.URL(url)
        await asyncio.get_running_loop().sock_connect(client, (address.host, address.port))
        await asyncio.get_running_loop().sock_sendall(client, sending)
        yield client


async def until_ended(client: socket.socket) -> bytes:
    """What the server says until it ends the connection."""
    said = b""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                more = await asyncio.get_running_loop().sock_recv(client, 65536)
            except ConnectionResetError:
                return said
            if not more:
                return said
            said += more


async def send_until_ended(client: socket.socket, again_and_again: bytes) -> int:
    """How many bytes the server, and the kernel, take until the connection has been ended."""
    total = 0
    with suppress(ConnectionError):
        async with asyncio.timeout(PATIENCE):
            while True:
                await asyncio.get_running_loop().sock_sendall(client, again_and_again)
                total += len(again_and_again)
    return total


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HT", HEAD, HEALTH, HEALTH + HEAD])
async def test_who_sends_no_whole_request_is_not_waited_for(url: str, sent: bytes) -> None:
    async with connected(url, sent) as client:
        assert (await until_ended(client)).count(b" 200 OK") == sent.count(HEALTH)


@pytest.mark.parametrize("sent", [HEAD, HEAD + b"Content-Length: 1000000\r\n\r\n"])
async def test_who_sends_on_drop_by_drop_is_not_waited_for(url: str, sent: bytes) -> None:
    """Of a head, or of the body of a request that has been refused."""
    async with connected(url, sent) as client:

        async def drip() -> None:
            while True:
                await asyncio.get_running_loop().sock_sendall(client, b"X")
                await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        await until_ended(client)
        dripping.cancel()
        await asyncio.wait([dripping])


@pytest.mark.parametrize("sent", [b"X-Long: ", b"X: y\r\n"])
async def test_a_head_without_end_is_refused(url: str, sent: bytes) -> None:
    async with connected(url, HEAD) as client:
        assert await send_until_ended(client, sent * 1000) < 10_000_000  # of which most is in the kernel's buffers


async def reads(scope: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    """An app that answers when it has read the body."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
    await send({"type": "http.response.body", "body": scope["method"].encode()})


async def test_a_body_in_very_many_chunks_does_not_keep_others_waiting() -> None:
    body = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n"
    async with serving(reads, http=bounded_to(100), lifespan="off") as url, connected(url, body) as client:
        answering = asyncio.create_task(until_ended(client))
        async with connected(url, HEALTH) as other:
            assert b"GET" in await until_ended(other)
        assert not answering.done()
        assert b"POST" in await answering


async def large(_: Any, __: Any, send: Callable[..., Any]) -> None:
    """An app that says much."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
    await send({"type": "http.response.body", "body": b"x" * 15_000_000, "more_body": True})
    await send({"type": "http.response.body", "body": b"x" * 15_000_000})


async def test_who_does_not_read_is_dropped() -> None:
    async with serving(large, **SOON, lifespan="off") as url, connected(url, HEALTH) as client:
        await send_until_ended(client, HEALTH)


async def test_a_run_takes_its_time(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(planner=['1. search("K2")\n2. join("$1.")'])
    tools = Tools()
    door = tools.close("K2")
    async with (
        serving_agent(chat_model, tools, options=SOON) as url,
        streaming(url, {"question": "How tall is K2?"}) as events,
        connected(url) as idle,
    ):
        await events.until("task_started")
        await until_ended(idle)
        door.set()
        assert (await events.until("result"))["answer"] == "K2 is 8611 m."


async def test_a_slow_reader_gets_it_all() -> None:
    async with serving(large, **SOON, lifespan="off") as url, connected(url, HEALTH) as client:
        said, started = 0, asyncio.get_running_loop().time()
        while more := await asyncio.get_running_loop().sock_recv(client, 1_000_000):
            said += len(more)
            if asyncio.get_running_loop().time() - started < 5 * SOON["timeout_keep_alive"]:
                await asyncio.sleep(0.05)
        assert said > 30_000_000


async def test_when_there_are_too_many_connections_the_one_that_waits_for_longest_goes(
    chat_model: ChatOpenAI,
) -> None:
    options: dict[str, Any] = {"http": bounded_to(3), "timeout_keep_alive": 10 * PATIENCE}
    async with (
        serving_agent(chat_model, Tools(), options=options) as url,
        connected(url) as first,
        connected(url) as second,
        connected(url),
        connected(url, HEALTH) as fourth,
    ):
        assert await until_ended(first) == b""
        assert b" 200 OK" in await asyncio.get_running_loop().sock_recv(fourth, 1000)
        async with connected(url, HEALTH) as fifth:
            assert await until_ended(second) == b""
            assert b" 200 OK" in await asyncio.get_running_loop().sock_recv(fifth, 1000)
