"""Whatever a plan is like and whatever goes wrong: its run ends, what can succeed does, with the right value, and
nothing else does. `make torture` runs more of it."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import StructuredTool

from agent import create_llm_compiler
from agent.conversation.messages import call_id, is_own_plan, tasks_of
from tests.support import PATIENCE

EXAMPLES = int(os.environ.get("RANDOM_PLANS", "20"))

Ending = Literal["answer", "nothing", "replan", "error"]


class ModelFailedError(Exception):
    """The model's client gave up."""

    status_code = 429


class BusyError(Exception):
    """A tool's server wants to be asked again at once."""

    status_code = 429
    response = SimpleNamespace(status_code=429, headers={"retry-after": "0"})


class ScriptedModel(BaseChatModel):
    """Writes a plan in chunks of a size, as far as it comes; then answers, or whatever it does instead."""

    plan: str
    size: int
    breaks: bool
    ending: Ending

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        if self.ending == "error":
            raise ModelFailedError
        said = {"answer": "Done.", "nothing": "", "replan": "Action: Replan(More.)"}[self.ending]
        return ChatResult(generations=[ChatGeneration(message=AIMessage(said))])

    async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        for start in range(0, max(1, len(self.plan)), self.size):
            yield ChatGenerationChunk(message=AIMessageChunk(self.plan[start : start + self.size]))
        if self.breaks:
            raise ModelFailedError


_tries = Counter[int]()


async def add(number: int, values: list[int]) -> int:
    """Adds."""
    return number + sum(values)


def add_in_thread(number: int, values: list[int]) -> int:
    """Adds, in a thread."""
    return number + sum(values)


async def add_when_asked_again(number: int, values: list[int]) -> int:
    """Adds, but not at the first two tries."""
    _tries[number] += 1
    if _tries[number] < 3:
        raise BusyError
    return number + sum(values)


async def fail(number: int, values: list[int]) -> int:
    """Fails."""
    raise RuntimeError(f"{number} of {values}")


async def always_busy(number: int, values: list[int]) -> int:
    """Is too busy at each try."""
    raise BusyError


async def hang(number: int, values: list[int]) -> int:
    """Never ends."""
    await asyncio.Event().wait()
    return number


ADDING = {"add", "add_in_thread", "add_when_asked_again"}
TOOLS = [
    *(add, add_in_thread, add_when_asked_again, fail, always_busy),
    StructuredTool.from_function(coroutine=hang, metadata={"timeout": 0.01}),
]
KINDS = (
    ["add"] * 8 + ["add_in_thread"] * 3 + ["add_when_asked_again", "fail", "always_busy", "hang", "missing", "wrong"]
)


@dataclass(frozen=True)
class Line:
    """A line of a plan."""

    number: int | None
    """As the model counts; it may count wrong."""

    tool: str
    references: tuple[int, ...]
    """To any task: itself, later ones, and ones that there are not."""

    def written(self, position: int) -> str:
        number = position if self.number is None else self.number
        values = ", ".join(f"${reference}" for reference in self.references)
        if self.tool == "wrong":
            return f'{number}. add("{position} apples", [{values}])'
        return f"{number}. {self.tool}({position}, [{values}])"


LINES = st.lists(
    st.builds(
        Line,
        st.one_of(*[st.none()] * 9, st.integers(1, 32)),
        st.sampled_from(KINDS),
        st.lists(st.integers(1, 36), max_size=3, unique=True).map(tuple),
    ),
    max_size=32,
)
BACKWARDS = st.integers(0, 32).flatmap(
    lambda count: st.tuples(
        *(
            st.builds(
                Line,
                st.none(),
                st.sampled_from(KINDS),
                st.lists(st.integers(1, max(1, position - 1)), max_size=3, unique=True).map(tuple),
            )
            for position in range(1, count + 1)
        )
    ).map(list)
)
"""Plans without a mistake in their references, of which more succeeds."""


def values_of(messages: Sequence[AnyMessage]) -> dict[str, int]:
    """What each call of a conversation should give that can give anything, by the plainest algorithm there is."""
    values: dict[str, int] = {}
    for message in messages:
        tasks = tasks_of(message) if is_own_plan(message) else []
        for _ in tasks:
            for task in tasks:
                arguments = task.arguments
                if task.tool not in ADDING or not isinstance(arguments.get("number"), int):
                    continue
                needed = [f"task_{reference.removeprefix('$')}" for reference in arguments["values"]]
                if all(name in values for name in needed):
                    values[call_id(task.key)] = arguments["number"] + sum(values[name] for name in needed)
    return values


@pytest.mark.timeout(max(120, EXAMPLES))
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(
    lines=st.one_of(LINES, BACKWARDS),
    cut=st.one_of(st.none(), st.none(), st.floats(0, 1)),
    breaks=st.sampled_from([False] * 9 + [True]),
    ending=st.sampled_from(["answer"] * 5 + ["nothing", "replan", "error"]),
    size=st.integers(1, 40),
    max_concurrency=st.integers(1, 3),
)
def test_what_can_succeed_does_and_nothing_else(
    lines: list[Line], cut: float | None, breaks: bool, ending: Ending, size: int, max_concurrency: int
) -> None:
    plan = "\n".join([*(line.written(position) for position, line in enumerate(lines, start=1)), "join()"])
    if cut is not None:
        plan = plan[: int(cut * len(plan))]
    if breaks:
        plan = plan.removesuffix("join()")
    model = ScriptedModel(plan=plan, size=size, breaks=breaks, ending=ending)
    graph = create_llm_compiler(TOOLS, model=model)
    _tries.clear()

    async def run() -> list[AnyMessage] | None:
        context = {"max_concurrency": max_concurrency, "max_replans": 1}
        try:
            async with asyncio.timeout(PATIENCE):
                output = await graph.ainvoke({"messages": "Question?"}, {"max_concurrency": 1}, context=context)
        except ModelFailedError:
            return None
        finally:
            await asyncio.sleep(0)  # LangGraph closes what it has
            assert asyncio.all_tasks() == {asyncio.current_task()}
        return list(output["messages"])

    messages = asyncio.run(run())
    assert (messages is None) == (breaks or ending == "error")
    if messages is None:
        return
    results = {m.tool_call_id: m for m in messages if isinstance(m, ToolMessage)}
    calls = [call["id"] for m in messages if isinstance(m, AIMessage) for call in m.tool_calls]
    assert calls == list(results)
    if cut is None:
        assert len(calls) == len(lines) * (2 if ending == "replan" and lines else 1)
    succeeded = {name: m.artifact for name, m in results.items() if m.status == "success"}
    assert succeeded == values_of(messages)
    assert all(m.text for m in results.values())
    assert messages[-1].text
