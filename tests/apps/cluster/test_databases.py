"""PostgreSQL and Redis for a while: what is said where there is none, and that they end."""

import shutil

import psutil
import psycopg
import pytest

from apps.cluster.databases import postgres, redis


def test_without_redis_it_says_what_to_install_or_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with (
        pytest.raises(FileNotFoundError, match=r"Redis is not on this machine: .* redis-server, or set REDIS_URL"),
        redis(),
    ):
        pass


def test_postgres_has_ended_also_when_what_it_was_for_fails() -> None:
    def fail() -> None:
        with postgres() as url, psycopg.connect(url.format(database="postgres")) as connection:
            raise RuntimeError(psutil.Process(connection.info.backend_pid).ppid())

    with pytest.raises(RuntimeError) as failed:
        fail()
    (server,) = failed.value.args
    assert not psutil.pid_exists(server) or psutil.Process(server).status() == psutil.STATUS_ZOMBIE
