"""Questions with their answers, from JSON as the paper's datasets have it, JSON lines, CSV or TSV."""

import csv
import io
import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.evaluation.scoring import check_scorer

EXPECTED = "a list of objects with id, question and answer, the same as JSON lines, or CSV with a header line"
GROUPS = ("branch", "level", "group")


class DatasetError(RuntimeError):
    """A dataset can't be used; the message names file, line and what is missing."""


@dataclass(frozen=True)
class Question:
    """A question of a dataset."""

    id: str
    text: str
    answer: str
    """The right one: a number, a name, yes or no, or one of the options in the question."""

    group: str = ""
    """The dataset's own classification, as `branch 2` or `level hard`; empty if it has none."""

    scorer: str = ""
    """How answers to it are scored, if not as those to the others; see `apps.evaluation.scoring`."""


def load(path: Path) -> list[Question]:
    """The questions of a file, in its order. One without an `id` has its place in the file for it, from 1.

    Raises:
        DatasetError: The file can't be read, is none of the formats, or lacks something.
    """
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{path}: can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: is not UTF-8 text (byte {error.start}).") from error
    table = path.suffix.lower() in (".csv", ".tsv")
    records = _read_table(path, text) if table else _read_json(path, text)
    questions: list[Question] = []
    lines: dict[str, int] = {}
    for line, record in records:
        question = _question(path, line, record, len(questions) + 1)
        if question.id in lines:
            raise DatasetError(f"{path}, line {line}: the id {question.id!r} is that of line {lines[question.id]} too.")
        lines[question.id] = line
        questions.append(question)
    if not questions:
        raise DatasetError(f"{path}: has no questions. Expected: {EXPECTED}.")
    return questions


def select(questions: Sequence[Question], n: int | None, seed: int) -> list[Question]:
    """`n` of the questions, or all, in random order. With the same seed, more questions begin with the fewer."""
    shuffled = list(questions)
    random.Random(seed).shuffle(shuffled)
    return shuffled[:n]


def _read_json(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    """The values of a JSON list, or of JSON lines, each with the line that it begins on."""
    decoder = json.JSONDecoder()
    position = _skip(text, 0, " \t\r\n")
    in_list = text.startswith("[", position)
    if in_list:
        position = _skip(text, position + 1, " \t\r\n")
    elif not text.startswith("{", position):
        raise DatasetError(f"{path}: is neither JSON nor a .csv or .tsv file. Expected: {EXPECTED}.")
    while position < len(text):
        if in_list and text[position] == "]":
            if _skip(text, position + 1, " \t\r\n") < len(text):
                line = text.count("\n", 0, position) + 1
                raise DatasetError(f"{path}, line {line}: something follows the end of the list.")
            return
        line = text.count("\n", 0, position) + 1
        try:
            record, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise DatasetError(f"{path}, line {error.lineno}: is not JSON: {error.msg}.") from error
        yield line, record
        position = _skip(text, position, " \t\r\n,")
    if in_list:
        raise DatasetError(f"{path}, line {text.count(chr(10)) + 1}: the list is not closed; is the file complete?")


def _skip(text: str, position: int, characters: str) -> int:
    while position < len(text) and text[position] in characters:
        position += 1
    return position


def _read_table(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    reader = csv.DictReader(io.StringIO(text), delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
    line = 1
    try:
        columns = [name.strip().lower() for name in reader.fieldnames or ()]
        for column in ("question", "answer"):
            if column not in columns:
                raise DatasetError(
                    f"{path}, line 1: there is no column {column!r}, only {', '.join(columns) or 'nothing'}. "
                    f"Expected: {EXPECTED}."
                )
        reader.fieldnames = columns
        line = reader.line_num + 1
        for record in reader:
            yield line, record
            line = reader.line_num + 1
    except csv.Error as error:
        raise DatasetError(f"{path}, line {line}: is not CSV: {error}.") from error


def _question(path: Path, line: int, record: Any, number: int) -> Question:
    where = f"{path}, line {line}"
    if not isinstance(record, dict):
        raise DatasetError(f"{where}: {_short(record)} is no object. Expected: {EXPECTED}.")
    answer = record.get("answer")
    if isinstance(answer, bool):
        answer = "yes" if answer else "no"
    values = {
        "id": record.get("id", number) if record.get("id") not in (None, "") else number,
        "question": record.get("question"),
        "answer": answer,
    }
    for name, value in values.items():
        if value is None or (isinstance(value, str) and not value.strip()):
            has = ", ".join(str(key) for key, item in record.items() if item not in (None, "")) or "nothing"
            raise DatasetError(f"{where}: there is no {name!r}, only {has}.")
        if not isinstance(value, str | int | float) or (isinstance(value, float) and not math.isfinite(value)):
            raise DatasetError(f"{where}: {name!r} is {_short(value)}, and should be text or a number.")
    group = next((f"{name} {record[name]}" for name in GROUPS if record.get(name) not in (None, "")), "")
    try:
        scorer = check_scorer(str(record["scorer"]).strip()) if record.get("scorer") not in (None, "") else ""
    except ValueError as error:
        raise DatasetError(f"{where}: {error}") from None
    # Half of a surrogate pair, which JSON may have, can't be sent to a model or written to a file.
    texts = [str(value).strip().encode("utf-8", "replace").decode() for value in (*values.values(), group[:60])]
    identity, question, right, group = texts
    return Question(identity, question, right, group, scorer)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"
