"""What the server refuses, what it stops, and that nothing runs on for a client who has gone."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.base import empty_checkpoint
from langserve import RemoteRunnable

from agent import Context
from apps.server import streams
from apps.server.app import app, create_app
from apps.server.errors import RefusedError
from apps.server.limits import Limits, LimitsError
from apps.server.settings import NAMES, OPERATORS, context_of
from apps.server.streams import Message, Stream
from apps.server.threads import LatestThreads, open_threads
from tests.support import PATIENCE
from tests.support.model_server import Cut, Gate, HttpError, ModelServer, Reply
from tests.support.mountains import graph
from tests.support.serving import Serve, Tools, ask, post, serving_agent, streaming

PLAN = '1. search("K2")\n2. join()'
QUESTION = {"question": "How tall is K2?"}
KEY = "correct horse"
JSON = {"Content-Type": "application/json"}
WRONG_AUTHORIZATIONS = [b"Basic !", b"Basic \xff", b"Bearer", b"Bearer \xff"]


# --- who may ask


def routes() -> list[tuple[str, str]]:
    """Method and path of every route."""
    found = [(method, route.path) for route in app.routes for method in getattr(route, "methods", None) or {"POST"}]
    return [*found, ("GET", "/"), ("GET", "/nowhere")]


async def test_every_route_but_healthz_wants_the_key(serve: Serve) -> None:
    async with serve(api_key=KEY) as url, httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        for method, path in routes():
            for headers in ({}, {"X-API-Key": "wrong"}, *({"Authorization": wrong} for wrong in WRONG_AUTHORIZATIONS)):
                response = await client.request(method, path.lstrip("/"), headers=headers)
                assert response.status_code == (200 if path == "/healthz" else 401), path
        assert (await client.get("")).headers["WWW-Authenticate"].startswith("Basic ")
        assert KEY not in (await client.get("")).text


async def test_the_key_is_taken_in_each_usual_way(model_server: ModelServer, serve: Serve) -> None:
    model_server.script(planner=[PLAN] * 4, joiner=["8611 m"] * 4)
    basic = base64.b64encode(f"anyone:{KEY}".encode()).decode()
    async with serve(api_key=KEY) as url:
        for headers in [
            {"X-API-Key": KEY},
            {"Authorization": f"Bearer {KEY}"},
            {"Authorization": f"basic {basic}", "Host": "example.org"},
        ]:
            response = await post(url, "invoke", {"input": QUESTION}, headers=headers)
            assert response.status_code == 200, response.text
        remote: RemoteRunnable[Any, Any] = RemoteRunnable(f"{url}agent/", auth=("", KEY))
        assert (await remote.ainvoke(QUESTION))["answer"] == "8611 m"


async def test_without_a_key_only_this_machine_is_answered(serve: Serve) -> None:
    async with serve() as url, httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        for host in ("localhost", "127.0.0.1:8000", "[::1]:80", "LOCALHOST"):
            assert (await client.get("agent/input_schema", headers={"Host": host})).status_code == 200, host
        # A web page anywhere can have a name of its own point to this machine.
        for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8000", "10.0.0.1", ""):
            response = await client.get("agent/input_schema", headers={"Host": host})
            assert response.status_code == 403, host
            assert "LLM_COMPILER_API_KEY" in response.json()["message"]


async def test_without_a_key_another_address_is_not_answered() -> None:
    """However uvicorn was started."""
    guarded = create_app(graph, Limits())
    address = ""

    async def at(scope: Any, receive: Any, send: Any) -> None:
        await guarded({**scope, "server": (address, 8000)}, receive, send)

    client = httpx.AsyncClient(transport=httpx.ASGITransport(at), base_url="http://localhost:8000")
    async with guarded.router.lifespan_context(guarded), client:
        for address, status in [("127.0.0.1", 200), ("::1", 200), ("10.0.0.7", 403), ("0.0.0.0", 403)]:
            assert (await client.get("/agent/input_schema")).status_code == status, address


async def test_without_a_key_nobody_is_answered_through_a_proxy(serve: Serve) -> None:
    async with serve() as url, httpx.AsyncClient(base_url=url) as client:
        for header in ("Forwarded", "X-Forwarded-For", "x-forwarded-proto", "Via", "X-Real-IP", "CF-Connecting-IP"):
            response = await client.get("agent/input_schema", headers={header: "127.0.0.1"})
            assert response.status_code == 403, header
            assert "LLM_COMPILER_API_KEY" in response.json()["message"]
        assert b" 403 " in await first_line(url, AS_NGINX_ASKS)
    async with serve(api_key=KEY) as url, httpx.AsyncClient(base_url=url) as client:
        headers = {"X-API-Key": KEY, "X-Forwarded-For": "10.0.0.7"}
        assert (await client.get("agent/input_schema", headers=headers)).status_code == 200
        assert b" 200 " in await first_line(url, AS_NGINX_ASKS)


AS_NGINX_ASKS = f"GET /agent/input_schema HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: close\r\nX-API-Key: {KEY}\r\n\r\n"
"""Where it is told where to pass requests on to, and nothing else."""


async def first_line(url: str, request: str) -> bytes:
    """Of the answer to a request as it is."""
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)
    writer.write(request.encode())
    try:
        return await reader.readline()
    finally:
        writer.close()


async def test_a_form_on_a_foreign_page_starts_nothing(serve: Serve) -> None:
    """It can send text, but not JSON; and no foreign page is allowed to by CORS."""
    async with serve() as url, httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        body = '{"input": {"question": "How tall is K2?"}}'
        for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
            response = await client.post("agent/invoke", content=body, headers={"Content-Type": kind})
            assert response.status_code == 415, kind
        asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
        response = await client.options("agent/invoke", headers=asked)
        assert "access-control-allow-origin" not in response.headers


# --- how much


async def test_a_long_body_is_refused_before_it_is_read(serve: Serve) -> None:
    """And its client, who sends on, gets the answer all the same: the connection is not reset."""
    async with serve(max_request_bytes=200) as url, httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        for body in (b"x" * 5_000_000, pieces(b"x" * 10_000, 500)):
            refused = await client.post("agent/invoke", content=body, headers=JSON)
            assert refused.status_code == 413
            assert "200 bytes" in refused.json()["message"]

        head = "POST /agent/invoke HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        assert b" 413 " in await first_line(url, f"{head}Content-Length: 1000000\r\n\r\n")


async def pieces(piece: bytes, count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield piece


async def test_a_body_that_does_not_come_is_not_waited_for(serve: Serve) -> None:
    async with serve(client_timeout=0.2) as url:
        head = "POST /agent/invoke HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        assert b" 408 " in await first_line(url, head + 'Content-Length: 100\r\n\r\n{"input"')


async def test_long_questions_and_large_batches_are_refused(serve: Serve) -> None:
    async with serve(max_question_chars=20, max_batch=2) as url:
        for path in ("invoke", "stream", "stream_events", "stream_log"):
            response = await post(url, path, {"input": {"messages": [{"content": "x" * 15}, {"content": "y" * 15}]}})
            assert response.status_code == 422
            assert "LLM_COMPILER_MAX_QUESTION_CHARS" in response.json()["message"]
        response = await post(url, "batch", {"inputs": ["x"] * 3})
        assert response.status_code == 422
        assert "LLM_COMPILER_MAX_BATCH" in response.json()["message"]
        response = await post(url, "batch", {"inputs": ["x", {"question": 3}]})
        assert response.status_code == 422


async def test_a_full_server_says_when_to_try_again(model_server: ModelServer, serve: Serve, tools: Tools) -> None:
    model_server.script(planner=[PLAN, PLAN], joiner=["8611 m", "8611 m"])
    door = tools.close("K2")
    async with serve(max_runs=1) as url, streaming(url, QUESTION) as events:
        await events.until("task_started")
        for path in ("invoke", "batch", "stream", "stream_events"):
            refused = await post(url, path, {"input": QUESTION})
            assert refused.status_code == 503
            assert int(refused.headers["Retry-After"]) > 0
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            assert (await client.get(f"{url}healthz")).status_code == 200
        door.set()
        await events.until("result")
        assert (await ask(url, QUESTION))["answer"] == "8611 m"


async def test_the_questions_of_batches_do_not_exceed_the_room(
    model_server: ModelServer, serve: Serve, tools: Tools
) -> None:
    model_server.script(planner=[PLAN] * 3, joiner=["8611 m"] * 3)
    door = tools.close("K2")
    async with serve(max_runs=2) as url:
        asking = asyncio.create_task(post(url, "batch", {"inputs": ["How tall is K2?"] * 3}))
        await tools.until(lambda: len(tools.called) == 2)
        assert len(model_server.requests) == 2
        door.set()
        assert [output["answer"] for output in (await asking).json()["output"]] == ["8611 m"] * 3


@pytest.mark.parametrize("path", ["invoke", "stream", "stream_events"])
async def test_a_run_that_takes_too_long_is_stopped(
    model_server: ModelServer, serve: Serve, tools: Tools, path: str
) -> None:
    model_server.handler = lambda _: PLAN
    tools.close("K2")
    limit = 0.25
    while not tools.called:  # on a slow machine, the limit may come before the call
        limit *= 2
        async with serve(run_timeout=limit) as url:
            response = await post(url, path, {"input": QUESTION})
    told = response.text.rpartition("data: ")[2]  # in a stream, its last event
    assert json.loads(told)["status_code"] == 504
    assert "LLM_COMPILER_RUN_TIMEOUT" in told
    assert response.status_code == (504 if path == "invoke" else 200)
    assert tools.cancelled == ["K2"]


# --- clients who go away


@pytest.mark.parametrize("path", ["invoke", "batch", "stream", "stream_events", "stream_log"])
async def test_a_client_who_goes_takes_the_run_along(
    model_server: ModelServer, serve: Serve, tools: Tools, path: str
) -> None:
    planning = Gate()
    model_server.script(planner=[Reply(['1. search("K2")\n', planning, "2. join()"])])
    tools.close("K2")
    async with serve() as url:
        asking = asyncio.create_task(post(url, path, {"input": QUESTION, "inputs": [QUESTION]}))
        await tools.until(lambda: tools.called == ["K2"])
        asking.cancel()
        await tools.until(lambda: tools.cancelled == ["K2"])
        exchange = await model_server.exchange(0)
        await exchange.until(lambda: exchange.state == "disconnected")


async def test_a_failing_question_of_a_batch_stops_the_others(
    model_server: ModelServer, serve: Serve, tools: Tools
) -> None:
    tools.close("K2")
    failing = Gate()
    model_server.handler = lambda request: PLAN if "K2" in request.user else Reply([failing, Cut()])
    async with serve() as url:
        asking = asyncio.create_task(post(url, "batch", {"inputs": ["How tall is K2?", "What?"]}))
        await tools.until(lambda: tools.called == ["K2"])
        failing.open()
        assert (await asking).status_code == 502
    assert tools.cancelled == ["K2"]


@asynccontextmanager
async def unread_stream(url: str, path: str) -> AsyncIterator[None]:
    """Somebody asks, and does not read what comes."""
    _, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port, limit=1)
    body = b'{"input": {"question": "Talk."}}'
    writer.write(
        b"POST /agent/%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (path.encode(), len(body), body)
    )
    try:
        yield
    finally:
        writer.close()


STREAMS = ["stream", "stream_events", "stream_log"]


@pytest.mark.parametrize("path", STREAMS)
async def test_a_client_who_does_not_read_on_is_dropped(
    model_server: ModelServer, serve: Serve, tools: Tools, path: str
) -> None:
    model_server.script(planner=['1. search("K2")\n2. chatter(15)\n3. join()'])
    tools.close("K2")
    async with serve(client_timeout=0.5) as url, unread_stream(url, path):
        await tools.until(lambda: tools.cancelled == ["K2"])


@pytest.mark.parametrize("path", STREAMS)
async def test_what_a_client_does_not_read_is_bounded(
    model_server: ModelServer, serve: Serve, tools: Tools, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "UNREAD_CHARS", 6_000_000)
    model_server.script(planner=['1. search("K2")\n2. chatter(1000)\n3. join()', "1. join()"], joiner=["Yes."])
    tools.close("K2")
    async with serve(client_timeout=PATIENCE) as url, unread_stream(url, path):
        await tools.until(lambda: tools.cancelled == ["K2"])
        assert tools.told < 1000
        assert (await ask(url, {"question": "Is anybody there?"}))["answer"] == "Yes."


async def test_a_client_who_reads_gets_more_than_that(
    model_server: ModelServer, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "UNREAD_CHARS", 6_000_000)
    read = Gate()
    plan = Reply(["1. chatter(3)\n", read, "2. chatter(4)\n3. join()"])
    model_server.script(planner=[plan], joiner=["Yes."])
    async with serve() as url, streaming(url, {"question": "Talk."}) as events:
        for _ in range(3):
            await events.until("chatter")
        read.open()
        for _ in range(4):
            await events.until("chatter")
        assert (await events.until("result"))["answer"] == "Yes."


async def test_a_run_that_has_ended_is_told_to_its_end_however_long_its_result_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "UNREAD_CHARS", 10)
    made, sent = asyncio.Event(), b""

    async def source() -> AsyncGenerator[str]:
        yield "x" * 11

    async def told(items: AsyncGenerator[str]) -> AsyncGenerator[Message]:
        async for item in items:
            yield {"data": item}
        yield {"data": "end"}
        made.set()

    async def send(message: Any) -> None:
        nonlocal sent
        await made.wait()
        sent += message.get("body", b"")

    await Stream(source(), told, 0)({"type": "http", "method": "POST"}, asyncio.Event().wait, send)  # type: ignore[arg-type]
    assert sent.endswith(b"data: end\n\n")


# --- what a client may set


async def test_settings_reach_the_run(model_server: ModelServer, serve: Serve) -> None:
    model_server.script(planner=['1. search("K2")\n2. search("Lhotse")\n3. join()'], joiner=["8611 m"])
    async with serve() as url:
        result = await ask(url, QUESTION, config={"configurable": {"max_tasks": 1}, "tags": ["x"], "metadata": {}})
    assert [task["status"] for task in result["tasks"]] == ["done", "failed"]
    assert "max_tasks" in result["tasks"][1]["result"]


WRONG_SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"base_url": "http://evil.example"}, "no 'base_url'"),
    ({"max_replanss": 1}, "no 'max_replanss'"),
    ({"model": "ollama:x"}, "not 'ollama:x'"),
    ({"planner_model": "huggingface:/etc/passwd"}, "LLM_COMPILER_CLIENT_MODELS"),
    ({"joiner_model": "openai"}, "not 'openai'"),
    ({"max_tasks": "many"}, "max_tasks"),
    ({"max_tasks": 0}, "max_tasks"),
    ({"max_tasks": 101}, "at most 100"),
    ({"tool_timeout": 1e9}, "tool_timeout"),
    ({"approve_side_effects": False}, "approve_side_effects"),
    ({"requires_approval": "search"}, "requires_approval: Input should be a valid list"),
]


@pytest.mark.parametrize("path", ["invoke", "stream", "stream_events", "stream_log"])
async def test_wrong_settings_are_refused_with_a_message(serve: Serve, path: str) -> None:
    async with serve() as url:
        for settings, named in WRONG_SETTINGS:
            response = await post(url, path, {"input": QUESTION, "config": {"configurable": settings}})
            assert response.status_code == 422, settings
            assert named in response.json()["message"], settings


def test_every_setting_of_a_run_has_a_rule_for_clients() -> None:
    assert {*NAMES, *OPERATORS} == Context.model_fields.keys()


def test_clients_lower_limits_and_add_approvals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_COMPILER_MAX_REPLANS", "1")
    context = context_of({"max_replans": 0, "requires_approval": ["search"], "model": ""}, Limits())
    assert (context.max_replans, context.requires_approval, context.model) == (0, ("search",), None)
    with pytest.raises(RefusedError, match="max_replans is 2; this server allows at most 1"):
        context_of({"max_replans": 2}, Limits())
    from_langgraph = {"thread_id": "t", "checkpoint_ns": "x", "__pregel_task_id": "y"}
    assert context_of(from_langgraph, Limits()) == context_of({}, Limits())


def test_models_that_clients_may_name() -> None:
    limits = Limits(client_models="openai:gpt-4.1*, offline")
    assert [limits.allows(name) for name in ("openai:gpt-4.1-mini", "offline", "openai:o3", "openai:", "x")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert not Limits(client_models="none").allows("")


def test_by_default_clients_may_name_the_models_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_COMPILER_MODEL", "openai:large")
    monkeypatch.setenv("LLM_COMPILER_JOINER_MODEL", "openai:small")
    assert Limits().models == ["openai:large", "openai:small"]
    with pytest.raises(RefusedError, match=r"name openai:large, openai:small, and not 'openai:x+'") as refused:
        context_of({"model": "openai:" + "x" * 10_000}, Limits())
    assert len(str(refused.value)) < 300


# --- limits and threads


def test_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_COMPILER_MAX_RUNS", "7")
    monkeypatch.setenv("LLM_COMPILER_API_KEY", "")
    monkeypatch.setenv("LLM_COMPILER_CLIENT_MODELS", "none")
    limits = Limits.from_environment()
    assert (limits.max_runs, limits.api_key, limits.client_models) == (7, None, "none")
    monkeypatch.setenv("LLM_COMPILER_RUN_TIMEOUT", "soon")
    with pytest.raises(LimitsError, match="LLM_COMPILER_RUN_TIMEOUT is 'soon'"):
        Limits.from_environment()


async def test_without_a_database_the_threads_used_last_are_kept() -> None:
    async with open_threads(None, most=2) as (saver, _):
        for thread, namespace in (("a", "tool"), ("b", ""), ("a", ""), ("c", "")):
            config: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": namespace}}
            checkpoint: Any = {
                **empty_checkpoint(),
                "channel_values": {"name": thread},
                "channel_versions": {"name": 1},
            }
            saved = await saver.aput(config, checkpoint, {}, {"name": 1})
            await saver.aput_writes(saved, [("step", 1)], "task")
        kept = [each.config["configurable"] for each in saver.list(None)]
        assert sorted((each["thread_id"], each["checkpoint_ns"]) for each in kept) == [
            ("a", ""),
            ("a", "tool"),
            ("c", ""),
        ]
        assert isinstance(saver, LatestThreads)
        assert {key[0] for key in [*saver.blobs, *saver.writes]} == {"a", "c"}


# --- errors


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (HttpError(401, "Incorrect API key provided: sk-secret-123456"), 502),
        (HttpError(400, "The prompt was: Write a plan"), 502),
        (HttpError(429, "quota"), 503),
        (Reply([]), 200),
    ],
)
async def test_errors_of_the_model_tell_nothing_of_the_inside(
    model_server: ModelServer, serve: Serve, failure: Any, status: int
) -> None:
    model_server.script(planner=[failure], joiner=["Hm."] if status == 200 else [])
    async with serve() as url:
        response = await post(url, "invoke", {"input": QUESTION})
    assert response.status_code == status
    for secret in ("sk-", "Write a plan", "Traceback", str(httpx.URL(model_server.base_url).port)):
        assert secret not in response.text
    assert ("Retry-After" in response.headers) == (status == 503)


async def test_an_unforeseen_error_is_logged_and_not_told(chat_model: ChatOpenAI, caplog: Any) -> None:
    class Broken(ChatOpenAI):
        async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
            raise KeyError("/srv/private/prompt")
            yield

    async with serving_agent(Broken(model="x", api_key="sk-test-123456"), Tools()) as url:  # type: ignore[arg-type]
        for path in ("invoke", "stream"):
            response = await post(url, path, {"input": QUESTION})
            assert "KeyError" in response.text
            assert "private" not in response.text
    assert "/srv/private/prompt" in caplog.text
