"""Identical calls are made once, within a plan and through its replans."""

from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import StructuredTool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from agent import create_llm_compiler
from tests.support.model_server import ModelServer, Reply

PLAN = '1. look_up("K2")\n2. look_up("$3")\n3. echo("K2")\n4. look_up("Fuji")\njoin()'


class Tools:
    def __init__(self, **metadata: Any) -> None:
        self.calls: list[str] = []
        self._metadata = metadata

    def all(self) -> list[StructuredTool]:
        async def look_up(name: str) -> str:
            """look up"""
            self.calls.append(name)
            if name == "error":
                raise ValueError("no entry")
            return f"entry of {name}"

        async def echo(text: str) -> str:
            """echo"""
            return text

        return [
            StructuredTool.from_function(coroutine=look_up, name="look_up", metadata=self._metadata),
            StructuredTool.from_function(coroutine=echo, name="echo"),
        ]


def results(messages: list[Any]) -> list[str]:
    return [message.text for message in messages if isinstance(message, ToolMessage)]


async def test_the_second_task_gets_the_first_ones_result(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    tools = Tools()
    model_server.script(planner=[PLAN], joiner=["Done."])
    graph = create_llm_compiler(tools.all(), model=chat_model)
    events, messages = [], []
    async for mode, value in graph.astream({"messages": "Question?"}, stream_mode=["custom", "values"]):
        if mode == "custom":
            events.append(value)
        else:
            messages = value["messages"]
    assert sorted(tools.calls) == ["Fuji", "K2"]
    assert results(messages) == ["entry of K2", "entry of K2", "K2", "entry of Fuji"]
    reused = {event["task"]: event["reused"] for event in events if event.get("reused")}
    assert reused == {2: "1"}
    assert not any(event["type"] == "task_started" and event["task"] == 2 for event in events)


@pytest.mark.parametrize("metadata", [{"side_effects": True}, {"cache": False}])
async def test_tools_with_side_effects_and_those_that_opt_out_are_called_each_time(
    metadata: dict[str, Any], model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    tools = Tools(**metadata)
    model_server.script(planner=[PLAN], joiner=["Done."])
    graph = create_llm_compiler(tools.all(), model=chat_model)
    await graph.ainvoke({"messages": "Question?"}, context={"approve_side_effects": False})
    assert sorted(tools.calls) == ["Fuji", "K2", "K2"]


@pytest.mark.parametrize(
    ("metadata", "context"), [({"requires_approval": True}, {}), ({}, {"requires_approval": ["look_up"]})]
)
async def test_all_calls_that_a_person_approves_are_made(
    metadata: dict[str, Any], context: dict[str, Any], model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    tools = Tools(**metadata)
    model_server.script(planner=['1. look_up("K2")\n2. look_up("K2")\njoin()'], joiner=["Done."])
    graph = create_llm_compiler(tools.all(), model=chat_model, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    await graph.ainvoke({"messages": "Question?"}, config, context=context)
    await graph.ainvoke(Command(resume={"decisions": [{"type": "approve"}] * 2}), config, context=context)
    assert tools.calls == ["K2", "K2"]


@pytest.mark.parametrize(
    ("plan", "joiner"),
    [
        ('1. look_up("K2")\n2. look_up.map(["Fuji", "K2"])\njoin()', ["Both are high."]),
        ('1. look_up.map(["Fuji", "K2"])\n2. look_up("K2")\njoin()', []),
    ],
)
async def test_the_answer_is_the_result_of_the_last_call_alone_also_if_it_was_made_before(
    plan: str, joiner: list[str], model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    look_up, _ = Tools().all()
    look_up.return_direct = True
    model_server.script(planner=[plan], joiner=joiner)
    output = await create_llm_compiler([look_up], model=chat_model).ainvoke({"messages": "Question?"})
    assert [output["messages"][-1].text] == (joiner or ["entry of K2"])


async def test_a_replan_does_not_repeat_what_succeeded_and_may_try_again_what_failed(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    tools = Tools()
    model_server.script(
        planner=['look_up("K2")\nlook_up("error")\njoin()', 'look_up("K2")\nlook_up("error")\njoin()'],
        joiner=[Reply(tool_calls=[("replan", {"feedback": "More."})]), "Done."],
    )
    await create_llm_compiler(tools.all(), model=chat_model).ainvoke({"messages": "Question?"})
    assert tools.calls == ["K2", "error", "error"]


async def test_a_later_turn_asks_afresh(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    tools = Tools()
    model_server.script(planner=['look_up("K2")\njoin()'] * 2, joiner=["Done."] * 2)
    graph = create_llm_compiler(tools.all(), model=chat_model)
    output = await graph.ainvoke({"messages": "Question?"})
    await graph.ainvoke({"messages": [*output["messages"], ("user", "And today?")]})
    assert tools.calls == ["K2", "K2"]


async def test_a_failure_is_shared_within_a_plan(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    tools = Tools()
    model_server.script(planner=['look_up("error")\nlook_up("error")\njoin()'], joiner=["Done."])
    output = await create_llm_compiler(tools.all(), model=chat_model).ainvoke({"messages": "Question?"})
    assert tools.calls == ["error"]
    assert results(output["messages"]) == ["ValueError: no entry"] * 2
