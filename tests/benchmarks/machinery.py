"""What the machinery itself costs: no HTTP, a model that writes its plan at once, tools that take no time.

`python -m tests.benchmarks.machinery NAME ARGUMENTS` makes one measurement and prints it as JSON; each has a process of
its own.
"""

import asyncio
import gc
import json
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.func import task as durable
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Checkpointer

from agent import Context, create_llm_compiler
from agent.language.parser import PlanParser
from agent.language.tasks import Signature
from tests.support.model_server import tokens_of

CONTEXT = Context(max_tasks=10_000, max_concurrency=10_000)
MEGABYTE = 1_000_000


class InstantModel(BaseChatModel):
    """Writes its plan in one go, a line a chunk, and then answers."""

    plan: str

    @property
    def _llm_type(self) -> str:
        return "instant"

    def bind_tools(self, *_: Any, **__: Any) -> "InstantModel":  # type: ignore[override]
        return self

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("Done."))])

    async def _agenerate(self, *_: Any, **__: Any) -> ChatResult:
        return self._generate()

    async def _astream(self, *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        for line in self.plan.splitlines(keepends=True):
            yield ChatGenerationChunk(message=AIMessageChunk(line))


async def look_up(query: str) -> str:
    """looks up a word"""
    return f"about {query}"


def plan_of(calls: int) -> str:
    """A plan of independent calls."""
    return "".join(f'{number}. look_up("word {number}")\n' for number in range(1, calls + 1)) + f"{calls + 1}. join()"


async def least_seconds(work: Callable[[], Awaitable[Any]], repeat: int) -> float:
    """The seconds of a core that it takes, at the best of several times after a first: others only add to it."""
    seconds = []
    for _ in range(repeat + 1):
        gc.collect()
        before = time.process_time()
        await work()
        seconds.append(time.process_time() - before)
    return min(seconds[1:])


async def agent_seconds(calls: int, repeat: int, checkpointer: Checkpointer = None) -> float:
    """A run of the agent with so many calls."""
    graph = create_llm_compiler([look_up], model=InstantModel(plan=plan_of(calls)), checkpointer=checkpointer)
    threads = iter(range(repeat + 1))

    async def run() -> None:
        config: Any = {"configurable": {"thread_id": f"{calls}-{next(threads)}"}} if checkpointer else {}
        result = await graph.ainvoke({"messages": "?"}, config, context=CONTEXT)
        assert len(result["messages"]) == calls + (3 if calls else 2), "a call is missing"

    return await least_seconds(run, repeat)


@durable
async def bare_task(number: int, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """As much as the agent's own task is given and gives back."""
    return {"tool": tool, "arguments": arguments, "message": f"about word {number}"}


async def langgraph_seconds(calls: int, repeat: int) -> float:
    """A bare node that does nothing but so many `@task`s."""

    async def node(_: MessagesState) -> dict[str, Any]:
        await asyncio.gather(*(bare_task(n, "look_up", {"query": f"word {n}"}) for n in range(calls)))
        return {}

    graph = StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile()
    return await least_seconds(lambda: graph.ainvoke({"messages": "?"}), repeat)


async def langchain_seconds(calls: int, repeat: int) -> float:
    """So many calls of the tool, one after the other, through LangChain."""
    tool = StructuredTool.from_function(coroutine=look_up)

    async def run() -> None:
        for number in range(calls):
            await tool.ainvoke({"query": f"word {number}"})

    return await least_seconds(run, repeat)


async def per_call(measure: Callable[[int, int], Awaitable[float]], calls: int, repeat: int) -> float:
    """Milliseconds of a core per call, of a run with so many calls over a run with none."""
    return (await measure(calls, repeat) - await measure(0, repeat)) / calls * 1000


async def agent(calls: int, repeat: int) -> dict[str, Any]:
    """What a call costs in a run of the agent."""
    return {"calls": calls, "all_ms": await per_call(agent_seconds, calls, repeat)}


async def overhead(calls: int, repeat: int) -> dict[str, Any]:
    """The same, and whose part of it is what."""
    measures = (agent_seconds, langgraph_seconds, langchain_seconds)
    all_, langgraph, langchain = [await per_call(measure, calls, repeat) for measure in measures]
    own = all_ - langgraph - langchain
    return {"calls": calls, "all_ms": all_, "langgraph_ms": langgraph, "langchain_ms": langchain, "own_ms": own}


async def checkpointers(calls: int, repeat: int) -> dict[str, Any]:
    """Milliseconds of a core that a run with so many calls takes, by where it is saved."""
    seconds = {
        "none": await agent_seconds(calls, repeat),
        "memory": await agent_seconds(calls, repeat, InMemorySaver()),
    }
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncSqliteSaver.from_conn_string(str(Path(folder) / "threads.sqlite")) as saver:
            seconds["sqlite"] = await agent_seconds(calls, repeat, saver)
    return {"calls": calls, **{f"{name}_ms": value * 1000 for name, value in seconds.items()}}


async def many_runs(count: int, threshold: int) -> dict[str, Any]:
    """So many runs at once in this process, of eight calls of 50 ms each, again and again until there were a hundred;
    garbage is looked for after so many new objects (`gc.set_threshold`), or never, at 0."""
    calls = 8

    async def wait(query: str) -> str:
        """looks up a word"""
        await asyncio.sleep(0.05)
        return f"about {query}"

    plan = plan_of(calls).replace("look_up", "wait")
    graph = create_llm_compiler([wait], model=InstantModel(plan=plan))

    async def run() -> None:
        result = await graph.ainvoke({"messages": "?"}, context=CONTEXT)
        assert len(result["messages"]) == calls + 3, "a call is missing"

    for _ in range(3):
        await run()
    gc.collect()
    gc.set_threshold(threshold, 10, 10)
    memory, cpu, began = _peak_memory(), time.process_time(), time.perf_counter()
    rounds = max(1, 100 // count)
    for _ in range(rounds):
        await asyncio.gather(*(run() for _ in range(count)))
    seconds = (time.perf_counter() - began) / rounds
    return {
        "runs": count,
        "threshold": threshold,
        "seconds": seconds,
        "calls_per_second": count * calls / seconds,
        "cpu_ms_per_run": (time.process_time() - cpu) / (rounds * count) * 1000,
        "memory_kb_per_run": (_peak_memory() - memory) / count / 1000,
    }


def _peak_memory() -> int:
    """Bytes; of macOS and Linux."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


async def parser(size: int, repeat: int) -> dict[str, Any]:
    """Megabytes of plan that, in a second of a core, the parser reads in one piece, and as tokens."""
    lines = (
        '{0}. search("Mount Everest, the highest mountain above the sea")\n',
        '{0}. math("height of the place in metres * 1.12, to two digits", context=["$1", "$2"])\n',
        '{0}. search(query="K2", limit=3)\n',
    )
    number, made, parts = 0, 0, []
    while made < size:
        number += 1
        parts.append(lines[number % 3].format(number))
        made += len(parts[-1])
    text = "".join(parts)
    tokens = tokens_of(text)

    async def read(pieces: Sequence[str]) -> None:
        plan = PlanParser({name: Signature(name) for name in ("search", "math")})
        items = sum(len(plan.feed(piece)) for piece in pieces)
        assert items + len(plan.close()) == number, "a call is missing"

    whole, streamed = [await least_seconds(lambda p=p: read(p), repeat) for p in ([text], tokens)]  # type: ignore[misc]
    scale = len(text) / MEGABYTE
    return {"bytes": len(text), "whole_mb_s": scale / whole, "tokens_mb_s": scale / streamed}


MEASUREMENTS: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {
    "agent": agent,
    "overhead": overhead,
    "checkpointers": checkpointers,
    "many_runs": many_runs,
    "parser": parser,
}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(MEASUREMENTS[sys.argv[1]](*map(int, sys.argv[2:])))))  # type: ignore[arg-type]  # noqa: T201
