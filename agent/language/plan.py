"""The plan: what the parser reads becomes numbered, linked tasks.

Pure: nothing here knows of models, tools or LangGraph. A plan grows while it streams: `Plan.add` makes tasks of
what has been read, so that they can start before the next call has been written.

A map, `search.map(["K2", "Fuji"])`, calls a tool for each element of a list. One argument is mapped over. Of the
further ones, a reference to another map is taken element by element, and so is a list for which the tool takes one
thing; all else is given to each call. Written out, a map is nothing but its calls: `2. math.map(["…", "…"],
context=$1)` is `math("…", context=$1[0])` and `math("…", context=$1[1])`, each of which waits for that one element
only.
"""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from agent.language.references import (
    Reference,
    find_references,
    keep_sums,
    renumber,
    rewrite,
    whole_reference,
)
from agent.language.tasks import Call, Element, Join, Signature, Task
from agent.language.values import as_list

UNKNOWN_TOOL = "There is no tool {tool!r}.{hint} The tools are: {tools}."
TOO_MANY_ARGUMENTS = "{tool} takes {signature}; {given} arguments are too many."
GIVEN_TWICE = "{tool} is given the argument {name!r} twice."
UNKNOWN_ARGUMENT = "{tool} has no argument {name!r}; it takes {signature}."
MISSING_ARGUMENT = "{tool} needs the argument {name!r}; it takes {signature}."
SELF_REFERENCE = "Task {number} refers to its own result, {reference}."
CIRCLE = "The tasks {circle} wait for each other."
NOTHING_TO_MAP = "{tool}.map calls {tool} for each element of a list; give it one: {tool}.map([…])."
NO_LIST = "{tool}.map calls {tool} for each element of a list, and {name} is no list: {value}."
OTHER_COUNT = (
    "{tool}.map has {length} elements, and {name} {other}. Give as many, or one for all calls, without brackets."
)
LIST_FOR_ONE = (
    "{tool} takes one {name} a call, and {value} is a list. Each argument has a list of its own: {tool}.map([…], […])."
)
OTHER_LENGTH = "{tool}.map has {length} elements, and {reference} has {other}. ${number}[:] gives each call all of it."
TOO_MANY_TASKS = "The plan ends here: it has more than {most} tasks (max_tasks)."

_ALL = re.compile(r"\[[:*]?\]\Z")

MOST_SKIPPED = 1000
"""How many numbers a plan may leave out between two tasks."""


class Plan:
    """The tasks of one plan, numbered and linked in the order in which the model writes them."""

    def __init__(
        self,
        tools: Mapping[str, Signature],
        earlier: Collection[int] = (),
        maps: Mapping[int, int] | None = None,
        most: int | None = None,
    ) -> None:
        """
        Args:
            tools: The signatures that calls are bound to, by the tools' names.
            earlier: The numbers of the thread's earlier tasks; references to them are valid.
            maps: The lengths of those that are maps.
            most: How many tool calls the plan may have.
        """
        self.tasks: list[Task] = []
        self.tools = tools
        self.answer = ""
        """The answer that the plan gives, with references; empty if it leaves it to the joiner."""

        self.full = False
        """Whether a task too many has been added. It has an error, and there should be no further one."""

        self.last = max(earlier, default=0)
        """The highest number that the thread has used, the join's included."""

        self._names = {name.casefold(): name for name in tools}
        self._most = most
        self._calls = 0
        self._taken = set(earlier)
        self._sizes: dict[int, int | None] = {**(maps or {})}
        self._open: int | None = None
        """The number of the map whose list is being read."""

        self._before: dict[int, int] = {}
        """The numbers that were replaced before that map had its own: its elements refer to what was there."""

        self._started = 0
        """How many of its calls could start at once, since all of their arguments were known."""

        self._numbers: dict[int, int] = {}
        self._again: dict[int, int] = {}
        """The numbers that the plan writes for those that were taken."""

        self._dependencies: dict[int, tuple[int, ...]] = {}
        self._awaited: set[int] = set()

    def add(self, item: Call | Element) -> list[Task]:
        """Add the tasks that this item gives, with numbers of their own, their arguments by name, their dependencies
        known.

        A number that is taken already (a model counting from 1 again) is replaced by the next free one, and references
        from here on follow it. What is wrong with a call becomes the task's `error`.

        Returns:
            These tasks, if any.
        """
        before = len(self.tasks)
        if isinstance(item, Element):
            self._add_element(item)
            return self.tasks[before:]
        numbers = self._before if item.mapped and self._open is not None else self._numbers
        tool, arguments, wrong = self._bind(item, numbers)
        if item.mapped:
            self._add_map(item, tool, arguments, wrong)
        else:
            self._append(Task(self._number(item.number), tool, arguments, error=wrong))
        return self.tasks[before:]

    def _append(self, task: Task) -> None:
        """Count and link the task."""
        if task.is_call:
            self._calls += 1
        if self._most is not None and self._calls > self._most:
            self.full = True
            task = replace(task, error=TOO_MANY_TASKS.format(most=self._most))
        arguments = keep_sums(task.arguments, task.number)
        references = list(find_references(arguments))
        dependencies = tuple(dict.fromkeys(reference.task for reference in references))
        others = tuple(dependency for dependency in dependencies if dependency != task.number)
        error = task.error
        if error is None and len(others) < len(dependencies):
            itself = next(reference for reference in references if reference.task == task.number)
            error = SELF_REFERENCE.format(number=task.number, reference=itself.text)
        error = error or self._find_circle(task.number, others)
        self._dependencies[task.number] = self._dependencies.get(task.number, ()) + others
        self._awaited.update(others)
        tool = self.tools.get(task.tool)
        positional = tool.positional(arguments) if tool else 0
        self.tasks.append(
            replace(
                task,
                arguments=arguments,
                dependencies=dependencies,
                error=error,
                again=self._again.get(task.number),
                positional=positional,
            )
        )

    def _add_element(self, element: Element) -> None:
        """The call for an element, if nothing of it can follow the list; otherwise it waits for the rest of the map."""
        tool = self._name(element.tool)
        signature = self.tools.get(tool)
        if self._open is None:
            self._before = dict(self._numbers)
            self._open, self._started = self._number(element.number), 0
        parameters = signature.parameters if signature and not signature.open else ()
        over = element.keyword or next(iter(parameters), "")
        given = renumber(dict(element.given), self._before)
        if over in parameters and given.keys() == {*parameters} - {over} and not self._may_be_mapped(given):
            arguments = {**given, over: renumber(element.value, self._before)}
            in_order = {name: arguments[name] for name in parameters}
            self._started += 1
            wrong = wrong_element(tool, over, element.value, signature.single if signature else ())
            self._append(Task(self._open, tool, in_order, element=self._started - 1, error=wrong))

    def _may_be_mapped(self, given: Mapping[str, Any]) -> bool:
        """Whether one of the arguments before a list may be mapped over in its place, or with it."""
        zipped = any(is_zipped(reference, self._sizes) for reference in find_references(given))
        return zipped or any(isinstance(value, list) for value in given.values())

    def _add_map(self, call: Call, tool: str, arguments: dict[str, Any], wrong: str | None) -> None:
        """The calls of a map that have not been given out yet, and the map as a whole."""
        number, started = (self._number(call.number), 0) if self._open is None else (self._open, self._started)
        self._open = None
        first = next(iter(arguments), "")
        if isinstance(quoted := arguments.get(first), str) and (items := as_list(quoted)) is not None:
            arguments = {**arguments, first: items}  # a list in quotes
        whole = Task(number, tool, arguments, error=wrong, size=0)
        try:
            if wrong is None:
                over = mapped_over(call, arguments, self.tools[tool], self._sizes)
                map_ = Map(whole, over, self._sizes, self.tools[tool].single)
                length = map_.length()
                self._sizes[whole.number] = length
                if length is None:
                    whole = replace(whole, over=over, size=None)
                else:
                    for task in islice(map_.calls(length), started, None):
                        self._append(task)
                        if self.full:
                            return
                    whole = replace(whole, arguments={} if length else arguments, size=length)
        except MapError as error:
            whole = replace(whole, error=str(error))
        self._append(whole)

    def _number(self, wanted: int | None) -> int:
        number = self._free(wanted)
        if wanted is not None and wanted != number:
            self._numbers[wanted] = number
            self._again[number] = wanted
        self._taken.add(number)
        self.last = max(self.last, number)
        return number

    def _free(self, wanted: int | None) -> int:
        """The number that the model gives a task, if it is free and not out of all proportion; else the next one."""
        if wanted is None or wanted in self._taken or wanted > self.last + MOST_SKIPPED:
            return self.last + 1
        return wanted

    def _name(self, written: str) -> str:
        """The tool that is meant: `Search` and `functions.search` are `search`, unless a tool has that very name."""
        if written in self.tools:
            return written
        return self._names.get(written.casefold()) or self._names.get(written.casefold().rpartition(".")[2], written)

    def end(self, join: Join) -> None:
        """Take note of the answer, and of the join's number, which a careless reference may name."""
        self.answer = renumber(join.answer, self._numbers)
        if join.number is not None and join.number <= self.last + MOST_SKIPPED:
            self.last = max(self.last, join.number)

    def _bind(self, call: Call, numbers: Mapping[int, int]) -> tuple[str, dict[str, Any], str | None]:
        """The tool that is called, its arguments by name, and what is wrong with them."""
        name = self._name(call.tool)
        tool = self.tools.get(name)
        arguments = {**({"arguments": call.arguments} if call.arguments else {}), **call.keywords}
        wrong = call.error
        if wrong:
            arguments = {"text": call.text} if call.text else arguments
        elif tool:
            arguments, wrong = _bind_to(tool, call, arguments)
        else:
            close = difflib.get_close_matches(call.tool.casefold(), [name.casefold() for name in self.tools], n=2)
            nearest = [name for name in self.tools if name.casefold() in close]
            hint = f" Did you mean {' or '.join(nearest)}?" if nearest else ""
            wrong = UNKNOWN_TOOL.format(tool=call.tool, hint=hint, tools=", ".join(self.tools) or "none")
        return name, renumber(arguments, numbers), wrong

    def _find_circle(self, number: int, dependencies: tuple[int, ...]) -> str | None:
        """Which tasks would wait for each other, if this one were to wait for these."""
        if number not in self._awaited:
            return None
        # Only a task that an earlier one waits for can close a circle.
        reached, paths = set(dependencies), [[number, dependency] for dependency in dependencies]
        while paths:
            path = paths.pop()
            for dependency in self._dependencies.get(path[-1], ()):
                if dependency == number:
                    return CIRCLE.format(circle=" → ".join(map(str, [*path, number])))
                if dependency not in reached:
                    reached.add(dependency)
                    paths.append([*path, dependency])
        return None


def _bind_to(tool: Signature, call: Call, as_read: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    positional, keywords = call.arguments, call.keywords
    if len(positional) == 1 and isinstance(positional[0], dict) and not keywords:
        # search({"query": "…"}), as function calling has taught some models
        if positional[0] and tool.required <= positional[0].keys() <= set(tool.parameters):
            positional, keywords = [], positional[0]
    elif len(positional) > len(tool.parameters) == 1 and _is_bare_text(call):
        # search(Paris, France): text without quotes, in which the comma is text too
        positional = [call.text.strip()]
    if len(positional) > len(tool.parameters):
        return as_read, TOO_MANY_ARGUMENTS.format(tool=tool.name, signature=tool, given=len(positional))
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


def _is_bare_text(call: Call) -> bool:
    return bool(re.fullmatch(r"(?!\s*')[^\"]+", call.text)) and not all(map(whole_reference, call.arguments))


# --- maps


class MapError(ValueError):
    """A map can't be written out; the message says why."""


def mapped_over(call: Call, arguments: Mapping[str, Any], signature: Signature, maps: Mapping[int, object]) -> str:
    """The name of the argument that is mapped over: the first positional one if it may be a list, else the first
    argument that is a list, a map's result, or any other task's result.

    Raises:
        MapError: There is none.
    """
    references = {name: whole_reference(value) for name, value in arguments.items()}
    first = signature.parameters[0] if call.arguments else ""
    if first and (references[first] or isinstance(arguments[first], list)):
        return first
    found = (
        next((name for name, value in arguments.items() if isinstance(value, list)), None)
        or next((name for name, reference in references.items() if reference and reference.task in maps), None)
        or next((name for name, reference in references.items() if reference), None)
    )
    if found:
        return found
    if first:
        raise MapError(NO_LIST.format(tool=signature.name, name=first, value=repr(arguments[first])[:80]))
    raise MapError(NOTHING_TO_MAP.format(tool=signature.name))


@dataclass(frozen=True)
class Map:
    """A map, and what it is over."""

    task: Task
    over: str
    """The argument that is mapped over."""

    sizes: Mapping[int, int | None]
    """The lengths of the maps that it may refer to; None for one that is not known yet."""

    single: Collection[str]
    """The arguments that the tool takes no list for."""

    lists: Collection[tuple[str, str]] = ()
    """Those of `maybe_lists` that have turned out to be to lists of this map's length: argument and reference."""

    def length(self) -> int | None:
        """How many calls it is, as far as the plan tells; None if only its run can.

        Raises:
            MapError: The argument is no list, or the lengths differ.
        """
        value = self.task.arguments[self.over]
        reference = whole_reference(value)
        length: int | None = None
        if isinstance(value, list):
            length = len(value)
        elif reference and (is_zipped(reference, self.sizes) or reference.path == "[:]"):
            length = self.sizes.get(reference.task)
        if length is not None:
            self.check(length)
        return None if any(self.sizes[zipped.task] is None for zipped in self._zipped()) else length

    def maybe_lists(self) -> Iterator[tuple[str, Reference]]:
        """The references, though not to maps, that may be to a list which is taken element by element if this is over a
        result: to fields of that result's elements, and those that are an argument for which the tool takes no list."""
        over = whole_reference(self.task.arguments[self.over])
        for name, value in self.task.arguments.items():
            is_single, whole = name in self.single, whole_reference(value)
            for reference in find_references(value) if over and name != self.over else ():
                is_field = over and over.task == reference.task and "[" not in reference.path
                is_meant = (is_field and (is_single or reference.path)) or (is_single and whole)
                if is_meant and not is_zipped(reference, self.sizes) and not reference.path.endswith("[:]"):
                    yield name, reference

    def list_beside(self) -> str | None:
        """The argument that is mapped over if this one turns out to be no list."""
        return next((name for name, value in self._others().items() if isinstance(value, list)), None)

    def _others(self) -> dict[str, Any]:
        """The further arguments that the tool takes no list for."""
        return {name: value for name, value in self.task.arguments.items() if name in self.single and name != self.over}

    def check(self, length: int) -> None:
        """Make sure that what is taken element by element has this length, as far as that is known.

        Raises:
            MapError: One of them has another.
        """
        for zipped in self._zipped():
            other = self.sizes[zipped.task]
            if other is not None and other != length:
                raise MapError(
                    OTHER_LENGTH.format(
                        tool=self.task.tool, length=length, reference=zipped.text, other=other, number=zipped.task
                    )
                )
        for name, value in self._others().items():
            if isinstance(value, list) and len(value) != length:
                raise MapError(OTHER_COUNT.format(tool=self.task.tool, length=length, name=name, other=len(value)))

    def no_list(self, value: Any) -> MapError:
        """What is wrong with a map over this value, which is no list."""
        return MapError(NO_LIST.format(tool=self.task.tool, name=self.over, value=repr(value)[:80]))

    def calls(self, length: int) -> Iterator[Task]:
        """Its calls, if it has this length."""
        for index in range(length):
            arguments = {name: self._element(name, value, index) for name, value in self.task.arguments.items()}
            wrong = wrong_element(self.task.tool, self.over, arguments[self.over], self.single)
            yield replace(self.task, arguments=arguments, element=index, over=None, size=None, error=wrong)

    def _element(self, name: str, value: Any, index: int) -> Any:
        """What a call has of an argument: an element of what is taken element by element, and all of anything else."""
        if isinstance(value, list) and name == self.over:
            return value[index]
        if isinstance(value, list) and name in self.single:
            value = value[index]

        def written(reference: Reference) -> str:
            if is_zipped(reference, self.sizes):
                number = str(reference.task)
                return reference.text.replace(number, f"{number}[{index}]", 1)
            is_list = name == self.over or (name, reference.text) in self.lists
            return f"{_ALL.sub('', reference.text)}[{index}]" if is_list else reference.text

        return rewrite(value, written)

    def _zipped(self) -> Iterator[Reference]:
        for name, value in self.task.arguments.items():
            if name != self.over:
                yield from (reference for reference in find_references(value) if is_zipped(reference, self.sizes))


def wrong_element(tool: str, over: str, element: Any, single: Collection[str]) -> str | None:
    """What is wrong with an element that stands in the plan, if anything: a list can't be the one thing that is wanted,
    such as the arguments of a call in `send.map([("ana", "hi")])`."""
    if not isinstance(element, list) or over not in single:
        return None
    return LIST_FOR_ONE.format(tool=tool, name=over, value=str(element)[:80])


def is_zipped(reference: Reference, maps: Mapping[int, object]) -> bool:
    """Whether a reference is to a map as such, and so taken element by element."""
    return reference.task in maps and not reference.path.startswith("[")
