"""Questions with their answers: from JSON as the paper's datasets have it, JSON lines, CSV, TSV, or LangSmith."""

import csv
import io
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from apps.evaluation.scoring import check_scorer
from apps.runs.errors import in_one_line

LANGSMITH = "langsmith:"
"""Before the name of a dataset of LangSmith's, in place of a path."""

EXPECTED = "a list of objects with id, question and answer, the same as JSON lines, or CSV with a header line"
GROUPS = ("branch", "level", "group")

Text = Annotated[str, Field(min_length=1)]


class DatasetError(RuntimeError):
    """A dataset can't be used; the message names file, line and what is missing."""


def _said(answer: Any) -> Any:
    return "yes" if answer is True else "no" if answer is False else answer


@dataclass(frozen=True, config={"coerce_numbers_to_str": True, "str_strip_whitespace": True})
class Question:
    """A question of a dataset."""

    id: Text
    question: Text
    answer: Annotated[Text, BeforeValidator(_said)]
    """The right one: a number, a name, yes or no, or one of the options in the question."""

    group: Annotated[str, AfterValidator(lambda text: text[:60])] = ""
    """The dataset's own classification, as `branch 2` or `level hard`; empty if it has none."""

    scorer: Annotated[str, AfterValidator(lambda name: name and check_scorer(name))] = ""
    """How answers to it are scored, if not as those to the others; see `apps.evaluation.scoring`."""


def load(dataset: Path) -> list[Question]:
    """The questions of a file, in its order. One without an `id` has its place in the file for it, from 1.

    Args:
        dataset: The file, or `langsmith:` and the name of a dataset there.

    Raises:
        DatasetError: It can't be read, is none of the formats, or lacks something.
    """
    questions: dict[str, Question] = {}
    places: dict[str, str] = {}
    for place, record in _records(dataset):
        where = f"{dataset}, {place}"
        if not isinstance(record, dict):
            raise DatasetError(f"{where}: {json.dumps(record)[:60]} is no object. Expected: {EXPECTED}.")
        given = {str(name): value for name, value in record.items() if value not in (None, "")}
        group = next((f"{name} {given[name]}" for name in GROUPS if name in given), "")
        values = {"id": len(questions) + 1, **given, "group": group}
        try:
            question = TypeAdapter(Question).validate_python(values)
        except ValidationError as error:
            raise DatasetError(f"{where}: {in_one_line(error)}. It has {', '.join(given) or 'nothing'}.") from None
        if question.id in questions:
            raise DatasetError(f"{where}: the id {question.id!r} is that of {places[question.id]} too.")
        questions[question.id], places[question.id] = question, place
    if not questions:
        raise DatasetError(f"{dataset}: has no questions. Expected: {EXPECTED}.")
    return list(questions.values())


def select(questions: Sequence[Question], n: int | None, seed: int) -> list[Question]:
    """`n` of the questions, or all, in random order. With the same seed, more questions begin with the fewer."""
    shuffled = list(questions)
    random.Random(seed).shuffle(shuffled)
    return shuffled[:n]


def _records(dataset: Path) -> Iterator[tuple[str, Any]]:
    """Each record, with the words for where it stands."""
    if str(dataset).startswith(LANGSMITH):
        yield from _from_langsmith(str(dataset).removeprefix(LANGSMITH))
        return
    try:
        text = dataset.read_text("utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{dataset}: can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{dataset}: is not UTF-8 text (byte {error.start}).") from error
    match dataset.suffix.lower(), text.lstrip()[:1]:
        case ".csv" | ".tsv" as suffix, _:
            yield from _rows(dataset, text, "," if suffix == ".csv" else "\t")
        case _, "[":
            yield from ((f"question {place}", record) for place, record in enumerate(_json(dataset, text), 1))
        case _, "{":
            for number, line in enumerate(text.splitlines(), 1):
                if line.strip():
                    yield f"line {number}", _json(dataset, line, number)
        case _:
            raise DatasetError(f"{dataset}: is neither JSON nor a .csv or .tsv file. Expected: {EXPECTED}.")


def _json(path: Path, text: str, line: int = 1) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path}, line {line + error.lineno - 1}: is not JSON: {error.msg}.") from error


def _rows(path: Path, text: str, delimiter: str) -> Iterator[tuple[str, Any]]:
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter, strict=True)
    line = 1
    try:
        reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
        line = reader.line_num + 1
        for record in reader:
            yield f"line {line}", record
            line = reader.line_num + 1
    except csv.Error as error:
        raise DatasetError(f"{path}, line {line}: is not CSV: {error}.") from error


def _from_langsmith(name: str) -> Iterator[tuple[str, Any]]:
    """The examples of a dataset of LangSmith's, whose inputs have a `question` and whose outputs an `answer`."""
    from langsmith import Client
    from langsmith.utils import LangSmithError

    try:
        for example in Client().list_examples(dataset_name=name):
            yield f"example {example.id}", {"id": str(example.id), **(example.inputs or {}), **(example.outputs or {})}
    except LangSmithError as error:
        raise DatasetError(f"{LANGSMITH}{name}: can't be read: {in_one_line(error)}") from error
