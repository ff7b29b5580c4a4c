"""Command line and server run any graph with messages, also one that knows nothing of plans."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph

from apps.server.app import create_app
from tests.support import ROOT
from tests.support.model_server import ModelServer, Reply
from tests.support.serving import ask, serving, streaming
from tests.support.terminal import COMMAND, scripted

PLAIN = """
from langgraph.graph import START, MessagesState, StateGraph

def answer(state):
    return {"messages": ("ai", f"You said {state['messages'][-1].text}")}

graph = StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer").compile()
"""
AGENT = """
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from tests.support.mountains import TOOLS

graph = create_agent(ChatOpenAI(model="test-model"), TOOLS)
"""

DESK = """
from dataclasses import dataclass
from langchain.tools import ToolRuntime
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from agent import Context, create_llm_compiler

{context}

@tool
def orders(runtime: ToolRuntime) -> str:
    "the customer's orders"
    return f"{{runtime.context.customer}} has {{getattr(runtime.context, 'max_tasks', 'no')}} orders"

agent = create_llm_compiler([orders])
graph = StateGraph(MessagesState, context_schema=Mine).add_node("agent", agent).add_edge(START, "agent").compile()
"""
"""The agent in a graph with a context of its own."""


def run(folder: Path, code: str, server: ModelServer, *options: str) -> str:
    """What the command prints over the graph of a module in its working directory."""
    (folder / "my_agent.py").write_text(code)
    env = scripted(server, LLM_COMPILER_GRAPH="my_agent", PYTHONPATH=str(ROOT), XDG_STATE_HOME=str(folder))
    ran = subprocess.run(
        [*COMMAND, *options, "How high?"], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


@pytest.mark.parametrize(
    "options", [[], ["--quiet", "--thread", "t"], ["--json"], ["--timeline", "run.svg", "--graph", "plan.mmd"]]
)
def test_a_graph_without_plans_or_tools_answers(tmp_path: Path, model_server: ModelServer, options: list[str]) -> None:
    printed = run(tmp_path, PLAIN, model_server, *options)
    assert "You said How high?" in printed
    assert "no tasks" not in printed


def test_an_agent_of_langchains_answers(tmp_path: Path, model_server: ModelServer) -> None:
    model_server.script(Reply("Let me see.", tool_calls=[("height", {"mountain": "K2"})]), "It is 8,611 m high.")
    report = json.loads(run(tmp_path, AGENT, model_server, "--json"))
    assert (report["answer"], report["model"]) == ("It is 8,611 m high.", "openai:test-model")
    assert report["timings"]["total"] > 0


@pytest.mark.parametrize(
    ("context", "said"),
    [
        ("class Mine(Context):\n    customer: str = 'Ann'", "Ann has 7 orders."),
        ("@dataclass\nclass Mine:\n    customer: str = 'Ann'", "Ann has no orders."),
    ],
)
def test_a_graph_around_the_agent_has_its_own_context(
    tmp_path: Path, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch, context: str, said: str
) -> None:
    monkeypatch.setenv("LLM_COMPILER_MAX_TASKS", "7")
    model_server.script(planner=['1. orders()\n2. join("$1.")'])
    assert run(tmp_path, DESK.format(context=context), model_server, "--quiet") == f"{said}\n"


async def test_the_server_answers_with_it_and_keeps_its_threads() -> None:
    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(f"That was message {len(state['messages'])}.")]}

    graph = StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer").compile()
    async with serving(create_app(graph)) as url:
        first = await ask(url, {"question": "Hello?", "thread_id": "t"})
        async with streaming(url, {"question": "And now?", "thread_id": "t"}) as events:
            said = [data["text"] async for _, data in events if data and data.get("type") == "answer_text"]
    assert (first["answer"], "".join(said)) == ("That was message 1.", "That was message 3.")
