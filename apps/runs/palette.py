"""The colours of every view, in light and in dark; those of the page's style sheet are the same.

The terminal has its owner's colours: blue for running, green for done, red for failed, yellow for skipped and paused.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Palette:
    """Colours, as #rrggbb, by what they are for."""

    surface: str = "#ffffff"
    text: str = "#1d1d1b"
    muted: str = "#62625c"
    line: str = "#e2e2dd"
    sunken: str = "#f1f1ee"
    model: str = "#c4c4bd"
    """Of the model's time, planning and joining."""

    running: str = "#2f57c9"
    done: str = "#197344"
    failed: str = "#b8261f"
    skipped: str = "#7d5a00"
    bar: str = "#438c66"
    """Of what is done, where it is an area."""


LIGHT = Palette()
DARK = Palette(
    surface="#1b1b1e",
    text="#ececee",
    muted="#a3a3ac",
    line="#303036",
    sunken="#222226",
    model="#84848f",
    running="#8aa9ff",
    done="#5fcb8f",
    failed="#ff8f86",
    skipped="#dcb75e",
    bar="#53ab7b",
)
