"""The figures of an agent, and what its tokens cost."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.evaluation.figures import figures_of, percentile, wilson
from apps.evaluation.prices import Price, PriceError, Prices, load_prices
from apps.evaluation.results import ModelCall, Result, Tokens, ToolCall

PRICES = Prices(models={"small": Price(input=1.0, cached_input=0.1, output=4.0)}, source="a page")


def run(question: str = "a", latency: float = 1.0, repeat: int = 1, **values: Any) -> Result:
    given = {"agent": "llm-compiler", "model": "openai:small", "graph": "g", "question": "?", "expected": "1"}
    return Result(**{**given, "question_id": question, "latency": latency, "repeat": repeat, **values})


def call(tokens: Tokens | None, model: str = "small") -> ModelCall:
    return ModelCall(model, "plan", 0.0, 1.0, tokens)


def figures(results: list[Result], baseline: list[Result] | None = None) -> Any:
    return figures_of("llm-compiler", results, baseline=baseline or [], prices=PRICES)


# --- accuracy


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # As published for Wilson's interval without correction.
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662)],
)
def test_the_interval_is_wilsons(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10_000).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_the_interval_holds_the_share_and_stays_within_0_and_1(share: tuple[int, int]) -> None:
    low, high = wilson(*share)
    assert 0 <= low <= share[0] / share[1] + 1e-12
    assert share[0] / share[1] - 1e-12 <= high <= 1


def test_a_failed_run_is_wrong_and_counts_for_nothing_else() -> None:
    found = figures([run(correct=True, latency=2.0), run("b", latency=90.0, error="TimeoutError")])
    assert (found.runs, found.failed, found.correct, found.accuracy) == (2, 1, 1, 0.5)
    assert (found.latency_mean, found.latency_p95) == (2.0, 2.0)


def test_verdicts_of_a_judge_decide_and_answers_without_one_go_by_the_rules() -> None:
    judged = partial(run, scorer="judge")
    found = figures(
        [
            judged("a", verdict=True),
            judged("b", correct=True, verdict=False),
            judged("c", correct=True),
            judged("d", error="e", verdict=True),
        ]
    )
    assert (found.correct, found.correct_by_rules, found.unjudged) == (2, 2, 1)


def test_without_answers_there_are_no_means() -> None:
    found = figures([run(error="e")])
    assert found.latency_mean is found.latency_p95 is found.input_tokens is found.cost is found.overlap is None
    assert figures([]).accuracy is figures([]).interval is None


# --- latency


def test_percentiles_lie_between_the_values() -> None:
    values = [4.0, 1.0, 2.0, 3.0, 5.0]
    assert [percentile(values, percent) for percent in (25, 50, 95)] == [2.0, 3.0, pytest.approx(4.8)]
    assert percentile([], 50) is None
    assert percentile([7.0], 95) == 7.0


def test_the_speedup_is_paired_by_question() -> None:
    own = [run("a", 1.0), run("b", 2.0), run("c", 4.0), run("only here", 100.0), run("d", 1.0, error="e")]
    other = [run("a", 4.0), run("b", 4.0), run("c", 4.0), run("only there", 100.0), run("d", 50.0)]
    found = figures(own, other).speedup
    assert (found.of_means, found.median, found.questions) == (pytest.approx(12 / 7), 2.0, 3)
    assert figures(own, [run("only there")]).speedup is None


def test_repeated_questions_count_once_with_their_mean() -> None:
    found = figures([run("a", 1.0, 1), run("a", 3.0, 2)], [run("a", 4.0, 1), run("a", 8.0, 2)]).speedup
    assert (found.of_means, found.questions) == (3.0, 1)


# --- work


def test_the_overlap_is_the_tool_time_during_any_plan() -> None:
    tools = [ToolCall("search", "", 0.5, 1.5), ToolCall("search", "", 2.0, 3.0), ToolCall("math", "", 4.5, 5.0)]
    found = figures([run(planning=[(0.0, 1.0), (4.0, 4.75)], tools=tools)])
    assert found.overlap == pytest.approx((0.5 + 0.25) / 2.5)
    assert (found.replans, found.tool_calls) == (1, 3)


# --- cost


def test_cached_input_is_paid_at_its_own_price() -> None:
    found = figures([run(calls=[call(Tokens(1_000_000, 400_000, 250_000))]), run("b", calls=[call(Tokens(0, 0, 0))])])
    assert found.cost == pytest.approx((0.6 + 0.04 + 1.0) / 2)
    assert (found.input_tokens, found.cached_input_tokens, found.output_tokens) == (500_000, 200_000, 125_000)


def test_the_cost_of_a_model_without_a_price_is_left_empty() -> None:
    found = figures([run(calls=[call(Tokens(1, 0, 1)), call(Tokens(1, 0, 1), "unheard-of")])])
    assert (found.cost, found.input_tokens) == (None, 2)


def test_calls_that_report_no_tokens_are_counted() -> None:
    found = figures([run(calls=[call(Tokens(1_000_000, 0, 0)), call(None)])])
    assert (found.unreported_calls, found.cost) == (1, 1.0)
    assert figures([run(calls=[call(None)])]).input_tokens is None
    assert figures([run(calls=[call(None)])]).cost is None


def test_known_models_cost_what_their_provider_asks_for_whatever_their_snapshot() -> None:
    def cost(provider: str, model: str) -> float | None:
        return load_prices().cost(run(model=f"{provider}:x", calls=[call(Tokens(1_000_000, 400_000, 250_000), model)]))

    assert cost("openai", "gpt-4.1-mini-2025-04-14") == cost("openai", "gpt-4.1-mini") == pytest.approx(0.68)
    assert cost("anthropic", "claude-haiku-4-5-20251001") == pytest.approx(1.89)
    assert cost("openai", "offline") == 0  # demo
    assert cost("openai", "llama3.1") is cost("openai", "gpt-4.1-mini-of-my-own") is None
    assert "genai-prices" in load_prices().about()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "Invalid JSON"),
        ("[]", "should be an object"),
        ('{"prices": {}}', "has no models"),
        ('{"models": {"m": {"input": 1}}}', "models.m.output: Field required"),
        ('{"models": {"m": {"input": "x", "output": 1}}}', "models.m.input: Input should be a valid number"),
        ('{"models": {"m": {"input": -1, "output": 1}}}', "models.m.input: Input should be greater"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_its_name(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "prices.json"
    path.write_text(content, "utf-8")
    with pytest.raises(PriceError, match=message) as caught:
        load_prices(path)
    assert str(path) in str(caught.value)


def test_a_table_of_ones_own_comes_first_and_without_a_price_for_cached_input_takes_that_of_input(
    tmp_path: Path,
) -> None:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({"models": {"gpt-4.1": {"input": 2, "output": 3}}}), "utf-8")
    calls = [call(Tokens(1_000_000, 500_000, 1_000_000), "gpt-4.1")]
    assert load_prices(path).cost(run(model="openai:x", calls=calls)) == 5
    with pytest.raises(PriceError, match="can't be read: No such file"):
        load_prices(tmp_path / "none.json")
