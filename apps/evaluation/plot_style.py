"""How plots look: for light and dark pages, wide ones and phones; and how they are saved. This takes Matplotlib."""

import io
import warnings
from dataclasses import dataclass, replace
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from apps.runs.palette import DARK, LIGHT, Palette
from apps.runs.wording import printable


@dataclass(frozen=True)
class Style:
    """How plots look."""

    colours: Palette = LIGHT
    agents: tuple[str, ...] = ("#0072b2", "#d55e00", "#9a7200")
    in_bar: str = "#111111"
    width: float = 7.6
    """In inches."""

    @property
    def narrow(self) -> bool:
        """Whether it is for a phone."""
        return self.width < 5


_LIGHT = Style()
_DARK = Style(DARK, agents=("#56b4e9", "#ff8a5c", "#e8c34a"))
STYLES = {
    "light": _LIGHT,
    "dark": _DARK,
    "light-phone": replace(_LIGHT, width=4.1),
    "dark-phone": replace(_DARK, width=4.1),
}
DPI = 160


def make_plain(axes: Axes, style: Style) -> None:
    """Take away all but the lines across the axis of numbers."""
    axes.spines[:].set_visible(False)
    axes.set_axisbelow(True)
    axes.xaxis.grid(visible=True, color=style.colours.line)
    axes.tick_params(colors=style.colours.muted, length=0, labelsize=9, pad=6)


def drawable(text: str) -> str:
    """The text without what no font and no file can hold."""
    return printable(text).encode("utf-8", "replace").decode()


def svg(figure: Figure) -> bytes:
    """The figure as SVG, its text in a font of the reader's."""
    return _render(figure, "svg", metadata={"Date": None})


def png(figure: Figure) -> bytes:
    """The figure as PNG."""
    return _render(figure, "png", dpi=DPI)


def _render(figure: Figure, kind: str, **options: Any) -> bytes:
    drawn = io.BytesIO()
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "llm-compiler", "font.family": "sans-serif"}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # boxes are drawn in their place
        figure.savefig(drawn, format=kind, facecolor=figure.get_facecolor(), **options)
    return drawn.getvalue()
