"""PostgreSQL and Redis for a while: what is said where there is none, and that they end."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import psycopg
import pytest

from apps.cluster.databases import postgres, redis
from tests.support import ROOT

KILLED = """
import os, signal
from apps.cluster.databases import {name}
with {name}() as url:
    print(url, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(params=["postgres", "redis"])
def name(request: pytest.FixtureRequest) -> str:
    """The name of each, if its program is here."""
    if request.param == "postgres":
        request.getfixturevalue("postgres_server")
    elif not shutil.which("redis-server"):
        pytest.skip("Redis is not on this machine: sudo apt-get install redis-server")
    return str(request.param)


def folder_in(url: str) -> Path:
    return Path(url.partition("host=")[2] or url.removeprefix("unix://").removesuffix("/socket"))


def test_without_redis_it_says_what_to_install_or_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with (
        pytest.raises(FileNotFoundError, match=r"Redis is not on this machine: .* redis-server, or set REDIS_URL"),
        redis(),
    ):
        pass


@pytest.mark.usefixtures("postgres_server")
def test_postgres_has_ended_also_when_what_it_was_for_fails() -> None:
    def fail() -> None:
        with postgres() as url, psycopg.connect(url.format(database="postgres")) as connection:
            raise RuntimeError(psutil.Process(connection.info.backend_pid).ppid())

    with pytest.raises(RuntimeError) as failed:
        fail()
    (server,) = failed.value.args
    assert not psutil.pid_exists(server) or psutil.Process(server).status() == psutil.STATUS_ZOMBIE


def test_nothing_is_left_of_them_when_the_process_is_killed(name: str) -> None:
    command = [sys.executable, "-c", KILLED.format(name=name)]
    killed = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )  # waits for all who can write
    folder = folder_in(killed.stdout.strip())
    assert folder.name.startswith(f"{name}-")
    assert not folder.exists()


@pytest.mark.parametrize("place", ["a place", "long" * 30])
def test_they_start_wherever_temporary_files_are_kept(
    name: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / place).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / place))
    with {"postgres": postgres, "redis": redis}[name]() as url:
        assert folder_in(url).is_dir()
