"""Draws the plan of a run, as a graph."""

import textwrap
from collections.abc import Iterable
from typing import Any

import networkx
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from apps.pictures.figure import COLOURS, Picture, fit, width_of, write
from apps.pictures.plan_dag import Step, spent_on, steps_of
from apps.runs.palette import LIGHT
from apps.runs.run import Run
from apps.runs.wording import in_short

Size = tuple[float, float]
"""Width and height, in inches."""

BOX: Size = (2.3, 0.72)
FLAT_BOX: Size = (2.6, 0.32)
"""A node's with one line of text, for plans that are wide."""
LEAST_TITLE = 6.0
"""Inches that the question may take, even above a narrow graph."""
WIDE = 14
"""How many tasks side by side make a plan wide."""
GAP = (0.35, 0.45)
"""Inches between nodes, across the flow and along it."""

CURVE = (Path.MOVETO, *[Path.CURVE4] * 3)


def draw_plan(run: Run) -> Picture:
    """See `apps.pictures.pictures.plan_graph`."""
    steps, edges = steps_of(run)
    graph = _graph([step.id for step in steps], edges)
    layers = list(networkx.topological_generations(graph))
    breadth = max(map(len, layers))
    box = BOX if breadth <= WIDE else FLAT_BOX
    below = (box[0] + GAP[0]) * breadth, (box[1] + GAP[1]) * len(layers)
    beside = (box[0] + 2 * GAP[1]) * len(layers), (box[1] + GAP[0] / 3) * breadth
    # The flow goes down or to the right, whichever fits a page better.
    down = max(below[0] / below[1], below[1] / below[0]) <= max(beside[0] / beside[1], beside[1] / beside[0])
    width, height = below if down else beside
    points = _points(graph, layers, breadth, (width, height), down=down)

    question = in_short(run.question, 300)
    picture = Picture(question, width, height)
    axes = picture.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    for edge in graph.edges:
        _draw_edge(axes, points[edge[0]], points[edge[1]], box, down, edges[edge])
    for step in steps:
        _draw_box(axes, step, points[step.id], box)
        picture.hints[step.id] = "\n".join(filter(None, [step.title, step.detail, spent_on(step)]))
    title = fit(question, 12, max(width, LEAST_TITLE), bold=True)
    write(axes, title, (0, 0), (0, 20), "data", 12, weight="bold")
    return picture


def _graph(nodes: list[str], edges: Iterable[tuple[str, str]]) -> Any:
    """The steps as a DAG; edges that close a circle are left out."""
    graph = networkx.DiGraph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from(edges)
    while not networkx.is_directed_acyclic_graph(graph):
        graph.remove_edge(*networkx.find_cycle(graph)[-1][:2])
    return graph


def _points(graph: Any, layers: list[list[str]], breadth: int, size: Size, *, down: bool) -> dict[str, Size]:
    """Where the middle of each node is, from the top left, in inches."""
    places = networkx.multipartite_layout(graph, dict(enumerate(layers)), align="horizontal" if down else "vertical")
    columns, rows = (breadth, len(layers)) if down else (len(layers), breadth)
    (left, right), (top, bottom) = ((min(values), max(values)) for values in zip(*places.values(), strict=True))
    step = (right - left + bottom - top) / max(1, columns + rows - 2) or 1.0  # from one node to the next, either way
    return {
        node: (((x - left) / step + 0.5) * size[0] / columns, ((y - top) / step + 0.5) * size[1] / rows)
        for node, (x, y) in places.items()
    }


def _draw_edge(axes: Axes, start: Size, end: Size, box: Size, down: bool, critical: bool) -> None:
    """One that passes a layer makes a bow, around what may stand there."""
    # As if the flow went down; otherwise the axes change places.
    (x, y), (to_x, to_y), (width, height) = (each if down else each[::-1] for each in (start, end, box))
    y, to_y = y + height / 2, to_y - height / 2
    middle, aside = (y + to_y) / 2, 0.8 * width if to_y - y > height else 0.0
    points = [(x, y), (x + aside, middle), (to_x + aside, middle), (to_x, to_y)]
    arrow = FancyArrowPatch(
        path=Path(points if down else [point[::-1] for point in points], CURVE),
        arrowstyle="-|>,head_length=4,head_width=2",
        color=LIGHT.text if critical else "#8a8a8a",
        linewidth=1.8 if critical else 0.8,
        zorder=2 if critical else 1,
    )
    axes.add_patch(arrow)


def _draw_box(axes: Axes, step: Step, middle: Size, box: Size) -> None:
    failed = step.state in ("failed", "skipped")
    fill = "white" if failed or step.state in ("planned", "waiting") else "#e6f2eb"
    x, y = middle
    width, height = box
    frame = FancyBboxPatch(
        (x - width / 2, y - height / 2),
        width,
        height,
        boxstyle=f"round,pad=0,rounding_size={height / 2 if step.id.startswith('join') else 0.08}",
        facecolor=LIGHT.sunken if step.id.startswith("join") and not failed else fill,
        edgecolor=LIGHT.text if step.critical else COLOURS.get(step.state, LIGHT.muted),
        linestyle=(0, (4, 3)) if step.state in ("skipped", "planned", "waiting") else "-",
        linewidth=2.2 if step.critical else 1,
        zorder=3,
        gid=step.id,
    )
    axes.add_patch(frame)
    time = f" · {spent_on(step)}" if spent_on(step) else ""
    title = fit(step.title, 9, width - 0.2 - width_of(time, 9, bold=True), bold=True) + time
    colour = COLOURS.get(step.state, LIGHT.text)
    if box == FLAT_BOX:
        line = fit(f"{title} · {step.detail}" if step.detail else title, 8, width - 0.2)
        write(axes, line, middle, (0, 0), "data", 8, colour, ha="center", bbox=None)
        return
    detail = textwrap.wrap(in_short(step.detail, 200), 34)
    if len(detail) > 2:
        detail = [detail[0], f"{detail[1][:33]}…"]
    lines = [title, *(fit(line, 8, width - 0.1) for line in detail)]
    for place, line in enumerate(lines):
        up = ((len(lines) - 1) / 2 - place) * 12
        look: dict[str, Any] = (
            {"size": 8.0, "colour": LIGHT.muted} if place else {"size": 9.0, "colour": colour, "weight": "bold"}
        )
        write(axes, line, middle, (0, up), "data", ha="center", bbox=None, **look)
