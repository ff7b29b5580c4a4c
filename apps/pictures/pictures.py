"""Pictures of a run, for files and notebooks: its course in time, and its plan as a graph.

    run = Run("How much taller is Mount Everest than K2?")
    async for _ in follow(run):
        pass
    timeline(run)                     # in a notebook, as the last line of a cell
    save_plan_graph(run, Path("plan.svg"))

They are drawn by Matplotlib and networkx, which are imported when they are needed: `pip install -e ".[plots]"`.
"""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from apps.pictures.plan_dag import mermaid
from apps.runs.run import Run

if TYPE_CHECKING:
    from apps.pictures.figure import Picture

__all__ = ["PictureError", "check", "mermaid", "plan_graph", "save_plan_graph", "save_timeline", "timeline"]

TIMELINE_FORMATS = (".svg", ".png", ".html")
GRAPH_FORMATS = (".svg", ".png", ".html", ".mmd")

MISSING = 'Pictures of a run need {package}: pip install -e ".[plots]".'
WRONG_FORMAT = "{name} can't be saved: its name must end in {formats}."
NO_FOLDER = "{name} can't be saved: there is no folder {folder}."


class PictureError(RuntimeError):
    """A picture can't be drawn or saved; the message says what to do."""


def timeline(run: Run) -> "Picture":
    """The run as a Gantt chart: planning, each task with its wait, joining, and the same for further plans. Framed in
    black is the chain of steps that the time went into.

    Returns:
        A Matplotlib figure; notebooks show it, `save` writes it to a file.

    Raises:
        PictureError: Matplotlib or networkx is missing.
    """
    _require_packages()
    from apps.pictures.timeline import draw_timeline

    return draw_timeline(run)


def plan_graph(run: Run) -> "Picture":
    """The plan as a graph; further plans follow the join that asked for them. A thick frame marks the chain of steps
    that the time went into. `mermaid` gives the same as text.

    Returns:
        A Matplotlib figure; notebooks show it, `save` writes it to a file.

    Raises:
        PictureError: Matplotlib or networkx is missing.
    """
    _require_packages()
    from apps.pictures.plan_picture import draw_plan

    return draw_plan(run)


def save_timeline(run: Run, path: Path) -> None:
    """Save the run's timeline as SVG, PNG, or a page of its own.

    Raises:
        PictureError: See `check`.
        OSError: The file can't be written.
    """
    check(path, TIMELINE_FORMATS)
    timeline(run).save(path)


def save_plan_graph(run: Run, path: Path) -> None:
    """Save the plan's graph as SVG, PNG, a page of its own, or Mermaid text.

    Raises:
        PictureError: See `check`.
        OSError: The file can't be written.
    """
    check(path, GRAPH_FORMATS)
    if path.suffix.lower() == ".mmd":
        path.write_text(mermaid(run), "utf-8")
    else:
        plan_graph(run).save(path)


def check(path: Path, formats: tuple[str, ...]) -> None:
    """See whether a picture can be saved there, before a run is paid for.

    Raises:
        PictureError: The name has another ending than these, there is no such folder, or a package is missing.
    """
    if path.suffix.lower() not in formats:
        known = f"{', '.join(formats[:-1])} or {formats[-1]}"
        raise PictureError(WRONG_FORMAT.format(name=path, formats=known))
    if not path.parent.is_dir():
        raise PictureError(NO_FOLDER.format(name=path, folder=path.parent))
    if path.suffix.lower() != ".mmd":
        _require_packages()


def _require_packages() -> None:
    for package in ("matplotlib", "networkx"):
        if importlib.util.find_spec(package) is None:
            raise PictureError(MISSING.format(package=package))
