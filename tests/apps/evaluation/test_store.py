"""The folder of an evaluation: what is saved survives, and what does not compare is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.evaluation.results import Key, ModelCall, Result, Tokens, ToolCall
from apps.evaluation.store import Store, StoreError

CONFIG = {"graph": "parallel_qa", "model": "openai:small", "limits": {"max_replans": 2}}
RESULT = Result(
    agent="react",
    question_id="a",
    repeat=1,
    model="openai:small",
    graph="parallel_qa",
    question="How high is K2?\nIn metres.",
    expected="8611",
    answer="8,611\u2028m",
    correct=True,
    latency=1.5,
    plans=["1. search('K2')"],
    planning=[(0.0, 0.5)],
    calls=[ModelCall("small", "plan", 0.0, 0.5, Tokens(10, 4, 2)), ModelCall("small", "join", 1.0, 1.5)],
    tools=[ToolCall("search", "query='K2'", 0.2, 0.9, "no entry")],
)


def test_a_run_is_read_back_as_it_was(tmp_path: Path) -> None:
    with Store(tmp_path / "new" / "out", CONFIG) as store:
        store.add(RESULT)
        assert store.results() == {Key("react", "a", 1): RESULT}
    with Store(tmp_path / "new" / "out", CONFIG) as store:
        assert list(store.results().values()) == [RESULT]


def test_a_line_has_the_sums_that_people_look_for(tmp_path: Path) -> None:
    with Store(tmp_path, CONFIG) as store:
        store.add(RESULT)
    line = json.loads((tmp_path / "results.jsonl").read_text("utf-8"))
    assert line["tokens"] == {"input": 10, "cached_input": 4, "output": 2}
    assert line["replans"] == 0


@given(st.text(st.characters(codec=None), max_size=60))
def test_whatever_is_answered_stays_one_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    out = tmp_path_factory.mktemp("out")
    with Store(out, CONFIG) as store:
        store.add(replace(RESULT, answer=text))
        store.add(replace(RESULT, question_id="b"))
        assert len(store.results()) == 2
        kept = store.results()[RESULT.key].answer
    assert kept == text.encode("utf-8", "replace").decode("utf-8")


def test_of_two_runs_with_the_same_key_the_later_counts(tmp_path: Path) -> None:
    with Store(tmp_path, CONFIG) as store:
        store.add(replace(RESULT, error="TimeoutError"))
        store.add(RESULT)
        assert list(store.results().values()) == [RESULT]


@pytest.mark.parametrize("torn", ['{"agent": "rea', "{", '{"agent": "react"}'])
def test_a_line_that_was_torn_is_cut_off_and_the_rest_kept(tmp_path: Path, torn: str) -> None:
    with Store(tmp_path, CONFIG) as store:
        store.add(RESULT)
    path = tmp_path / "results.jsonl"
    path.write_text(path.read_text("utf-8") + torn, "utf-8")
    with Store(tmp_path, CONFIG) as store:
        assert list(store.results().values()) == [RESULT]
        store.add(replace(RESULT, question_id="b"))
        assert len(store.results()) == 2


@pytest.mark.parametrize("line", ["nonsense", "[]", '{"agent": "react"}', '{"calls": [3]}'])
def test_a_broken_line_among_the_others_is_named_and_nothing_is_lost(tmp_path: Path, line: str) -> None:
    with Store(tmp_path, CONFIG) as store:
        store.add(RESULT)
    path = tmp_path / "results.jsonl"
    before = path.read_text("utf-8") + line + "\n"
    path.write_text(before, "utf-8")
    with Store(tmp_path, CONFIG) as store, pytest.raises(StoreError, match=r"results\.jsonl, line 2: is no result"):
        store.results()
    assert path.read_text("utf-8") == before


def test_fields_of_a_later_version_are_left_out(tmp_path: Path) -> None:
    with Store(tmp_path, CONFIG) as store:
        store.add(RESULT)
    path = tmp_path / "results.jsonl"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "mood": "fine"}) + "\n", "utf-8")
    with Store(tmp_path, CONFIG) as store:
        assert list(store.results().values()) == [RESULT]


def test_another_configuration_is_refused_and_what_changed_is_named(tmp_path: Path) -> None:
    with Store(tmp_path, CONFIG) as store:
        store.add(RESULT)
    changed = {**CONFIG, "model": "openai:large", "limits": {"max_replans": 0}}
    with pytest.raises(StoreError) as caught:
        Store(tmp_path, changed)
    assert 'model was "openai:small" and is now "openai:large"' in str(caught.value)
    assert 'limits was {"max_replans": 2} and is now {"max_replans": 0}' in str(caught.value)
    assert "graph" not in str(caught.value)
    with Store(tmp_path, CONFIG) as store:  # and the refused one holds no lock
        assert len(store.results()) == 1


def test_two_evaluations_do_not_write_to_the_same_folder(tmp_path: Path) -> None:
    with Store(tmp_path, CONFIG), pytest.raises(StoreError, match="Another evaluation is writing to"):
        Store(tmp_path, CONFIG)
    with Store(tmp_path, CONFIG):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(StoreError, match="file/out can't be written to: Not a directory"):
        Store(tmp_path / "file" / "out", CONFIG)


def test_a_verdict_is_that_of_its_judge(tmp_path: Path) -> None:
    judged = replace(RESULT, scorer="judge", judge="openai:judge", verdict=True, why="Both say so.")
    with Store(tmp_path, CONFIG) as store:
        store.add(RESULT)
        store.add(judged)
        (saved,) = store.results().values()
    assert saved.scored("judge", "openai:judge") == judged
    assert saved.scored("judge", "openai:other").verdict is saved.scored("paper").verdict is None
