"""One graph on several event loops, and in a forked process: as scripts, web servers and task queues run it."""

import os
import runpy
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from agent import create_llm_compiler
from tests.support import ROOT
from tests.support.model_server import ChatRequest, ModelServer, Reply
from tests.support.prepared_python import prepared
from tests.support.waiting import PATIENCE

SCRIPT = """\
import asyncio
import multiprocessing
import threading

from langchain_openai import ChatOpenAI

from agent import create_llm_compiler


def look_up(name: str) -> str:
    \"\"\"looks up\"\"\"
    return name


graph = create_llm_compiler([look_up], model=ChatOpenAI(model="any"))
QUESTION = {"messages": "Question?"}


def told(output):
    print(output["messages"][-1].text, flush=True)


async def both():
    for _ in range(2):
        told(await asyncio.to_thread(graph.invoke, QUESTION))
        told(await graph.ainvoke(QUESTION))


def ask():
    told(graph.invoke(QUESTION))
    told(asyncio.run(graph.ainvoke(QUESTION)))


if __name__ == "__main__":
    for _ in range(2):
        told(asyncio.run(graph.ainvoke(QUESTION)))
    asyncio.run(both())
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    child = multiprocessing.get_context("fork").Process(target=ask)
    child.start()
    child.join()
    ask()
"""


def _answer(request: ChatRequest) -> Reply:
    return Reply('1. look_up("K2")\n2. join()' if request.role == "planner" else "It is K2.")


def test_a_graph_runs_on_any_event_loop_one_after_the_other_and_in_a_forked_process() -> None:
    with ModelServer(keep_alive=True, handler=_answer) as server:
        environment = {**os.environ, "OPENAI_API_KEY": "any", "OPENAI_BASE_URL": server.base_url}
        done = subprocess.run(
            prepared("-c", SCRIPT),
            check=False,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=environment,
            timeout=PATIENCE,
        )
    assert done.stdout == "It is K2.\n" * 12, done.stderr


class WithConnections(GenericFakeChatModel):
    """A model whose client keeps connections of event loops that are gone, and drops each when it meets it."""

    left: list[str]
    is_wrapped: bool = False

    def _meet(self) -> None:
        if self.left:
            stray = RuntimeError(self.left.pop())
            if self.is_wrapped:  # as Anthropic's and Groq's clients have it
                raise ConnectionError("Connection error.") from stray
            raise stray

    async def _agenerate(self, *args: Any, **options: Any) -> ChatResult:
        self._meet()
        return await super()._agenerate(*args, **options)

    async def _astream(self, *args: Any, **options: Any) -> AsyncIterator[ChatGenerationChunk]:
        self._meet()
        async for chunk in super()._astream(*args, **options):
            yield chunk


@pytest.mark.parametrize("error", ["Event loop is closed", "<Event [unset]> is bound to a different event loop"])
@pytest.mark.parametrize("is_wrapped", [False, True])
async def test_a_client_that_keeps_connections_of_other_loops_is_asked_again(error: str, is_wrapped: bool) -> None:
    replies = iter([AIMessage('1. look_up("K2")\n2. join()'), AIMessage("Action: Finish(It is K2.)")])
    left = [error] * 5

    async def look_up(name: str) -> str:
        """looks up"""
        left.append(error)
        return name

    model = WithConnections.model_construct(messages=replies, left=left, is_wrapped=is_wrapped)
    graph = create_llm_compiler([look_up], model=model)
    output = await graph.ainvoke({"messages": "Question?"})
    assert (output["messages"][-1].text, left) == ("It is K2.", [])


def test_the_agent_can_be_imported_where_processes_cannot_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows."""
    monkeypatch.delattr(os, "register_at_fork")
    assert runpy.run_path(str(ROOT / "agent" / "compiled.py"))["LLMCompiler"]
