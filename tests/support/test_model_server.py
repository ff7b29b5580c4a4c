"""The model server that the other tests stand on, asked by the real OpenAI clients."""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.runnables import Runnable
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from tests.conftest import NetworkBlockedError, forget_environment
from tests.support.model_server import (
    MALFORMED,
    ROLES,
    ChatRequest,
    Cut,
    End,
    Gate,
    HttpError,
    ModelServer,
    Pause,
    Raw,
    Reply,
    tokens_of,
)

PLAN = '1. search("Mount Everest")\n2. math("height, in metres", context=["$1"])\n3. join()\n'
ChatModels = Callable[..., ChatOpenAI]


@tool
def replan(feedback: str) -> str:
    """Asks for another plan."""
    return feedback


async def whole(model: Runnable[Any, AIMessage], question: str = "Hello?") -> AIMessageChunk:
    """Streams an answer and adds up its chunks."""
    first, *others = [chunk async for chunk in model.astream(question) if isinstance(chunk, AIMessageChunk)]
    return add_ai_message_chunks(first, *others)


def asked_as(role: str, question: str = "Hello?") -> list[SystemMessage | HumanMessage]:
    return [SystemMessage(f"{ROLES[role]} …"), HumanMessage(question)]


# Tokens


@pytest.mark.parametrize("text", ["", PLAN, "a_b  c\r\n\t12345 höhe ½ ² 山 \N{FAMILY}…", "x" * 100])
def test_the_tokens_of_a_text_are_the_text(text: str) -> None:
    assert "".join(tokens_of(text)) == text


def test_a_closing_parenthesis_is_a_token_of_its_own() -> None:
    assert tokens_of('1. search("K2 peak")\n2. join()') == [
        *("1", ".", " search", "(", '"', "K", "2", " peak", '"', ")"),
        *("\n2", ".", " join", "(", ")"),
    ]


# Replies


async def test_text_streams_one_token_a_chunk(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(PLAN)
    texts = [chunk.text async for chunk in chat_model.astream("Plan!")]
    assert [text for text in texts if text] == tokens_of(PLAN)
    assert (await model_server.exchange(0)).sent_text == PLAN


async def test_the_strings_of_a_reply_can_be_its_tokens(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(Reply(["1. sea", 'rch("K2")\n2', ". join()"], split=False))
    texts = [chunk.text async for chunk in chat_model.astream("Plan!")]
    assert [text for text in texts if text] == ["1. sea", 'rch("K2")\n2', ". join()"]


async def test_a_reply_is_sent_whole_to_a_client_that_does_not_stream(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(Reply("8,611 m", tool_calls=[("replan", {"feedback": "K2"})]))
    message = await chat_model.ainvoke("How high?")
    assert message.text == "8,611 m"
    assert [(call["name"], call["args"]) for call in message.tool_calls] == [("replan", {"feedback": "K2"})]
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] > len(tokens_of("8,611 m"))
    assert not model_server.requests[0].stream


def test_a_client_without_an_event_loop_works_too(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script("one", Reply("two"))
    assert "".join(chunk.text for chunk in chat_model.stream("1?")) == "one"
    assert chat_model.invoke("2?").text == "two"


async def test_tool_calls_stream_with_name_first_and_arguments_in_pieces(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(Reply("Well.", tool_calls=[("replan", {"feedback": "no K2"}), ("other", '{"a" = 1')]))
    message = await whole(chat_model.bind_tools([replan]))
    assert message.text == "Well."
    assert message.tool_calls[0]["args"] == {"feedback": "no K2"}
    first, second = message.tool_call_chunks
    assert (first["name"], second["name"], second["args"]) == ("replan", "other", '{"a" = 1')
    assert first["id"] != second["id"]
    assert (await model_server.exchange(0)).sent == len(tokens_of('Well.{"feedback": "no K2"}{"a" = 1')) + 2
    assert message.response_metadata["finish_reason"] == "tool_calls"


async def test_an_empty_completion_is_an_empty_message(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script("", Reply())
    assert (await whole(chat_model)).content == ""
    assert (await chat_model.ainvoke("Hello?")).content == ""


async def test_usage_is_reported_only_where_asked_for_and_switched_on(
    model_server: ModelServer, make_chat_model: ChatModels
) -> None:
    model_server.script("a b c", Reply("a b c", usage=False), "a b c")
    asking, silent = make_chat_model(), make_chat_model(stream_usage=False)
    usage = (await whole(asking, "one two")).usage_metadata
    assert usage is not None
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (2, 3, 5)
    assert (await whole(asking)).usage_metadata is None
    assert (await whole(silent)).usage_metadata is None
    assert [bool(r.stream_options.get("include_usage")) for r in model_server.requests] == [True, True, False]


async def test_the_finish_reason_can_be_scripted(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(Reply("1. sea", finish_reason="length"))
    assert (await whole(chat_model)).response_metadata["finish_reason"] == "length"


async def test_each_message_has_an_id_of_its_own(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script("a", "a")
    assert (await whole(chat_model)).id != (await whole(chat_model)).id


async def test_the_responses_api_streams_reasoning_text_tool_calls_and_usage(
    model_server: ModelServer, make_chat_model: ChatModels
) -> None:
    calls = [("replan", {"feedback": "K2"}), ("replan", {"feedback": "K3"})]
    reply = Reply(PLAN, calls, reasoning="Two facts, then the difference.")
    model_server.script(reply, reply, Reply("short", usage=False))
    model = make_chat_model(use_responses_api=True)
    for message in (await whole(model), await model.ainvoke("Hello?")):
        assert isinstance(message, AIMessage)
        assert isinstance(message.content, list)
        assert [block["type"] for block in message.content if isinstance(block, dict)] == [
            *("reasoning", "text", "function_call", "function_call")
        ]
        assert message.content_blocks[0].get("reasoning") == "Two facts, then the difference."
        assert message.text == PLAN
        assert [call["args"]["feedback"] for call in message.tool_calls] == ["K2", "K3"]
        assert message.usage_metadata is not None
        assert message.usage_metadata["output_tokens"] == len(reply.tokens)
        assert message.response_metadata["status"] == "completed"
    assert (await whole(model)).usage_metadata is None
    assert [request.api for request in model_server.requests] == ["responses"] * 3


async def test_the_reasoning_of_a_chat_completion_is_no_part_of_its_text(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(Reply("4", reasoning="2 + 2"))
    assert (await whole(chat_model)).text == "4"
    exchange = await model_server.exchange(0)
    assert (exchange.sent, exchange.sent_text) == (5, "4")


async def test_the_models_can_be_listed(model_server: ModelServer) -> None:
    async with openai.AsyncOpenAI(base_url=model_server.base_url, api_key="test") as client:
        assert [model.id async for model in client.models.list()] == ["test-model"]


# Control


async def test_a_stream_stops_at_a_gate_until_it_is_opened(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    gate = Gate()
    model_server.script(Reply(['1. search("K2")', gate, "\n2. join()"]))
    answer = asyncio.create_task(whole(chat_model))
    await gate.reached()
    exchange = await model_server.exchange(0)
    assert exchange.sent_text == '1. search("K2")'
    assert (exchange.state, exchange.ended_at) == ("running", None)
    gate.open()
    await exchange.until_finished()
    assert exchange.sent_text == '1. search("K2")\n2. join()' == (await answer).text
    assert exchange.first_token_at is not None
    assert exchange.ended_at is not None
    assert exchange.request.received <= exchange.first_token_at <= exchange.ended_at


async def test_a_gate_opens_from_another_thread_and_holds_every_reply(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    gate = Gate()
    model_server.handler = lambda request: Reply([gate, request.user])
    answers = [asyncio.create_task(whole(chat_model, text)) for text in ("a", "b")]
    await gate.reached(2)
    assert [exchange.sent for exchange in model_server.exchanges] == [0, 0]
    await asyncio.to_thread(gate.open)
    assert [message.text for message in await asyncio.gather(*answers)] == ["a", "b"]
    assert (await whole(chat_model, "later")).text == "later"


async def test_a_gate_holds_a_reply_that_is_not_streamed(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    gate = Gate()
    model_server.script(Reply(["a", gate, "b"]))
    answer = asyncio.create_task(chat_model.ainvoke("Hello?"))
    await gate.reached()
    assert not answer.done()
    gate.open()
    assert (await answer).text == "ab"


async def test_delays_hold_tokens_back_and_do_not_change_them(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(Reply(["a b", Pause(0.002), " c d"], first_token=0.005, per_token=0.001))
    assert (await whole(chat_model)).text == "a b c d"
    exchange = await model_server.exchange(0)
    assert exchange.first_token_at is not None
    assert exchange.ended_at is not None
    # At least so long, by the schedule; how much longer is up to the machine.
    clock_resolution = 0.002
    assert exchange.first_token_at - exchange.request.received >= 0.005 - clock_resolution
    assert exchange.ended_at - exchange.request.received >= 0.005 + 3 * 0.001 + 0.002 - clock_resolution


async def test_a_client_that_leaves_is_noticed(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    gate = Gate()
    model_server.script(Reply(["1. join()", gate, "\nNever read."]))
    text = ""
    stream = chat_model.astream("Plan!")
    async with aclosing(stream):  # type: ignore[type-var]
        async for chunk in stream:
            text += chunk.text
            if text.endswith("join()"):
                break
    exchange = await model_server.exchange(0)
    await exchange.until_disconnected()
    assert exchange.disconnected
    assert exchange.sent_text == "1. join()"
    with pytest.raises(AssertionError, match="disconnected after 5 of 8 tokens"):
        await exchange.until_finished()
    with pytest.raises(AssertionError, match="before token 6"):
        await exchange.until_sent(6)


async def test_tokens_sent_can_be_waited_for(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    gate = Gate()
    model_server.script(joiner=[Reply(["a b c", gate, " d"])])
    answer = asyncio.create_task(chat_model.ainvoke(asked_as("joiner"), stream=True))
    exchange = await model_server.exchange(0, "joiner")
    await exchange.until_sent(3)
    gate.open()
    await exchange.until_sent(4)
    assert (await answer).text == "a b c d"


# Faults


async def test_a_client_tries_again_after_429(model_server: ModelServer, make_chat_model: ChatModels) -> None:
    model_server.script(HttpError(429, "Slow down.", retry_after=0.001), "At last.")
    assert (await whole(make_chat_model(max_retries=1))).text == "At last."
    assert len(model_server.requests) == 2


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
    ],
)
async def test_http_errors_raise_with_their_message(
    model_server: ModelServer, chat_model: ChatOpenAI, status: int, error: type[openai.APIStatusError]
) -> None:
    model_server.script(HttpError(status, "The reason why.", retry_after=3))
    with pytest.raises(error, match=r"The reason why\.") as raised:
        await whole(chat_model)
    assert raised.value.response.headers["retry-after"] == "3"
    assert isinstance(raised.value.body, dict)
    assert set(raised.value.body) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("responses_api", [True, False])
async def test_a_cut_connection_raises_after_the_tokens_before_it(
    model_server: ModelServer, make_chat_model: ChatModels, reset: bool, responses_api: bool
) -> None:
    gate = Gate()
    model_server.script(Reply(["a b c", gate, Cut(reset), " d"]))
    text = ""
    with pytest.raises(openai.APIConnectionError):  # noqa: PT012 - the tokens before the cut are the point
        async for chunk in make_chat_model(use_responses_api=responses_api).astream("Hello?"):
            text += chunk.text
            if text == "a b c":
                gate.open()
    exchange = await model_server.exchange(0)
    assert (exchange.state, exchange.sent) == ("cut", 3)


async def test_a_connection_cut_before_the_first_token_raises(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(Reply([Cut()]), Reply([Cut()]))
    with pytest.raises(openai.APIConnectionError):
        await whole(chat_model)
    with pytest.raises(openai.APIConnectionError):
        await chat_model.ainvoke("Hello?")


async def test_a_malformed_chunk_raises(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(Reply(["a b", MALFORMED, " c"]), Reply(["a b", MALFORMED, " c"]))
    with pytest.raises(ValueError, match=r"delimiter|Expecting"):
        await whole(chat_model)
    with pytest.raises(ValueError, match=r"delimiter|Expecting"):
        await chat_model.ainvoke("Hello?")


async def test_an_error_event_in_mid_stream_raises(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(Reply(["a b", Raw('{"error": {"message": "The model is overloaded."}}')]))
    with pytest.raises(openai.APIError, match="overloaded"):
        await whole(chat_model)


async def test_a_stream_can_end_without_finish_reason(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(Reply(["a b", End(), " c"]))
    message = await whole(chat_model)
    assert message.text == "a b"
    assert "finish_reason" not in message.response_metadata
    assert message.usage_metadata is None


# Scripts and records


async def test_replies_go_to_the_role_they_were_scripted_for(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script("anything", planner=["plan 1", "plan 2"], joiner=["answer"], math=["8849 - 8611"])

    async def ask(role: str) -> str:
        return (await chat_model.ainvoke(asked_as(role))).text

    assert await ask("joiner") == "answer"
    assert await ask("planner") == "plan 1"
    assert await ask("math") == "8849 - 8611"
    assert await ask("planner") == "plan 2"
    assert (await chat_model.ainvoke("Who am I?")).text == "anything"
    roles = [request.role for request in model_server.requests]
    assert roles == ["joiner", "planner", "math", "planner", "other"]
    assert [request.is_planner for request in model_server.requests] == [False, True, False, True, False]
    assert (await model_server.exchange(1, "planner")).sent_text == "plan 2"


async def test_a_handler_answers_concurrent_requests_by_what_they_say(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    def handler(request: ChatRequest) -> str:
        return f"{request.role}: {request.user}"

    model_server.handler = handler
    model_server.script(joiner=["scripted"])
    questions = [asked_as("planner", str(number)) for number in range(50)]
    answers = await asyncio.gather(*(chat_model.ainvoke(q) for q in [*questions, asked_as("joiner")]))
    assert [a.text for a in answers] == [*(f"planner: {number}" for number in range(50)), "scripted"]


@pytest.mark.parametrize("responses_api", [True, False])
async def test_what_reached_the_model_is_recorded(
    model_server: ModelServer, make_chat_model: ChatModels, responses_api: bool
) -> None:
    model_server.script("ok")
    model = make_chat_model(use_responses_api=responses_api, default_headers={"x-tenant": "7"})
    bound = model.bind_tools([replan], tool_choice="auto")
    await bound.ainvoke([*asked_as("joiner", "first"), AIMessage("mm"), HumanMessage([{"type": "text", "text": "q"}])])
    [request] = model_server.requests
    assert request.is_joiner
    assert not request.is_planner
    assert request.model == "test-model"
    assert request.user == "q"
    assert [message["role"] for message in request.messages] == ["system", "user", "assistant", "user"]
    assert request.tool_names == ["replan"]
    assert request.tools[0]["description"] == "Asks for another plan."
    assert request.tool_choice == "auto"
    assert request.headers["x-tenant"] == "7"
    assert "authorization" not in request.headers


async def test_an_unexpected_request_gets_an_error_at_once_and_fails_the_test(
    model_server: ModelServer, make_chat_model: ChatModels
) -> None:
    model_server.script(joiner=["for somebody else"])
    with pytest.raises(openai.InternalServerError, match=r"unexpected request 1 \(planner\): 'Hello\?'"):
        await make_chat_model(max_retries=5).ainvoke(asked_as("planner"))
    with pytest.raises(AssertionError, match=r"unexpected request 1 \(planner\).*1 replies for joiner requests"):
        model_server.check()
    model_server.reset()


async def test_a_request_to_another_address_fails_the_test(model_server: ModelServer) -> None:
    async with openai.AsyncOpenAI(base_url=model_server.base_url, api_key="test") as client:
        with pytest.raises(openai.NotFoundError, match="unexpected POST /v1/embeddings"):
            await client.embeddings.create(input="x", model="y")
    with pytest.raises(AssertionError, match="unexpected POST /v1/embeddings"):
        model_server.check()
    model_server.reset()


async def test_an_unused_reply_fails_the_test(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script("used", Reply("left over"))
    await whole(chat_model)
    with pytest.raises(AssertionError, match=r"1 replies for any requests.*left over"):
        model_server.check()
    model_server.reset()
    model_server.check()


async def test_a_failing_handler_fails_the_test(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    def handler(request: ChatRequest) -> str:
        raise KeyError(request.user)

    model_server.handler = handler
    with pytest.raises(openai.InternalServerError, match="the handler raised KeyError"):
        await whole(chat_model)
    with pytest.raises(AssertionError, match="the handler raised KeyError"):
        model_server.check()
    model_server.reset()


async def test_a_reset_drops_what_is_still_running(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(Reply(["a", Gate()]))
    answer = asyncio.create_task(whole(chat_model))
    exchange = await model_server.exchange(0)
    await exchange.until_sent(1)
    await asyncio.to_thread(model_server.reset)
    with pytest.raises(openai.APIConnectionError):
        await answer
    assert exchange.disconnected
    assert model_server.requests == []


async def test_connections_are_used_again_where_asked_for() -> None:
    with ModelServer(keep_alive=True, handler=lambda request: Reply(request.user)) as server:
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="test") as client:
            ports = set()
            for _ in range(3):
                raw = await client.with_raw_response.models.list()
                stream = raw.http_response.extensions["network_stream"]
                ports.add(stream.get_extra_info("client_addr"))
        assert len(ports) == 1


# The fixtures around every test


def test_connections_beyond_loopback_are_refused(network_attempts: list[object]) -> None:
    with (
        socket.socket() as connection,
        pytest.raises(NetworkBlockedError, match=r"'192\.0\.2\.1', 443"),
    ):
        connection.connect(("192.0.2.1", 443))
    with pytest.raises(NetworkBlockedError, match=r"example\.org"):
        socket.getaddrinfo("example.org", 443)
    assert network_attempts == [("192.0.2.1", 443), "example.org"]
    network_attempts.clear()


async def test_connections_of_an_event_loop_are_refused_too(network_attempts: list[object]) -> None:
    with pytest.raises(NetworkBlockedError):
        await asyncio.open_connection("192.0.2.1", 443)
    model = ChatOpenAI(model="m", api_key="test", base_url="http://model.example.org/v1", max_retries=0)  # type: ignore[arg-type]
    with pytest.raises(openai.APIConnectionError):
        await model.ainvoke("Hello?")
    assert len(network_attempts) == 2
    network_attempts.clear()


@pytest.mark.parametrize(
    "name", ["OPENAI_API_KEY", "CHECKPOINT_DB", "HOST", "LANGSMITH_TRACING", "GIT_DIR", "http_proxy"]
)
def test_the_developers_settings_are_out_of_sight(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "the developer's")
    forget_environment()
    assert name not in os.environ
    assert os.environ["PATH"]
