"""Which graph is run: the one of `langgraph.json`, or the module, that LLM_COMPILER_GRAPH names."""

import json
import sys
from pathlib import Path

import pytest

from apps.runs import graphs
from apps.runs.graphs import GraphError, find_graph, listed, served_graph
from graphs.llm_compiler import graph as default_graph

MODULE = '''
from agent import create_llm_compiler

def height(mountain: str) -> int:
    """the height of a mountain"""
    return 8611

QUESTIONS = ["How high is K2?"]
graph = create_llm_compiler([height], name="of_its_own")

async def make_graph():
    return create_llm_compiler([height], name="made")
'''


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another project: its `langgraph.json` lists a graph, a function that makes one, and what can't be had."""
    (tmp_path / "heights.py").write_text(MODULE)
    places = {
        "llm_compiler": "./heights.py:graph",
        "made": {"path": "./heights.py:make_graph", "description": "Made when it is wanted."},
        "missing": "./heights.py:nothing",
        "unreadable": "./no_such_file.py:graph",
    }
    (tmp_path / "langgraph.json").write_text(json.dumps({"graphs": places}))
    monkeypatch.setattr(graphs, "FILE", tmp_path / "langgraph.json")
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def test_the_default_is_llm_compiler_and_its_questions_stand_beside_it() -> None:
    served = served_graph()
    assert (served.graph.get_name(), served.questions) == ("of_its_own", ("How high is K2?",))


async def test_a_graph_may_be_made_by_an_async_function_and_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_COMPILER_GRAPH", "made")
    assert served_graph().graph.get_name() == "made"
    assert served_graph().graph is find_graph("made").graph


def test_a_module_in_the_working_directory_needs_no_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mountains.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLM_COMPILER_GRAPH", "own.mountains")
    assert served_graph().questions == ("How high is K2?",)


def test_installed_in_another_project_there_is_the_default(project: Path) -> None:
    (project / "langgraph.json").unlink()
    assert listed() == {"llm_compiler": "./graphs/llm_compiler.py:graph"}
    assert served_graph().graph is default_graph


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "height",
            f"installed or in {Path.cwd()}; there are llm_compiler, made, missing, unreadable.",
        ),
        ("no.such", "There is no graph 'no.such' in langgraph.json, and no module of that name is installed"),
        ("missing", "The graph 'missing' can't be loaded from ./heights.py:nothing: module 'heights' has no attribute"),
        ("unreadable", "can't be loaded from ./no_such_file.py:graph: No module named 'no_such_file'"),
    ],
)
def test_what_can_not_be_had_is_said(name: str, said: str) -> None:
    with pytest.raises(GraphError) as raised:
        find_graph(name)
    assert said in str(raised.value)


def test_places_are_listed_with_or_without_a_description() -> None:
    assert listed()["made"] == "./heights.py:make_graph"
