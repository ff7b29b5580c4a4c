"""The ReAct baselines, with the real client of a scripted server."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import ValidationError

from graphs import react
from graphs.react import create_react
from tests.support.model_server import ModelServer, Reply
from tests.support.mountains import estimate


def lookup(thing: str) -> str:
    """Looks a thing up."""
    if thing == "nothing":
        raise ValueError("There is no entry.")
    return f"entry of {thing}"


def call(*things: str) -> Reply:
    return Reply(tool_calls=[("lookup", {"thing": thing}) for thing in things])


async def ask(graph: Any, question: str, config: RunnableConfig | None = None, **context: Any) -> list[Any]:
    return list((await graph.ainvoke({"messages": question}, config, context=context))["messages"])


def calls(messages: Sequence[Any]) -> list[list[str]]:
    """The tools that each message of the model calls."""
    found = [message.tool_calls for message in messages if isinstance(message, AIMessage) and message.tool_calls]
    return [[call["name"] for call in calls] for calls in found]


# --- with a model


async def test_the_model_calls_a_tool_and_sees_its_result(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(call("K2"), call("Fuji"), "Both are mountains.")
    messages = await ask(create_react([lookup], model=chat_model), "What are K2 and Fuji?")
    assert [message.type for message in messages] == ["human", "ai", "tool", "ai", "tool", "ai"]
    assert [message.text for message in messages[2::2]] == ["entry of K2", "entry of Fuji"]
    assert messages[-1].text == "Both are mountains."
    first, _, last = model_server.requests
    assert first.system.startswith("Answer the user's question.")
    assert first.tool_names == ["lookup"]
    assert [message["role"] for message in last.messages[-2:]] == ["assistant", "tool"]


@pytest.mark.parametrize("parallel", [False, True])
async def test_the_model_is_told_whether_it_may_call_several_tools_at_once(
    model_server: ModelServer, chat_model: ChatOpenAI, parallel: bool
) -> None:
    model_server.script(call("K2", "Fuji"), "Done.")
    messages = await ask(create_react([lookup], model=chat_model, parallel=parallel), "What are K2 and Fuji?")
    assert model_server.requests[0].body["parallel_tool_calls"] is parallel
    assert calls(messages) == [["lookup", "lookup"] if parallel else ["lookup"]]
    assert len(messages) == (5 if parallel else 4)


async def test_a_provider_that_can_not_be_told_is_not() -> None:
    class Model(FakeListChatModel):
        def bind_tools(self, tools: Sequence[Any]) -> Any:
            return self.bind(tools=tools)

    assert react.bind(Model(responses=[]), {}, parallel=True)


async def test_an_error_is_the_result_of_its_call(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(call("nothing"), Reply(tool_calls=[("lookup", {"word": "K2"})]), "I can't tell.")
    messages = await ask(create_react([lookup], model=chat_model), "What is nothing?")
    failed = [message for message in messages if isinstance(message, ToolMessage)]
    assert [message.status for message in failed] == ["error", "error"]
    assert failed[0].text == "ValueError: There is no entry."
    assert "thing" in failed[1].text


async def test_after_the_last_step_the_model_answers_with_what_there_is(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(call("a"), call("b"), joiner=["As far as I know, a and b."])
    messages = await ask(create_react([lookup], model=chat_model, max_steps=2), "What is there?")
    assert calls(messages) == [["lookup"], ["lookup"]]
    assert messages[-1].text == "As far as I know, a and b."
    assert model_server.requests[-1].tools == []
    assert "entry of b" in model_server.requests[-1].user


async def test_the_recursion_limit_ends_in_an_answer_too(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.handler = lambda request: "Enough." if request.is_joiner else call("more")
    messages = await ask(create_react([lookup], model=chat_model), "What is there?", {"recursion_limit": 8})
    assert messages[-1].text == "Enough."
    assert len(calls(messages)) == 3


async def test_steps_are_counted_for_each_question(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    graph = create_react([lookup], model=chat_model, max_steps=1, checkpointer=InMemorySaver())
    thread: RunnableConfig = {"configurable": {"thread_id": "1"}}
    model_server.script(call("a"), call("b"), joiner=["First.", "Second."])
    await ask(graph, "One?", thread)
    messages = await ask(graph, "Two?", thread)
    assert calls(messages) == [["lookup"], ["lookup"]]
    assert messages[-1].text == "Second."


async def test_tools_find_the_models_of_the_run(
    model_server: ModelServer, make_chat_model: Callable[..., ChatOpenAI], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", model_server.base_url)
    model_server.script(Reply(tool_calls=[("estimate", {"what": "height"})]), "24", "24 metres.")
    messages = await ask(create_react([estimate]), "How high?", model="openai:other-model")
    assert [message.text for message in messages if message.type == "tool"] == ["24"]
    assert {request.model for request in model_server.requests} == {"other-model"}


async def test_what_needs_approval_fails_since_nobody_can_be_asked(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    sent = []

    @tool
    def send(to: str) -> str:
        """Sends a mail."""
        sent.append(to)
        return "sent"

    send.metadata = {"side_effects": True}
    mail = [Reply(tool_calls=[("send", {"to": to})]) for to in ("Ann", "Bob")]
    model_server.script(mail[0], call("K2"), mail[1], "Ann has it.", mail[0], "No.")
    graph = create_react([lookup, send], model=chat_model)
    messages = await ask(graph, "Tell Ann; look K2 up, and tell Bob.")
    said = [message.text for message in messages if isinstance(message, ToolMessage)]
    refused = "Not run: send needs a person's approval, and this agent can't ask for it."
    assert (sent, said) == (["Ann"], ["sent", "entry of K2", refused])
    await ask(graph, "Tell Ann.", requires_approval=["send"])
    assert sent == ["Ann"]


def test_it_runs_from_sync_code(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(call("K2"), "A mountain.")
    messages = create_react([lookup], model=chat_model).invoke({"messages": "What is K2?"})["messages"]
    assert messages[-1].text == "A mountain."


async def test_a_context_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError, match="max_replans"):
        await ask(react.graph, "Hello", max_replans="many")


def test_what_is_no_tool_is_refused() -> None:
    with pytest.raises(TypeError, match="neither a LangChain tool nor a function"):
        create_react([3])  # type: ignore[list-item]
