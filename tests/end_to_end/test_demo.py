"""The demo as people meet it: without a key, at the command line."""

import asyncio
import json
import re
import shlex
import subprocess
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest

from apps.cli.main import EXAMPLES
from apps.runs.wording import NOTES
from tests.support import ROOT
from tests.support.demo import AGENT
from tests.support.documents import DOCUMENTS
from tests.support.prepared_python import prepared
from tests.support.terminal import COMMAND, INSTALLED_COMMAND, Terminal, environment

NOTE = NOTES["offline"]
EVEREST = "How much taller is Mount Everest than K2?"
AGENTS = ["llm-compiler", "react", "parallel-react"]


def demo(**more: str) -> dict[str, str]:
    """The environment of the command."""
    return environment(LLM_COMPILER_GRAPH=AGENT, **more)


def run(folder: Path, *arguments: str, command: list[str] = COMMAND, **options: Any) -> str:
    """What the command prints; it must not fail."""
    given = {"env": demo(), "input": "", **options}
    ran = subprocess.run([*command, *arguments], cwd=folder, capture_output=True, text=True, check=False, **given)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def test_without_a_key_the_offline_model_answers_and_says_what_it_is(tmp_path: Path) -> None:
    first, *_, answer, _, last = run(tmp_path, EVEREST, command=INSTALLED_COMMAND).splitlines()
    assert (first, answer) == (NOTE, "Mount Everest is 238 metres taller than K2.")
    assert last.endswith(" · offline")


def test_a_copy_of_env_example_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text((ROOT / ".env.example").read_text("utf-8"))
    assert "7.57" in run(tmp_path, "--quiet", "What's 32/4.23?")


def shown(text: str) -> list[str]:
    """The lines of a text in which a question is put to the command."""
    return re.findall(r'^ *(?:echo .*)?llm-compiler .*\?".*|^ *echo .*\?".*llm-compiler.*', text, re.MULTILINE)


@pytest.mark.parametrize("line", [*shown(EXAMPLES), *shown("".join(DOCUMENTS.values()))])
def test_the_questions_that_help_and_documents_show_are_answered(tmp_path: Path, line: str) -> None:
    before, _, behind = line.partition("llm-compiler ")
    words = shlex.split(behind.partition(" | ")[0], comments=True)
    asked = shlex.split(before)[1] if before.strip() else ""
    output = run(tmp_path, *words, input=asked, env=demo(XDG_STATE_HOME=str(tmp_path)))
    assert re.search(r"\d|Nile", output)


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
        *prepared("-m", "tests.benchmarks.paper_comparison", "--n", "4", "--out", str(tmp_path)),
        *("--first-token", "0", "--rate", "100000", "--search", "0"),
        cwd=ROOT,
        stdout=PIPE,
        stderr=PIPE,
    )
    out, err = (said.decode() for said in await process.communicate())
    assert (process.returncode, err) == (0, "")
    assert "report.html" in out
    agents = json.loads((tmp_path / "summary.json").read_text("utf-8"))["agents"]
    assert [agents[agent]["correct"] for agent in AGENTS] == [4, 4, 4]
    # Two, three, four and five things each: a search and a calculation for each, and a sum where one is asked for.
    calls = agents["react"]["tool_calls"]
    assert [agents[agent]["tool_calls"] for agent in AGENTS] == [calls] * 3
    assert agents["react"]["model_calls"] == calls + 1
    assert agents["parallel-react"]["model_calls"] < agents["react"]["model_calls"]
