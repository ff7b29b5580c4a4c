"""What users have prompts say, and how long prompts may get."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver

from agent import ModelError, create_llm_compiler
from agent.conversation.transcript import in_view
from tests.support.model_server import HttpError, ModelServer, Reply

CONFIG: Any = {"configurable": {"thread_id": "1"}}


def search(query: str) -> str:
    """finds"""
    return f"found {query} " * 500


async def test_planner_and_joiner_are_told_the_system_prompt(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    plan = '1. search("a")\n2. join()'
    model_server.script(planner=[plan, plan], joiner=["Done.", "Done."])
    graph = create_llm_compiler([search], model=chat_model, system_prompt="You work for ACME.")
    await graph.ainvoke({"messages": "Question?"})
    context: Any = {"system_prompt": "Answer in French."}
    await graph.ainvoke({"messages": [("system", "Be kind."), ("user", "Question?")]}, context=context)
    for request in model_server.requests[:2]:
        assert request.system.endswith("\n\nYou work for ACME.")
    for request in model_server.requests[2:]:
        assert request.system.endswith("\n\nAnswer in French.\n\nBe kind.")


async def test_the_oldest_turns_are_left_out_of_prompts_that_would_be_too_long(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    plans = [f'{number}. search("{number}")\n{number + 1}. join()' for number in range(1, 9, 2)]
    model_server.script(planner=plans, joiner=[f"Answer {number}." for number in range(1, 5)])
    graph = create_llm_compiler([search], model=chat_model, checkpointer=InMemorySaver())
    context: Any = {"max_prompt_tokens": 1200}
    for number in range(1, 5):
        output = await graph.ainvoke({"messages": f"Question {number}?"}, CONFIG, context=context)
    planner, joiner = (str(request.messages) for request in model_server.requests[-2:])
    for question, in_planner, in_joiner in ((1, True, False), (2, True, False), (4, True, True)):
        assert (f"Question {question}?" in planner) == in_planner
        assert (f"Question {question}?" in joiner) == in_joiner
    assert "found 7 found 7" in joiner
    assert output["messages"][0].text == "Question 1?"


def test_of_a_trimmed_conversation_the_present_turn_and_system_messages_are_left() -> None:
    messages: list[AnyMessage] = [SystemMessage("Be kind."), HumanMessage("x" * 400, id="1"), AIMessage("y", id="2")]
    messages += [HumanMessage("z" * 40, id="3"), AIMessage("y", id="4"), HumanMessage("now " * 1000, id="5")]
    for most, ids in ((2000, ["1", "2", "3", "4"]), (1050, ["3", "4"]), (100, [])):
        shown = in_view(messages, system_prompt="", most_tokens=most)
        assert [message.id for message in shown[1:-1]] == ids
        assert (shown[0], shown[-1]) == (messages[0], messages[-1])


@pytest.mark.parametrize("role", ["planner", "joiner"])
async def test_a_prompt_that_is_too_long_for_the_model_is_told(
    role: str, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    error = HttpError(400, "context_length_exceeded: 9000 tokens are more than 8000")
    plan = Reply('1. search("a")\n2. join()')
    model_server.script(planner=[error if role == "planner" else plan], joiner=[error] if role == "joiner" else [])
    with pytest.raises(ModelError, match=r"too long for the model. Set max_prompt_tokens .*9000 tokens"):
        await create_llm_compiler([search], model=chat_model).ainvoke({"messages": "Question?"})
