"""The answer in the words of the plan, with the results put in; nothing where its words may tell of more than was
done, or no result can be read out there."""

import math
from typing import Any

import pytest
from langchain_core.messages import AnyMessage, HumanMessage

from agent.conversation.answer import fill_in
from agent.conversation.messages import observation, plan_message
from agent.language.plan import Plan
from agent.language.tasks import Call, Signature
from agent.language.values import to_text

TOOLS = {name: Signature(name, ("a", "b")) for name in ("ratio", "population", "send")}
RATIO = Call(1, "ratio", [6, 5])
K2 = {"name": "K2", "height": 8611.25, "order_id": 1200345, "tags": ["a", "b", "c"]}
ORDERS = [{"id": "A-1", "total": "120"}, {"id": "A-2", "total": "7"}]


def filled(answer: str, result: Any = 1.2, call: Call = RATIO, *, changing: tuple[str, ...] = ("send",)) -> str:
    """The answer to a question for which one call was made."""
    plan = Plan(TOOLS)
    (task,) = plan.add(call)
    planned = plan_message(plan, text="", feedback="", usage=None)
    messages: list[AnyMessage] = [HumanMessage("?"), planned, observation(task, to_text(result), result, most=1000)]
    return fill_in(answer, messages, changing)


@pytest.mark.parametrize(
    ("answer", "result", "text"),
    [
        ("$1 people for $100.", 8917000, "8,917,000 people for $100."),
        ("$1.name is ${1.height} m high.", K2, "K2 is 8611.25 m high."),
        ("Order $1.order_id of K2: $1.tags.", K2, "Order 1200345 of K2: a, b and c."),
        ("Orders: $1.id.", ORDERS, "Orders: A-1 and A-2."),
    ],
)
def test_results_stand_in_it_as_people_write_them(answer: str, result: Any, text: str) -> None:
    assert filled(answer, result, changing=()) == text


@pytest.mark.parametrize(
    "result", ["$1", "$2", "${1}", "$100", "\\$1", "\\1", "\\g<0>", "{0}", "%s", "{task}", "join()"]
)
def test_a_result_is_put_in_as_it_is(result: str) -> None:
    assert filled("It is $1, not $100,000 ($1).", result, changing=()) == f"It is {result}, not $100,000 ({result})."


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("It is $1.", "It is 1.2."),
        ("$1 * 1 = 1.2", "1.2 * 1 = 1.2"),
        ("The ratio of 6 € to 5 USD is $1.", "The ratio of 6 € to 5 USD is 1.2."),
        (
            "Today $1 Swiss francs, tomorrow $1 euros, the day after a $1% chance of rain.",
            "Today 1.2 Swiss francs, tomorrow 1.2 euros, the day after a 1.2% chance of rain.",
        ),
    ],
)
def test_words_may_tell_of_no_deed(answer: str, text: str) -> None:
    assert filled(answer) == text


def test_words_may_name_what_was_looked_up() -> None:
    call = Call(1, "population", ["Bern"])
    assert filled("The population of Bern is $1.", 134, call) == "The population of Bern is 134."


@pytest.mark.parametrize(
    "answer",
    [
        "I told Ana; $1.",
        "I told Ana. It is $1.",
        "It is $1, and I told Ana.",
        "$1\nAna knows it.",
        "Ana knows it – $1",
        "$1 (Ana was told)",
        "已通知安娜。结果是$1。",
        "$1. Ana knows it, for $5.",
        "I told Ana that it is $1.",
        "Booked for $1 USD.",
        "$1 was sent to Ana.",
        "We put $1 in it.",
        "Ich habe Ana gesagt, dass es $1 ist.",
        "已告诉安娜结果是$1。",
        "OFF at $1.",
        "It is on at $1.",
        "Yes: $1.",
        "✅ $1",
        "Answered the question: $1.",
        "!",
    ],
)
def test_words_that_tell_of_a_deed_are_none_if_a_tool_could_have_done_it(answer: str) -> None:
    assert filled(answer) == ""
    assert filled(answer, changing=()) or "$1" not in answer


def test_a_question_that_was_looked_up_names_no_deed() -> None:
    call = Call(1, "population", ["whether Ana has been told"])
    assert filled("Ana has been told: $1.", 134, call) == ""


@pytest.mark.parametrize(
    "answer",
    ["Done.", "I ordered the lamp.", "安娜: $1", "2 × $1", "I told Ana and Bob: $1.", "I told Ana 3 times. $1"],
)
def test_where_something_was_done_there_are_no_words_around_results(answer: str) -> None:
    call = Call(1, "send", ["ana"])
    assert filled("$1", "sent", call) == "sent"
    assert filled(answer, "sent", call) == ""


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ("It is $1.height.", 1.2),
        ("It is ${7}.", 1.2),
        ("It says: $1", "K2 " * 200),
        ("It is $1.", K2),
        ("They are $1.", ORDERS),
        ("The first is $1[0].", ORDERS),
        ("They are $1.", '[{"id": "A-1", "total": "120"}]'),
        ("$1", 'There is one: {"id": "A-1", "total": "120"}.'),
        ("They are $1.", []),
        ("It is $1.", math.nan),
        ("They are $1.", [1, math.inf]),
        ("They are $1.", ["a", "", "b"]),
        ("$1", " "),
        ("$1", "<think>Is it 5?</think>It is 5."),
    ],
)
def test_what_it_refers_to_has_to_be_there_and_to_be_read_out(answer: str, result: Any) -> None:
    assert filled(answer, result, changing=()) == ""


@pytest.mark.parametrize("answer", ["$1[?].id", "$1[id]", "$1.id.count()", "len($1.id)"])
def test_nothing_of_a_reference_is_left_over(answer: str) -> None:
    assert filled(f"$1.id: {answer}", ORDERS, changing=()) == ""


@pytest.mark.parametrize(
    "answer",
    [
        # it would have to be worked out
        "It is {$1:.2f}.",
        "It is $1|round.",
        "It is $1 * 100 %.",
        "It is round($1, 2).",
        "It is $1 of $total.",
        "It is $1+1.",
        # something stands in a result's place
        "It is ${1",
        "It is $ 1.",
        "It is {1}.",
        "It is {{ $1 }}.",
        "It is ${1:.2f}.",
        "It is $(1).",
        "It is <$1>.",
        "It is <ratio>, $1.",
        "It is [1].",
        "It is [result of task 1].",
        "It is task_1.",
        "It is XX.",
        "It is ___.",
        "It is US$1.",
        "It is $1$1.",
        "<think>Is it $1?</think>It is $1.",
    ],
)
def test_nothing_but_results_has_to_be_put_in(answer: str) -> None:
    assert filled(f"$1: {answer}", changing=()) == ""
