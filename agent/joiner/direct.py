"""Answers without asking a model again: the plan gives the answer's words, `join("The cheetah is $3 times as fast.")`,
and the results are put in; or a tool's result is the answer."""

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage

from agent.conversation.messages import call_id, map_sizes, observations, shown_value
from agent.language.references import Reference, UnresolvedReferenceError, find_references, follow, is_text, substitute
from agent.language.values import to_text

LONGEST_RESULT = 300
"""Characters. Who asked a question doesn't want a page for an answer."""


class _NotPrintableError(Exception):
    """A result is nothing that can stand in an answer."""


def fill_in(answer: str, messages: Sequence[AnyMessage]) -> str:
    """The answer with the results put in; empty if it takes a model after all: there is no answer, a task that it
    refers to failed or isn't there, or a result is too long, or no text or number.

    Args:
        answer: As the plan gives it.
        messages: The conversation with the observations.
    """
    seen = observations(messages)
    sizes = map_sizes(seen)
    last = max((number for number, _ in seen), default=0) + 1  # the join's own number
    if _stands_on_a_failure(answer, messages, sizes):
        return ""

    def look_up(reference: Reference) -> Any:
        number = reference.task
        if number in sizes and (number, None) not in seen:
            value: Any = [None] * sizes[number]
            for element in reference.elements(sizes[number]):
                value[element] = _printable(seen.get((number, element)))
        elif (number, None) in seen or not is_text(reference, last):
            value = _printable(seen.get((number, None)))
        else:
            raise LookupError(reference.text)
        if isinstance(follow(value, reference), dict):
            raise _NotPrintableError
        return value

    try:
        filled = substitute(f"{answer} ", look_up)  # with the blank, one reference alone is put into text too
    except (_NotPrintableError, UnresolvedReferenceError):
        return ""
    return str(filled).strip()


def _stands_on_a_failure(answer: str, messages: Sequence[AnyMessage], sizes: Mapping[int, int]) -> bool:
    """Whether something has failed among the results that the answer is made from, or that those were made from: a call
    that takes a list has been made even if some of its elements failed."""
    failed = {m.tool_call_id for m in messages if isinstance(m, ToolMessage) and m.status == "error"}
    arguments: dict[str | None, Any] = {
        call["id"]: call["args"] for m in messages if isinstance(m, AIMessage) for call in m.tool_calls
    }
    looked_at, to_look_at = set[str](), [answer]
    while to_look_at:
        for reference in find_references(to_look_at.pop()):
            number = reference.task
            for element in reference.elements(sizes[number]) if number in sizes else [None]:
                call = call_id((number, element))
                if call in failed:
                    return True
                if call not in looked_at:
                    looked_at.add(call)
                    to_look_at.append(arguments.get(call, ""))
    return False


def direct_answer(messages: Sequence[AnyMessage]) -> str:
    """The result of the plan's last call, if that is the answer: its tool has `return_direct`, and every call of the
    plan has succeeded. Else nothing."""
    results: list[ToolMessage] = []
    for message in reversed(messages):
        if not isinstance(message, ToolMessage):
            break
        results.append(message)
    if not results or any(message.status == "error" for message in results):
        return ""
    return to_text(shown_value(results[0])) if results[0].response_metadata.get("return_direct") else ""


def _printable(message: ToolMessage | None) -> Any:
    """A result with the numbers in it as people write them."""
    if message is None or message.status == "error":
        raise _NotPrintableError
    return _for_people(shown_value(message))


def _for_people(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _for_people(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_for_people(item) for item in value]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _NotPrintableError
    text = format_number(value) if isinstance(value, int | float) else value
    if len(text) > LONGEST_RESULT or not text.strip() or not all(c.isprintable() or c in "\n\t" for c in text):
        raise _NotPrintableError
    return text


def format_number(value: float) -> str:
    """A number for people: six significant digits and no more, but all digits before the point."""
    if isinstance(value, int):
        return str(value)
    if value != value or value in (float("inf"), float("-inf")):
        raise _NotPrintableError
    rounded = f"{value:.2f}" if abs(value) >= 1e5 else f"{value:.6g}"
    return rounded.rstrip("0").rstrip(".") if "." in rounded and "e" not in rounded else rounded
