"""What a tool's metadata, `tool.metadata = {…}`, says of how it wants to be called."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields

from langchain_core.tools import BaseTool


@dataclass(frozen=True)
class Metadata:
    """The metadata that this agent knows."""

    side_effects: bool | str | Sequence[str] = False
    """Whether a call changes something; or what, by a name or several."""

    reads: str | Sequence[str] | None = None
    """What a call reads, by a name or several; None if that isn't said."""

    requires_approval: bool | None = None
    """Whether a person decides about each call; None for a tool that leaves it to what was in view."""

    trusted: bool | None = None
    """Whether its results are nobody else's words; None if that isn't said."""

    timeout: float | None = None
    """Seconds that a call may take; None for the run's own."""

    retries: int | None = None
    """How often a call is tried again; None for the run's own."""

    cache: bool = True
    """Whether a call need not be made again where an identical one was."""


_KNOWN = frozenset(field.name for field in fields(Metadata))


def metadata_of(tool: BaseTool) -> Metadata:
    """What the tool's metadata says; there may be more in it, of others."""
    return Metadata(**{name: value for name, value in (tool.metadata or {}).items() if name in _KNOWN})


def changes_something(tool: BaseTool, requires_approval: Collection[str] = ()) -> bool:
    """Whether a call of the tool changes something, or may: it has side effects, or takes a person's approval.

    Args:
        tool: The tool.
        requires_approval: The tools that take one by the run's settings.
    """
    metadata = metadata_of(tool)
    return bool(metadata.side_effects or metadata.requires_approval) or tool.name in requires_approval
