"""Pictures of runs: what is marked, what is written, and that nothing in a run can break them."""

import importlib.util
import re
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from agent.language.values import render_call
from apps.pictures.pictures import (
    GRAPH_FORMATS,
    TIMELINE_FORMATS,
    PictureError,
    check,
    mermaid,
    plan_graph,
    save_plan_graph,
    save_timeline,
    timeline,
)
from apps.pictures.plan_dag import critical_path, needs_of, steps_of
from apps.runs.palette import LIGHT
from apps.runs.run import Round, Run, Span, TaskRun
from tests.support.model_server import ModelServer
from tests.support.mountains import PLAN
from tests.support.terminal import COMMAND, environment, mountains

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = (
    "$1 $\\frac{a}{b}$ </text><script>alert(1)</script> \"'&#; ]]> \x00\x1b[31m 日本 🎬 \u202e \ud800 \uffff"
    + "long " * 70
)


def task(
    number: int,
    start: float | None,
    end: float | None,
    *needs: int,
    planned: float | None = None,
    element: int | None = None,
    **fields: Any,
) -> TaskRun:
    """A task that ran from one time to another, in seconds from the run's start."""
    start, end, planned = (None if time is None else 1000 + time for time in (start, end, planned))
    fields = {"tool": "search", "call": f'search("task {number}")', "state": "done", "outcome": "found"} | fields
    made = TaskRun(start, end, number=number, element=element, dependencies=list(needs), **fields)
    vars(made).update(planned=planned)
    return made


def span(start: float, end: float) -> Span:
    return Span(1000 + start, 1000 + end)


def run_of(*rounds: Round, question: str = "Which is it?") -> Run:
    run = Run(question, list(rounds))
    run.model = "test:model"
    return run


def diamond() -> Run:
    tasks = [task(1, 0.5, 1.0), task(2, 0.6, 2.0), task(3, 2.0, 2.5, 1, 2, planned=0.7), task(4, 0.8, 1.1, 1)]
    return run_of(Round(plan=span(0, 0.9), tasks=tasks, join=span(2.5, 3)))


def failing() -> Run:
    tasks = [
        task(1, 0.5, 1.0),
        task(2, 0.6, 1.5, state="failed", outcome="ConnectionError: no route"),
        task(
            3, None, 1.5, 1, 2, state="skipped", outcome="Not run: it needs task 2", tool="math", call='math("task 3")'
        ),
    ]
    return run_of(Round(plan=span(0, 0.9), tasks=tasks, join=span(1.5, 2)))


def replanned() -> Run:
    first = Round(plan=span(0, 1), tasks=[task(1, 0.5, 1.5)], join=span(1.5, 2))
    second = Round("Not yet", plan=span(2, 3), tasks=[task(2, 2.5, 3.5, 1), task(3, 2.6, 3.4)], join=span(3.5, 4))
    return run_of(first, second)


def texts(svg: str) -> list[str]:
    """What a reader sees, without the hints."""
    return ["".join(text.itertext()).strip() for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def hints(svg: str) -> dict[str, str]:
    """What is shown on hovering, by the id of the element."""
    found = ((element, element.find(f"{SVG}title")) for element in ElementTree.fromstring(svg).iter())
    return {element.get("id", ""): title.text or "" for element, title in found if title is not None}


# --- what the time went into


def numbers(chain: list[Span]) -> list[int]:
    return [step.number for step in chain if isinstance(step, TaskRun)]


def test_the_chain_goes_from_the_plan_through_what_was_waited_for_to_the_join() -> None:
    (round_,) = diamond().rounds
    chain = critical_path(round_)
    assert chain[0] is round_.plan
    assert numbers(chain) == [2, 3]
    assert chain[-1] is round_.join


def test_tools_that_are_done_before_the_plan_are_not_in_the_chain() -> None:
    (round_,) = run_of(Round(plan=span(0, 5), tasks=[task(1, 1, 2)], join=span(5, 6))).rounds
    assert critical_path(round_) == [round_.plan, round_.join]


def test_a_task_that_was_planned_after_its_dependencies_were_done_waited_for_the_plan() -> None:
    tasks = [task(1, 0.5, 1.0, planned=0.5), task(2, 3.0, 4.0, 1, planned=3.0)]
    (round_,) = run_of(Round(plan=span(0, 3.1), tasks=tasks, join=span(4, 5))).rounds
    assert numbers(critical_path(round_)) == [2]


def test_what_has_not_happened_is_not_in_the_chain() -> None:
    assert critical_path(Round()) == []
    (round_,) = run_of(Round(plan=Span(1000), tasks=[task(1, 1, None, state="running")])).rounds
    assert critical_path(round_) == [round_.plan, round_.tasks[0]]


def test_circles_and_tasks_that_do_not_exist_do_not_trap_the_chain() -> None:
    tasks = [task(1, 1, 2, 2), task(2, 1, 2, 1), task(3, 2, 3, 3, 9)]
    (round_,) = run_of(Round(plan=span(0, 1), tasks=tasks, join=span(3, 4))).rounds
    assert numbers(critical_path(round_)) == [3]


def test_an_element_of_a_map_needs_the_element_that_it_refers_to() -> None:
    first = [task(1, 0, 1, element=element) for element in range(3)]
    one = task(2, 1, 2, 1, element=1, planned_arguments={"context": "$1[1]"})
    whole = task(3, 1, 2, 1, planned_arguments={"context": "$1"})
    assert needs_of(one, [*first, one, whole]) == [first[1]]
    assert needs_of(whole, [*first, one, whole]) == first


# --- the graph


def test_a_later_plan_follows_the_join_that_asked_for_it() -> None:
    steps, edges = steps_of(replanned())
    assert [step.id for step in steps] == ["task1", "join0", "task2", "task3", "join1"]
    assert set(edges) == {
        *(("task1", "join0"), ("join0", "task2"), ("join0", "task3"), ("task1", "task2")),
        *(("task2", "join1"), ("task3", "join1")),
    }
    assert {edge for edge, critical in edges.items() if critical} == {
        *(("task1", "join0"), ("join0", "task2"), ("task2", "join1")),
    }


def test_the_graph_as_mermaid() -> None:
    assert mermaid(failing()).partition("    classDef")[0] == (
        "graph TD\n"
        '    task1["1. search<br/>#34;task 1#34;<br/>0.50 s"]\n'
        '    task2["2. search<br/>#34;task 2#34;<br/>failed 0.90 s"]\n'
        '    task3["3. math<br/>#34;task 3#34;<br/>skipped"]\n'
        '    join0(["join<br/>0.50 s"])\n'
        "    task1 --> task3\n"
        "    task2 --> task3\n"
        "    task3 --> join0\n"
    )
    assert "class task2 failed\n" in mermaid(failing())
    assert "class task3 skipped\n" in mermaid(failing())


def test_mermaid_has_the_colours_of_every_view() -> None:
    colours = set(re.findall(r"#\w{6}\b", mermaid(failing())))
    assert colours == {LIGHT.surface, LIGHT.text, LIGHT.failed, LIGHT.skipped}


def test_no_text_gets_out_of_its_mermaid_node() -> None:
    run = run_of(Round(tasks=[task(1, 0, 1, tool="a]b", call=render_call("a]b", {"query": HOSTILE}))]))
    node = mermaid(run).splitlines()[1]
    assert re.fullmatch(r'    task1\["[^"<>`]*(<br/>[^"<>`]*)*"\]', node)


# --- the pictures


def test_a_timeline_says_what_ran_when_and_what_it_would_have_taken_one_after_another() -> None:
    svg = timeline(diamond()).svg()
    seen = texts(svg)
    assert seen.index("plan") < seen.index('1. search("task 1")') < seen.index("join")
    assert "Which is it?" in seen
    assert "4 tasks · plan 0.90 s · total 3.00 s · one after another 4.10 s (1.4×) · test:model" in seen
    assert {"model call", "tool call", "wait since planned", "what the time went into"} <= set(seen)
    assert '3. search("task 3")\n0.50 s\nfound' in [hint.replace("done ", "") for hint in hints(svg).values()]


@pytest.mark.parametrize(
    ("tasks", "caption"),
    [
        ([task(1, 1, 2)], "1 task · plan 1.00 s · total 3.00 s · test:model"),
        (
            [task(1, 1, 1.5), task(2, 1.5, 2, 1)],
            "2 tasks · plan 1.00 s · total 3.00 s · one after another 3.00 s · test:model",
        ),
    ],
)
def test_a_run_in_which_nothing_overlapped_is_not_called_faster(tasks: list[TaskRun], caption: str) -> None:
    assert caption in texts(timeline(run_of(Round(plan=span(0, 1), tasks=tasks, join=span(2, 3)))).svg())


def test_failures_and_skips_are_told_in_words() -> None:
    for svg in (timeline(failing()).svg(), plan_graph(failing()).svg()):
        words = " ".join(texts(svg))
        assert "failed" in words
        assert "skipped" in words
    assert not {"failed", "skipped"} & set(texts(timeline(diamond()).svg()))


def test_a_replan_has_its_reason() -> None:
    assert "Replan 1: Not yet" in texts(timeline(replanned()).svg())
    graph = texts(plan_graph(replanned()).svg())
    assert "join: replan · 0.50 s" in graph
    assert "Not yet" in graph


@pytest.mark.parametrize(
    "run",
    [
        Run("Nothing has happened"),
        run_of(Round(plan=Span(1000.0))),
        run_of(Round(plan=span(0, 0), tasks=[task(1, 0, 0)], join=span(0, 0))),
        run_of(
            Round(plan=span(0, 1), tasks=[task(1, 1, None, state="running"), task(2, None, None, 1, state="planned")])
        ),
        run_of(Round(plan=span(0, 1), join=span(1, 2)), question=""),
        run_of(Round(plan=span(0, 1), tasks=[task(1, 1, 2, 1), task(2, 1, 2, 3), task(3, 1, 2, 2)])),
    ],
    ids=["nothing", "planning", "no time", "running", "no tasks", "circles"],
)
def test_any_run_can_be_drawn(run: Run) -> None:
    assert texts(timeline(run).svg())
    plan_graph(run).svg()


def test_no_text_breaks_a_picture(tmp_path: Path) -> None:
    tasks = [
        task(1, 0, 1, tool=HOSTILE, call=render_call(HOSTILE, {"query": HOSTILE}), outcome=HOSTILE, state="failed")
    ]
    run = run_of(Round(HOSTILE, span(0, 1), tasks, span(1, 2), HOSTILE), Round(HOSTILE), question=HOSTILE)
    run.model = HOSTILE
    for picture in (timeline(run), plan_graph(run)):
        picture.save(tmp_path / "picture.svg")
        svg = (tmp_path / "picture.svg").read_text("utf-8")
        assert any("$1 $\\frac{a}{b}$ </text><script>" in text for text in texts(svg)), "shown as it is"
        assert "<script" not in svg
    timeline(run).save(tmp_path / "picture.png")
    timeline(run).save(tmp_path / "picture.html")
    assert "<script" not in (tmp_path / "picture.html").read_text("utf-8")


def test_of_very_many_tasks_those_are_shown_that_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.pictures.timeline.MOST_TASKS", 30)
    tasks = [task(number, 0, 1) for number in range(1, 1130)]
    tasks.append(task(1130, 0, 0.5, state="failed", outcome="late failure"))
    tasks.append(task(1131, 0.5, 3))
    seen = texts(timeline(run_of(Round(plan=span(0, 1), tasks=tasks, join=span(3, 4)))).svg())
    assert "… and 1,101 more tasks" in seen
    assert '1131. search("task 1131")' in seen
    assert any("late failure" in text for text in seen)


def test_long_calls_are_cut() -> None:
    run = run_of(Round(plan=span(0, 1), tasks=[task(1, 0, 1, call=f'search("{"W" * 1000}")')], join=span(1, 2)))
    label = next(text for text in texts(timeline(run).svg()) if text.startswith("1. search"))
    assert label.endswith("…")
    assert len(label) < 60


def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    save_timeline(failing(), tmp_path / "run.html")
    page = (tmp_path / "run.html").read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert page.count("<svg") == 1
    assert "<title>Which is it?</title>" in page
    addresses = set(re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)""", page))
    assert {address for address in addresses if not address.startswith("#")} == set()
    assert "<script" not in page
    assert "<link" not in page
    assert "@import" not in page


@pytest.mark.parametrize("save", [save_timeline, save_plan_graph])
def test_png_is_png(save: Any, tmp_path: Path) -> None:
    save(diamond(), tmp_path / "run.PNG")
    assert (tmp_path / "run.PNG").read_bytes().startswith(b"\x89PNG")


def test_the_same_run_gives_the_same_file(tmp_path: Path) -> None:
    save_plan_graph(diamond(), tmp_path / "a.svg")
    save_plan_graph(diamond(), tmp_path / "b.svg")
    save_plan_graph(diamond(), tmp_path / "a.mmd")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.mmd").read_text("utf-8") == mermaid(diamond())


def test_a_notebook_shows_the_figure() -> None:
    png, size = timeline(diamond())._repr_png_()
    assert png.startswith(b"\x89PNG")
    assert 400 < size["width"] <= 860


# --- what can't be


@pytest.mark.parametrize(
    ("name", "formats", "message"),
    [
        ("run.gif", TIMELINE_FORMATS, "run.gif can't be saved: its name must end in .svg, .png or .html."),
        ("run", GRAPH_FORMATS, "run can't be saved: its name must end in .svg, .png, .html or .mmd."),
        ("run.mmd", TIMELINE_FORMATS, "run.mmd can't be saved: its name must end in .svg, .png or .html."),
        ("no/run.svg", GRAPH_FORMATS, "no/run.svg can't be saved: there is no folder no."),
    ],
)
def test_what_cannot_be_saved_is_told_before_the_run(name: str, formats: tuple[str, ...], message: str) -> None:
    with pytest.raises(PictureError) as error:
        check(Path(name), formats)
    assert str(error.value) == message


def test_without_matplotlib_it_is_named_and_mermaid_still_works(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else found(name))
    for draw in (
        lambda: timeline(diamond()),
        lambda: plan_graph(diamond()),
        lambda: check(Path("a.svg"), GRAPH_FORMATS),
    ):
        with pytest.raises(PictureError, match=r"pip install -e \"\.\[plots\]\""):
            draw()
    save_plan_graph(diamond(), tmp_path / "plan.mmd")


# --- the command line


def run_command(*arguments: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *arguments]
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def test_the_command_line_saves_both_pictures(tmp_path: Path, model_server: ModelServer) -> None:
    model_server.script(planner=[PLAN])
    question = "How much taller is Mount Everest than K2?"
    pictures = ["--timeline", "run.html", "--graph", "plan.mmd"]
    ran = run_command("-q", *pictures, question, cwd=tmp_path, env=mountains(model_server))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "238" in ran.stdout
    assert question in (tmp_path / "run.html").read_text("utf-8")
    assert (tmp_path / "plan.mmd").read_text("utf-8").startswith('graph TD\n    task1_0["1[0]. height<br/>')


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--timeline", "run.mmd", "Why?"], "run.mmd can't be saved: its name must end in .svg, .png or .html."),
        (["--graph", "no/plan.svg", "Why?"], "no/plan.svg can't be saved: there is no folder no."),
    ],
)
def test_the_command_line_tells_what_cannot_be_saved(arguments: list[str], message: str, tmp_path: Path) -> None:
    ran = run_command(*arguments, cwd=tmp_path, env=environment())
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", f"Error: {message}\n")
