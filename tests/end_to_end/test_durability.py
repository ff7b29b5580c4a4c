"""What is saved: it survives kills, it is not revived into anything else, and it isn't much larger than it was."""

import asyncio
import json
import logging
import random
import sqlite3
import subprocess
from contextlib import closing
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import ormsgpack
import pytest
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Command, interrupt

from agent import create_llm_compiler
from apps.runs.checkpoints import open_checkpointer
from tests.support import ROOT
from tests.support.model_server import Gate, ModelServer, Reply
from tests.support.prepared_python import prepared
from tests.support.waiting import until

THREAD: Any = {"configurable": {"thread_id": "t"}}


def test_runs_that_are_killed_end_as_if_nothing_had_happened() -> None:
    """Some of them are resumed with another plan. `make torture N=1000` does more of it."""
    command = prepared("-m", "tests.torture", "--kills", "2", "--changed", "1", "--jobs", "2")
    result = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert ", 0 gone wrong, " in result.stdout


@pytest.mark.parametrize(
    ("first", "later", "results"),
    [
        ('1. work("a")\n2. work("$1!")\n', '1. work("b")\n2. work("$1!")\n', {"task_1": "B", "task_2": "B!"}),
        ('1. work("a")\n2. work("b")\n', '2. work("a")\n3. work("b")\n', {"task_2": "A", "task_3": "B"}),
        ('1. work("a")\n2. work("$1")\n', '1. fail("a")\n2. work("$1")\n', {"task_1": None, "task_2": None}),
    ],
    ids=["what it refers to is another result", "the same call has another number", "what it refers to failed"],
)
async def test_a_result_is_not_given_to_the_same_words_in_another_plan(
    model_server: ModelServer, chat_model: ChatOpenAI, first: str, later: str, results: dict[str, str | None]
) -> None:
    worked = asyncio.Semaphore(0)

    async def work(name: str) -> str:
        """Works."""
        worked.release()
        return name.upper()

    async def fail(name: str) -> str:
        """Fails."""
        raise RuntimeError(name)

    gate = Gate()
    in_one_piece = Reply(f"{later}9. join()", split=False)  # all calls are made before a saved result comes
    model_server.script(planner=[Reply([first, gate, "9. join()"]), in_one_piece], joiner=["Done."])
    saver = InMemorySaver()
    graph = create_llm_compiler([work, fail], model=chat_model, checkpointer=saver)
    running = asyncio.ensure_future(graph.ainvoke({"messages": "Question?"}, THREAD))
    for _ in range(2):
        await worked.acquire()
    await until(lambda: str(saver.get_tuple(THREAD)).count("'__return__'") >= 2)
    running.cancel()
    await asyncio.wait([running])

    output = await graph.ainvoke(None, THREAD)
    found = {m.tool_call_id: m.artifact for m in output["messages"] if isinstance(m, ToolMessage)}
    assert found == results


class RecordingSaver(InMemorySaver):
    """Takes its time to save the checkpoint that plan and results belong to, and notes what was saved when."""

    def __init__(self) -> None:
        super().__init__()
        self.saved: list[Any] = []

    async def aput(self, config: Any, checkpoint: Any, metadata: Any, versions: Any) -> Any:
        if metadata["step"] == 0:
            await asyncio.sleep(0.5)  # in which calls that do not wait would be made and saved; those that do cannot
        self.saved.append(checkpoint["id"])
        return await super().aput(config, checkpoint, metadata, versions)

    async def aput_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        checkpoint = config["configurable"]["checkpoint_id"]
        self.saved += [(checkpoint, channel, value, task_path) for channel, value in writes]
        await super().aput_writes(config, writes, task_id, task_path)


async def test_nothing_is_saved_before_what_it_is_found_by_after_a_crash(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    async def work(name: str) -> str:
        """Works."""
        return name.upper()

    model_server.script(planner=['1. work("a")\n2. work("$1")\n3. join()'], joiner=["Done."])
    saver = RecordingSaver()
    graph = create_llm_compiler([work], model=chat_model, checkpointer=saver)
    await graph.ainvoke({"messages": "Question?"}, THREAD)

    checkpoints = set[str]()
    for saved in saver.saved:
        if isinstance(saved, str):
            checkpoints.add(saved)
        elif "__start__" not in saved[3]:  # the question; nothing has been done for it yet
            assert saved[0] in checkpoints, f"{saved[1]} is lost in a crash now: its checkpoint isn't there"
    # The executor has the plan before the planner is done for good, and won't bring it again.
    plans = [(channel, path) for _, channel, value, path in filter(_is_write, saver.saved) if _is_plan(value)]
    received = next(place for place, (_, path) in enumerate(plans) if "executor" in path)
    assert received < [channel for channel, _ in plans].index("plan")


def _is_write(saved: Any) -> bool:
    return isinstance(saved, tuple)


def _is_plan(value: Any) -> bool:
    return isinstance(value, AIMessage) and bool(value.tool_calls)


# Large results


async def test_a_large_result_fills_neither_the_database_nor_a_prompt(
    model_server: ModelServer, chat_model: ChatOpenAI, tmp_path: Path
) -> None:
    chance = random.Random(1)
    cities = [{"id": n, "name": f"City {chance.random()}", "people": chance.randint(0, 10**7)} for n in range(16_000)]
    large = json.dumps(cities)
    assert len(large) > 1_000_000

    async def fetch() -> str:
        """Gives much."""
        return large

    async def size(text: str) -> int:
        """Its length."""
        return len(text)

    model_server.script(planner=["1. fetch()\n2. size($1)\n3. join()"], joiner=["Much."])
    database = tmp_path / "threads.db"
    async with open_checkpointer(f"sqlite:///{database}") as saver:
        graph = create_llm_compiler([fetch, size], model=chat_model, checkpointer=saver)
        await graph.ainvoke({"messages": "How much?"}, THREAD)
        state = await graph.aget_state(THREAD)
    assert [message.artifact for message in state.values["messages"][2:4]] == [large, len(large)]
    assert database.stat().st_size < 2 * len(large)
    assert max(len(json.dumps(request.body)) for request in model_server.requests) < 50_000


# What comes out of a database


def forged(command: str) -> bytes:
    """A saved value that has a command run when LangGraph's own settings read it."""
    return ormsgpack.packb(ormsgpack.Ext(0, ormsgpack.packb(("os", "system", command))))


async def test_a_forged_value_runs_no_code(model_server: ModelServer, chat_model: ChatOpenAI, tmp_path: Path) -> None:
    async def ask(question: str) -> str:
        """Asks."""
        return str(interrupt(question))

    model_server.script(planner=['1. ask("a?")\n2. join()'])
    database, proof = tmp_path / "threads.db", tmp_path / "proof"
    async with open_checkpointer(f"sqlite:///{database}") as saver:
        graph = create_llm_compiler([ask], model=chat_model, checkpointer=saver)
        await graph.ainvoke({"messages": "Question?"}, THREAD)
    value = forged(f"touch {proof}")
    with closing(sqlite3.connect(database)) as connection:
        changed = connection.execute(
            "UPDATE writes SET type = 'msgpack', value = ? WHERE channel = '__interrupt__'", (value,)
        )
        assert changed.rowcount >= 1
        connection.commit()

    async with open_checkpointer(f"sqlite:///{database}") as saver:
        saved = await saver.aget_tuple(THREAD)
    assert saved
    assert f"touch {proof}" in str(saved.pending_writes)
    assert not proof.exists()
    JsonPlusSerializer(allowed_msgpack_modules=True).loads_typed(("msgpack", value))
    assert proof.exists(), "the forgery would do no harm anywhere"


@pytest.mark.parametrize("kind", ["pickle", "json"])
async def test_other_forms_of_saved_values_run_no_code(tmp_path: Path, kind: str) -> None:
    proof = tmp_path / "proof"
    touch = f"touch {proof}"
    attack: dict[str, bytes] = {
        "pickle": f"cos\nsystem\n(S'{touch}'\ntR.".encode(),
        "json": json.dumps(
            {"lc": 2, "type": "constructor", "id": ["os", "system"], "args": [f"touch {proof}"]}
        ).encode(),
    }
    async with open_checkpointer(f"sqlite:///{tmp_path / 'threads.db'}") as saver:
        try:
            value = saver.serde.loads_typed((kind, attack[kind]))
        except NotImplementedError:
            value = None
    assert value is None or isinstance(value, dict)
    assert not proof.exists()


def conversation_of(message: BaseMessage) -> dict[str, Any]:
    calls = [{**call, "type": "tool_call"} for call in getattr(message, "tool_calls", [])]
    return {**message.model_dump(), "tool_calls": calls}


async def test_a_conversation_comes_back_as_it_was(
    model_server: ModelServer, chat_model: ChatOpenAI, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    result = {
        "day": date(2026, 1, 2),
        "span": timedelta(hours=1),
        "price": Decimal("1.10"),
        "id": UUID(int=7),
        "text": "a" * 100_000,
        "bytes": b"\x00\xff",
        "nothing": None,
    }

    async def give() -> dict[str, Any]:
        """Gives."""
        return result

    async def ask(question: str) -> str:
        """Asks."""
        return str(interrupt({"question": question}))

    model_server.script(
        planner=['1. give()\n2. nonsense(\n3. ask("Which?")\n4. join()', "5. join()"], joiner=["Done.", "Bye."]
    )
    with caplog.at_level(logging.WARNING):
        async with open_checkpointer(database_url) as saver:
            graph = create_llm_compiler([give, ask], model=chat_model, checkpointer=saver)
            paused = await graph.ainvoke({"messages": "Question?"}, THREAD)
            assert paused["__interrupt__"][0].value == {"question": "Which?"}
        async with open_checkpointer(database_url) as saver:
            graph = create_llm_compiler([give, ask], model=chat_model, checkpointer=saver)
            output = await graph.ainvoke(Command(resume="This."), THREAD)
        async with open_checkpointer(database_url) as saver:
            graph = create_llm_compiler([give, ask], model=chat_model, checkpointer=saver)
            kept = (await graph.aget_state(THREAD)).values["messages"]
            assert [conversation_of(message) for message in kept] == [conversation_of(m) for m in output["messages"]]
            await graph.ainvoke({"messages": "Thanks."}, THREAD)
            history = [snapshot async for snapshot in graph.aget_state_history(THREAD)]
    assert output["messages"][2].artifact == result
    assert output["messages"][-1].text == "Done."
    assert history[0].next == ()
    assert caplog.records == []


async def test_words_of_a_model_that_no_database_takes_are_saved_without_them(
    model_server: ModelServer, chat_model: ChatOpenAI, database_url: str
) -> None:
    async def echo(text: str) -> str:
        """Echoes."""
        return text

    replan = Reply(tool_calls=[("replan", {"feedback": "more\0 of \ud800 it"})])
    model_server.script(planner=['1. echo("a")\n2. join()', '3. echo("b")\n4. join("It\0 is $3.")'], joiner=[replan])
    async with open_checkpointer(database_url) as saver:
        graph = create_llm_compiler([echo], model=chat_model, checkpointer=saver)
        output = await graph.ainvoke({"messages": "Question?"}, THREAD)
    assert output["messages"][-1].text == "It is b."


# Databases


async def test_sqlite_gets_its_folder_and_a_log_that_readers_do_not_wait_for(tmp_path: Path) -> None:
    database = tmp_path / "not" / "yet" / "there.db"
    async with open_checkpointer(f"sqlite:///{database}"):
        with closing(sqlite3.connect(database)) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database.parent.stat().st_mode & 0o077 == 0, "conversations are private"


async def test_a_path_may_be_relative_or_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for url in ("sqlite:///relative.db", "sqlite:///~/own.db"):
        async with open_checkpointer(url):
            pass
    assert (tmp_path / "relative.db").exists()
    assert (tmp_path / "home" / "own.db").exists()


@pytest.mark.parametrize("processes", [6])
async def test_a_new_database_may_be_opened_by_many_at_once(database_url: str, processes: int) -> None:
    async def use(name: str) -> None:
        async with open_checkpointer(database_url) as saver:
            assert await saver.aget_tuple({"configurable": {"thread_id": name}}) is None

    await asyncio.gather(*(use(str(number)) for number in range(processes)))
