"""A map is the same as its calls written out, for any elements, failures and chunks."""

from collections.abc import AsyncIterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from agent import create_llm_compiler


class ScriptedModel(BaseChatModel):
    """Writes one plan, in chunks of a size, and then an answer."""

    plan: str = ""
    size: int = 1

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("Done."))])

    async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        for start in range(0, len(self.plan), self.size):
            yield ChatGenerationChunk(message=AIMessageChunk(self.plan[start : start + self.size]))


async def make(value: str) -> dict[str, str]:
    """Makes; fails on an exclamation mark."""
    if "!" in value:
        raise ValueError(f"no {value}")
    return {"value": value, "twice": value * 2}


async def pair(first: str, second: str = "-") -> str:
    """Pairs."""
    if "?" in first:
        raise ValueError("a question")
    return f"{first}+{second}"


async def items(text: str) -> list[str]:
    """Its characters."""
    return list(text)


MODEL = ScriptedModel()
GRAPH = create_llm_compiler([make, pair, items], model=MODEL)
TEXTS = st.text(alphabet="ab!?,)]'\"$1{}\\ é\n", max_size=5)


async def observe(plan: str, size: int) -> list[tuple[str, Any, str]]:
    MODEL.plan, MODEL.size = plan, size
    output = await GRAPH.ainvoke({"messages": "Question?"})
    found = [message for message in output["messages"] if isinstance(message, ToolMessage)]
    return [(m.status, m.artifact, "" if m.response_metadata.get("skipped") else m.text) for m in found]


def literal(text: str) -> str:
    """A text in the plan language, in which a reference is no reference."""
    return repr(text.replace("$", "€"))


@settings(max_examples=settings.default.max_examples // 4)
@given(st.lists(TEXTS, min_size=1, max_size=5), st.integers(1, 30), st.booleans())
async def test_a_map_and_its_calls_written_out_give_the_same(texts: list[str], size: int, keyword: bool) -> None:
    count = len(texts)
    elements = ", ".join(map(literal, texts))
    mapped = (
        f"1. make.map({'value=' if keyword else ''}[{elements}])\n"
        "2. pair.map($1.value, second=$1.twice)\n"
        f'3. pair.map([{elements}], second="of $1.twice")\n'
        "4. join()"
    )
    written = [f"{i + 1}. make({literal(text)})" for i, text in enumerate(texts)]
    written += [f"{count + i + 1}. pair(${i + 1}.value, second=${i + 1}.twice)" for i in range(count)]
    written += [
        f'{2 * count + i + 1}. pair({literal(text)}, second="of ${i + 1}.twice")' for i, text in enumerate(texts)
    ]
    assert await observe(mapped, size) == await observe("\n".join([*written, "join()"]), size)


@settings(max_examples=settings.default.max_examples // 5)
@given(st.text(alphabet="ab!?", min_size=1, max_size=5), st.integers(1, 30))
async def test_a_map_over_a_result_and_one_over_a_list_give_the_same(text: str, size: int) -> None:
    at_run_time = f"1. items({text!r})\n2. make.map($1)\n3. pair.map($1, second=$2.twice)\njoin()"
    in_the_plan = (
        f"1. items({text!r})\n2. make.map({list(text)!r})\n3. pair.map({list(text)!r}, second=$2.twice)\njoin()"
    )
    assert await observe(at_run_time, size) == await observe(in_the_plan, size)
