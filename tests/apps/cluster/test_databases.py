"""PostgreSQL and Redis for a while: what is said where there is none, and that they end."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest

from apps.cluster.databases import postgres, redis
from tests.support import ROOT
from tests.support.databases import skip_without_postgres

KILLED = """
import os, signal
from apps.cluster.databases import {name}
with {name}() as url:
    print(url, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def folder_in(url: str) -> Path:
    return Path(url.partition("host=")[2] or url.removeprefix("unix://").removesuffix("/socket"))


def test_without_redis_it_says_what_to_install_or_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with (
        pytest.raises(FileNotFoundError, match=r"Redis is not on this machine: .* redis-server, or set REDIS_URL"),
        redis(),
    ):
        pass


def test_postgres_has_ended_also_when_what_it_was_for_fails() -> None:
    skip_without_postgres()

    def fail() -> None:
        with postgres() as url, psycopg.connect(url.format(database="postgres")) as connection:
            raise RuntimeError(psutil.Process(connection.info.backend_pid).ppid())

    with pytest.raises(RuntimeError) as failed:
        fail()
    (server,) = failed.value.args
    assert not psutil.pid_exists(server) or psutil.Process(server).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(("name", "place"), [("postgres", "a place"), ("redis", "long" * 30)])
def test_they_start_wherever_temporary_files_are_kept_and_nothing_is_left_when_the_process_is_killed(
    name: str, place: str, tmp_path: Path
) -> None:
    if name == "postgres":
        skip_without_postgres()
    elif not shutil.which("redis-server"):
        pytest.skip("Redis is not on this machine: sudo apt-get install redis-server")
    (tmp_path / place).mkdir()
    killed = subprocess.run(
        [sys.executable, "-c", KILLED.format(name=name)],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path / place), "LC_ALL": "not_installed.UTF-8"},
        capture_output=True,  # waits for all who can write
        text=True,
        check=False,
    )
    folder = folder_in(killed.stdout.strip())
    assert folder.name.startswith(f"{name}-")
    assert not folder.exists()
