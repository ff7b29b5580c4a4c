"""The demo's simulated latency: how long, for whom, and who says so."""

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.tools import ToolException

from apps.runs.wording import NOTES, SIMULATED
from graphs.offline.model import OfflineChatModel
from tests.support import PATIENCE
from tests.support.demo import AGENT
from tests.support.terminal import COMMAND, environment
from tools.demo_latency import of_search, until_first_token
from tools.search import search

FOR_EVER = str(10 * PATIENCE)


async def find(query: str, model: BaseChatModel | None) -> Any:
    return await search.ainvoke({"query": query}, {"configurable": {"model": model}})


def test_a_search_takes_about_a_second_that_depends_on_the_query_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO_LATENCY", "1")
    seconds = [of_search(query) for query in ("K2", "Nile", "Mont Blanc", "\ud800")]
    assert all(0.6 <= one <= 1.4 for one in seconds)
    assert len(set(seconds)) == 4
    assert of_search("K2") == seconds[0]


@pytest.mark.parametrize(("value", "factor"), [("2", 2), ("0.5", 0.5), ("0", 0), ("", 0), (None, 0)])
def test_the_variable_is_a_factor(monkeypatch: pytest.MonkeyPatch, value: str | None, factor: float) -> None:
    monkeypatch.setenv("DEMO_LATENCY", "1")
    once = until_first_token(), of_search("K2")
    monkeypatch.delenv("DEMO_LATENCY")
    if value is not None:
        monkeypatch.setenv("DEMO_LATENCY", value)
    assert (until_first_token(), of_search("K2")) == tuple(factor * one for one in once)


@pytest.mark.parametrize("value", ["much", "-1", "nan", "inf"])
def test_what_is_no_factor_is_told(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("DEMO_LATENCY", value)
    with pytest.raises(ValueError, match=f"DEMO_LATENCY='{value}' is not a factor: set it to a number"):
        of_search("K2")


@pytest.mark.parametrize("query", ["K2", "nothing of the kind"])
async def test_a_search_for_the_offline_model_can_be_cancelled_while_it_waits(
    monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    looked_up = asyncio.Event()
    loop = asyncio.get_running_loop()
    in_thread = asyncio.to_thread

    async def to_thread(*work: Any) -> Any:
        try:
            return await in_thread(*work)
        finally:
            loop.call_soon(looked_up.set)

    monkeypatch.setattr("asyncio.to_thread", to_thread)
    monkeypatch.setenv("DEMO_LATENCY", FOR_EVER)
    searching = asyncio.create_task(find(query, OfflineChatModel()))
    async with asyncio.timeout(PATIENCE):
        await looked_up.wait()
        await asyncio.sleep(0)
        assert not searching.done()
        searching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await searching


@pytest.mark.parametrize("model", [None, FakeListChatModel(responses=[])])
async def test_other_models_do_not_wait(monkeypatch: pytest.MonkeyPatch, model: BaseChatModel | None) -> None:
    monkeypatch.setenv("DEMO_LATENCY", FOR_EVER)
    async with asyncio.timeout(PATIENCE):
        assert "8,611" in await find("K2", model)


async def test_other_sources_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO_LATENCY", FOR_EVER)
    monkeypatch.setenv("SEARCH", "tavily")
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(ToolException, match="TAVILY_API_KEY"):
            await find("K2", OfflineChatModel())


def told(folder: Path, *arguments: str, **more: str) -> list[str]:
    """The lines that the command prints, in an environment that does not set the variable."""
    env = (
        {name: value for name, value in environment().items() if name != "DEMO_LATENCY"}
        | more
        | {"LLM_COMPILER_GRAPH": AGENT}
    )
    ran = subprocess.run([*COMMAND, *arguments], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.splitlines()


def test_the_command_line_simulates_and_says_so(tmp_path: Path) -> None:
    assert told(tmp_path, "2 + 3?")[:2] == [NOTES["offline"], SIMULATED]


def test_without_latency_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert SIMULATED not in told(tmp_path, "2 + 3?", DEMO_LATENCY="0")
