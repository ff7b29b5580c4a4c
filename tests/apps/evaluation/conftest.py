"""What tests of the evaluation share."""

import sys

import pytest


@pytest.fixture
def without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hides Matplotlib in this process: drawing takes longer than all the rest."""
    for name in ("plot_style", "plots"):
        monkeypatch.delitem(sys.modules, f"apps.evaluation.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
