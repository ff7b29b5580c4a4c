"""Texts that no model should write: the parser never raises, and its work, like that of others who read what a model
says, grows in proportion to the text."""

import time
from collections.abc import Callable
from cProfile import Profile

import pytest
from langchain_core.messages import AIMessage

from agent.joiner.reply import read_decision
from agent.language.parser import PlanParser
from agent.language.reasoning import without_thoughts
from agent.language.tasks import Call, Signature
from agent.language.written_calls import read_written_calls

TOOLS = {"search": Signature("search", ("query", "user-id"))}

Text = Callable[[int], str]
"""Makes a text of about so many characters."""


def repeated(unit: str, before: str = "", after: str = "") -> Text:
    return lambda size: before + unit * (size // len(unit)) + after


def argument(unit: str, before: str = "", after: str = "") -> Text:
    return repeated(unit, f"1. search({before}", f"{after})\n2. join()")


TEXTS: dict[str, Text] = {
    # sheer length
    "a long string": argument("a", '"', '"'),
    "a long word": argument("a"),
    "a long line": repeated("a "),
    "brackets": argument("["),
    "mixed brackets": argument("([{"),
    "brackets never closed": repeated("[", "1. search("),
    "brackets closed": lambda size: argument("]" * (size // 2), "[" * (size // 2))(size),
    "parentheses in prose": repeated("("),
    "digits": argument("9"),
    "digits before a call": repeated("9", after=". search(a)"),
    "digits of a reference": argument("9", '"$', '"'),
    "underscores": repeated("_", after='")'),
    "spaces before a call": repeated(" ", after=" (a)"),
    "newlines": repeated("\n"),
    "newlines in a call": argument("\n"),
    "newlines in a string": argument("\n", '"', '"'),
    "newlines in triple quotes": argument("\n", '"""', '"""'),
    "spaces": repeated(" "),
    "spaces in a call": argument(" "),
    "carriage returns": argument("\r\n"),
    # quotes and escapes
    "quotes": argument('"', '"'),
    "apostrophes in words": argument("a's "),
    "quotes with spaces": argument('" ', '"'),
    "typographic quotes": argument("“a” "),
    "backslashes": argument("\\", '"', '"'),
    "escapes": argument("\\n", '"', '"'),
    "half escapes": argument("\\u", '"', '"'),
    "escaped newlines": argument("\\\n", '"', '"'),
    "raw strings": argument('r"a",', "[", "]"),
    "f-strings": argument('f"a",', "[", "]"),
    "strings to add": argument('"a"+', after='"b"'),
    "strings to join": argument('"a" '),
    "a string never closed": repeated("2. x\n", '1. search("'),
    "calls in triple quotes": argument("2. search(a)\n", '"""', '"""'),
    "surrogates": argument("\ud800", '"', '"'),
    "zero characters": argument("\0", '"', '"'),
    "zero characters in code": argument("\0"),
    # references
    "dollars": argument("$"),
    "dollars in a string": argument("$", '"', '"'),
    "references": argument("$1"),
    "references in a string": argument("$1", '"', '"'),
    "paths": argument("$1.a."),
    "a long path": argument(".a", "$1"),
    "a long path in a string": argument(".a", '"$1', '"'),
    "indices": argument("[0]", "$1"),
    "open indices": argument("[", "$1"),
    "open braces": argument("${1"),
    # arguments
    "commas": argument(","),
    "texts": argument('"a",'),
    "keywords": argument("a=1,"),
    "equals signs": argument("a="),
    "a list of texts": argument('"a",', "[", "]"),
    "a list of words": argument("a,", "[", "]"),
    "a list of numbers": argument("1,", "[", "]"),
    "pairs of brackets": argument("()"),
    "calls in calls": argument("a("),
    "a list of lists": argument("[1],", "[", "]"),
    "a dict": argument('"a":1,', "{", "}"),
    "minus signs": argument("-", after="1"),
    "comments": argument("#\n"),
    "commented arguments": argument("1,#a\n"),
    # lines
    "calls": repeated('1. search("a")\n'),
    "calls on one line": repeated('1. search("a") '),
    "calls that are not closed": repeated("1. search(a\n"),
    "strings that are not closed": repeated('1. search("a\n'),
    "numbers": repeated("1. "),
    "versions": repeated("1.", after=" search(a)"),
    "names": repeated("search "),
    "dotted names": repeated("a.", "1. ", "(b)"),
    "numbered prose": repeated("1.a("),
    "prose with parentheses": repeated("a("),
    "prose with numbers": repeated("1.("),
    "a comment with parentheses": repeated("a(", "# "),
    "bullets": repeated("- ", after="1. search(a)"),
    "stars": repeated("*", after="search(a)"),
    "fences": repeated("```\n"),
    "thoughts": repeated("Thought: a\n"),
    "one thought": repeated("Thought: "),
    "steps": repeated("step 1 "),
    "assignments": repeated("$1 = search("),
    "joins": repeated("join "),
    "noise": repeated(") . ; "),
    "marks": repeated("<"),
    "half marks": repeated("<think"),
    # maps
    "a map of brackets": repeated("[", "1. search.map([", "])"),
    "a map of words": repeated("a,", "1. search.map([", "])"),
    "a map of texts": repeated('"a",', "1. search.map([", "])"),
    "a map of commas": repeated(",", "1. search.map([", "])"),
    "a map of newlines": repeated("\n", "1. search.map([", "])"),
    "a map of comments": repeated("#\n", "1. search.map([", "])"),
    "a map with more": repeated("a", '1. search.map(["a"] ', ")"),
}

LONG = [
    "a long string",
    "a long word",
    "a long line",
    "digits",
    "digits before a call",
    "newlines",
    "newlines in a call",
    "newlines in a string",
    "newlines in triple quotes",
    "spaces in a call",
    "brackets",
    "brackets never closed",
    "a list of numbers",
    "pairs of brackets",
    "calls in calls",
    "commas",
    "texts",
    "strings to join",
    "escapes",
    "references in a string",
    "a dict",
    "prose with parentheses",
]


def parse(text: str, chunk: int) -> int:
    """Reads the text in chunks, and counts the items."""
    parser = PlanParser(TOOLS)
    try:
        count = sum(len(parser.feed(text[start : start + chunk])) for start in range(0, len(text), chunk))
        return count + len(parser.close())
    except RecursionError as error:  # its thousand frames, each with the whole text, would take minutes to print
        error.__traceback__ = error.__context__ = None
        pytest.fail(f"{text[:50]!r}…: {error!r}", pytrace=False)


def work(text: str, chunk: int) -> int:
    """How many functions are called, of Python's own too; unlike the time, the same on every machine."""
    with Profile() as profile:
        parse(text, chunk)
    return sum(function.callcount for function in profile.getstats())


def test_no_text_makes_the_parser_raise_or_work_out_of_proportion() -> None:
    for name, text in TEXTS.items():
        small, large = (work(text(size), chunk=7) for size in (500, 5_000))
        assert large < 20 * small + 1_000, name


@pytest.mark.parametrize("chunk", [1, 1_000_000])
def test_a_long_text_is_read_however_it_is_cut(chunk: int) -> None:
    text = '1. search("' + "a" * 20_000 + '")'
    parser = PlanParser(TOOLS)
    (call,) = [item for start in range(0, len(text), chunk) for item in parser.feed(text[start : start + chunk])]
    assert call == Call(1, "search", ["a" * 20_000], text=text[10:-1])


def seconds(name: str, size: int) -> float:
    """Processor time for a text of about so many characters, in one piece."""
    text = TEXTS[name](size)
    started = time.process_time()
    parse(text, len(text))
    return time.process_time() - started


def test_no_text_takes_much_longer_than_a_plan_of_its_length() -> None:
    """Calls don't tell of what a regular expression tries either."""
    seconds_of_a_plan = seconds("calls", 15_000)
    for name in TEXTS:
        assert seconds(name, 15_000) < 10 * seconds_of_a_plan + 0.1, name


def test_twenty_times_the_text_takes_about_twenty_times_the_time() -> None:
    """Calls don't tell of copies. With one of all that has been read for each part, it would be some 200 times."""
    for name in LONG:
        assert seconds(name, 60_000) < 80 * seconds(name, 3_000) + 0.1, name


READERS: dict[str, Callable[[str], object]] = {
    "thoughts": without_thoughts,
    "calls": lambda text: read_written_calls(text, ["search"]),
    "decision": lambda text: read_decision(AIMessage(text)),
    "decision in words": lambda text: read_decision(AIMessage(text), as_text=True),
    "decision in other words": lambda text: read_decision(AIMessage(f"a: {text}\nb: Finish({text})")),
}


@pytest.mark.parametrize("reader", READERS)
def test_nor_do_the_others_who_read_what_a_model_says(reader: str) -> None:
    def seconds_for(unit: str, size: int) -> float:
        text = f"a {unit * (size // len(unit))}a"
        started = time.process_time()
        READERS[reader](text)
        return time.process_time() - started

    for unit in (" ", "\n", "`", "<a>", "<search>", "[", "{", "[1,", "[x]", "Answer: ", "\\n "):
        assert seconds_for(unit, 10_000) < 40 * seconds_for(unit, 1_000) + 0.1, repr(unit)
