"""Conversations that the command line keeps: they go on in another process, after a crash, and after a pause."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from openai import BadRequestError

from agent import create_llm_compiler
from apps.cli.approvals import answer_to
from apps.cli.threads import delete_thread
from apps.runs import graphs
from apps.runs.checkpoints import CheckpointError, open_checkpointer
from apps.runs.threads import UNANSWERED, Session, graph_by_name, list_threads
from tests.support.model_server import HttpError, ModelServer
from tests.support.prepared_python import prepared
from tests.support.terminal import COMMAND, Terminal, mountains
from tests.support.waiting import until, until_said

K2 = ('1. height("K2")\n2. join()', "K2 is 8,611 m high.")
TOOLS = """
import asyncio, os, sys, types
from pathlib import Path
from langchain_core.tools import StructuredTool
from langgraph.types import interrupt
from agent import create_llm_compiler

def work(name: str) -> str:
    "Works."
    with open("ran", "a") as log:
        log.write(name + "\\n")
    return name.upper()

async def hold(name: str) -> str:
    "Hangs, if there is no file of that name."
    print("holding", flush=True)
    if not Path(name).exists():
        await asyncio.Event().wait()
    return work(name)

def approve(name: str) -> str:
    "Does it when allowed."
    request = {"action_requests": [{"name": "approve", "args": {"name": name}, "description": "Does it."}],
               "review_configs": [{"action_name": "approve", "allowed_decisions": ["approve", "reject"]}]}
    return str(interrupt(request)["decisions"][0])

def send(to: str, text: str) -> str:
    "Sends a mail."
    return work(f"{text} to {to}")

send = StructuredTool.from_function(send, metadata={"requires_approval": True})

graphs = types.ModuleType("tests.support.mountains")
graphs.graph = create_llm_compiler([work, hold, approve, send])
sys.modules["tests.support.mountains"] = graphs

from apps.cli.main import main
main()
"""
"""The command line over tools that log what they do, wait, and ask."""

WITH_TOOLS = prepared("-c", TOOLS)
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_COMPILER_GRAPH", "tests.support.mountains")


@pytest.fixture
def settings(model_server: ModelServer, state_folder: Any) -> dict[str, str]:
    return mountains(model_server)


@pytest.fixture
def run(tmp_path: Path, settings: dict[str, str]) -> Run:
    """Runs the command in an empty folder."""

    def run(*arguments: str, command: list[str] = COMMAND, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments],
            check=False,
            cwd=tmp_path,
            env={**settings, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture
def terminal(tmp_path: Path, settings: dict[str, str]) -> Iterator[Callable[..., Terminal]]:
    terminals: list[Terminal] = []

    def start(*arguments: str, command: list[str] = COMMAND) -> Terminal:
        terminals.append(Terminal([*command, *arguments], columns=100, folder=tmp_path, env=settings))
        return terminals[-1]

    yield start
    for started in terminals:
        started.close()


async def listed() -> dict[str, str]:
    """The threads with their states."""
    async with open_checkpointer() as saver:
        return {thread.name: thread.state for thread in await list_threads(saver)}


# A conversation


def test_a_conversation_goes_on_in_another_process(run: Run, model_server: ModelServer, postgres_url: str) -> None:
    model_server.script(planner=[K2[0], "3. join()"], joiner=[K2[1], "In Pakistan and China."])
    assert run("-q", "--thread", "trip", "How high is K2?", CHECKPOINT_DB=postgres_url).stdout == f"{K2[1]}\n"
    again = run("-q", "--thread", "trip", "Where is it?", CHECKPOINT_DB=postgres_url)
    assert (again.returncode, again.stdout, again.stderr) == (0, "In Pakistan and China.\n", "")
    said = [str(message["content"]).split("\n")[0] for message in model_server.requests[-1].messages[1:]]
    assert said == ["How high is K2?", K2[1], "Where is it?"]

    [thread] = json.loads(run("threads", "--json", CHECKPOINT_DB=postgres_url).stdout)
    assert thread.pop("used") > "2026"
    assert thread == {"name": "trip", "state": "finished", "turns": 2, "first_question": "How high is K2?"}


async def test_threads_are_listed_and_deleted(run: Run, model_server: ModelServer, state_folder: Any) -> None:
    assert run("threads").stdout == 'There are no threads yet. llm-compiler --thread NAME "…" begins one.\n'
    model_server.script(planner=["1. join()", "1. join()"], joiner=["A.", HttpError(401)])
    run("--thread", "first", "A question?")
    assert "llm-compiler/threads.db" in state_folder()
    assert run("--thread", "second", "Another\nquestion?").returncode == 1
    header, second, first = run("threads").stdout.splitlines()
    assert header.split("  ")[0] == "NAME"
    assert second.split()[:2] == ["second", "broken"]
    assert second.endswith("1      Another question?")
    assert first.split()[:2] == ["first", "finished"]

    assert run("threads", "delete", "first").stdout == "Deleted first.\n"
    assert await listed() == {"second": "broken"}
    gone = run("threads", "delete", "first")
    assert (gone.returncode, gone.stderr) == (
        2,
        "Error: There is no thread 'first'. llm-compiler threads lists them.\n",
    )


def test_a_run_without_a_thread_leaves_nothing(run: Run, model_server: ModelServer, state_folder: Any) -> None:
    model_server.script(planner=["1. join()"], joiner=["Hello."])
    assert run("Hi").returncode == 0
    assert state_folder() == []


def test_a_chat_goes_on_with_a_thread(terminal: Any, run: Run, model_server: ModelServer) -> None:
    model_server.script(planner=[K2[0], "3. join()"], joiner=[K2[1], "In Asia."])
    run("--thread", "trip", "How high is K2?")
    chat = terminal("--thread", "trip")
    chat.read_until("> ")
    chat.type("Where is it?\n")
    chat.read_until("In Asia.")
    chat.read_until("> ")
    chat.type("/quit\n")
    chat.read_all()
    assert str(model_server.requests[-1].messages[1]["content"]).startswith("How high is K2?")


# A crash


async def test_a_killed_run_goes_on(
    run: Run, model_server: ModelServer, tmp_path: Path, settings: dict[str, str]
) -> None:
    model_server.script(planner=['1. work("a")\n2. hold("b")\n3. work("$1 $2")\n4. join()'], joiner=["Done."])
    command = [*WITH_TOOLS, "--thread", "t", "Question?"]
    pipes: Any = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.STDOUT}
    process = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, env=settings, **pipes)
    await until_said(process, "holding\n", "done      1.")
    await saved(results=3)  # the plan at both its ends, and of task 1
    process.send_signal(signal.SIGKILL)
    await process.communicate()

    assert await listed() == {"t": "broken"}
    (tmp_path / "b").touch()
    again = run("--thread", "t", command=WITH_TOOLS)
    assert (again.returncode, again.stderr) == (0, "Goes on with: Question?\nholding\n")
    assert "\n\nDone.\n\n3 tasks" in again.stdout
    assert (tmp_path / "ran").read_text().split("\n") == ["a", "b", "A B", ""]
    assert len([request for request in model_server.requests if request.is_planner]) == 1


async def saved(results: int) -> None:
    """Wait for the results of so many model and tool calls to be in the database, where a kill can't reach them."""
    async with open_checkpointer() as saver:

        async def are_there() -> bool:
            checkpoint = await saver.aget_tuple({"configurable": {"thread_id": "t"}})
            writes = checkpoint.pending_writes or [] if checkpoint else []
            return [channel for _, channel, _ in writes].count("__return__") >= results

        await until(are_there)


async def test_a_thread_that_runs_is_left_alone(
    run: Run, model_server: ModelServer, tmp_path: Path, settings: dict[str, str], state_folder: Any
) -> None:
    model_server.script(planner=['1. hold("b")\n2. join()'])
    command, pipe = [*WITH_TOOLS, "-q", "--thread", "t", "Question?"], asyncio.subprocess.PIPE
    first = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, env=settings, stdout=pipe, stderr=pipe)
    assert first.stderr
    assert await first.stderr.readline() == b"holding\n"
    for arguments in (["--thread", "t", "Another?"], ["--thread", "t"], ["threads", "delete", "t"]):
        refused = await asyncio.to_thread(run, *arguments, command=WITH_TOOLS)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.startswith("Error: The thread 't' is running already, here or in another process.")
    first.kill()
    await first.communicate()
    assert run("threads", "delete", "t").returncode == 0
    assert not [name for name in state_folder() if name.endswith(".lock")]


def test_without_anything_to_resume_it_says_so(run: Run, model_server: ModelServer) -> None:
    model_server.script(planner=["1. join()"], joiner=["Hello."])
    run("--thread", "t", "Hi")
    for name in ("t", "unknown"):
        result = run("--thread", name)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith(f"Error: There is nothing to resume in thread '{name}'. Ask a question in it")


def test_a_question_after_a_broken_one_is_answered_and_the_broken_one_named(
    run: Run, model_server: ModelServer
) -> None:
    model_server.script(planner=["1. join()", "1. join()"], joiner=[HttpError(401), "Second."])
    run("--thread", "t", "First?")
    result = run("--thread", "t", "-q", "Second?")
    assert (result.stdout, result.stderr) == ("Second.\n", "The question before has no answer: First?\n")
    assert [message["content"] for message in model_server.requests[-1].messages[1:]] == [
        "First?",
        UNANSWERED,
        "Second?",
    ]


async def test_a_thread_that_was_begun_with_a_graph_by_name_goes_on_with_it(
    model_server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    monkeypatch.setenv("OPENAI_BASE_URL", model_server.base_url)
    model_server.script("Hello.")
    url = f"sqlite:///{tmp_path}/threads.db"
    async with open_checkpointer(url) as saver:
        graph = await graph_by_name("react", saver)
        await graph.ainvoke({"messages": "Hi"}, {"configurable": {"thread_id": "t"}})
    async with Session.open("t", url) as session:
        assert session.graph.get_name() == "react"
    async with Session.open("another", url) as session:
        assert session.graph.get_name() == "mountains"


async def test_a_thread_stands_as_its_own_graph_says(
    model_server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    monkeypatch.setenv("OPENAI_BASE_URL", model_server.base_url)
    model_server.script(HttpError(400))
    async with open_checkpointer(f"sqlite:///{tmp_path}/threads.db") as saver:
        graph = await graph_by_name("react", saver)
        with pytest.raises(BadRequestError):
            await graph.ainvoke({"messages": "Hi"}, {"configurable": {"thread_id": "t"}})
        assert [thread.state for thread in await list_threads(saver)] == ["broken"]


async def test_its_graph_and_how_it_stands_are_read_at_once() -> None:
    class Counting(InMemorySaver):
        read = 0

        async def aget_tuple(self, config: Any) -> Any:
            self.read += 1
            return await super().aget_tuple(config)

    saver = Counting()
    session, thread = await Session(create_llm_compiler([], checkpointer=saver), "t").with_its_graph()
    assert (session.name, thread.state, saver.read) == ("t", "empty", 1)


async def test_a_thread_whose_graph_is_gone_is_listed_and_can_be_deleted(
    model_server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    monkeypatch.setenv("OPENAI_BASE_URL", model_server.base_url)
    monkeypatch.setenv("CHECKPOINT_DB", f"sqlite:///{tmp_path}/threads.db")
    model_server.script("Hello.")
    async with open_checkpointer() as saver:
        graph = await graph_by_name("react", saver)
        await graph.ainvoke({"messages": "Hi"}, {"configurable": {"thread_id": "t"}})
        monkeypatch.setattr(graphs, "FILE", tmp_path / "langgraph.json")
        graphs.FILE.write_text('{"graphs": {"llm_compiler": "./graphs/llm_compiler.py:graph"}}')
        assert [thread.name for thread in await list_threads(saver)] == ["t"]
    await delete_thread("t")
    async with open_checkpointer() as saver:
        assert await list_threads(saver) == []


# A pause

ASKS = '1. work("a")\n2. approve("$1")\n3. join()'


async def test_a_run_that_waits_ends_with_code_3_and_goes_on_at_a_terminal(
    run: Run, terminal: Any, model_server: ModelServer, tmp_path: Path
) -> None:
    model_server.script(planner=[ASKS], joiner=["Done."])
    waits = run("--json", "--thread", "t", "Question?", command=WITH_TOOLS)
    assert (waits.returncode, waits.stderr) == (3, "")
    pending = json.loads(waits.stdout)
    assert (pending["answer"], pending["approval"]["thread_id"]) == (None, "t")
    assert pending["approval"]["request"]["action_requests"][0]["args"] == {"name": "A"}
    assert await listed() == {"t": "waiting"}

    refused = run("--thread", "t", "Another?", command=WITH_TOOLS)
    assert refused.returncode == 2
    assert "Thread 't' waits for your answer. Give it first: llm-compiler --thread t" in refused.stderr
    still = run("--thread", "t", command=WITH_TOOLS)
    assert still.returncode == 3
    assert '"action_requests"' in still.stdout

    command = terminal("--thread", "t", command=WITH_TOOLS)
    command.read_until('1. approve("A")')
    command.read_until("[a]pprove, [r]eject? ")
    command.type("nonsense\n")
    command.read_until("'nonsense' is none of these. Type [a]pprove, [r]eject; y approves, and n rejects.")
    command.read_until("[a]pprove, [r]eject? ")
    command.type("y\n")
    command.read_until("Done.")
    command.read_until("> ")
    command.type("/quit\n")
    command.read_all()
    assert (tmp_path / "ran").read_text() == "a\n"
    assert await listed() == {"t": "finished"}


def test_a_run_without_a_thread_asks_at_the_terminal_at_once(
    terminal: Any, model_server: ModelServer, state_folder: Any
) -> None:
    model_server.script(planner=[ASKS], joiner=["It was rejected."])
    command = terminal("Question?", command=WITH_TOOLS)
    command.read_until("1 call waits for your approval:")
    command.read_until("[a]pprove, [r]eject? ")
    command.type("reject\n")
    command.read_until("Why (the agent is told)> ")
    command.type("Too dear.\n")
    command.read_until("It was rejected.")
    command.read_all()
    assert command.process.wait() == 0
    assert "Too dear." in str(model_server.requests[-1].user)
    assert state_folder() == []


@pytest.mark.parametrize("at_terminal", [True, False])
async def test_a_run_without_a_thread_that_is_left_waiting_is_kept(
    run: Run, terminal: Any, model_server: ModelServer, at_terminal: bool
) -> None:
    model_server.script(planner=[ASKS])
    if at_terminal:
        command = terminal("Question?", command=WITH_TOOLS)
        command.read_until("[a]pprove, [r]eject? ")
        command.type("\x04")
        command.read_all()
        assert command.process.wait() == 3
    else:
        assert run("Question?", command=WITH_TOOLS).returncode == 3
    [(name, state)] = (await listed()).items()
    assert (name.startswith("paused-"), state) == (True, "waiting")
    assert '"action_requests"' in run("--thread", name, command=WITH_TOOLS).stdout


def test_tools_that_require_approval_are_decided_on_one_by_one(
    terminal: Any, model_server: ModelServer, tmp_path: Path
) -> None:
    plan = '1. work("a")\n2. send("Ann", "$1")\n3. send("Bob", "b")\n4. send("Cy", "c")\n5. work("$2")\n6. join()'
    model_server.script(planner=[plan], joiner=["Sent."])
    command = terminal("Question?", command=WITH_TOOLS)
    command.read_until("3 calls wait for your approval:")
    for call, prompt, typed in [
        ('1. send("Ann", "A")', "[res]pond? ", "edit"),
        ("", "JSON> ", '{"text": "AAA"}'),
        ('2. send("Bob", "b")', "[res]pond? ", "approve"),
        ('3. send("Cy", "c")', "[res]pond? ", "reject"),
        ("", "told)> ", "Not Cy."),
    ]:
        command.read_until(call)
        command.read_until(prompt)
        command.type(f"{typed}\n")
    command.read_until("Sent.")
    command.read_all()
    assert sorted((tmp_path / "ran").read_text().split("\n")) == ["", "AAA TO ANN", "AAA to Ann", "a", "b to Bob"]
    assert "Not Cy." in str(model_server.requests[-1].user)


def decisions(request: Any, *typed: str) -> tuple[Any, str]:
    """What is answered by typing so, and what was shown."""
    lines, shown = iter(typed), list[str]()

    def ask(prompt: str) -> str:
        shown.append(prompt)
        return next(lines)

    return answer_to(request, ask, shown.append), "\n".join(shown)


def request_for(*names: str, **more: Any) -> dict[str, Any]:
    allowed = ["approve", "edit", "reject", "respond"]
    return {
        "action_requests": [{"name": n, "args": {"to": "x", "n": 1}, "description": f"Does {n}."} for n in names],
        "review_configs": [{"action_name": name, "allowed_decisions": allowed} for name in names],
        **more,
    }


def test_each_call_is_decided_on_by_itself() -> None:
    answer, shown = decisions(
        request_for("a", "b", "c", "d"), "Y", "?", "", "REJECT", "no", "e", '{"n": 2}', "res", "7"
    )
    assert answer["decisions"] == [
        {"type": "approve"},
        {"type": "reject", "message": "no"},
        {"type": "edit", "edited_action": {"name": "c", "args": {"to": "x", "n": 2}}},
        {"type": "respond", "message": "7"},
    ]
    assert shown.count("[a]pprove, [e]dit, [r]eject, [res]pond? ") == 6
    assert shown.count("is none of these") == 1
    assert '1. a("x", n=1)\n   Does a.' in shown
    assert shown.startswith("\n4 calls wait for your approval:")


def test_what_is_not_offered_cannot_be_decided() -> None:
    request = request_for("a")
    request["review_configs"][0]["allowed_decisions"] = ["reject"]
    answer, shown = decisions(request, "y", "approve", "n", "")
    assert answer["decisions"] == [{"type": "reject", "message": ""}]
    assert shown.count("is none of these. Type [r]eject") == 2


def test_what_is_no_json_object_is_asked_for_again() -> None:
    answer, shown = decisions(request_for("a"), "edit", "[1]", "{", "")
    assert answer["decisions"][0]["edited_action"]["args"] == {"to": "x", "n": 1}
    assert shown.count('The arguments must be a JSON object, like {"to": "…"}.') == 2


def test_why_an_answer_was_refused_is_shown() -> None:
    _, shown = decisions(request_for("a", error="There is one call."), "a")
    assert "There is one call." in shown


def test_a_tool_may_ask_anything() -> None:
    assert decisions({"question": "Which?"}, "This.") == (
        "This.",
        '\nA tool asks: {"question": "Which?"}\nYour answer> ',
    )


# Databases that can't be had


@pytest.mark.parametrize("url", ["mysql://user:secret@host/name", "threads.db", "sqlite://", "postgresql:name"])
async def test_a_wrong_url_is_explained(url: str) -> None:
    with pytest.raises(CheckpointError, match="names no database for threads") as raised:
        open_checkpointer(url)
    assert "secret" not in str(raised.value)


async def test_a_database_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no database " * 100)
    for path, why in [("file", "not a database"), ("file/x.db", "File exists"), (".", "unable to open")]:
        with pytest.raises(CheckpointError, match=f"{path} can't be opened: .*{why}"):
            async with open_checkpointer(f"sqlite:///{tmp_path}/{path}"):
                pass
    with pytest.raises(CheckpointError, match="The threads in postgresql://me@localhost:9/x can't be opened") as raised:
        async with open_checkpointer("postgresql://me:secret@localhost:9/x?connect_timeout=2"):
            pass
    assert "secret" not in str(raised.value)


async def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg_pool", None)
    with pytest.raises(CheckpointError, match=r"pip install -e '.\[postgres\]'"):
        async with open_checkpointer("postgresql://localhost/x"):
            pass


def test_a_wrong_url_is_told_in_a_line(run: Run) -> None:
    result = run("--thread", "t", "Hi", CHECKPOINT_DB="mysql://host/x")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: 'mysql://host/x' names no database for threads.")
    assert os.environ.get("CHECKPOINT_DB") is None


async def test_a_run_that_died_when_only_its_question_was_saved_goes_on(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    model_server.script(planner=["1. join()"] * 2, joiner=["Yes."] * 2)
    graph = create_llm_compiler([], model=chat_model)
    whole, died = (Session(graph.copy(update={"checkpointer": InMemorySaver()}), "t") for _ in range(2))
    await whole.graph.ainvoke({"messages": [("user", "Is it?")]}, whole.config)
    *_, first = [saved async for saved in whole.saver.alist(whole.config)]
    place: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    place = await died.saver.aput(place, first.checkpoint, first.metadata, first.checkpoint["channel_versions"])
    ((task, *_), *_) = first.pending_writes or []
    await died.saver.aput_writes(place, [(channel, value) for _, channel, value in first.pending_writes or []], task)
    thread = await died.thread()
    assert (thread.state, thread.questions) == ("broken", ["Is it?"])
    await died.graph.ainvoke(None, died.config)
    assert (await died.thread()).state == "finished"
