"""What a plan is made of: the calls that the parser reads, and the tasks that they become."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

Key = tuple[int, int | None]
"""What names a task in a thread: its number and, in a map, its element."""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call as the parser read it."""

    number: int | None
    """The number that the plan gives it, if any."""

    tool: str
    arguments: list[Any] = field(default_factory=list)
    """Positional arguments, JSON values."""

    keywords: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    """What stands between the parentheses."""

    error: str | None = None
    """Why it could not be read."""

    mapped: bool = False
    """Whether it is a map, `tool.map([…])`: the tool is called for each element of a list."""


@dataclass(frozen=True, slots=True)
class Element:
    """An element of a map's list, read while the call goes on."""

    number: int | None
    """The number that the plan gives the map, if any."""

    tool: str
    value: Any
    """A JSON value."""

    keyword: str | None = None
    """The name of the argument that is mapped over, if the plan gives it."""

    given: Mapping[str, Any] = field(default_factory=dict)
    """The arguments that stand before the list, by name."""


@dataclass(frozen=True, slots=True)
class Join:
    """The end of the plan."""

    number: int | None = None
    answer: str = ""
    """The answer, with references, if the plan gives it."""


@dataclass(frozen=True, slots=True)
class Thought:
    """Text of the plan that is not a call."""

    text: str
    unread: bool = field(default=False, compare=False)
    """Whether it may be meant as a call, or to change one, and was not read so."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a plan must know of a tool to bind a call's arguments to names."""

    name: str
    parameters: tuple[str, ...] = ()
    """In the order of positional arguments."""

    required: frozenset[str] = frozenset()
    open: bool = False
    """Whether it takes arguments of other names too."""

    lists: frozenset[str] = frozenset()
    """The parameters that take a list."""

    single: frozenset[str] = frozenset()
    """The parameters that take one thing, and no list of them."""

    changes: bool = False
    """Whether a call changes something, or may."""

    def positional(self, arguments: Collection[str]) -> int:
        """How many of these arguments, in order, a call gives without their names: the first, and those that
        it can't go without."""
        unnamed = {*self.required, *self.parameters[:1]}
        pairs = zip(arguments, self.parameters, strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1] and pair[0] in unnamed, pairs))

    def __str__(self) -> str:
        return ", ".join(name if name in self.required else f"[{name}]" for name in self.parameters) or "none"


@dataclass(frozen=True, slots=True)
class Task:
    """One tool call of a plan. A map is a task for each element, with one for the map as a whole."""

    number: int
    """Unique in the thread, but for the elements of a map: numbers go on through replans and turns."""

    tool: str
    arguments: dict[str, Any]
    """JSON values by name, with references as planned."""

    dependencies: tuple[int, ...] = ()
    """The tasks that it refers to, in the order of the text. A later task of the plan, or one that never comes, may be
    among them."""

    error: str | None = None
    """Why it can't be run at all: unreadable, an unknown tool, wrong arguments, a circle."""

    element: int | None = None
    """Which call of a map it is."""

    over: str | None = None
    """The argument that is mapped over, if this is a map whose length is known only when it runs."""

    size: int | None = None
    """How many elements there are, if this is a map whose elements stand in the plan before it."""

    again: int | None = None
    """The number that the plan writes it with, if another task has that one: it may be the same once more."""

    positional: int = 0
    """How many of the arguments go without their names in the plan language."""

    @property
    def key(self) -> Key:
        """What names it in the thread."""
        return self.number, self.element

    @property
    def is_map(self) -> bool:
        """Whether it is a map as a whole."""
        return self.over is not None or self.size is not None

    @property
    def is_call(self) -> bool:
        """Whether it has an observation of its own; a map has its elements', unless it is empty or wrong."""
        return not self.size or bool(self.error)


def name_of(key: Key) -> str:
    """The task as plans refer to it: `3`, or `3[0]`."""
    number, element = key
    return str(number) if element is None else f"{number}[{element}]"
