"""`make cluster`, where something of it is missing. With everything there, tests/cluster starts it."""

import pytest

from apps.cluster import __main__ as cluster


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda _: None)
    with pytest.raises(SystemExit, match=r"make cluster needs the extra `cluster`, which takes Python 3.12"):
        cluster.main()
