"""`make cluster`, where something of it is missing. With everything there, tests/cluster starts it."""

import shutil

import pytest

from apps import cluster


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda _: None)
    with pytest.raises(SystemExit, match=r"make cluster needs the extra `cluster`, which takes Python 3.12"):
        cluster.main()


def test_without_redis_it_says_what_to_install_or_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with (
        pytest.raises(FileNotFoundError, match=r"Redis is not on this machine: .* redis-server, or set REDIS_URL"),
        cluster.redis(),
    ):
        pass
