"""Maps in the plan language: `search.map(["K2", "Fuji"])` calls a tool for each element of a list.

One argument is mapped over. A reference to another map in the further arguments is taken element by element; all else
is given to each call. Written out, a map is nothing but its calls: `2. math.map(["…", "…"], context=$1)` is
`math("…", context=$1[0])` and `math("…", context=$1[1])`, each of which waits for that one element only.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from agent.language.references import Reference, find_references, take_elements, whole_reference
from agent.language.tasks import Call, Signature, Task

NOTHING_TO_MAP = "{tool}.map calls {tool} for each element of a list; give it one: {tool}.map([…])."
NO_LIST = "{tool}.map calls {tool} for each element of a list, and {name} is none: {value}."
OTHER_LENGTH = "{tool}.map has {length} elements, and {reference} has {other}. ${number}[:] gives each call all of it."


class MapError(ValueError):
    """A map can't be written out; the message says why."""


def mapped_over(call: Call, arguments: Mapping[str, Any], signature: Signature, maps: Mapping[int, object]) -> str:
    """The name of the argument that is mapped over: the first positional one, or else the first keyword that is a list,
    a map's result, or any other task's result.

    Raises:
        MapError: There is none.
    """
    if call.arguments:
        return signature.parameters[0]
    references = {name: whole_reference(value) for name, value in arguments.items()}
    found = (
        next((name for name, value in arguments.items() if isinstance(value, list)), None)
        or next((name for name, reference in references.items() if reference and reference.task in maps), None)
        or next((name for name, reference in references.items() if reference), None)
    )
    if found:
        return found
    raise MapError(NOTHING_TO_MAP.format(tool=signature.name))


def length_of(task: Task, over: str, sizes: Mapping[int, int | None]) -> int | None:
    """How many calls a map is, as far as the plan tells; None if only its run can.

    Args:
        task: The map.
        over: The argument that is mapped over.
        sizes: The lengths of the maps that it may refer to; None for one that is not known yet.

    Raises:
        MapError: The argument is no list, or the lengths differ.
    """
    value = task.arguments[over]
    reference = whole_reference(value)
    length: int | None = None
    if isinstance(value, list):
        length = len(value)
    elif reference is None:
        raise MapError(no_list(task, over, value))
    elif is_zipped(reference, sizes) or reference.path == "[:]":
        length = sizes.get(reference.task)
    if length is not None:
        check_lengths(task, over, length, sizes)
    return None if any(sizes[zipped.task] is None for zipped in _zipped(task, over, sizes)) else length


def check_lengths(task: Task, over: str, length: int, sizes: Mapping[int, int | None]) -> None:
    """Make sure that the maps that are taken element by element have this length, as far as theirs are known.

    Raises:
        MapError: One of them has another.
    """
    for zipped in _zipped(task, over, sizes):
        other = sizes[zipped.task]
        if other is not None and other != length:
            raise MapError(
                OTHER_LENGTH.format(
                    tool=task.tool, length=length, reference=zipped.text, other=other, number=zipped.task
                )
            )


def no_list(task: Task, over: str, value: Any) -> str:
    """What is wrong with a map over something else than a list."""
    return NO_LIST.format(tool=task.tool, name=over, value=repr(value)[:80])


def write_out(task: Task, over: str, length: int, sizes: Mapping[int, int | None]) -> Iterator[Task]:
    """The calls of a map of this length."""
    value = task.arguments[over]
    reference = whole_reference(value)
    others = {name: other for name, other in task.arguments.items() if name != over}
    has_zipped = any(True for _ in _zipped(task, over, sizes))
    for index in range(length):
        if reference is None:
            item = value[index]
        elif is_zipped(reference, sizes):
            item = take_elements(value, index, lambda one: is_zipped(one, sizes))
        else:
            item = f"{value.removesuffix('[:]')}[{index}]"
        taken = take_elements(others, index, lambda one: is_zipped(one, sizes)) if has_zipped else others
        arguments = {name: item if name == over else taken[name] for name in task.arguments}
        yield replace(task, arguments=arguments, element=index, over=None, size=None)


def is_zipped(reference: Reference, maps: Mapping[int, object]) -> bool:
    """Whether a reference is to a map as such, and so taken element by element."""
    return reference.task in maps and not reference.path.startswith("[")


def _zipped(task: Task, over: str, maps: Mapping[int, object]) -> Iterator[Reference]:
    for name, value in task.arguments.items():
        if name != over:
            yield from (reference for reference in find_references(value) if is_zipped(reference, maps))
