"""Report, plots, summary and notes, from results of every kind."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apps.evaluation.dataset import Question
from apps.evaluation.evaluation import Evaluation
from apps.evaluation.output import notes_on, typical_question, write
from apps.evaluation.plot_style import STYLES, svg
from apps.evaluation.plots import accuracy_against_cost, latencies, timelines
from apps.evaluation.prices import Price, Prices
from apps.evaluation.report import lead
from apps.evaluation.results import ModelCall, Result, Tokens, ToolCall
from apps.evaluation.runner import Spec
from apps.evaluation.table import dollars, rows

QUESTIONS = [
    Question("a", "How high is K2?", "8611", "branch 2"),
    Question("b", "Is it?", "yes"),
    Question("c", "?", "1"),
]
ODD = Question("a", "What costs $1 or $2^{x}? 富士山 🗻 \x00\x1b[31m -->", "\\frac")
AGENTS = ("llm-compiler", "react")


def run(agent: str, question: Question, latency: float, **values: Any) -> Result:
    step = {"calls": [ModelCall("small", "plan", 0.0, latency, Tokens(1000, 0, 100))]}
    given = {"model": "openai:small", "graph": "g", "question": question.question, "expected": question.answer}
    return Result(
        **{**step, **given, "agent": agent, "question_id": question.id, "repeat": 1, "latency": latency, **values}
    )


def evaluation(out: Path, results: Sequence[Result], agents: Sequence[str] = AGENTS) -> Evaluation:
    spec = Spec(Path("questions.json"), out, "openai:small", agents, "g")
    prices = Prices(models={"small": Price(input=1, output=1)}, source="a page")
    return Evaluation(spec, QUESTIONS, prices, {result.key: result for result in results})


def answered(agent: str, *latencies: float) -> list[Result]:
    return [
        run(agent, question, latency, answer="8611", correct=True)
        for question, latency in zip(QUESTIONS, latencies, strict=False)
    ]


def test_the_question_shown_is_one_with_the_median_speedup(tmp_path: Path) -> None:
    made = evaluation(tmp_path, [*answered("llm-compiler", 1, 1, 1), *answered("react", 9, 3, 2)])
    assert typical_question(made) == "b"
    assert typical_question(evaluation(tmp_path, [])) is None
    failed = evaluation(tmp_path, [run("react", QUESTIONS[2], 1, error="e")])
    assert typical_question(failed) == "c"


def test_the_lead_says_what_came_out(tmp_path: Path) -> None:
    figures = evaluation(tmp_path, [*answered("llm-compiler", 1, 1, 1), *answered("react", 3, 3, 3)]).figures()
    assert lead(figures, "react") == (
        "llm-compiler was right in 100 % of its runs (95 % interval 44 % to 100 %), and took 1.00 s on average; react "
        "was right in 100 %, and took 3.00 s. Question by question, llm-compiler was 3.00 times as fast, and cost as "
        "much."
    )
    assert lead(evaluation(tmp_path, []).figures(), "react") == "llm-compiler has answered nothing."


def test_notes_say_what_the_figures_lack(tmp_path: Path) -> None:
    calls = [ModelCall("m", "agent", 0, 1), ModelCall("n", "agent", 0, 1, Tokens())]
    results = [
        *(replace(each, scorer="judge", verdict=True) for each in answered("llm-compiler", 1, 1)),
        run("react", QUESTIONS[0], 1, error="TimeoutError: slow"),
        run("react", QUESTIONS[1], 1, answer="x", calls=calls, scorer="judge"),
    ]
    made = evaluation(tmp_path, results)
    notes = "\n".join(notes_on(made, made.figures()))
    assert "Incomplete: 4 of 6 runs" in notes
    assert "No price is known for n: costs are left empty." in notes
    assert "react: 1 model calls did not report their tokens" in notes
    assert (
        "react: 1 of 2 runs gave no answer. They count as wrong, and for nothing else. Most often: TimeoutError"
        in notes
    )
    assert "react: 1 answers have no verdict" in notes


@pytest.mark.usefixtures("without_plots")
def test_where_words_differ_a_judge_is_suggested_and_the_page_says_why(tmp_path: Path) -> None:
    question = Question("a", "What is the capital of France?", "Paris")
    said = run("react", question, 1, answer="France is a country with the capital Paris.").scored("paper")
    made = evaluation(tmp_path, [said], ["react"])
    made.questions = [question]
    (note,) = [note for note in notes_on(made, made.figures()) if "--judge" in note]
    assert note.startswith("1 answer counts as wrong because the words differ: --scorer contains looks for")
    write(made)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "paper: the words differ: it has &#39;Paris&#39; in it, and says more" in page


@pytest.mark.parametrize(
    "results",
    [
        [],
        answered("llm-compiler", 1.0),
        [*answered("llm-compiler", 1, 2, 3), *(run("react", question, 1, error="e") for question in QUESTIONS)],
        [run(agent, question, 0.0, error="e", calls=[]) for agent in AGENTS for question in QUESTIONS],
        [run("react", ODD, 1e-9, answer="]]>&<" * 4000, tools=[ToolCall("s", "q='$x^2$ \ud800 $'", 0, 1e-9)])],
    ],
    ids=["nothing", "one run", "one agent failed", "all failed", "odd texts"],
)
def test_whatever_the_results_everything_is_written(tmp_path: Path, results: list[Result]) -> None:
    made = evaluation(tmp_path, results)
    write(made)
    summary = json.loads((tmp_path / "summary.json").read_text("utf-8"), parse_constant=pytest.fail)
    assert set(summary["agents"]) == set(AGENTS)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert page.rstrip().endswith("</html>")
    assert "]]>&<" not in page
    assert "\x1b" not in page
    assert (tmp_path / "latency.png").exists()
    assert (tmp_path / "timeline.png").exists() is bool(results)


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_plots_have_the_agents_names_as_text(tmp_path: Path, style: Any) -> None:
    tools = [ToolCall("search", "query='K2'", 0.2, 0.9), ToolCall("search", "query='Lhotse'", 0.3, 0.8)]
    results = [run(agent, QUESTIONS[0], 1.0, answer="8611", tools=tools) for agent in AGENTS]
    made = evaluation(tmp_path, results)
    runs = {agent: made.runs_of(agent) for agent in AGENTS}
    chosen = {agent: own[0] for agent, own in runs.items()}
    for figure in (latencies(runs, style), accuracy_against_cost(made.figures(), style), timelines(chosen, style)):
        text = "".join(ET.fromstring(svg(figure)).itertext())
        assert all(agent in text for agent in AGENTS)


def test_without_prices_tokens_stand_for_the_cost(tmp_path: Path) -> None:
    made = evaluation(tmp_path, answered("react", 1.0), agents=["react"])
    assert b"USD for 1,000 questions" in svg(accuracy_against_cost(made.figures()))
    made.prices = Prices(models={})
    assert b"tokens a question" in svg(accuracy_against_cost(made.figures()))


def test_figures_in_words() -> None:
    costs = (None, 0.0, 0.00123, 0.0000012, 12.0)
    assert [dollars(cost) for cost in costs] == ["–", "$0.00", "$1.23", "$0.0012", "$12,000.00"]


def test_there_is_no_speed_to_compare_with_one_agent(tmp_path: Path) -> None:
    made = evaluation(tmp_path, answered("react", 1.0), agents=["react"])
    labels = [label for label, _ in rows(made.figures(), judged=False, baseline="react")]
    assert not any("times as fast" in label for label in labels)
    assert "right by the rules" in [label for label, _ in rows(made.figures(), judged=True, baseline="react")]
