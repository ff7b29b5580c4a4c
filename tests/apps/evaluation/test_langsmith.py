"""Datasets of LangSmith's, and results as an experiment there; with its own client."""

import asyncio
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.documents import python
from tests.support.langsmith_server import DATASET, LangSmith
from tests.support.model_server import ModelServer
from tests.support.prepared_python import prepared
from tests.support.serving import serving
from tests.support.terminal import COMMAND, WITHOUT_PLOTS, mountains

QUESTIONS = [
    {"question": "How high is K2?", "answer": "8611"},
    {"question": "How high is Ben Nevis?", "answer": "1345"},
]


@pytest.fixture
async def langsmith(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LangSmith]:
    server = LangSmith(QUESTIONS)
    async with serving(server.app) as url:
        monkeypatch.setenv("LANGSMITH_ENDPOINT", url.rstrip("/"))
        monkeypatch.setenv("LANGSMITH_API_KEY", "test")
        yield server


async def run(folder: Path, model_server: ModelServer, *command: str) -> tuple[int | None, str]:
    env = mountains(model_server)
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=env, stdout=PIPE, stderr=PIPE)
    out, err = await process.communicate()
    return process.returncode, (out + err).decode()


async def test_a_dataset_is_read_and_its_results_become_an_experiment(
    langsmith: LangSmith, model_server: ModelServer, tmp_path: Path
) -> None:
    model_server.handler = lambda request: '1. join("8611")' if request.is_planner else "8611"
    command = [*WITHOUT_PLOTS, "eval", f"langsmith:{DATASET}", "--agents", "llm-compiler", "--out", "out"]
    code, said = await run(tmp_path, model_server, *command)
    assert code == 0, said
    assert "1 of 2" in said
    code, said = await run(tmp_path, model_server, *prepared("-c", python("from langsmith")))
    assert code == 0, said
    assert [name.rpartition("-")[0] for name in langsmith.experiments] == ["llm-compiler"]
    assert sorted(langsmith.scores) == [("right", False), ("right", True)]


@pytest.mark.usefixtures("langsmith")
async def test_a_dataset_that_is_not_there_is_told_in_a_line(model_server: ModelServer, tmp_path: Path) -> None:
    code, said = await run(tmp_path, model_server, *COMMAND, "eval", "langsmith:none")
    assert code == 1
    assert said.startswith("Error: langsmith:none: can't be read: LangSmithNotFoundError")
