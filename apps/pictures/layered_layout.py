"""Where the nodes of a DAG go in a picture: in layers, with few crossings and short edges (after Sugiyama)."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Generic, TypeVar

SWEEPS = 12
BEND_SIZE = 0.3
"""The room that an edge takes where it passes a layer, as a share of a node's."""

Node = TypeVar("Node", bound=Hashable)
Place = tuple[int, float]
"""A layer, from 0, and the place across it, from 0.0; neighbours in a layer are 1.0 or more apart."""


@dataclass(frozen=True)
class Layout(Generic[Node]):
    """A DAG, laid out."""

    places: dict[Node, Place]
    routes: dict[tuple[Node, Node], list[Place]]
    """From end to end, the places that each edge passes."""

    layers: int
    breadth: float
    """The greatest place across a layer."""


@dataclass(eq=False)
class _Point:
    """A node, or the place where an edge passes a layer."""

    layer: int
    size: float = 1.0
    across: float = 0.0
    before: list["_Point"] = field(default_factory=list)
    after: list["_Point"] = field(default_factory=list)


def lay_out(nodes: Sequence[Node], edges: Iterable[tuple[Node, Node]]) -> Layout[Node]:
    """Lay out a DAG.

    Args:
        nodes: The nodes.
        edges: Pairs of nodes. Those that close a circle, or lead to what is no node, are left out.
    """
    edges = [edge for edge in dict.fromkeys(edges) if edge[0] in nodes and edge[1] in nodes]
    points = {node: _Point(layer) for node, layer in _layers(nodes, edges).items()}
    routes: dict[tuple[Node, Node], list[_Point]] = {}
    for edge in edges:
        start, end = (points[node] for node in edge)
        if start.layer < end.layer:
            bends = [_Point(layer, BEND_SIZE) for layer in range(start.layer + 1, end.layer)]
            routes[edge] = [start, *bends, end]
    for route in routes.values():
        for first, second in pairwise(route):
            first.after.append(second)
            second.before.append(first)
    everything = {id(point): point for route in [[*points.values()], *routes.values()] for point in route}.values()
    layers: list[list[_Point]] = [[] for _ in range(max((point.layer for point in everything), default=-1) + 1)]
    for point in everything:
        layers[point.layer].append(point)
    _arrange(layers)
    least = min((point.across for point in everything), default=0.0)

    def place(point: _Point) -> Place:
        return point.layer, point.across - least

    return Layout(
        {node: place(point) for node, point in points.items()},
        {edge: [place(point) for point in route] for edge, route in routes.items()},
        len(layers),
        max((place(point)[1] for point in everything), default=0.0),
    )


def _layers(nodes: Sequence[Node], edges: Iterable[tuple[Node, Node]]) -> dict[Node, int]:
    """The layer of each node: the one after all nodes that lead to it, as far as they don't form a circle."""
    waiting: dict[Node, set[Node]] = {node: set() for node in nodes}
    for start, end in edges:
        waiting[end].add(start)
    layers: dict[Node, int] = {}
    layer = 0
    while waiting:
        free = [node for node, before in waiting.items() if before <= layers.keys()] or [next(iter(waiting))]
        for node in free:
            del waiting[node]
        layers |= dict.fromkeys(free, layer)
        layer += 1
    return layers


def _arrange(layers: list[list[_Point]]) -> None:
    """Order each layer by where its neighbours are, to and fro until edges hardly cross; then straighten the edges."""
    for layer in layers:
        _spread(layer, [0.0] * len(layer))
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else layers[::-1]:
            wanted = {id(point): _middle(point.before if down else point.after, point) for point in layer}
            layer.sort(key=lambda point: wanted[id(point)])
            _spread(layer, [wanted[id(point)] for point in layer])
    for layer in [*layers, *layers[::-1]]:
        _spread(layer, [_middle([*point.before, *point.after], point) for point in layer])


def _middle(neighbours: list[_Point], point: _Point) -> float:
    return sum(n.across for n in neighbours) / len(neighbours) if neighbours else point.across


def _spread(layer: list[_Point], wanted: list[float]) -> None:
    """Put the points of a layer as near to where they are wanted as their sizes and their order allow (least squares:
    points that would overlap form a block, which goes where they want to be on average)."""
    blocks: list[tuple[float, int]] = []  # where its points want the layer to start, and how many they are
    offset = 0.0
    offsets = []
    for index, point in enumerate(layer):
        offset += (layer[index - 1].size + point.size) / 2 if index else 0.0
        offsets.append(offset)
        start, count = wanted[index] - offset, 1
        while blocks and blocks[-1][0] >= start:
            before, many = blocks.pop()
            start, count = (before * many + start * count) / (many + count), many + count
        blocks.append((start, count))
    starts = [start for start, count in blocks for _ in range(count)]
    for point, start, offset in zip(layer, starts, offsets, strict=True):
        point.across = start + offset
