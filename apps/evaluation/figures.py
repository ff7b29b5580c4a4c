"""The figures of each agent, from its runs."""

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from apps.evaluation.prices import Prices
from apps.evaluation.results import Result

Z = 1.959964
"""Standard deviations on either side of the mean for 95 %."""


@dataclass(frozen=True)
class Speedup:
    """How many times as fast as the baseline an agent is, on the questions that both have answered."""

    of_means: float
    """The baseline's mean latency divided by the agent's."""

    median: float
    """The median, over the questions, of the baseline's latency divided by the agent's."""

    questions: int


@dataclass(frozen=True)
class Figures:
    """One agent's. Means are over its answered runs; None where there is nothing to take one of."""

    agent: str
    runs: int
    failed: int
    """Runs without an answer. They count as wrong, and for nothing else."""

    correct: int
    correct_by_rules: int
    """The same as `correct` if there is no judge."""

    unjudged: int
    """Answers without the judge's verdict, which count by the rules."""

    latency_mean: float | None
    latency_median: float | None
    latency_p95: float | None
    """Seconds, all three."""

    speedup: Speedup | None
    model_calls: float | None
    input_tokens: float | None
    cached_input_tokens: float | None
    output_tokens: float | None
    unreported_calls: int
    """Model calls, in all runs, that did not report their tokens."""

    cost: float | None
    """USD a run; None if the price of a model is unknown, or a run reported no tokens."""

    tool_calls: float | None
    replans: float | None
    overlap: float | None
    """The share of the tool time, between 0 and 1, in which a plan was still being written."""

    @property
    def accuracy(self) -> float | None:
        """The share of the runs whose answer is right."""
        return self.correct / self.runs if self.runs else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of the accuracy."""
        return wilson(self.correct, self.runs) if self.runs else None


def figures_of(
    agent: str,
    results: Sequence[Result],
    *,
    baseline: Sequence[Result],
    prices: Prices,
) -> Figures:
    """The figures of an agent.

    Args:
        agent: Its name.
        results: Its runs.
        baseline: The runs that its speed is compared with.
        prices: What tokens cost.
    """
    answered = [result for result in results if not result.error]
    latencies = [result.latency for result in answered]
    costs = [prices.cost(result) for result in answered]
    tool_seconds = sum(result.tool_seconds for result in answered)
    reporting = [result for result in answered if any(call.tokens for call in result.calls)]

    def mean(value: Callable[[Result], float], over: Sequence[Result] = answered) -> float | None:
        return statistics.fmean(map(value, over)) if over else None

    return Figures(
        agent=agent,
        runs=len(results),
        failed=len(results) - len(answered),
        correct=sum(result.right for result in results),
        correct_by_rules=sum(result.correct for result in results),
        unjudged=sum(run.scorer == "judge" and run.verdict is None for run in answered),
        latency_mean=mean(lambda result: result.latency),
        latency_median=statistics.median(latencies) if latencies else None,
        latency_p95=percentile(latencies, 95),
        speedup=speedup(results, baseline),
        model_calls=mean(lambda result: len(result.calls)),
        input_tokens=mean(lambda result: result.tokens.input, reporting),
        cached_input_tokens=mean(lambda result: result.tokens.cached_input, reporting),
        output_tokens=mean(lambda result: result.tokens.output, reporting),
        unreported_calls=sum(call.tokens is None for result in answered for call in result.calls),
        cost=statistics.fmean(cost for cost in costs if cost is not None) if costs and None not in costs else None,
        tool_calls=mean(lambda result: len(result.tools)),
        replans=mean(lambda result: result.replans),
        overlap=sum(result.overlapping_seconds for result in answered) / tool_seconds if tool_seconds else None,
    )


def speedup(results: Sequence[Result], baseline: Sequence[Result]) -> Speedup | None:
    """How much faster these runs are than the baseline's, question by question; None if there is no question that both
    have answered. Of a question that was asked repeatedly the mean latency counts."""
    own, other = _latency_by_question(results), _latency_by_question(baseline)
    both = [(other[question], own[question]) for question in own if question in other and own[question] > 0]
    if not both:
        return None
    before, after = zip(*both, strict=True)
    ratios = [slow / fast for slow, fast in both]
    return Speedup(sum(before) / sum(after), statistics.median(ratios), len(both))


def _latency_by_question(results: Sequence[Result]) -> dict[str, float]:
    found = defaultdict(list)
    for result in results:
        if not result.error:
            found[result.question_id].append(result.latency)
    return {question: statistics.fmean(latencies) for question, latencies in found.items()}


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share; right for few trials, and near 0 and 1."""
    share, z2 = successes / trials, Z * Z
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    return max(0.0, centre - half), min(1.0, centre + half)


def percentile(values: Sequence[float], percent: int) -> float | None:
    """The value below which so many percent lie, between two values on the straight line; None if there are none."""
    if len(values) < 2:
        return values[0] if values else None
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
