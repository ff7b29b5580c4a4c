"""Answers without asking a model again: the plan gives the answer's words, `join("The cheetah is $3 times as fast.")`,
and the results are put in; or a tool's result is the answer.

Only if everything was done that the turn's plans set out to do: such an answer was written before anything was known,
and may tell of calls that it doesn't refer to.

Where tools change something, it may also tell of deeds that no call has done. Who has had something done is therefore
told by the joiner, who sees what happened, unless the answer is results and nothing else. Else its words have to be
known to tell of no deed, in English; all others take the joiner, too. That costs a model call, and no more.
"""

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from langchain_core.messages import AnyMessage, ToolMessage
from langchain_core.tools import BaseTool

from agent.context import Context
from agent.conversation.messages import all_tasks, map_sizes, observations, own_plans, result_of, this_turn, value_for
from agent.language.excerpt import excerpt
from agent.language.reasoning import without_thoughts
from agent.language.references import (
    PATTERN,
    Reference,
    UnresolvedReferenceError,
    find_references,
    follow,
    is_text,
    whole_reference,
)
from agent.language.tasks import Key
from agent.language.values import as_container, for_people, to_text
from agent.tooling.metadata import changes_something

LONGEST_RESULT = 300
"""Characters. Who asked a question doesn't want a page for an answer."""

MOST_WORDS_OF_A_NAME = 3
"""Words. Longer arguments may be the whole question, and ask whether something was done."""

_LEFT_OVER = re.compile(
    r"[\[({]|[.?]+\w|:[,.\d]*[a-z%}]|\|\s?[a-z]|->|::|![rsa]\b|\s*(?:\?\?|\|\|)"
    r"|\s*(?:\*|\^|\+)\s*[$\d(](?![^\n]*=)"
)
"""What is part of a reference that can't be read, or code: `$1[?].status`, `$1.upper()`, `{$1:.2f}`, `$1 * 100`, which
without an equals sign behind it tells no result."""

_CODE_BEFORE = re.compile(r"\{\Z|[a-z_]\(\Z", re.IGNORECASE | re.ASCII)
"""What makes a part of code of a reference: `len($1)`."""

_DATA = re.compile(r"[\[{]\s*[\"'{]\s*\w")
"""What a text has that is a list or dict as programs write it."""

_OTHER_REFERENCE = re.compile(r"\$\{?[^\W\d]")
_PLACEHOLDER = re.compile(
    r"\{\s*[^\s\"'{}]|\$(?:\(|\s\d)|<[a-z\0]|\[\d+\]"
    r"|[\[(](?:the )?(?:result|answer|value|output|insert|task|step)\b"
    r"|\b(?:result|answer|value|output|task|step|call)_\d|_{2,}|\bXX+\b|\?{2,}|%[sdf]\b|\bTBD\b|(?:\b(?:US|HK|[AC])|\0)\0",
    re.IGNORECASE,
)
"""What stands in words for a result that isn't put in: `{height}`, `<height>`, `$(1)`, `[1]`, `task_1`, `XX`; a sum of
money of which a reference was made, `US$1`; two results that would be read as one."""

_CLAUSE_END = re.compile(r"[.;!?,…](?=\s|\Z)|[\n。！？；，、()（）]|\s[-–—]\s")
_RESULT = "\0"
_WORD = re.compile(r"[^\W_]+|[^\w\s\0-~°€£¥·•–—’“”„…±×÷²³]")
"""A word, or a sign that may say something, such as a check mark."""

_TELL_NO_DEED = frozenset(
    word for words in json.loads(Path(__file__).with_suffix(".json").read_text("utf-8")).values() for word in words
)
_NAME = re.compile(r"(?<!\w)\w*[^\W\d](?=[\"'\]]*\Z)")


class NoAnswerError(Exception):
    """Something is nothing that can stand in an answer."""


def changing(tools: Mapping[str, BaseTool], context: Context) -> set[str]:
    """The tools that change something, or may."""
    return {name for name, tool in tools.items() if changes_something(tool, context.requires_approval)}


def all_done(messages: Sequence[AnyMessage]) -> bool:
    """Whether everything happened that this turn's plans set out to do: every call was made as planned and succeeded,
    and no map was over nothing."""
    turn = this_turn(messages)
    results = observations(turn)
    if any(result.status == "error" or _is_a_persons(result) for result in results.values()):
        return False
    return not any(task.is_map and task.key in results for task in all_tasks(turn))


def _is_a_persons(result: ToolMessage) -> bool:
    """Whether a person had another call made, or gave the result."""
    return result.response_metadata.get("decision") not in (None, "approve")


def fill_in(answer: str, messages: Sequence[AnyMessage], changing: Collection[str]) -> str:
    """The answer with the results put in; empty if it takes a model after all: there is no answer, or none with a
    result in it though calls were made; a task that it refers to isn't there, or a result is too long, or no text,
    number, or list of those; or its words might claim what no call of the turn has done.

    Args:
        answer: As the plan gives it.
        messages: The conversation with the observations.
        changing: The tools that change something, or may.
    """
    filling = Filling(messages)
    if without_thoughts(answer) != answer or not filling.may_answer(answer):
        return ""
    try:
        filled = filling.put_in(answer).strip()
    except NoAnswerError:
        return ""
    claims_none = not changing or _claims_no_deed(answer, filling.marked(answer), messages, changing)
    return filled if claims_none else ""


class Filling:
    """Puts the results of a conversation into answers."""

    def __init__(self, messages: Sequence[AnyMessage]) -> None:
        self._seen = observations(messages)
        self._sizes = map_sizes(self._seen)
        self._last = max((number for number, _ in self._seen), default=0) + 1  # the join's own number
        self._made_calls = bool(own_plans(this_turn(messages)))

    def put_in(self, answer: str, start: int = 0, end: int | None = None) -> str:
        """A part of an answer, with the results put in.

        Args:
            answer: As the plan gives it; what stands around the part may matter.
            start: Where the part begins.
            end: Where it ends; it ends in no reference that may go on.

        Raises:
            NoAnswerError: Something in it is nothing that can stand in an answer.
        """
        parts, words, position = [], [], start
        for match in PATTERN.finditer(answer, start, len(answer) if end is None else end):
            words.append(answer[position : match.start()])
            parts += [words[-1], self._value_of(match)]
            position = match.end()
        words.append(answer[position:end])
        marked = _RESULT.join(words)
        if _OTHER_REFERENCE.search(marked) or (self._seen and _PLACEHOLDER.search(marked)):
            raise NoAnswerError
        return "".join([*parts, words[-1]])

    def may_answer(self, answer: str) -> bool:
        """Whether an answer has a result in it, or no call was made for one."""
        return not self._made_calls or any(map(self._is_of_a_result, PATTERN.finditer(answer)))

    def marked(self, answer: str) -> str:
        """The answer with a mark in place of each result."""
        return PATTERN.sub(lambda match: _RESULT if self._is_of_a_result(match) else match[0], answer)

    def _is_of_a_result(self, match: re.Match[str]) -> bool:
        reference = whole_reference(match[0])
        return reference is not None and self._has(reference)

    def _has(self, reference: Reference) -> bool:
        return (reference.task, None) in self._seen or reference.task in self._sizes

    def _value_of(self, match: re.Match[str]) -> str:
        if match[0].startswith("\\"):
            return match[0][1:]
        reference = whole_reference(match[0])
        assert reference is not None, "it has the form of one"
        if not self._has(reference):
            if is_text(replace(reference, whole=False), self._last):
                return match[0]
            raise NoAnswerError
        before = match.string[max(match.start() - 20, 0) : match.start()]
        if _CODE_BEFORE.search(before) or _LEFT_OVER.match(match.string, match.end()):
            raise NoAnswerError
        try:
            value = follow(self._result_of(reference), reference)
        except UnresolvedReferenceError as error:
            raise NoAnswerError from error
        named = _NAME.search(reference.path)
        return _printable(value, about=named[0] if named else before)

    def part(self, reference: Reference) -> tuple[ToolMessage, Any] | None:
        """The observation that a reference leads into, and what it leads to; None if there is none."""
        number = reference.task
        keys: list[Key] = [(number, None)]
        if keys[0] not in self._seen:
            keys = [(number, element) for element in reference.elements(self._sizes.get(number, 0))]
        message = self._seen.get(keys[0]) if len(keys) == 1 else None
        if message is None:
            return None
        try:
            return message, follow(self._result_of(reference), reference)
        except (NoAnswerError, UnresolvedReferenceError):
            return None

    def _result_of(self, reference: Reference) -> Any:
        number = reference.task
        if (number, None) in self._seen:
            return self._value(reference, (number, None))
        value: list[Any] = [None] * self._sizes[number]
        for element in reference.elements(self._sizes[number]):
            value[element] = self._value(reference, (number, element))
        return value

    def _value(self, reference: Reference, key: Key) -> Any:
        message = self._seen.get(key)
        if message is None or message.status == "error":
            raise NoAnswerError
        return value_for(reference, message, of_map=key[1] is not None)


def with_parts(messages: Sequence[AnyMessage], answer: str) -> list[AnyMessage]:
    """The conversation for the joiner: results know the parts of them that the plan's answer refers to, which
    `transcript` shows behind those that it doesn't show whole.

    Args:
        messages: The conversation with the observations.
        answer: As the plan gives it.
    """
    filling, parts = Filling(messages), dict[str, list[str]]()
    for reference in dict.fromkeys(find_references(answer)):
        if reference.path and (found := filling.part(reference)):
            line = f"{reference.text} is {excerpt(to_text(found[1]), LONGEST_RESULT)}"
            parts.setdefault(found[0].tool_call_id, []).append(line)
    return [
        message.model_copy(
            update={"response_metadata": {**message.response_metadata, "parts": parts[message.tool_call_id]}}
        )
        if isinstance(message, ToolMessage) and message.tool_call_id in parts
        else message
        for message in messages
    ]


def certain(answer: str) -> int:
    """How much of an answer that is still being written will stay as it is: up to a reference that may go on."""
    last = answer.rfind("$")
    if last < 0:
        return len(answer.rstrip("\\"))
    behind = answer[last:]
    is_open = not any(map(str.isspace, behind)) or behind.rfind("[") > behind.rfind("]")
    return len(answer[:last].rstrip("\\{")) if is_open else len(answer.rstrip("\\"))


def _claims_no_deed(answer: str, marked: str, messages: Sequence[AnyMessage], changing: Collection[str]) -> bool:
    """Whether an answer tells of nothing that was done, but by results of this turn's calls.

    If a call of the turn has had an effect, there are no words around the results. Else each clause has a result, and
    words that tell of no deed, or name what the turn's calls look up.

    Args:
        answer: As the plan gives it.
        marked: The same, with a mark for each result.
        messages: The conversation with the observations.
        changing: The tools that change something, or may.
    """
    turn = this_turn(messages)
    made = all_tasks(turn)
    earlier = {task.number for task in all_tasks(messages) if task.tool in changing}
    earlier -= {task.number for task in made}
    if any(reference.task in earlier for reference in find_references(answer)):
        return False
    if any(task.tool in changing for task in made):
        return not _words(marked)
    references = [reference.path for reference in find_references(answer)]
    given = [to_text(value) for task in made for value in task.arguments.values()]
    names = [text for text in given if len(_WORD.findall(text)) <= MOST_WORDS_OF_A_NAME]
    told = _words(*references, *names, *(task.tool for task in made)) | _TELL_NO_DEED
    clauses = [clause for clause in _CLAUSE_END.split(marked) if _words(clause)]
    return _RESULT in marked and all(
        _RESULT in clause and all(word in told or word.isdecimal() for word in _words(clause)) for clause in clauses
    )


def _words(*texts: str) -> set[str]:
    return {word.casefold() for text in texts for word in _WORD.findall(text)}


def _printable(value: Any, about: str) -> str:
    """A result as people write it: a number, a text, or a list of them."""
    container = as_container(value)
    shown = list(container) if isinstance(container, list | tuple) else value
    items = shown if isinstance(shown, list) else [value]
    if not items or not all(map(_is_plain, items)):
        raise NoAnswerError
    text = for_people(shown, about)
    if len(text) > LONGEST_RESULT or not text.strip() or not all(c.isprintable() or c in "\n\t" for c in text):
        raise NoAnswerError
    return text


def _is_plain(item: Any) -> bool:
    if isinstance(item, str):
        is_data = as_container(item) is not None or _DATA.search(item)
        return bool(item.strip()) and not is_data and without_thoughts(item) == item
    return isinstance(item, int | float) and not isinstance(item, bool) and -math.inf < item < math.inf


def direct_answer(messages: Sequence[AnyMessage]) -> str:
    """The result of the plan's last call, if that is the answer: its tool has `return_direct`. Else nothing."""
    result = messages[-1] if messages else None
    if not isinstance(result, ToolMessage) or not result.response_metadata.get("return_direct"):
        return ""
    value = result_of(result)
    if isinstance(value, str):
        value = without_thoughts(value)
    return to_text(value) if isinstance(value, dict | list) else for_people(value)
