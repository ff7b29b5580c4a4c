"""References in the plan language: `$1`, `${1}`, `$1.price`, `$1[0].name`, `$1["unit price"]`, `$1[:]`
(or `$1[*]`, `$1[]`).

Arguments are JSON values; a reference stands in their strings. A string that is exactly one reference stands for the
value itself, with its type; inside a longer string a reference is interpolated as text. Substitution is done once, on
the planned arguments: what a result contains is never looked at again.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agent.language.values import as_container, inside_text, to_text

PATH = r"(?:\.[^\W\d]\w*|\[(?:-?[0-9]{1,9}|[:*]?|\"[^\"\]]*\"|'[^'\]]*')\])*"
_PRICE = r"(?![0-9]|\.[0-9]|,[0-9]{3}(?![0-9]))"
PATTERN = re.compile(rf"\\\$(?=\{{?[0-9])|\$(?:\{{([0-9]{{1,9}})({PATH})\}}({PATH})|([0-9]{{1,9}}){_PRICE}({PATH}))")
"""A reference in a string; `$1.50` and `$1,000` are prices. A backslash before it makes it text."""

LEFT_OVER = (
    "{behind!r} follows {reference}, and is no part of it: a reference ends in names and places such as ${task}.name, "
    "${task}[0] and ${task}[:]; there are no slices and no filters."
)

SUM = (
    "{written} may be a sum of money here, or task {task}'s result. Write \\{written} for the sum, and ${{{task}}} for "
    "the result."
)
_CURRENCY = re.compile(r"(?<!\w)(?:US|HK|AU|CA|NZ|SG|NT|MX|[ACRS])\Z")

_LEFT_OVER = re.compile(r"->\w|::\w|\.(?:[\[*]|\.\w|\d)")
_LEFT_OVER_OF_RECORDS = re.compile(r"[/|]\s?[^\W\d]")
"""What looks like a part of a reference, and is none. Behind a text or a number, it is text."""

_STEP = re.compile(r"\.(\w+)|\[(?:(-?[0-9]+)|[:*]?|\"([^\"]*)\"|'([^']*)')\]")
_WHOLE_LIST = re.compile(r"\[[:*]?\]")
_SENTENCE_END = re.compile(r"\.[^\W\d_a-z]\w*")
_ELEMENT = re.compile(r"\[(-?[0-9]+)\]")


@dataclass(frozen=True, slots=True)
class Reference:
    """One place in an argument that stands for (a part of) a task's result."""

    text: str
    """As written, such as `$1[0].name`."""

    task: int
    """The number of the task."""

    path: str
    """What follows the number, such as `[0].name`; empty for the whole result."""

    whole: bool
    """Whether the argument is this reference and nothing else."""

    @property
    def element(self) -> int | None:
        """The element that the path begins with, as 0 in `$1[0].name`; negative ones count from the end."""
        match = _ELEMENT.match(self.path)
        return int(match[1]) if match else None

    def elements(self, size: int) -> range:
        """Which of this many elements it is to: all, or one, or none if it is out of range."""
        index = self.element
        return range(size) if index is None else range(size)[index : index + 1 or None]

    @property
    def certain(self) -> bool:
        """Whether it can't be meant as a price (`$100`): it is a whole argument, in braces, or has a path."""
        return self.whole or bool(self.path) or self.text.startswith("${")


class UnresolvedReferenceError(ValueError):
    """A reference can't be given a value; the message says why."""


class FailedElement(str):
    """Why an element of a map's list has no result, in its place. It has no parts, and stands for any of them."""

    __slots__ = ()


class NoElementsError(UnresolvedReferenceError):
    """It asks for a field of each element of a list that has none."""


def find_references(value: Any) -> Iterator[Reference]:
    """All references in a JSON value, in the order of the text."""
    if isinstance(value, str):
        for match in PATTERN.finditer(value):
            if not match[0].startswith("\\"):
                yield _reference(match)
    elif isinstance(value, list):
        for item in value:
            yield from find_references(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from find_references(item)


def whole_reference(value: Any) -> Reference | None:
    """The reference that an argument is and nothing else; None if it is more, or none."""
    match = PATTERN.fullmatch(value) if isinstance(value, str) else None
    return _reference(match) if match and not match[0].startswith("\\") else None


def renumber(value: Any, numbers: Mapping[int, int]) -> Any:
    """The JSON value with each reference to task `n` turned into one to task `numbers[n]`, where there is one."""

    def written(reference: Reference) -> str:
        number = str(reference.task)
        return reference.text.replace(number, str(numbers.get(reference.task, number)), 1)

    return rewrite(value, written)


def keep_sums(value: Any, number: int) -> Any:
    """The JSON value of task `number`, with what can't be a reference in it made text: no task asks "what $1 bought in
    1950" of itself."""

    def written(reference: Reference) -> str:
        is_sum = reference.task == number and not reference.certain
        return f"\\{reference.text}" if is_sum else reference.text

    return rewrite(value, written)


def rewrite(value: Any, change: Callable[[Reference], str]) -> Any:
    """The JSON value with each reference in it written anew."""

    def written(match: re.Match[str]) -> str:
        return match[0] if match[0].startswith("\\") else change(_reference(match))

    return _map_strings(value, lambda text: PATTERN.sub(written, text))


def substitute(value: Any, lookup: Callable[[Reference], Any]) -> Any:
    """The JSON value with the results put in for its references.

    Args:
        value: Planned arguments.
        lookup: Gives the result of the reference's task (without its path), or raises `LookupError` when this
            reference is no reference but text.

    Raises:
        UnresolvedReferenceError: A path doesn't fit its result; or what `lookup` raises.
    """

    def interpolate(match: re.Match[str]) -> str:
        if match[0].startswith("\\"):
            return match[0][1:]
        reference = _reference(match)
        try:
            result = lookup(reference)
        except LookupError:
            return match[0]
        if not reference.certain and _CURRENCY.search(match.string, max(match.start() - 3, 0), match.start()):
            raise UnresolvedReferenceError(SUM.format(written=reference.text, task=reference.task))
        if reference.path and as_container(result) is None and _is_text_behind(reference, match):
            return to_text(result) + reference.path
        if behind := _left_over(result, reference, match.string[match.end() : match.end() + 3]):
            raise UnresolvedReferenceError(
                LEFT_OVER.format(behind=behind, reference=reference.text, task=reference.task)
            )
        return inside_text(follow(result, reference))

    def resolve(text: str) -> Any:
        match = PATTERN.fullmatch(text)
        if match is None or text.startswith("\\"):
            return PATTERN.sub(interpolate, text)
        reference = _reference(match)
        return follow(lookup(reference), reference)

    return _map_strings(value, resolve)


def _left_over(result: Any, reference: Reference, behind: str) -> str:
    """What follows a reference in a text as if it were a part of it."""
    if behind.startswith("["):
        return "["
    if not (_LEFT_OVER.match(behind) or _LEFT_OVER_OF_RECORDS.match(behind)):
        return ""
    value = as_container(follow(result, reference))
    is_record = isinstance(value, dict) or any(as_container(item) is not None for item in value or ())
    return behind if is_record or (value is not None and _LEFT_OVER.match(behind)) else ""


def _is_text_behind(reference: Reference, match: re.Match[str]) -> bool:
    """Whether the path of a reference to a scalar is none: the next sentence, as in `$1.Then`, or the end of a longer
    name, as in `report_$1.pdf`."""
    if reference.path.startswith("["):
        return False
    before = match.string[: match.start()][-1:]
    is_name = before.isalnum() or before in ("_", "-", ".", "/")
    return is_name or ("{" not in reference.text and _SENTENCE_END.fullmatch(reference.path) is not None)


def follow(result: Any, reference: Reference) -> Any:
    """The part of a result that the reference's path leads to.

    Steps lead into dicts, lists, the fields of data classes and Pydantic models, and into JSON text. A name leads from
    a list to that of each element: `$1.price` of a list of offers is the list of their prices.

    Raises:
        NoElementsError: It would be a field of each element of an empty list.
        UnresolvedReferenceError: There is no such part; the message lists what there is.
    """
    value = result
    for match in _STEP.finditer(reference.path):
        container = as_container(value)
        try:
            value = _step(container, match)
        except (KeyError, IndexError, TypeError):
            is_of_each = isinstance(container, list | tuple) and not container and match[2] is None
            raise (NoElementsError if is_of_each else UnresolvedReferenceError)(
                f"{reference.text} does not exist: {_describe(container, value)} has no {match[0]}."
            ) from None
    return value


def _step(container: Any, match: re.Match[str]) -> Any:
    if container is None:
        raise KeyError(match[0])
    if not isinstance(container, dict):
        if match[0] == "[:]":
            return container
        if match[2] is None and container:  # a name: that of each element
            return [item if isinstance(item, FailedElement) else _step(as_container(item), match) for item in container]
    return container[int(match[2]) if match[2] is not None else match[1] or match[3] or match[4] or ""]


def _reference(match: re.Match[str]) -> Reference:
    braced, inner, outer, bare, path = match.groups(default="")
    return Reference(
        text=match[0],
        task=int(braced or bare),
        path=_WHOLE_LIST.sub("[:]", inner + outer + path),
        whole=match.end() - match.start() == len(match.string),
    )


def _map_strings(value: Any, change: Callable[[str], Any]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_map_strings(item, change) for item in value]
    if isinstance(value, dict):
        return {key: _map_strings(item, change) for key, item in value.items()}
    return value


def _describe(container: Any, value: Any) -> str:
    if isinstance(container, dict):
        names = ", ".join(str(name) for name in list(container)[:20])
        return f"a result with the fields {names}" if names else "an empty result"
    if container is not None:
        return f"a list of {len(container)}"
    return f"the text {to_text(value)[:60]!r}" if isinstance(value, str) else f"the value {to_text(value)[:60]}"


def is_text(reference: Reference, last: int) -> bool:
    """Whether a reference to a task that the finished plan doesn't have is just text, like the price in "under $100".

    It is an error if it can only be meant as a reference, or if its number lies among the plan's own.

    Args:
        reference: A reference to a task that doesn't exist.
        last: The highest number of the plan.
    """
    return not reference.certain and not 0 < reference.task <= last
