"""Where a task waits for what it depends on: the results that its arguments refer to, which are put in for the
references."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_core.messages import ToolMessage

from agent.conversation.messages import value_for
from agent.executor.outcomes import BlockedError, Outcomes
from agent.language.plan import Map, MapError
from agent.language.references import (
    SUM,
    FailedElement,
    NoElementsError,
    Reference,
    UnresolvedReferenceError,
    find_references,
    follow,
    is_text,
    substitute,
    whole_reference,
)
from agent.language.tasks import Key, Signature, Task, name_of
from agent.language.values import as_list, digest, to_text

SKIPPED = "Not run: it needs task {name}, which failed: {reason}"
NO_SUCH_TASK = "{reference} refers to task {number}, and there is no such task. For the text, write \\{reference}."
FAILED_ELEMENT = "(failed: {reason})"


class DependencyFailedError(Exception):
    """A task failed that another one needs."""

    def __init__(self, needed: Key, failure: ToolMessage, why: str = SKIPPED) -> None:
        skipped = failure.response_metadata.get("skipped")
        super().__init__(failure.text if skipped else why.format(name=name_of(needed), reason=failure.text))
        self.skipped = {"skipped": True, **({"rejected": True} if was_rejected(failure) else {})}
        """What the observation of the other one tells of it."""


def was_rejected(failure: ToolMessage) -> bool:
    """Whether a person has rejected the call, or one without which it wasn't made."""
    told = failure.response_metadata
    return told.get("decision") == "reject" or bool(told.get("rejected"))


ResolveError = BlockedError | DependencyFailedError | UnresolvedReferenceError | MapError
"""Why a task can't be given what it refers to."""


@dataclass(frozen=True)
class Inputs:
    """What a task's arguments stand for."""

    arguments: dict[str, Any]
    error: ResolveError | None = None
    """Why they stand for nothing."""

    def digest(self) -> str:
        """Tells whether two runs of the same words were given the same."""
        if isinstance(self.error, BlockedError):
            return ""
        return digest(str(self.error) if self.error else to_text(self.arguments))


@dataclass
class _Found:
    """What a reference refers to, without its path."""

    value: Any
    of_many: bool
    """Whether it is a map's list, in which something may have failed and something not."""

    failed: list[DependencyFailedError] = field(default_factory=list)


@dataclass
class Resolver:
    """Puts results in for references. Everything here waits until they are there, and raises `GraphInterrupt` if that
    takes the answer to a tool's interrupt."""

    outcomes: Outcomes
    """What comes of the tasks."""

    signatures: Mapping[str, Signature]
    last: int = 0
    """The highest number of the plan, when it has ended."""

    async def inputs(self, task: Task) -> Inputs:
        """The task's arguments with the results put in. Where something failed in a map that they refer to, an argument
        that takes a list has the error in its place, unless all failed."""
        try:
            return Inputs(await self._arguments(task))
        except (BlockedError, DependencyFailedError, UnresolvedReferenceError) as error:
            return Inputs({}, error)

    async def _arguments(self, task: Task) -> dict[str, Any]:
        tool = self.signatures[task.tool]
        found: dict[str, _Found | None] = {}
        for name, value in task.arguments.items():
            for reference in find_references(value):
                if reference.text not in found:
                    found[reference.text] = await self._find(reference)
                result = found[reference.text]
                if result and tool.changes and reference.task > task.number and not reference.certain:
                    raise UnresolvedReferenceError(SUM.format(written=reference.text, task=reference.task))
                if result is None or not result.failed:
                    continue
                takes_errors = result.of_many and name in tool.lists and len(result.failed) < len(result.value)
                if not takes_errors:
                    raise result.failed[0]
        resolved: dict[str, Any] = substitute(
            task.arguments, lambda reference: self._value(found[reference.text], reference)
        )
        return resolved

    async def written_out(self, task: Task, over: str) -> list[Task]:
        """The calls of a map whose length is known only now.

        Raises:
            BlockedError: A task that it refers to waits for an approval.
            DependencyFailedError: A task that it refers to failed.
            UnresolvedReferenceError: There is no such task, or no such part of its result.
            MapError: There is no list, or the lengths differ.
        """
        sizes: dict[int, int | None] = {}
        for reference in find_references(task.arguments):
            outcome = await self.outcomes.of((reference.task, None))
            if isinstance(outcome, int):
                sizes[reference.task] = outcome
            elif outcome and outcome.status == "error":
                raise DependencyFailedError((reference.task, None), outcome)
        map_ = Map(task, over, sizes, self.signatures[task.tool].single)
        length = map_.length()
        if length is None:
            try:
                length = await self._length(map_)
            except MapError:
                if (instead := map_.list_beside()) is None:
                    raise
                return await self.written_out(task, instead)
            map_.check(length)
        if not length:
            return []
        lists = [
            (name, reference.text)
            for name, reference in map_.maybe_lists()
            if len(as_list(await self._part(reference)) or ()) == length
        ]
        return list(replace(map_, lists=lists).calls(length))

    async def _length(self, map_: Map) -> int:
        reference = whole_reference(map_.task.arguments[map_.over])
        assert reference is not None, "a map's length is in the plan, or in what it refers to"
        try:
            value = await self._part(reference)
        except NoElementsError:
            return 0
        items = as_list(value)
        if items is None:
            raise map_.no_list(value)
        return len(items)

    async def _part(self, reference: Reference) -> Any:
        """What a reference stands for; its text, if it is none."""
        found = await self._find(reference)
        if found and found.failed:
            raise found.failed[0]
        with suppress(LookupError):
            return follow(self._value(found, reference), reference)
        return reference.text

    def _value(self, found: _Found | None, reference: Reference) -> Any:
        if found is not None:
            return found.value
        if is_text(reference, self.last):
            raise LookupError(reference.text)
        raise UnresolvedReferenceError(NO_SUCH_TASK.format(reference=reference.text, number=reference.task))

    async def _find(self, reference: Reference) -> _Found | None:
        """What a reference refers to; None if there is no such task."""
        number, index = reference.task, reference.element
        outcome = await self.outcomes.of((number, None))
        if outcome is None:
            return None
        found = _Found(None, of_many=isinstance(outcome, int) and index is None)

        def value_of(key: Key, message: ToolMessage) -> Any:
            if message.status == "error":
                found.failed.append(DependencyFailedError(key, message))
                return FailedElement(FAILED_ELEMENT.format(reason=message.text))
            return value_for(reference, message, of_map=key[1] is not None)

        if isinstance(outcome, ToolMessage):
            found.value = value_of((number, None), outcome)
            return found
        found.value = [None] * outcome
        for element in reference.elements(outcome):
            message = await self.outcomes.of((number, element))
            assert isinstance(message, ToolMessage), "each element of a map has an observation"
            found.value[element] = value_of((number, element), message)
        return found
