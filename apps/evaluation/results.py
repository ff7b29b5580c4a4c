"""What one run of an agent on a question gave, as a line of `results.jsonl`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple, Self

from pydantic import TypeAdapter

from apps.evaluation.scoring import score


class Key(NamedTuple):
    """What makes a run of an evaluation: with the same key it is not run, and not paid for, again."""

    agent: str
    question: str
    """The question's id."""

    repeat: int


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
    """By the scorer; the paper's rules count as long as a judge has said nothing."""

    why: str = ""
    """Why the scorer, or the judge, finds so."""

    judge: str = ""
    """The model that has judged the answer; empty if none has."""

    verdict: bool | None = None
    """What it said; None if it has said nothing."""

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
        return Key(self.agent, self.question_id, self.repeat)

    @property
    def right(self) -> bool:
        """Whether the answer is right: as the judge says, or without a verdict, by the scorer."""
        return not self.error and (self.correct if self.verdict is None else self.verdict)

    def scored(self, scorer: str, judge: str = "") -> Self:
        """The same, scored; a verdict stays if it is that of this judge."""
        if self.error or (scorer == "judge" and self.verdict is not None and self.judge == judge):
            return replace(self, scorer=scorer)
        said = score(self.question, self.expected, self.answer, scorer)
        return replace(self, scorer=scorer, correct=said.right, why=said.why, judge="", verdict=None)

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
        return {**asdict(self), "right": self.right, "tokens": asdict(self.tokens), "replans": self.replans}


RESULT = TypeAdapter(Result)
"""Reads the object back; fields that are not known here are left out."""
