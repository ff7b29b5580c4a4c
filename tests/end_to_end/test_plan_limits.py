"""A plan without end stops at `max_tasks` while the model still writes it."""

from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_openai import ChatOpenAI

from agent import create_llm_compiler
from tests.support.model_server import Gate, ModelServer, Reply

TASKS = 10_000
LINES = [f"{number}. work({number})\n" for number in range(1, TASKS + 1)]
ELEMENTS = ["1. work.map([", *(f"{number}, " for number in range(1, TASKS + 1))]


@pytest.mark.parametrize("plan", [LINES, ELEMENTS], ids=["lines", "map"])
async def test_a_plan_of_10_000_tasks_stops_at_the_limit_and_closes_the_models_stream(
    plan: list[str], model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    worked: list[int] = []

    async def work(number: int) -> int:
        """Works."""
        worked.append(number)
        return number

    # What stands behind the gate is never sent: the run ends although the model has not.
    reply = Reply([*plan[:200], Gate(), *plan[200:]], split=False)
    model_server.script(planner=[reply], joiner=["Done."])
    output: dict[str, Any] = await create_llm_compiler([work], model=chat_model).ainvoke(
        {"messages": "?"},
        context={"max_tasks": 100},  # type: ignore[arg-type]
    )
    planning = await model_server.exchange(0, "planner")
    await planning.until_disconnected()
    assert 100 < planning.sent <= 200
    assert sorted(worked) == list(range(1, 101))
    *results, refused = [message for message in output["messages"] if isinstance(message, ToolMessage)]
    assert [message.artifact for message in results] == list(range(1, 101))
    assert refused.text == "The plan ends here: it has more than 100 tasks (max_tasks)."
    assert output["messages"][-1].text == "Done."


async def test_a_call_of_a_megabyte_is_passed_on_whole(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    taken: list[str] = []

    async def take(text: str) -> int:
        """Takes a text."""
        taken.append(text)
        return len(text)

    text = "word (x) [y], " * 70_000
    model_server.script(planner=[Reply(f'1. take("{text}")\n2. join()', split=False)], joiner=["Done."])
    output = await create_llm_compiler([take], model=chat_model).ainvoke({"messages": "?"})
    assert output["messages"][-1].text == "Done."
    assert taken == [text]


async def test_a_call_without_end_stops_the_plan(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    async def add(numbers: list[int]) -> int:
        """Adds."""
        return sum(numbers)

    reply = Reply(["1. add([1, 2])\n2. add([[", *["1, " * 1000] * 60, Gate(), "1]])\n3. join()"], split=False)
    model_server.script(planner=[reply], joiner=["Done."])
    output: dict[str, Any] = await create_llm_compiler([add], model=chat_model).ainvoke({"messages": "?"})
    await (await model_server.exchange(0, "planner")).until_disconnected()
    done, refused = [message for message in output["messages"] if isinstance(message, ToolMessage)]
    assert done.artifact == 3
    assert refused.text.startswith("The plan ends here: this call has more than 50,000 parts")
