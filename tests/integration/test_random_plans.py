"""Whatever a plan is like: its run ends, what can succeed does, with the right value, and nothing else does."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from agent import create_llm_compiler


class ScriptedModel(BaseChatModel):
    """Writes one plan, in chunks of a size, and then an answer."""

    plan: str
    size: int

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("Done."))])

    async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        for start in range(0, len(self.plan), self.size):
            yield ChatGenerationChunk(message=AIMessageChunk(self.plan[start : start + self.size]))


async def add(number: int, values: list[int]) -> int:
    """Adds."""
    return number + sum(values)


async def fail(number: int, values: list[int]) -> int:
    """Fails."""
    raise RuntimeError(f"{number} of {values}")


@dataclass(frozen=True)
class Step:
    tool: str
    references: tuple[int, ...]


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(["add"] * 8 + ["fail", "missing"]),
        st.lists(st.integers(1, 12), max_size=3, unique=True).map(tuple),
    ),
    max_size=10,
)


def values_of(steps: list[Step]) -> dict[int, int]:
    """The value of each task that can succeed, by the plainest algorithm there is."""
    values: dict[int, int] = {}
    for _ in steps:
        for number, step in enumerate(steps, start=1):
            if step.tool == "add" and all(reference in values for reference in step.references):
                values[number] = number + sum(values[reference] for reference in step.references)
    return values


@settings(max_examples=150, deadline=None)
@given(STEPS, st.integers(1, 40), st.integers(1, 3))
def test_what_can_succeed_does_and_nothing_else(steps: list[Step], size: int, max_concurrency: int) -> None:
    lines = [
        f"{number}. {step.tool}({number}, [{', '.join(f'${reference}' for reference in step.references)}])"
        for number, step in enumerate(steps, start=1)
    ]
    model = ScriptedModel(plan="\n".join([*lines, "join()"]), size=size)
    graph = create_llm_compiler([add, fail], model=model)
    messages = graph.invoke({"messages": "Question?"}, context={"max_concurrency": max_concurrency})["messages"]

    results = [message for message in messages if isinstance(message, ToolMessage)]
    assert [message.tool_call_id for message in results] == [f"task_{n}" for n in range(1, len(steps) + 1)]
    succeeded = {number: m.artifact for number, m in enumerate(results, start=1) if m.status == "success"}
    assert succeeded == values_of(steps)
    assert messages[-1].text == "Done."
