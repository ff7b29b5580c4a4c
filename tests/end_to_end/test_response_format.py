"""Answers in a form that a program can read."""

from pathlib import Path
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from pydantic import BaseModel, Field

from agent import ModelError, create_llm_compiler
from tests.support.model_server import HttpError, ModelServer, Reply

PLAN = '1. height("K2")\n2. join()'
SCHEMA = {
    "title": "Peak",
    "type": "object",
    "properties": {"name": {"type": "string"}, "metres": {"type": "integer"}},
    "required": ["name", "metres"],
}


class Peak(BaseModel):
    """a mountain"""

    name: str
    metres: int = Field(gt=0)


def height(name: str) -> int:
    """the height of a mountain"""
    return 8611


def said(**given: Any) -> Reply:
    return Reply(tool_calls=[("Peak", given)])


async def run(form: Any, chat_model: ChatOpenAI, **options: Any) -> dict[str, Any]:
    graph = create_llm_compiler([height], model=chat_model, response_format=form, **options)
    return await graph.ainvoke({"messages": "How high is K2?"})


@pytest.mark.parametrize(
    ("form", "answer"), [(Peak, Peak(name="K2", metres=8611)), (SCHEMA, {"name": "K2", "metres": 8611})]
)
async def test_the_joiner_gives_the_answer_in_its_form(
    form: Any, answer: Any, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=[PLAN], joiner=[said(name="K2", metres="8611")])
    output = await run(form, chat_model)
    assert output["structured_response"] == answer
    assert output["messages"][-1].text.replace(" ", "") == '{"name":"K2","metres":8611}'
    assert not output["messages"][-1].tool_calls
    assert "Give the answer by calling `Peak`." in model_server.requests[1].system


async def test_it_may_ask_for_another_plan_all_the_same(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    replan = Reply(tool_calls=[("replan", {"feedback": "the height"})])
    model_server.script(
        planner=[PLAN, '3. height("K2 again")\n4. join()'], joiner=[replan, said(name="K2", metres=8611)]
    )
    assert (await run(Peak, chat_model))["structured_response"] == Peak(name="K2", metres=8611)
    assert "Still missing: the height" in model_server.requests[2].user


async def test_an_answer_that_does_not_fit_is_asked_for_again_and_then_is_an_error(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    wrong = said(name="K2", metres=-1)
    model_server.script(planner=[PLAN], joiner=[wrong, said(name="K2", metres=8611)])
    assert (await run(Peak, chat_model))["structured_response"] == Peak(name="K2", metres=8611)
    assert "metres: Input should be greater than 0" in model_server.requests[2].user
    model_server.script(
        planner=[PLAN], joiner=[Reply(f'{{"name": {"[" * 100_000}}}', split=False), said(name="K2", metres=8611)]
    )
    assert (await run(Peak, chat_model))["structured_response"] == Peak(name="K2", metres=8611)
    model_server.script(planner=[PLAN], joiner=[wrong, "I don't know."])
    with pytest.raises(ModelError, match="does not fit the response_format Peak"):
        await run(Peak, chat_model)


@pytest.mark.parametrize(
    "text", ['{"name": "K2", "metres": 8611}', '<think>Hm</think>```json\n{"name": "K2", "metres": 8611}\n```']
)
async def test_a_model_that_calls_no_tools_writes_json(
    text: str, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=[PLAN], joiner=[HttpError(400), HttpError(400), text])
    assert (await run(Peak, chat_model))["structured_response"] == Peak(name="K2", metres=8611)
    assert '"title": "Peak"' in model_server.requests[-1].system


async def test_the_plans_own_answer_is_taken_only_if_it_fits(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(
        planner=["1. height(\"K2\")\n2. join(\"{'name': 'K2', 'metres': $1}\")"], joiner=[said(name="K2", metres=1)]
    )
    assert (await run(Peak, chat_model))["structured_response"] == Peak(name="K2", metres=1)
    model_server.script(planner=['join(\'{"name": "K2", "metres": 8611}\')'], joiner=[])
    assert (await run(Peak, chat_model))["structured_response"] == Peak(name="K2", metres=8611)


@pytest.mark.parametrize("form", [Peak, SCHEMA])
async def test_it_is_kept_with_the_thread(
    form: Any, tmp_path: Path, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=[PLAN], joiner=[said(name="K2", metres=8611)])
    config: Any = {"configurable": {"thread_id": "1"}}
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "threads.db")) as saver:
        graph = create_llm_compiler([height], model=chat_model, response_format=form, checkpointer=saver)
        output = await graph.ainvoke({"messages": "How high is K2?"}, config)
        kept = (await graph.aget_state(config)).values["structured_response"]
    assert kept == output["structured_response"]


def test_what_is_no_form_is_refused() -> None:
    with pytest.raises(TypeError, match="Give a Pydantic model, or the JSON schema of an object"):
        create_llm_compiler([height], response_format=str)  # type: ignore[arg-type]
