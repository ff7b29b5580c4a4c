"""The plan: what the parser reads, and the numbered, linked tasks that it becomes.

Pure: nothing here knows of models, tools or LangGraph. A plan grows while it streams: `Plan.add` turns each call into a
task at once, so that the task can start before the next one has been written.
"""

import difflib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.references import Reference, find_references, renumber

UNKNOWN_TOOL = "There is no tool {tool!r}.{hint} The tools are: {tools}."
TOO_MANY_ARGUMENTS = "{tool} takes at most {most} arguments ({signature}), not {given}."
GIVEN_TWICE = "{tool} is given the argument {name!r} twice."
UNKNOWN_ARGUMENT = "{tool} has no argument {name!r}; it takes {signature}."
MISSING_ARGUMENT = "{tool} needs the argument {name!r}; it takes {signature}."
SELF_REFERENCE = "Task {number} refers to its own result, {reference}."
CIRCLE = "The tasks {circle} wait for each other."

MOST_SKIPPED = 1000
"""How many numbers a plan may leave out between two tasks."""


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


@dataclass(frozen=True, slots=True)
class Join:
    """The end of the plan."""

    number: int | None = None


@dataclass(frozen=True, slots=True)
class Thought:
    """A line of the plan that is not a call."""

    text: str


@dataclass(frozen=True, slots=True)
class Signature:
    """What a plan must know of a tool to bind a call's arguments to names."""

    name: str
    parameters: tuple[str, ...] = ()
    """In the order of positional arguments."""

    required: frozenset[str] = frozenset()
    open: bool = False
    """Whether it takes arguments of other names too."""

    def __str__(self) -> str:
        return ", ".join(name if name in self.required else f"[{name}]" for name in self.parameters) or "none"


@dataclass(frozen=True, slots=True)
class Task:
    """One tool call of a plan."""

    number: int
    """Unique in the thread: numbers go on through replans and turns."""

    tool: str
    arguments: dict[str, Any]
    """JSON values by name, with references as planned."""

    dependencies: tuple[int, ...] = ()
    """The tasks that it refers to, in the order of the text. A later task of the plan, or one that never comes, may be
    among them."""

    error: str | None = None
    """Why it can't be run at all: unreadable, an unknown tool, wrong arguments, a circle."""


class Plan:
    """The tasks of one plan, numbered and linked in the order in which the model writes them."""

    def __init__(self, tools: Mapping[str, Signature], earlier: Collection[int] = ()) -> None:
        """
        Args:
            tools: The signatures that calls are bound to, by the tools' names.
            earlier: The numbers of the thread's earlier tasks; references to them are valid.
        """
        self.tasks: list[Task] = []
        self.tools = tools
        self._names = {name.casefold(): name for name in tools}
        self._taken = set(earlier)
        self._numbers: dict[int, int] = {}
        self._dependencies: dict[int, tuple[int, ...]] = {}
        self._awaited: set[int] = set()
        self._last = max(earlier, default=0)

    @property
    def last(self) -> int:
        """The highest number that the thread has used, the join's included."""
        return self._last

    def add(self, call: Call, error: str | None = None) -> Task:
        """The call as the plan's next task: with a number of its own, its arguments by name, its dependencies known.

        A number that is taken already (a model counting from 1 again) is replaced by the next free one, and references
        from here on follow it. What is wrong with the call becomes the task's `error`, unless one is given.
        """
        tool = self._name(call.tool)
        arguments, wrong = self._bind(call, self.tools.get(tool))
        arguments = renumber(arguments, self._numbers)
        number = self._free(call.number)
        if call.number is not None and call.number != number:
            self._numbers[call.number] = number
        dependencies = tuple(dict.fromkeys(reference.task for reference in find_references(arguments)))
        self._taken.add(number)
        self._last = max(self._last, number)
        self._dependencies[number] = dependencies
        task = Task(number, tool, arguments, dependencies, error or wrong or self._find_circle(number, arguments))
        self._awaited.update(dependencies)
        self.tasks.append(task)
        return task

    def _free(self, wanted: int | None) -> int:
        """The number that the model gives a task, if it is free and not out of all proportion; else the next one."""
        if wanted is None or wanted in self._taken or wanted > self._last + MOST_SKIPPED:
            return self._last + 1
        return wanted

    def _name(self, written: str) -> str:
        """The tool that is meant: `Search` and `functions.search` are `search`, unless a tool has that very name."""
        if written in self.tools:
            return written
        return self._names.get(written.casefold()) or self._names.get(written.casefold().rpartition(".")[2], written)

    def end(self, join: Join) -> None:
        """Take note of the join's number, which a careless reference may name."""
        if join.number is not None and join.number <= self._last + MOST_SKIPPED:
            self._last = max(self._last, join.number)

    def _bind(self, call: Call, tool: Signature | None) -> tuple[dict[str, Any], str | None]:
        as_read = {**({"arguments": call.arguments} if call.arguments else {}), **call.keywords}
        if call.error:
            return ({"text": call.text} if call.text else as_read), call.error
        if tool is None:
            close = difflib.get_close_matches(call.tool.casefold(), [name.casefold() for name in self.tools], n=2)
            nearest = [name for name in self.tools if name.casefold() in close]
            hint = f" Did you mean {' or '.join(nearest)}?" if nearest else ""
            return as_read, UNKNOWN_TOOL.format(tool=call.tool, hint=hint, tools=", ".join(self.tools) or "none")
        return _bind_to(tool, call, as_read)

    def _find_circle(self, number: int, arguments: Any) -> str | None:
        if number in self._dependencies[number]:
            reference = next(reference for reference in find_references(arguments) if reference.task == number)
            return SELF_REFERENCE.format(number=number, reference=reference.text)
        if number not in self._awaited:
            return None
        # Only a task that an earlier one waits for can close a circle.
        trail: dict[int, int] = {}
        reached = [number]
        while reached:
            current = reached.pop()
            for dependency in self._dependencies.get(current, ()):
                if dependency == number:
                    circle = [number, current]
                    while circle[-1] != number:
                        circle.append(trail[circle[-1]])
                    return CIRCLE.format(circle=" → ".join(str(member) for member in reversed(circle)))
                if dependency not in trail:
                    trail[dependency] = current
                    reached.append(dependency)
        return None


def is_text(reference: Reference, last: int) -> bool:
    """Whether a reference to a task that the finished plan doesn't have is just text, like the price in "under $100".

    It is an error if it can only be meant as a reference, or if its number lies among the plan's own.

    Args:
        reference: A reference to a task that doesn't exist.
        last: The highest number of the plan.
    """
    return not reference.certain and not 0 < reference.task <= last


def render_call(tool: str, arguments: Mapping[str, Any]) -> str:
    """A call in the plan language; a first argument that is text goes without its name, as plans have it."""
    rendered = [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items()]
    if rendered and isinstance(next(iter(arguments.values())), str):
        rendered[0] = rendered[0].partition("=")[2]
    return f"{tool}({', '.join(rendered)})"


def _bind_to(tool: Signature, call: Call, as_read: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    positional, keywords = call.arguments, call.keywords
    if len(positional) == 1 and isinstance(positional[0], dict) and not keywords:
        # search({"query": "…"}), as function calling has taught some models
        if positional[0] and tool.required <= positional[0].keys() <= set(tool.parameters):
            positional, keywords = [], positional[0]
    elif len(positional) > len(tool.parameters) == 1 and re.fullmatch("[^\"']+", call.text):
        # search(Paris, France): text without quotes, in which the comma is text too
        positional = [call.text.strip()]
    if len(positional) > len(tool.parameters):
        return as_read, TOO_MANY_ARGUMENTS.format(
            tool=tool.name, most=len(tool.parameters), signature=tool, given=len(positional)
        )
    arguments = dict(zip(tool.parameters, positional, strict=False))
    for name, value in keywords.items():
        if name in arguments:
            return as_read, GIVEN_TWICE.format(tool=tool.name, name=name)
        if name not in tool.parameters and not tool.open:
            return as_read, UNKNOWN_ARGUMENT.format(tool=tool.name, name=name, signature=tool)
        arguments[name] = value
    for name in tool.parameters:
        if name in tool.required and name not in arguments:
            return as_read, MISSING_ARGUMENT.format(tool=tool.name, name=name, signature=tool)
    order = {name: place for place, name in enumerate(tool.parameters)}
    return dict(sorted(arguments.items(), key=lambda item: order.get(item[0], len(order)))), None
