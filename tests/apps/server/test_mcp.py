"""The agent as a tool, as the client of the Model Context Protocol's own package sees it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from mcp import ClientSession, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult

from tests.support import PATIENCE
from tests.support.model_server import Gate, HttpError, ModelServer, Reply
from tests.support.serving import Serve, Tools, ask
from tests.support.terminal import COMMAND, scripted

PLAN = '1. search("K2")\n2. search("Is that more than what they say of it, $1, and if not why?")\n3. join()'
QUESTION = {"question": "How tall is K2?"}
KEY = "correct horse"
GRAPH = """
import os, subprocess, sys
from langchain_core.tools import tool
from agent import create_llm_compiler

print("noise of an import")

@tool
def shout(text: str) -> str:
    "shouts"
    print("noise of a tool")
    os.write(1, b"noise of a library\\n")
    subprocess.run(["echo", "noise of a process"], check=True)
    return f"{text}! and read {sys.stdin.read()!r}"

@tool
def book(flight: str) -> str:
    "books a flight"
    return f"booked {flight}"

book.metadata = {"requires_approval": True}
graph = create_llm_compiler([shout, book])
"""
"""Tools that write to standard output in every way, and read standard input."""


@asynccontextmanager
async def over_http(url: str, key: str = "unused") -> AsyncIterator[ClientSession]:
    """A session with the server."""
    async with (
        httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE) as client,
        streamable_http_client(f"{url}mcp", http_client=client) as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        yield session


@asynccontextmanager
async def over_stdio(folder: Path, env: dict[str, str]) -> AsyncIterator[ClientSession]:
    """A session with `llm-compiler mcp`, which serves the graph above; `log` has what it writes to standard error."""
    (folder / "loud.py").write_text(GRAPH)
    command, *arguments = [*COMMAND, "mcp"]
    server = StdioServerParameters(
        command=command, args=arguments, cwd=folder, env={**env, "LLM_COMPILER_GRAPH": "loud"}
    )
    with (folder / "log").open("w") as log:
        async with stdio_client(server, log) as streams, ClientSession(*streams) as session:
            await session.initialize()
            yield session


def text(result: CallToolResult) -> str:
    (block,) = result.content
    assert block.type == "text"
    return block.text


async def test_a_question_is_answered_over_http_and_its_tasks_are_told(model_server: ModelServer, serve: Serve) -> None:
    model_server.script(planner=[PLAN], joiner=["8611 m"])
    told: list[tuple[float, str | None]] = []

    async def note(progress: float, _: float | None, message: str | None) -> None:
        told.append((progress, message))

    async with serve() as url, over_http(url) as session:
        (tool,) = (await session.list_tools()).tools
        result = await session.call_tool(tool.name, QUESTION, progress_callback=note)
    assert (tool.name, text(result), result.isError) == ("ask", "8611 m", False)
    assert tool.description
    assert "plans tool calls as a DAG" in tool.description
    assert [number for number, _ in told] == [1, 2, 3, 4]
    first, second = 'search("K2")', 'search("Is that more than what they say of it, K2 is 8611 m…'
    assert [message for _, message in told] == [first, f"{first}: done", second, f"{second}: done"]


async def test_what_waits_for_a_person_says_where_they_answer(
    model_server: ModelServer, serve: Serve, tools: Tools
) -> None:
    model_server.script(planner=['1. book("A")\n2. join()'], joiner=["Booked."])
    async with serve() as url, over_http(url) as session:
        result = await session.call_tool("ask", QUESTION)
        said, _, rest = text(result).partition(f"{url}#")
        assert (said, result.isError) == (
            "There is no answer yet: the run waits for a person. They answer on the page ",
            True,
        )
        assert '"book"' in rest
        assert tools.called == []
        done = await ask(url, {"decisions": [{"type": "approve"}], "thread_id": rest.partition(".")[0]})
    assert (done["answer"], tools.called) == ("Booked.", ["A"])


async def test_no_thread_is_kept_of_what_is_answered(model_server: ModelServer, serve: Serve) -> None:
    model_server.script(planner=['1. search("K2")\n2. join()'] * 3 + ["2. join()"], joiner=["8611 m"] * 3 + ["Sure."])
    async with serve(max_threads=2, max_runs=2) as url, over_http(url) as session:
        await ask(url, {"question": "How tall is K2?", "thread_id": "t"})
        for _ in range(2):
            await session.call_tool("ask", QUESTION)
        await ask(url, {"question": "Sure?", "thread_id": "t"})
    last = [request for request in model_server.requests if request.is_planner][-1]
    assert "8611 m" in str(last.messages), "no thread has taken the place of this one"


async def test_what_is_refused_and_what_fails_is_an_error_of_the_call(model_server: ModelServer, serve: Serve) -> None:
    model_server.script(planner=[HttpError(401, "no")])
    async with serve(api_key=KEY, max_question_chars=100) as url:
        async with httpx.AsyncClient() as stranger:
            request = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
            assert (await stranger.post(f"{url}mcp", json=request)).status_code == 401
            assert (await stranger.get(f"{url}mcp", headers={"X-API-Key": KEY})).status_code == 405
            headers = {"X-API-Key": KEY, "Accept": "application/json, text/event-stream"}
            headers["Content-Type"] = "application/json"
            half = json.dumps({**request, "id": "half a \ud83d"})
            assert '"id":"half a ' in (await stranger.post(f"{url}mcp", content=half, headers=headers)).text
        async with over_http(url, KEY) as session:
            for arguments, why in [
                ({"question": "x" * 101}, "LLM_COMPILER_MAX_QUESTION_CHARS"),
                ({"question": " "}, "question is empty"),
                ({}, "'question' is a required property"),
                (QUESTION, "refused the key"),
            ]:
                result = await session.call_tool("ask", arguments)
                assert result.isError
                assert why in text(result)


async def test_a_client_who_goes_takes_the_run_along(model_server: ModelServer, serve: Serve, tools: Tools) -> None:
    model_server.script(planner=[PLAN])
    tools.close("K2")
    async with serve() as url:
        async with over_http(url) as session:
            call = asyncio.create_task(session.call_tool("ask", QUESTION))
            await tools.until(lambda: tools.called == ["K2"])
            call.cancel()
        await tools.until(lambda: tools.cancelled == ["K2"])


async def test_nothing_but_the_protocol_comes_over_standard_output(tmp_path: Path, model_server: ModelServer) -> None:
    model_server.script(planner=['1. shout("Hey")\n2. join("$1")'])
    async with over_stdio(tmp_path, scripted(model_server)) as session:
        result = await session.call_tool("ask", QUESTION)
    assert text(result) == "Hey! and read ''"
    noise = (tmp_path / "log").read_text()
    written = {line for line in noise.splitlines() if line.startswith("noise")}
    assert written == {f"noise of {what}" for what in ("an import", "a tool", "a library", "a process")}


async def test_what_waits_over_stdio_goes_on_at_a_terminal(tmp_path: Path, model_server: ModelServer) -> None:
    model_server.script(planner=['1. book("A")\n2. join()'])
    env = scripted(model_server, LLM_COMPILER_GRAPH="loud", CHECKPOINT_DB=f"sqlite:///{tmp_path}/threads.db")
    async with over_stdio(tmp_path, env) as session:
        result = await session.call_tool("ask", QUESTION)
    assert result.isError
    (thread,) = [word.strip(".") for word in text(result).split() if len(word.strip(".")) == 32]
    assert f"llm-compiler --thread {thread}" in text(result)
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "threads", "--json", cwd=tmp_path, env=env, stdout=asyncio.subprocess.PIPE
    )
    listed, _ = await process.communicate()
    assert thread in listed.decode()
    assert "waiting" in listed.decode()


async def test_a_host_that_cancels_its_call_or_goes_takes_the_run_along(
    tmp_path: Path, model_server: ModelServer
) -> None:
    gate = Gate()
    model_server.script(planner=[Reply(["1. ", gate])])
    async with over_stdio(tmp_path, scripted(model_server)) as session:
        call = asyncio.create_task(session.call_tool("ask", QUESTION))
        await gate.reached()
        call.cancel()
    asked = await model_server.exchange(0, "planner")
    await asked.until(lambda: asked.state == "disconnected")
