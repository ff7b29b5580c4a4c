"""What one run of an agent on a question gave, as a line of `results.jsonl`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple, Self

from apps.evaluation.scoring import score


class Key(NamedTuple):
    """What makes a run: with the same key it is not run, and not paid for, again."""

    agent: str
    question: str
    """The question's id."""

    repeat: int
    model: str
    graph: str


@dataclass(frozen=True)
class Tokens:
    """The tokens of one model or more calls."""

    input: int = 0
    """All that was read, cached or not."""

    cached_input: int = 0
    """The part of it that the provider had in its cache."""

    output: int = 0

    def __add__(self, other: Self) -> "Tokens":
        return Tokens(self.input + other.input, self.cached_input + other.cached_input, self.output + other.output)


@dataclass(frozen=True)
class ModelCall:
    """A call of a model. Times are seconds since the run began."""

    model: str
    """As its provider names it."""

    purpose: str
    """`plan`, `join`, the name of the tool that it was made for, or of the graph's node."""

    started: float
    finished: float
    tokens: Tokens | None = None
    """None if the model did not report them."""

    error: str = ""


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool. Times are seconds since the run began."""

    tool: str
    arguments: str
    """As the plan language writes them, cut where they are long."""

    started: float
    finished: float
    error: str = ""


@dataclass(frozen=True)
class Result:
    """A run: one agent, one question, once."""

    agent: str
    question_id: str
    repeat: int
    """From 1."""

    model: str
    """As `provider:model`."""

    graph: str
    question: str
    expected: str
    answer: str = ""
    scorer: str = "paper"
    correct: bool = False
    """By the scorer; a judge's verdicts are in a file of their own, and until then the paper's rules count."""

    why: str = ""
    """Why the scorer finds so."""

    error: str = ""
    """Why there is no answer; empty if there is one."""

    began: str = ""
    """Date and time, UTC."""

    latency: float = 0.0
    """Seconds from the question to the answer, or to the error."""

    plans: Sequence[str] = ()
    """The plans as the model wrote them; more than one after replans."""

    planning: Sequence[tuple[float, float]] = ()
    """From when to when each plan was written, in seconds since the run began."""

    calls: Sequence[ModelCall] = ()
    tools: Sequence[ToolCall] = ()

    @property
    def key(self) -> Key:
        """What makes this run."""
        return Key(self.agent, self.question_id, self.repeat, self.model, self.graph)

    def scored(self, scorer: str) -> Self:
        """The same, scored."""
        if self.error:
            return replace(self, scorer=scorer)
        said = score(self.question, self.expected, self.answer, scorer)
        return replace(self, scorer=scorer, correct=said.right, why=said.why)

    @property
    def tokens(self) -> Tokens:
        """Of all its model calls, as far as they were reported."""
        return sum((call.tokens for call in self.calls if call.tokens), Tokens())

    @property
    def replans(self) -> int:
        """How many plans were made after the first one."""
        return max(0, len(self.planning) - 1)

    @property
    def tool_seconds(self) -> float:
        """How long its tools took, one after another."""
        return sum(tool.finished - tool.started for tool in self.tools)

    @property
    def overlapping_seconds(self) -> float:
        """The part of it in which a plan was still being written."""
        return sum(
            max(0.0, min(tool.finished, end) - max(tool.started, start))
            for tool in self.tools
            for start, end in self.planning
        )

    def to_json(self) -> dict[str, Any]:
        """Its JSON object, with the sums that people look for."""
        sums = {"tokens": asdict(self.tokens), "replans": self.replans}
        return {**asdict(self), **sums}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The result of a JSON object; fields that are not known here are left out.

        Raises:
            TypeError, KeyError, ValueError: The object is not one of a result.
        """
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        calls = [
            ModelCall(**{**call, "tokens": Tokens(**call["tokens"]) if call["tokens"] else None})
            for call in known.pop("calls", ())
        ]
        tools = [ToolCall(**call) for call in known.pop("tools", ())]
        planning = [(float(start), float(end)) for start, end in known.pop("planning", ())]
        return cls(**known, calls=calls, tools=tools, planning=planning)
