"""What no machinery can beat: an exact simulation of a workload whose machinery takes no time.

Every call starts the moment its closing parenthesis has been sent and its needs are done; joining starts when the last
call is done and the plan has ended, which is at the closing parenthesis of its join.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate

from tests.benchmarks.workloads import Workload, our_plan
from tests.support.model_server import tokens_of


@dataclass(frozen=True)
class Speed:
    """How fast the model is."""

    first_token: float = 0.3
    """Seconds from the request to the first token."""

    per_second: float = 80.0
    """Tokens a second from then on."""

    @property
    def per_token(self) -> float:
        """Seconds."""
        return 1 / self.per_second

    def until(self, tokens: int) -> float:
        """Seconds from the request until so many tokens have been sent."""
        return self.first_token + max(0, tokens - 1) * self.per_token


@dataclass(frozen=True)
class Ideal:
    """The best course of a workload, in seconds from its start."""

    closed: tuple[float, ...]
    """When each call's closing parenthesis is sent."""

    started: tuple[float, ...]
    finished: tuple[float, ...]
    join_started: float
    total: float


def ideal(workload: Workload, speed: Speed) -> Ideal:
    """The best course of a workload with the plan in the paper's syntax."""
    plan = our_plan(workload)
    *closed, planned = _sent(plan, re.finditer(r"\)$", plan, re.MULTILINE), speed)
    started: list[float] = []
    finished: list[float] = []
    for call_, at in zip(workload.calls, closed, strict=True):
        started.append(max([at, *(finished[number - 1] for number in call_.needs)]))
        finished.append(started[-1] + call_.seconds)
    join_started = max([planned, *finished])
    total = join_started + speed.until(len(tokens_of(workload.answer)))
    return Ideal(tuple(closed), tuple(started), tuple(finished), join_started, total)


def first_call_sent(plan: str, speed: Speed) -> float:
    """Seconds until a plan's first call can start: its closing parenthesis is sent, or a map's first element."""
    return next(_sent(plan, re.finditer(r'\.map\(\[".*?"|\)$', plan, re.MULTILINE), speed))


def _sent(plan: str, pieces: Iterable[re.Match[str]], speed: Speed) -> Iterator[float]:
    """When the last tokens of these pieces of a plan are sent."""
    ends = list(accumulate(len(token) for token in tokens_of(plan)))
    return (speed.until(bisect_left(ends, piece.end()) + 1) for piece in pieces)
