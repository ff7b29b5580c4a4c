"""Answers appear in LangGraph's `messages` stream while they are written, and what appears there stays."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, BaseMessage, RemoveMessage, ToolMessage
from langchain_core.tools import ToolException, tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command

from agent import create_llm_compiler
from agent.servers.any_server import for_any_server
from tests.support.model_server import Answer, End, Gate, ModelServer, Reply

QUESTION: Any = {"messages": "Question?"}
REPLAN = ("replan", {"feedback": "More."})


@tool
async def measure(thing: str) -> dict[str, Any]:
    """measure"""
    return {"name": thing, "height": 8611 if thing == "K2" else 3776}


@tool
async def fail(what: str) -> str:
    """fails"""
    raise ToolException(f"no {what}")


@tool
async def send(to: str) -> str:
    """send a mail"""
    return f"sent to {to}"


send.metadata = {"side_effects": True}


class Chat:
    """What a chat shows: pieces are put together by their id, what is removed is gone, and a state replaces it all."""

    def __init__(self) -> None:
        self.messages: dict[str, BaseMessage] = {}
        self.answers: list[str] = []
        """The answers that were to be seen, one after the other."""

        self.removed: list[str] = []
        self.streamed: set[str] = set()
        self.calls: set[str | None] = set()
        """The ids of all tool calls that were to be seen."""

        self.lost: set[str] = set()
        """What was to be seen, and not in the state that followed."""

    def take(self, message: BaseMessage) -> None:
        """Take a message of the stream, or a piece of one."""
        assert message.id
        if isinstance(message, RemoveMessage):
            del self.messages[message.id]
            self.removed.append(message.id)
            self.streamed.discard(message.id)
            return
        if isinstance(message, AIMessageChunk) and message.id in self.messages:
            self.messages[message.id] += message  # type: ignore[operator, assignment]
        else:
            assert message.id not in self.streamed, "a message is shown once, or in pieces"
            self.messages[message.id] = message
        self.streamed.add(message.id)
        self._look()

    def take_state(self, messages: list[AnyMessage]) -> None:
        """Take the state."""
        state = {str(message.id): message for message in messages}
        self.lost |= self.messages.keys() - state.keys()
        self.messages = {**state}
        self._look()

    def _look(self) -> None:
        for message in self.messages.values():
            if isinstance(message, AIMessage):
                self.calls |= {call["id"] for call in message.tool_calls}
                if not message.tool_calls and str(message.text) not in self.answers[-1:]:
                    self.answers.append(str(message.text))

    @property
    def texts(self) -> list[str]:
        """What is to be seen now."""
        return [str(message.text) for message in self.messages.values()]


@pytest.fixture
async def model(model_server: ModelServer, chat_model: ChatOpenAI) -> Any:
    """A model that is known not to begin with thoughts: it has answered before."""
    model_server.script("Hello.")
    known = for_any_server(chat_model)
    await known.ainvoke("Hello!")
    return known


async def talk(graph: Any, given: Any = QUESTION, on: Callable[[Chat], Any] = lambda _: None, **how: Any) -> Chat:
    """What a chat shows of a run. `on` is called after each change of it."""
    chat = Chat()
    async with aclosing(graph.astream(given, stream_mode=["messages", "values"], **how)) as parts:
        async for mode, part in parts:
            if mode == "values":
                chat.take_state(part["messages"])
            else:
                chat.take(part[0])
            on(chat)
    assert not chat.lost
    return chat


def opens(gate: Gate, shown: str) -> Callable[[Chat], None]:
    """Opens the gate when this is the end of what a chat shows."""

    def look(chat: Chat) -> None:
        if chat.texts[-1:] == [shown]:
            gate.open()

    return look


# --- the plan's own answer


async def test_an_answer_without_calls_appears_while_it_is_written(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    gate = Gate()
    model_server.script(planner=[Reply(['1. join("It was a dark', gate, ' and \\"stormy\\" night.\\nThe end.")'])])
    chat = await talk(create_llm_compiler([measure], model=chat_model), on=opens(gate, "It was a dark"))
    assert chat.texts == ["Question?", 'It was a dark and "stormy" night.\nThe end.']
    assert len(chat.answers) > 1
    assert all(chat.texts[-1].startswith(part) and part for part in chat.answers)


async def test_so_does_one_of_a_planner_by_calls(model_server: ModelServer, model: Any) -> None:
    gate = Gate()
    arguments = ['{"answer": "K2 is $1.height m, a \\"high', gate, '\\" one."}']
    model_server.script(planner=[Reply(tool_calls=[("measure", {"thing": "K2"}), ("join", arguments)])])
    graph = create_llm_compiler([measure], model=model, planner_protocol="tools")
    chat = await talk(graph, on=opens(gate, 'K2 is 8611 m, a "high'))
    assert chat.texts[-1] == 'K2 is 8611 m, a "high" one.'


@pytest.mark.parametrize(
    ("answer", "shown", "rest", "whole"),
    [
        ("$1.name is $1.hei", "K2 is", "ght m high.", "K2 is 8611 m high."),
        ("$1.name is ${1.height", "K2 is", "} m high.", "K2 is 8611 m high."),
        ("$1.name and $2[0].name, all", "K2 and Fuji, all", " of $2.height.", "K2 and Fuji, all of 3776."),
        ("$1.name is under $", "K2 is under", "1,000", "K2 is under $1,000"),
        ("$1.name, of $9 or \\", "K2, of $9 or", "\\$1", "K2, of $9 or $1"),
    ],
)
async def test_from_a_reference_on_it_waits_until_that_has_been_read(
    answer: str, shown: str, rest: str, whole: str, model_server: ModelServer, model: Any
) -> None:
    gate = Gate()
    plan = f'1. measure("K2")\n2. measure.map(["Fuji"])\n3. join("{answer}'
    model_server.script(planner=[Reply([plan, gate, f'{rest}")'])])
    chat = await talk(create_llm_compiler([measure], model=model), on=opens(gate, shown))
    assert chat.texts[-1] == whole
    assert all(whole.startswith(part) for part in chat.answers)


async def test_nothing_of_it_appears_before_every_call_has_succeeded(model_server: ModelServer, model: Any) -> None:
    gate, release = Gate(), asyncio.Event()

    @tool
    async def slow(text: str) -> str:
        """slow"""
        await release.wait()
        return text

    async def release_when_written() -> None:
        await gate.reached()
        assert "All went" not in "".join(chat_so_far)
        release.set()

    chat_so_far: list[str] = []

    def look(chat: Chat) -> None:
        chat_so_far[:] = chat.answers
        opens(gate, "All went well: K2 and")(chat)

    plan = '1. measure("K2")\n2. slow("b")\n3. join("All went well: $1.name and '
    model_server.script(planner=[Reply([plan, gate, 'that.")'])])
    releasing = asyncio.create_task(release_when_written())
    chat = await talk(create_llm_compiler([measure, slow], model=model), on=look)
    await releasing
    assert chat.texts[-1] == "All went well: K2 and that."


@pytest.mark.parametrize(
    "plan",
    [
        '1. fail("luck")\n2. join("All went well.")',
        '1. measure("K2")\n2. join("I told Ana, for $1.height.")',
        '1. measure("K2")\n2. join("It is the second highest.")',
        'join("I told Ana.")',
        '1. send.map([])\n2. join("I told them all.")',
        '1. measure("K2") and then\nStep 2: send\n3. join("I told Ana.")',
    ],
)
async def test_nothing_of_one_that_may_not_be_taken_appears(plan: str, model_server: ModelServer, model: Any) -> None:
    model_server.script(planner=[plan], joiner=["As it is."])
    chat = await talk(create_llm_compiler([measure, fail, send], model=model))
    assert chat.answers[-1] == "As it is."
    assert all("As it is.".startswith(part) for part in chat.answers)


async def test_where_tools_have_effects_it_appears_whole(model_server: ModelServer, model: Any) -> None:
    model_server.script(planner=['1. send("Ana")\n2. join("$1")'])
    chat = await talk(create_llm_compiler([send], model=model))
    assert chat.answers == ["sent to Ana"]


@pytest.mark.parametrize("rest", [End(), ' $total.")', ' ${7}.")', ' {$1:.2f}.")', '", 7)'])
async def test_one_that_cannot_be_taken_after_all_is_taken_back(
    rest: Any, model_server: ModelServer, model: Any
) -> None:
    gate = Gate()
    writing = Reply(['1. measure("K2")\n2. join("$1.name costs about', gate, rest])
    model_server.script(planner=[writing], joiner=["I can't tell."])
    chat = await talk(create_llm_compiler([measure], model=model), on=opens(gate, "K2 costs about"))
    assert [chat.texts[0], chat.texts[-1]] == ["Question?", "I can't tell."]
    assert len(chat.removed) == 1


async def test_nothing_of_it_appears_where_it_has_another_form(model_server: ModelServer, model: Any) -> None:
    schema = {
        "title": "Height",
        "type": "object",
        "properties": {"metres": {"type": "integer"}},
        "required": ["metres"],
    }
    given = Reply(tool_calls=[("Height", {"metres": 1})])
    model_server.script(planner=['join("Words.")'], joiner=[given])
    chat = await talk(create_llm_compiler([measure], model=model, response_format=schema))
    assert chat.answers == ['{"metres": 1}']


@pytest.mark.parametrize("cut", [1, 5, 11, 20])
async def test_of_what_the_joiner_says_before_a_call_that_it_writes_as_text_no_call_appears(
    cut: int, model_server: ModelServer, model: Any
) -> None:
    call = '<tool_call>{"name": "replan", "arguments": {"feedback": "More."}}</tool_call>'
    writing = Reply(["So <b>far</b>: ", call[:cut], call[cut:]], split=False)
    model_server.script(planner=['1. measure("K2")\njoin()', "join()"], joiner=[writing, "As it is."])
    chat = await talk(create_llm_compiler([measure], model=model))
    assert [chat.answers[0], chat.texts[-1]] == ["So <b>far</b>: ", "As it is."]
    assert "tool" not in "".join(chat.answers)


async def test_a_thought_of_an_answer_never_appears(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(planner=['Or join("Perhaps so.")</think>1. measure("K2")\n2. join("It is $1.name.")'])
    chat = await talk(create_llm_compiler([measure], model=chat_model))
    assert chat.texts[-1] == "It is K2."
    assert "Perhaps" not in "".join(chat.answers)


async def test_an_answer_that_turns_out_to_have_been_a_thought_is_taken_back(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=['join("Perhaps so.")</think>1. measure("K2")\n2. join("It is $1.name.")'])
    chat = await talk(create_llm_compiler([measure], model=chat_model))
    assert chat.texts[-1] == "It is K2."
    assert "Perhaps so." not in chat.texts


async def test_after_a_pause_it_appears_as_any_answer(model_server: ModelServer, model: Any) -> None:
    model_server.script(planner=['1. send("Ana")\n2. join("$1")'])
    graph = create_llm_compiler([send], model=model, checkpointer=InMemorySaver())
    run: dict[str, Any] = {
        "config": {"configurable": {"thread_id": "t"}},
        "context": {"requires_approval": ["send"]},
    }
    paused = await talk(graph, **run)
    assert paused.answers == []
    chat = await talk(graph, Command(resume={"decisions": [{"type": "approve"}]}), **run)
    assert chat.answers == ["sent to Ana"]


# --- the joiner's


async def test_the_call_of_another_plan_never_appears(model_server: ModelServer, model: Any) -> None:
    model_server.script(
        planner=['1. measure("K2")\njoin()', '2. measure("Fuji")\njoin()'],
        joiner=[Reply(tool_calls=[REPLAN]), "Both are high."],
    )
    chat = await talk(create_llm_compiler([measure], model=model))
    assert chat.calls == {"task_1", "task_2"}
    assert all("Both are high.".startswith(part) for part in chat.answers)


async def test_what_is_said_before_another_plan_stays_and_is_in_no_prompt(
    model_server: ModelServer, model: Any
) -> None:
    model_server.script(
        planner=['1. measure("K2")\njoin()', '2. measure("Fuji")\njoin()'],
        joiner=[Reply("Let me look at Fuji, too.", tool_calls=[REPLAN]), "Both are high."],
    )
    chat = await talk(create_llm_compiler([measure], model=model))
    assert [text for text in chat.texts if "{" not in text] == [
        "Question?",
        "",
        "Let me look at Fuji, too.",
        "More.",
        "Both are high.",
    ]
    prompts = [str(message) for request in model_server.requests[-2:] for message in request.messages]
    assert not [prompt for prompt in prompts if "Fuji, too" in prompt]


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("Thought: it is high.\nAction: Finish(8611 m)", "8611 m"),
        ('Finish("8611 m")', "8611 m"),
        ("<answer>8611 m</answer>", "8611 m"),
        ("<think>Is it high?</think>8611 m", "8611 m"),
    ],
)
async def test_a_form_of_words_appears_without_the_form(
    said: str, answer: str, model_server: ModelServer, model: Any
) -> None:
    model_server.script(planner=['1. measure("K2")\njoin()'], joiner=[said])
    chat = await talk(create_llm_compiler([measure], model=model))
    assert chat.texts[-1] == answer
    assert all(answer.startswith(part) for part in chat.answers)


async def test_markup_and_figures_appear_piece_by_piece(model_server: ModelServer, model: Any) -> None:
    for text in ("**K2** is *high*: 8,611 m.", "8,611 m it is.", "# K2\n\n- high"):
        model_server.script(planner=['1. measure("K2")\njoin()'], joiner=[text])
        chat = await talk(create_llm_compiler([measure], model=model))
        assert chat.texts[-1] == text
        assert len(chat.answers) > 3


async def test_a_call_of_another_plan_in_words_is_taken_back(model_server: ModelServer, model: Any) -> None:
    said = 'One more. <tool_call>{"name": "replan", "arguments": {"feedback": "Fuji"}}</tool_call>'
    model_server.script(
        planner=['1. measure("K2")\njoin()', '2. measure("Fuji")\njoin()'], joiner=[said, "Both are high."]
    )
    chat = await talk(create_llm_compiler([measure], model=model))
    assert len(chat.removed) == 1
    assert [text for text in chat.texts if "{" not in text] == ["Question?", "", "Fuji", "Both are high."]


# --- around it


@pytest.mark.parametrize("replies", [['join("Hi.")'], ["1. join()", "Hi."]])
async def test_a_plan_without_calls_is_no_message(replies: list[Answer], model_server: ModelServer, model: Any) -> None:
    model_server.script(planner=replies[:1], joiner=replies[1:])
    chat = await talk(create_llm_compiler([measure], model=model))
    assert "" not in chat.answers
    assert chat.texts == ["Question?", "Hi."]


async def test_a_graph_around_the_agent_shows_the_same(model_server: ModelServer, model: Any) -> None:
    gate = Gate()
    model_server.script(planner=[Reply(['1. measure("K2")\n2. join("K2 is $1.height m', gate, ' high.")'])])
    outer = StateGraph(MessagesState)
    outer.add_node("agent", create_llm_compiler([measure], model=model))
    outer.add_edge(START, "agent")
    chat = Chat()
    async for _, (message, _) in outer.compile().astream(QUESTION, stream_mode="messages", subgraphs=True):
        chat.take(message)
        opens(gate, "K2 is 8611 m")(chat)
    assert [type(message) for message in chat.messages.values()] == [AIMessageChunk, ToolMessage, AIMessageChunk]
    assert chat.texts[-1] == "K2 is 8611 m high."


def test_sync_code_is_shown_the_same(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    gate = Gate()
    model_server.script(planner=['join("Hello.")', Reply(['join("It was a', gate, ' dark night.")'])])
    graph = create_llm_compiler([measure], model=chat_model)
    graph.invoke(QUESTION)
    chat = Chat()
    for message, _ in graph.stream(QUESTION, stream_mode="messages"):
        chat.take(message)  # type: ignore[arg-type]
        opens(gate, "It was a")(chat)
    assert chat.texts == ["It was a dark night."]
