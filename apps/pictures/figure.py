"""A Matplotlib figure that notebooks show as it is, and that is saved as SVG, PNG or a page that works offline.

Importing this takes Matplotlib, and about half a second.
"""

import html
import io
import re
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from PIL import Image

from apps.runs.palette import LIGHT

# Failures have hatches and words, too, for people with any colour vision.
COLOURS = {"failed": LIGHT.failed, "skipped": LIGHT.skipped}

SVG = "http://www.w3.org/2000/svg"
DPI = 150
NOTEBOOK_WIDTH = 860
"""Pixels beside the margin."""

NOTEBOOK_COLOURS = 32
"""Enough for text and bars; the file is a third of what it would be."""

MISSING_GLYPH = "Glyph .* missing from"
PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ margin: 2rem auto; max-width: 90rem; padding: 0 1rem; background: #fff; color: {ink}; font: 1rem sans-serif }}
svg {{ display: block; width: 100%; height: auto; max-height: none }}
</style>
{svg}
</html>
"""

_NOT_IN_XML = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")

for _prefix, _name in {"": SVG, "xlink": "http://www.w3.org/1999/xlink"}.items():
    ElementTree.register_namespace(_prefix, _name)


class Picture(Figure):
    """A figure without Matplotlib's global state: it is drawn in any thread, and needs no screen."""

    def __init__(self, title: str, width: float, height: float) -> None:
        """
        Args:
            title: What it shows, for the page and for screen readers.
            width: In inches, without what stands around the axes.
            height: The same.
        """
        super().__init__(figsize=(width, height), facecolor="white")
        self.title = _NOT_IN_XML.sub("", title)
        self.hints: dict[str, str] = {}
        """What is shown on hovering over an artist, by its gid."""

    def save(self, path: Path) -> None:
        """Save it in the format that the name ends in.

        Raises:
            OSError: The file can't be written.
            ValueError: Matplotlib doesn't know the format.
        """
        match path.suffix.lower():
            case ".svg":
                path.write_text(self.svg(), "utf-8")
            case ".html":
                svg = self.svg().partition("?>")[2].strip()
                path.write_text(PAGE.format(ink=LIGHT.text, title=html.escape(self.title), svg=svg), "utf-8")
            case suffix:
                path.write_bytes(self._render(suffix[1:], dpi=DPI))

    def svg(self) -> str:
        """The picture as SVG, with text that can be selected and searched, and the hints."""
        root = ElementTree.fromstring(self._render("svg", metadata={"Date": None}))
        root.set("role", "img")
        root.insert(0, _title(self.title))
        for element in root.iter():
            if hint := self.hints.get(element.get("id", "")):
                element.insert(0, _title(hint))
        return ElementTree.tostring(root, "unicode", xml_declaration=True) + "\n"

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """The picture in a notebook, with its size on the page. A notebook that isn't trusted yet shows no SVG."""
        drawn = Image.open(io.BytesIO(self._render("png", dpi=DPI)))
        small = io.BytesIO()
        drawn.convert("RGB").quantize(NOTEBOOK_COLOURS).save(small, "PNG", optimize=True)
        scale = min(96 / DPI, NOTEBOOK_WIDTH / drawn.width)
        return small.getvalue(), {"width": round(drawn.width * scale), "height": round(drawn.height * scale)}

    def _render(self, kind: str, **options: Any) -> bytes:
        drawn = io.BytesIO()
        settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "llm-compiler", "font.family": "sans-serif"}
        with matplotlib.rc_context(settings), warnings.catch_warnings():
            warnings.filterwarnings("ignore", MISSING_GLYPH)  # boxes are drawn in their place
            self.savefig(drawn, format=kind, bbox_inches="tight", pad_inches=0.15, **options)
        return drawn.getvalue()


def _title(text: str) -> ElementTree.Element:
    title = ElementTree.Element(f"{{{SVG}}}title")
    title.text = _NOT_IN_XML.sub("", text)
    return title


def width_of(text: str, size: float, *, bold: bool = False) -> float:
    """How many inches wide the text is, at this size in points."""
    font = FontProperties(size=size, weight="bold" if bold else "normal")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", MISSING_GLYPH)
        width, _, _ = text_to_path.get_text_width_height_descent(_NOT_IN_XML.sub("", text), font, ismath=False)
    return float(width) / 72


def write(
    axes: Axes,
    text: str,
    at: tuple[float, float],
    offset: tuple[float, float],
    coordinates: Any = "axes fraction",
    size: float = 9,
    colour: str = LIGHT.text,
    **options: Any,
) -> None:
    """Write a text at a place, moved by an offset in points; `$` is a dollar here."""
    veil = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.5}
    options = {"va": "center", "zorder": 4, "bbox": veil, **options}
    place: dict[str, Any] = {"xytext": offset, "xycoords": coordinates, "textcoords": "offset points"}
    axes.annotate(_NOT_IN_XML.sub("", text), at, **place, parse_math=False, fontsize=size, color=colour, **options)


def fit(text: str, size: float, inches: float, *, bold: bool = False) -> str:
    """The text, cut to a width."""
    if width_of(text, size, bold=bold) <= inches:
        return text
    least, most = 0, len(text)
    while least < most - 1:
        middle = (least + most) // 2
        if width_of(text[:middle] + "…", size, bold=bold) <= inches:
            least = middle
        else:
            most = middle
    return text[:least].rstrip() + "…"
