"""The short cut for plainly written calls reads what the parser reads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import agent.language.parser
from agent.language.parser import Item, PlanParser
from agent.language.plain_calls import read_call
from agent.language.tasks import Call, Thought

TOOLS = ["search", "math"]

PIECES = [
    *(
        '"K2"',
        '"a, b"',
        "'say \"x\"'",
        '"it\'s"',
        '""',
        '"x) (y"',
        '"\\n"',
        '"\x0c\t"',
        '"a" "b"',
        '"日本"',
        '"\ud800"',
    ),
    *("$1", "$12", "$1.name", "${1}", '["$1", "$2"]', "[$1,$2]", "[]", "[1, -2.5]", "['a'", "{'a': 1}", "Paris", "a b"),
    *("7", "007", "-0", "1.50", "1e5", "1_000", "True", "null", "query=", "query =", "x:", "x==", "f"),
    *("(", ")", ",", ", ", " , ", "\n", "\r\n", "\n\n", " ", "\t", "# c", ".", "1. ", "2.", "3) ", "- "),
    *(
        "search",
        "math",
        "nosuch",
        "join",
        "search.map",
        "1. search(",
        "1. Join(",
        "JOIN()",
        "\n2. math(",
        "join()",
        "<END_OF_PLAN>",
        "```",
    ),
]
LINES = st.builds(
    lambda number, tool, arguments, end: f"{number}. {tool}({', '.join(arguments)}){end}",
    st.integers(0, 12),
    st.sampled_from(["search", "math", "nosuch"]),
    st.lists(st.sampled_from(PIECES[:40]), max_size=3),
    st.sampled_from(["\n", "\r\n", " ", "", "  # c\n"]),
)
PLANS = st.lists(st.one_of(LINES, st.sampled_from(PIECES)), max_size=12).map("".join)


def read(text: str, size: int) -> tuple[list[Item], list[list[Item]]]:
    """All items; and those but thoughts, by the chunk that completed them."""
    parser = PlanParser(TOOLS)
    by_chunk = [parser.feed(text[start : start + size]) for start in range(0, len(text), size)]
    by_chunk.append(parser.close())
    calls = [[item for item in items if not isinstance(item, Thought)] for items in by_chunk]
    return [item for items in by_chunk for item in items], calls


@given(PLANS, st.sampled_from([1, 2, 3, 7, 1000]))
def test_with_the_short_cut_and_without_it_a_plan_is_the_same(text: str, size: int) -> None:
    short = read(text, size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agent.parser, "read_call", lambda *_: None)
        patch.setattr(agent.parser, "may_begin_call", lambda *_: False)
        assert short == read(text, size)


def test_plain_calls_take_the_short_cut() -> None:
    text = '1. math("$1 * 2", context=["$1", \'b\'], digits=-2.5, of=$3)'
    call = Call(1, "math", ["$1 * 2"], {"context": ["$1", "b"], "digits": -2.5, "of": "$3"}, text[8:-1])
    assert read_call(text, 0) == (call, len(text))


@pytest.mark.parametrize(
    "text",
    [
        "1. join()",
        '1. Join("a")',
        "1. JOIN()",
        '1. search.map(["a"])',
        "1. search(Paris)",
        '1. search("a',
        'search("a")',
    ],
)
def test_the_rest_is_left_to_the_parser(text: str) -> None:
    assert read_call(text, 0) is None
