"""Datasets in each format, and what is said about one that can't be used."""

import json
from pathlib import Path

import pytest

from apps.evaluation.dataset import DatasetError, Question, load, select

K2 = {"id": "a", "question": "How high is K2?", "answer": "8611", "branch": 2}
NILE = {"id": "b", "question": "Is the Nile longer?", "answer": "yes", "level": "hard"}


def write(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.json", json.dumps([K2, NILE], indent=1)),
        ("list.json", "\ufeff" + json.dumps([K2, NILE])),
        ("lines.jsonl", f"{json.dumps(K2)}\n\n{json.dumps(NILE)}\n"),
        ("lines.json", f"{json.dumps(K2)}\n{json.dumps(NILE)}"),
        ("table.csv", "ID,Question,Answer,branch,level\na,How high is K2?,8611,2,\nb,Is the Nile longer?,yes,,hard\n"),
        (
            "table.tsv",
            "id\tquestion\tanswer\tlevel\tbranch\na\tHow high is K2?\t8611\t\t2\nb\tIs the Nile longer?\tyes\thard\t\n",
        ),
    ],
)
def test_each_format_is_read(tmp_path: Path, name: str, text: str) -> None:
    assert load(write(tmp_path, name, text)) == [
        Question("a", "How high is K2?", "8611", "branch 2"),
        Question("b", "Is the Nile longer?", "yes", "level hard"),
    ]


def test_numbers_and_truth_values_are_answers_and_ids_may_be_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, "q.json", '[{"question": "a?", "answer": 4.5}, {"id": 7, "question": "b?", "answer": true}]')
    assert load(path) == [Question("1", "a?", "4.5"), Question("7", "b?", "yes")]


def test_a_cell_may_have_several_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "q.csv", 'question,answer\n"Which?\nOptions:\nA\nB",A\nb?,\n')
    with pytest.raises(DatasetError, match=r"q\.csv, line 6: answer: Field required\. It has question\."):
        load(path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("q.json", "", "neither JSON nor"),
        ("q.json", "[]", "has no questions"),
        ("q.json", '"text"', "neither JSON nor"),
        ("q.json", '[{"id": "a"}]', "question 1: question: Field required; answer: Field required. It has id."),
        ("q.json", '[{"question": " ", "answer": "4"}]', "question 1: question: String should have at least 1"),
        ("q.json", '[{"question": "a?", "answer": ["4"]}]', "question 1: answer: Input should be a valid string"),
        ("q.json", "[\n\n3]", "question 1: 3 is no object. Expected: a list of objects"),
        ("q.json", '[\n{"question": }]', "line 2: is not JSON: Expecting value."),
        ("q.json", '[{"question": "a?", "answer": "4"}\n', "line 2: is not JSON: Expecting ',' delimiter."),
        ("q.json", '[{"question": "a?", "answer": "4"}]\n[]', "line 2: is not JSON: Extra data."),
        ("q.jsonl", '{"question": "a?", "answer": "4"}\nnonsense', "line 2: is not JSON"),
        ("q.json", json.dumps([K2, K2]), "question 2: the id 'a' is that of question 1 too"),
        ("q.csv", "", "has no questions"),
        ("q.csv", "question,reply\na?,4", "line 2: answer: Field required. It has question, reply."),
        ("q.csv", 'question,answer\na?,4\n"b?,5', "line 3: is not CSV"),
    ],
)  # fmt: skip
def test_errors_name_file_line_and_what_is_missing(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = write(tmp_path, name, text)
    with pytest.raises(DatasetError) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none\.json: can't be read: No such file"):
        load(tmp_path / "none.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe[")
    with pytest.raises(DatasetError, match="is not UTF-8 text"):
        load(tmp_path / "binary.json")


def test_a_larger_sample_begins_with_the_smaller_one() -> None:
    questions = [Question(str(number), "?", "1") for number in range(50)]
    three, ten, everything = (select(questions, n, seed=4) for n in (3, 10, None))
    assert (ten[:3], everything[:10]) == (three, ten)
    assert sorted(everything, key=lambda question: int(question.id)) == questions
    assert select(questions, 3, seed=5) != three
