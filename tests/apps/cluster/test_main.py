"""`make cluster`, where something of it is missing. With everything there, tests/cluster starts it."""

import pytest

from apps.cluster import __main__ as cluster


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda _: None)
    with pytest.raises(SystemExit, match=r"make cluster needs the extra `cluster`, which takes Python 3.12"):
        cluster.main()


@pytest.mark.parametrize(("name", "value"), [("PORT", "http"), ("PORT", "65535"), ("SERVERS", "0")])
def test_what_is_no_number_of_a_port_or_of_servers_is_told(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda _: True)
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=rf"{name}='{value}'.*: set the first server's port, and how many there are"):
        cluster.main()
