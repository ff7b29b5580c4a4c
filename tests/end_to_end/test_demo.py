"""The demo as people meet it: without a key, at the command line."""

import asyncio
import json
import re
import subprocess
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from apps.cli.main import EXAMPLES
from apps.runs.graphs import find_graph
from apps.runs.wording import NOTES
from tests.support import ROOT
from tests.support.demo import AGENT
from tests.support.documents import blocks
from tests.support.terminal import COMMAND, Terminal, environment, without_plots

NOTE = NOTES["offline"]
EVEREST = "How much taller is Mount Everest than K2?"
AGENTS = ["llm-compiler", "react", "parallel-react"]


def demo(**more: str) -> dict[str, str]:
    """The environment of the command."""
    return environment(LLM_COMPILER_GRAPH=AGENT, **more)


def run(folder: Path, *arguments: str) -> str:
    """What the command prints; it must not fail."""
    command = [*COMMAND, *arguments]
    ran = subprocess.run(command, cwd=folder, env=demo(), capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def test_without_a_key_the_offline_model_answers_and_says_what_it_is(tmp_path: Path) -> None:
    first, *_, answer, _, last = run(tmp_path, EVEREST).splitlines()
    assert (first, answer) == (NOTE, "Mount Everest is 238 metres taller than K2.")
    assert last.endswith(" · offline")


def test_a_copy_of_env_example_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHON_DOTENV_DISABLED")
    (tmp_path / ".env").write_text((ROOT / ".env.example").read_text("utf-8"))
    assert "7.57" in run(tmp_path, "--quiet", "What's 32/4.23?")


SHOWN = sorted({question for text in [EXAMPLES, *blocks("bash")] for question in re.findall(r'"([^"{}]+\?)"', text)})
"""The questions in the commands of help and documents; those of JSON are another agent's."""


@pytest.mark.parametrize("question", SHOWN)
async def test_the_questions_that_help_and_documents_show_are_answered(question: str) -> None:
    output = await find_graph(AGENT).graph.ainvoke({"messages": question})
    assert re.search(r"\d|Nile", output["messages"][-1].text)


def test_a_terminal_is_told_once(tmp_path: Path) -> None:
    terminal = Terminal(COMMAND, columns=80, folder=tmp_path, env=demo())
    try:
        for question, answer in [("2 + 3?", "= 5"), ("4 + 5?", "= 9")]:
            terminal.read_until("> ")
            terminal.type(f"{question}\n")
            terminal.read_until(answer)
        terminal.read_until("> ")
        terminal.type("/quit\n")
        terminal.read_all()
        assert terminal.process.wait() == 0
    finally:
        terminal.close()
    assert NOTE in terminal.output
    assert NOTE not in terminal.output.rpartition("= 5")[2]


async def test_the_papers_comparison_can_be_made_on_the_scripted_model(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *without_plots("tests.benchmarks.paper_comparison"),
        *("--n", "2", "--first-token", "0", "--rate", "100000", "--search", "0", "--out", str(tmp_path)),
        cwd=ROOT,
        stdout=PIPE,
        stderr=PIPE,
    )
    out, err = (said.decode() for said in await process.communicate())
    assert (process.returncode, err) == (0, "")
    assert "report.html" in out
    agents = json.loads((tmp_path / "summary.json").read_text("utf-8"))["agents"]
    assert [agents[agent]["correct"] for agent in AGENTS] == [2, 2, 2]
    # Two and three things: a search and a calculation for each, and a sum where one is asked for.
    calls = agents["react"]["tool_calls"]
    assert [agents[agent]["tool_calls"] for agent in AGENTS] == [calls] * 3
    assert agents["react"]["model_calls"] == calls + 1
    assert agents["parallel-react"]["model_calls"] < agents["react"]["model_calls"]
