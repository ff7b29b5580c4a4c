"""The race runs, and its report says what went wrong."""

from pathlib import Path
from typing import Any

from tests.benchmarks.cost import cost
from tests.benchmarks.ideal import Speed, ideal
from tests.benchmarks.peers import CONTESTANTS, Contestant
from tests.benchmarks.punctuality import punctuality
from tests.benchmarks.race import Result, model_server, race, summaries
from tests.benchmarks.report import report
from tests.benchmarks.workloads import WORKLOADS, our_plan
from tests.support.model_server import tokens_of
from tests.support.prepared_python import prepared

FAST = Speed(first_token=0.01, per_second=2000.0)
ABOUT = {"date": "today", "command": "bench", "cores": 2, "python": "3", "system": "any"}
LOAD = {"load_before": 0.0, "load_after": 0.0}


class Prepared(Contestant):
    """Starts faster."""

    @property
    def command(self) -> list[str]:
        return prepared(*super().command[1:])


CALLS = {"llm-compiler": 2, "react": 8}


def test_agents_do_all_the_work(tmp_path: Path) -> None:
    contestants = [Prepared(known.name, known.script, known.arguments) for known in CONTESTANTS if known.name in CALLS]
    results = list(race(contestants, ["diamond"], repeat=1, speed=FAST, logs=tmp_path))
    assert {result.contestant: result.calls for result in results} == CALLS
    for result in results:
        assert (result.workload, result.error) == ("diamond", "")
        assert result.input > 0
        assert result.output > 0
        assert result.first_start is not None


def test_every_token_of_the_server_arrives(tmp_path: Path) -> None:
    with model_server(FAST, tmp_path / "log") as (_, address):
        assert punctuality(address, FAST, "eight")["tokens"] == len(tokens_of(our_plan(WORKLOADS["eight"])))


def test_what_questions_cost_is_measured_of_all_that_they_do(tmp_path: Path) -> None:
    contestants = [Prepared(known.name, known.script, known.arguments) for known in CONTESTANTS if known.name in CALLS]
    rows = cost(contestants, ["two"], repeat=1, logs=tmp_path, questions=2)
    assert [(row["contestant"], row["streamed"], row["error"]) for row in rows] == [
        (name, streamed, "") for streamed in (False, True) for name in CALLS
    ]
    assert all(row["ms"] > 0 for row in rows)


def results(*race: Result) -> dict[str, Any]:
    rows = summaries(race, Speed())
    return {
        "about": ABOUT | LOAD,
        "machinery": {},
        "versions": {},
        "missing": {"gone": "no such package"},
        "race": rows,
        "punctuality": {"tokens": 10, "median_ms": 1.0, "max_ms": 2.0},
    }


def result(contestant: str, seconds: float, error: str = "", tokens: int = 100) -> Result:
    ratio = seconds / ideal(WORKLOADS["two"], Speed()).total
    return Result(contestant, "two", seconds, ratio, 2, tokens, 10, 0.004, 0.001, error)


def test_the_report_has_the_median_and_says_what_holds() -> None:
    best = ideal(WORKLOADS["two"], Speed()).total
    text = report(results(*(result("llm-compiler", best * ratio) for ratio in (1.01, 1.5, 1.02)), result("react", 9)))
    assert "| **llm-compiler** | 1.020 (1.010–1.500) |" in text
    assert "| every workload within 1.03 of the ideal | 1.020 (two) | holds |" in text
    assert "| the first task starts within 5 ms of its parenthesis | 4.0 ms | holds |" in text
    assert "gone could not be installed: no such package" in text
    assert (
        "the 10 tokens of a plan reach a bare socket 1.0 ms after they are due in the median, and 2.0 ms at most"
        in text
    )


def test_a_missed_target_and_a_failed_run_are_seen() -> None:
    text = report(
        results(result("llm-compiler", 9.0), result("llm-compiler-direct", 2.0), result("react", 1.0, "it broke"))
    )
    assert "**missed**" in text
    assert "✗ react on two: it broke" in text
    assert "best other" not in text, "a failed run is no yardstick"


def test_runs_at_once_are_compared_with_ten_of_the_same_kind() -> None:
    costs = {700: (18.0, 1008.0), 50_000: (8.0, 10.0), 0: (6.0, 6.0)}
    runs = [
        {"runs": runs, "threshold": threshold, "seconds": 1.0, "calls_per_second": 1.0}
        | {"cpu_ms_per_run": cost, "memory_kb_per_run": 1.0}
        for threshold, both in costs.items()
        for runs, cost in zip((10, 1000), both, strict=True)
    ]
    machinery = {
        "overhead": [{"calls": 10, "all_ms": 1.0, "langgraph_ms": 0.1, "langchain_ms": 0.1, "own_ms": 0.8}],
        "checkpointers": [{"calls": 100, "none_ms": 1.0, "memory_ms": 1.0, "sqlite_ms": 1.0}],
        "many_runs": runs,
        "parser": [{"bytes": 10, "whole_mb_s": 6.0, "tokens_mb_s": 3.0}],
    }
    text = report(results() | {"machinery": machinery})
    assert "| 1,000 | 1.00 | 1 | 1008.0 | 10.0 | 6.0 | 1 |" in text
    assert "1,000 runs at once cost at most 1.3 times as much per run as ten | 56.00 times | **missed** |" in text
    assert "as ten, with the servers' threshold | 1.25 times | holds |" in text
    assert "as ten, without garbage collection | 1.00 times | holds |" in text
    assert "| the parser reads more than 0.5 MB/s | 6.00 MB/s | holds |" in text


def test_the_report_has_what_questions_cost_and_how_slow_tails_are() -> None:
    costs = [
        {"contestant": "react", "workload": "two", "streamed": False, "ms": 12.3, "error": "1 of 20 right answers"}
    ]
    tails = {"llm-compiler-direct": {"p50": 1.234, "p95": 4.5}, "llm-compiler-direct, hedged": {"p50": 1, "p95": 2}}
    text = report(results(result("react", 4.0)) | {"cost": costs, "tails": tails})
    assert "|  | two | two, streamed |" in text
    assert "| react | 12 ✗ |  |" in text
    assert "✗ react on two: 1 of 20 right answers" in text
    assert "| llm-compiler-direct | 1.23 | 4.50 |" in text
    assert "`hedged` at least halves the 95th percentile with slow searches | 0.44 | holds |" in text


def test_with_maps_the_best_other_is_the_yardstick() -> None:
    others = result("react", 4.0, tokens=990), result("llmcompiler", 2.0, tokens=190)
    text = report(results(result("llm-compiler-direct", 1.0, tokens=90), *others))
    assert (
        "| with maps and direct joins, at most 0.75 of the best other's latency in the median | 0.50 | holds |" in text
    )
    assert "| at most 0.6 of the tokens of the best LLMCompiler peer | 0.50 (two) | holds |" in text
