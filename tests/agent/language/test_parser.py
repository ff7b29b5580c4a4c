"""What the parser makes of a plan's text."""

import gc
import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.language.parser import Item, PlanParser
from agent.language.plan import Plan
from agent.language.tasks import Call, Element, Join, Signature, Thought
from tests.support.prepared_python import prepared

TOOLS = {name: Signature(name) for name in ("search", "math", "get-weather")}


def parse(text: str, size: int | None = None) -> list[Item]:
    """The items of a plan, fed whole or in chunks of one size."""
    parser = PlanParser(TOOLS)
    chunks = [text] if size is None else [text[start : start + size] for start in range(0, len(text), size)]
    items = [item for chunk in chunks for item in parser.feed(chunk)]
    return items + parser.close()


def calls(text: str) -> list[Call]:
    return [item for item in parse(text) if isinstance(item, Call)]


def only_call(text: str) -> Call:
    (call,) = calls(text)
    return call


def test_a_plan_is_a_call_a_line_and_a_join() -> None:
    items = parse('1. search("Mount Everest")\n2. math("$1 * 2", context=["$1"])\n3. join()')
    assert items == [
        Call(1, "search", ["Mount Everest"], text='"Mount Everest"'),
        Call(2, "math", ["$1 * 2"], {"context": ["$1"]}, text='"$1 * 2", context=["$1"]'),
        Join(3),
    ]


def test_a_call_is_given_out_at_its_closing_parenthesis() -> None:
    parser = PlanParser(TOOLS)
    assert parser.feed('1. search("a"') == []
    assert parser.feed(")") == [Call(1, "search", ["a"], text='"a"')]


def test_what_was_read_leaves_nothing_for_the_garbage_collector() -> None:
    parse('1. search("a")\n2. join()')
    gc.collect()
    gc.disable()
    try:
        parse('1. search("Mount Everest")\n2. math.map(["$1", "2"], context=["$1"])\n3. join("$2")', size=3)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_what_comes_after_the_join_is_ignored() -> None:
    parser = PlanParser(TOOLS)
    assert parser.feed('1. join() 2. search("late")') == [Join(1)]
    assert parser.ended
    assert parser.feed('\n3. search("later")') + parser.close() == []


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ('"a, b"', "a, b"),
        ('"f(x) (y"', "f(x) (y"),
        ('"it\'s"', "it's"),
        ("'say \"hi\"'", 'say "hi"'),
        (r'"a \"b\" c"', 'a "b" c'),
        (r'"tab\tnewline\n\\ \u00e9 \x41"', "tab\tnewline\n\\ é A"),
        (r'"\d+ \w"', r"\d+ \w"),
        (r'r"\d\n"', r"\d\n"),
        (r'"\ud83d\ude00"', "😀"),
        ('"two\nlines"', "two\nlines"),
        ('"two\r\nlines"', "two\r\nlines"),
        ('"""three "quoted"\nlines"""', 'three "quoted"\nlines'),
        ("'''it's'''", "it's"),
        ('"one" "two"', "onetwo"),
        ('"height of " + $1', "height of $1"),
        ('f"plain {x}"', "plain {x}"),
        ('"The "Godfather" film"', 'The "Godfather" film'),
        ('"a 6" by 4" board"', 'a 6" by 4" board'),
        ('""', ""),
        ("'Zürich → 東京 🙂'", "Zürich → 東京 🙂"),
        ("3", 3),
        ("-2.5", -2.5),
        ("+7", 7),
        ("1e3", 1000.0),
        ("1_000", 1000),
        ("True", True),
        ("false", False),
        ("None", None),
        ("null", None),
        ("[1, -2.5, 'x', [true]]", [1, -2.5, "x", [True]]),
        ('{"a": {"b": null}, 1: (2, 3)}', {"a": {"b": None}, "1": [2, 3]}),
        ("[]", []),
        ("$1", "$1"),
        ('"$1"', "$1"),
        ("${1}", "${1}"),
        ("$1.price", "$1.price"),
        ("$1[0].name", "$1[0].name"),
        ('$1["unit price"]', '$1["unit price"]'),
        ("[$1, $10]", ["$1", "$10"]),
        ('["$1", {"x": $2.y}]', ["$1", {"x": "$2.y"}]),
        ("$1[*].city", "$1[*].city"),
        ("$1[].city", "$1[].city"),
        ("${1}.output", "${1}.output"),
        ("“a, b) c”", "a, b) c"),
        ("「北京」", "北京"),
        ("‘Schindler’s List’", "Schindler’s List"),
        ("restaurants for dinner in Oslo", "restaurants for dinner in Oslo"),
        ("Coca-Cola", "Coca-Cola"),
        ("example.com", "example.com"),
        ("2024-10-12", "2024-10-12"),
        ("Mercury (planet)", "Mercury (planet)"),
        ('f"{$1.name} of {x}"', "$1.name of {x}"),
        ('f"{$1.name!r:>9} m"', "$1.name m"),
        ('"a" + $1.name + "b"', "a${1.name}b"),
        ('"see $1" + "5"', "see ${1}5"),
        ('"$1" + " m"', "$1 m"),
        ('"costs $$1"', "costs $$1"),
        ('"$$1"', "$$1"),
        ('"$1 "', "$1 "),
        ('"$AAPL"', "$AAPL"),
        ('"task_1"', "task_1"),
        ('"$1.5"', "$1.5"),
        ('"{1}"', "{1}"),
        ('"＄100以下"', "＄100以下"),
        ("In Cold Blood", "In Cold Blood"),
        ('"price for Oslo in $1"', "price for Oslo in $1"),
        ("Schindler's List", "Schindler's List"),
        ("3 + 4", "3 + 4"),
        ("sqrt(16) * (2 + 1)", "sqrt(16) * (2 + 1)"),
        ("5 km", "5 km"),
        ("“Mount Everest”", "Mount Everest"),
        ("123456789012345678901", "123456789012345678901"),
        ("[In Cold Blood, Fargo]", ["In Cold Blood", "Fargo"]),
        ("[Paris, London]", ["Paris", "London"]),
        ("C# language", "C# language"),
    ],
)
def test_an_argument_is_read(written: str, value: object) -> None:
    call = only_call(f"1. search({written})\n2. join()")
    assert (call.arguments, call.error) == ([value], None)
    assert parse(f"1. search(query={written})\n2. join()")[0] == Call(
        1, "search", [], {"query": value}, text=f"query={written}"
    )


def test_arguments_are_positional_and_by_name() -> None:
    call = only_call('1. math("a", [1], unit="km", exact=true,)')
    assert call.arguments == ["a", [1]]
    assert call.keywords == {"unit": "km", "exact": True}


def test_a_call_may_stretch_over_lines_with_comments() -> None:
    call = only_call(
        '1. math(\n    "a",  # the problem\n    # what is known:\n    context=[\n        "b",\n    ],\n)\n2. join()'
    )
    assert (call.arguments, call.keywords) == (["a"], {"context": ["b"]})


@pytest.mark.parametrize(("written", "value"), [("$1", "$1"), ("5", 5), ("-1.5", -1.5), ("true", True), ("[1]", [1])])
def test_a_keyword_may_have_a_colon(written: str, value: object) -> None:
    assert only_call(f'1. math("a", of: {written})').keywords == {"of": value}


@pytest.mark.parametrize("written", ["Dune: Part Two", "Apollo: 11 men", "a: $1 and more", "‘Dune: Part Two’"])
def test_a_text_may_have_a_colon(written: str) -> None:
    assert only_call(f"1. search({written})").arguments == [written.strip("‘’")]


@pytest.mark.parametrize("written", ['"It is $1."', 'answer="It is $1."', 'answer: "It is $1."'])
def test_the_answer_may_have_a_name(written: str) -> None:
    assert parse(f"2. join({written})") == [Join(2, "It is $1.")]


def test_a_keyword_may_stand_after_empty_lines() -> None:
    call = only_call('1. math(\n\n\n    "a",\n\n\n    context={"b": 1},\n)\n2. join()')
    assert (call.arguments, call.keywords, call.error) == (["a"], {"context": {"b": 1}}, None)


def test_a_call_without_arguments_has_none() -> None:
    assert only_call("1. search( )") == Call(1, "search", text=" ")


@pytest.mark.parametrize(
    "text",
    [
        '2) search("a")',
        '2: search("a")',
        '- 2. search("a")',
        '* 2. search("a")',
        '**2.** search("a")',
        '**2. search("a")**',
        '2. `search("a")`',
        '2. **search**("a")',
        '(2) search("a")',
        '2 search("a")',
        '#2 search("a")',
        'Step 2: search("a")',
        'Task 2. search("a")',
        '2. $2 = search("a")',
        '2、search("a")',
        '2：search("a")',
        '2 – search("a")',
        '2 — search("a")',
        '2\\. search("a")',
        '| 2 | search("a") |',
        '2. Action: search("a")',
        '2. Call search("a")',
        '2. height = search("a")',
        '$2 = search("a")',
        '$2: search("a")',
        '  2.search("a")',
        'First, 2. search("a")',
    ],
)
def test_a_number_is_read_however_it_is_written(text: str) -> None:
    assert only_call(text) == Call(2, "search", ["a"], text='"a"')


def test_a_call_needs_no_number() -> None:
    assert parse('search("a")\n- search("b")\njoin()') == [
        Call(None, "search", ["a"], text='"a"'),
        Call(None, "search", ["b"], text='"b"'),
        Join(),
    ]


@pytest.mark.parametrize("lead", ["", "- ", "Action: ", "1.1 ", "1.2. ", "* Tool: "])
def test_a_call_needs_no_number_of_its_own(lead: str) -> None:
    assert only_call(f'{lead}search("a")') == Call(None, "search", ["a"], text='"a"')


@pytest.mark.parametrize("separator", [" ", "; ", ", ", "   "])
def test_several_calls_may_share_a_line(separator: str) -> None:
    found = calls(separator.join(['1. search("a")', "2. search('b')", "3. search(c)"]))
    assert [(call.number, call.arguments) for call in found] == [(1, ["a"]), (2, ["b"]), (3, ["c"])]


def test_windows_line_ends_are_line_ends() -> None:
    assert len(calls('1. search("a")\r\n2. search("b")\r\n3. join()\r\n')) == 2


def test_numbers_may_start_anywhere_and_come_twice() -> None:
    assert [call.number for call in calls('7. search("a")\n3. search("b")\n7. search("c")')] == [7, 3, 7]


def test_code_fences_are_noise() -> None:
    assert parse('```python\n1. search("a")\n2. join()\n```') == [Call(1, "search", ["a"], text='"a"'), Join(2)]


def test_other_lines_are_thoughts() -> None:
    items = parse('Here is the plan (version 2):\nThought: I (really) need 1. search("x")\n1. search("a")\nDone.')
    assert items == [
        Thought("Here is the plan (version 2):"),
        Thought('Thought: I (really) need 1. search("x")'),
        Call(1, "search", ["a"], text='"a"'),
        Thought("Done."),
    ]


def test_a_call_in_a_comment_is_not_one() -> None:
    assert [
        call.number for call in calls('1. search("a")  # feeds 2. math("$1")\n# 3. search("b")\n4. search("c")')
    ] == [
        1,
        4,
    ]


@pytest.mark.parametrize(
    "prose", ["I will use search (the tool).", "Then I search(find) it.", "1. Search (in books) first"]
)
def test_prose_with_parentheses_is_not_a_call(prose: str) -> None:
    assert parse(prose) == [Thought(prose)]


@pytest.mark.parametrize(
    "end",
    ["join()", "2. join()", "2. join", "join", "2. Join()", "2、join()", "<END_OF_PLAN>", '2. join("x")', "- join()"],
)
def test_the_end_of_the_plan_is_recognised(end: str) -> None:
    parser = PlanParser(TOOLS)
    items = parser.feed(f'1. search("a")\n{end}\n')
    assert isinstance(items[-1], Join)
    assert parser.ended


def test_a_plan_may_be_empty_or_have_no_join() -> None:
    assert parse("") == parse(" \n\n ") == []
    assert parse('1. search("a")') == [Call(1, "search", ["a"], text='"a"')]


@pytest.mark.parametrize(
    "next_line", ['2. search("b")', "Thought: next", "2. join()", "search('b')", "```", "<END_OF_PLAN>", "\n2. foo()"]
)
def test_a_forgotten_parenthesis_ends_the_call_with_its_line(next_line: str) -> None:
    call = calls(f'1. math("How much?", ["$9"]\n{next_line}\n')[0]
    assert (call.arguments, call.error) == (["How much?", ["$9"]], None)


def test_a_forgotten_bracket_is_closed() -> None:
    assert only_call('1. math("a", ["$1", "$2")').arguments == ["a", ["$1", "$2"]]
    assert calls('1. math("a", ["$1", "$2"\n2. join()')[0].arguments == ["a", ["$1", "$2"]]


def test_a_forgotten_quote_fails_only_its_call() -> None:
    first, second = calls('1. search("In Cold Blood)\n2. search("b")')
    assert first.error == 'The text that starts with "In Cold Blood) is not closed.'
    assert second == Call(2, "search", ["b"], text='"b"')


@pytest.mark.parametrize(
    "cut", ['1. search("a', '1. search("a"', "1. pay(100", "1. search([1,", "1. search(", "1. search(1\n, "]
)
def test_a_call_that_is_cut_off_is_not_run(cut: str) -> None:
    assert only_call(cut).error == "The plan ends in the middle of this call."


@pytest.mark.parametrize("line", ['2. search "a"', "2. search: 'a'", "2. search = [1]"])
def test_a_line_that_is_nearly_a_call_says_so(line: str) -> None:
    call = only_call(line)
    assert (call.number, call.tool, call.error) == (2, "search", "This is not a call; the form is search(…).")


@pytest.mark.parametrize("argument", ['["a" for x in y]', '"a".upper()', '{**"a"}', '[open("a")]', '["a", b]["c"]'])
def test_code_is_never_run(argument: str) -> None:
    assert only_call(f"1. search({argument})\n2. join()").error


def test_an_unknown_tool_with_a_number_is_a_call() -> None:
    assert only_call("3. lookup(a)") == Call(3, "lookup", ["a"], text="a")


def test_tool_names_may_have_hyphens() -> None:
    assert only_call('get-weather(city="Bern")').keywords == {"city": "Bern"}


@pytest.mark.parametrize(
    "written",
    [
        "e.city for e in $1",
        "[e.city for e in $1]",
        "[e['city'] for e in $1 if e.open]",
        "{e.id: e.name for e in $1}",
        "f(e) for e in cities",
        "lambda e: e.city",
        "lambda a, b: a",
        "len($1)",
        "$1 + $2",
        "$1[0] * 2",
        "-$1",
        "*$1",
        "$1[0:3]",
        "$1 if $2 else $3",
        "datetime.now()",
        "today()",
        "$1.city.upper()",
        'f"{len($1)} cities"',
        "[*$1, *$2]",
        '$1[?name=="Ana"].city',
        '$1[0].city ?? "none"',
    ],
)
@pytest.mark.parametrize("form", ["search(%s)", "search(query=%s)", "search(query=[%s])", "search.map([%s])"])
def test_code_is_no_text(written: str, form: str) -> None:
    call = only_call(f"1. {form % written}\n2. join()")
    assert call.error
    assert "a plan computes nothing" in call.error


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("e.city for e in $1", "$1.city"),
        ("[x['unit price'] for x in ${2}.offers]", '${2}.offers["unit price"]'),
        ("[e for e in $1]", "$1"),
        ('e["unit price"] for e in $1', '$1["unit price"]'),
    ],
)
def test_what_to_write_for_a_comprehension_is_said(written: str, meant: str) -> None:
    error = only_call(f"1. search({written})\n2. join()").error
    assert error is not None
    assert f"For that of each element write {meant}." in error


NAMED_PLAN = """a = search("x")
big: str = await search.map(["y"])
search(a)
math(f"{a.height} - {big[0]}", context=[a, big, "a"])
math("$a.height of ${a}s and $b", context=["$a"])
math($a, context=${a}.height)
math("{a.height} of {b}", context="{{a}}")
join(f"It is {a}.")"""


def test_the_name_of_a_result_is_the_result() -> None:
    tools = {"search": Signature("search", ("q",)), "math": Signature("math", ("p", "context"))}
    plan, parser = Plan(tools), PlanParser(tools)
    for item in [*parser.feed(NAMED_PLAN), *parser.close()]:
        if isinstance(item, Call | Element):
            plan.add(item)
        elif isinstance(item, Join):
            plan.end(item)
    assert [(task.number, task.arguments) for task in plan.tasks if task.number > 2] == [
        (3, {"q": "$1"}),
        (4, {"p": "$1.height - $2[0]", "context": ["$1", "$2", "a"]}),
        (5, {"p": "${1.height} of ${1}s and $b", "context": ["${1}"]}),
        (6, {"p": "$1", "context": "$1.height"}),
        (7, {"p": "${1.height} of {b}", "context": "{{a}}"}),
    ]
    assert plan.answer == "It is $1."


@pytest.mark.parametrize(
    "text",
    [
        '1. search（"x"）',
        "1. search（“x”）",
        "1. search(＂x＂)",
        '1. await search("x")',
        '1. a = await search("x")',
        '1. First run search("x")',
        '1. return search("x")',
        "1、search（「x」）",
        '第1步：search("x")',
        '$1 := search("x")',
        'a = $1 = search("x")',
        '1. with search("x") as a:',
    ],
)
def test_a_call_in_other_clothes_is_read(text: str) -> None:
    call = only_call(text)
    assert (call.number, call.tool, call.arguments, call.error) == (1, "search", ["x"], None)


@pytest.mark.parametrize("mark", ["① ", "第一步：", "** ② **"])
def test_marks_of_other_languages_before_a_call_are_read_over(mark: str) -> None:
    call = only_call(f'{mark}search("x")')
    assert (call.tool, call.arguments, call.error) == ("search", ["x"], None)


@pytest.mark.parametrize(
    "naming",
    [
        "a := {call}",
        "$a = {call}",
        "a = $1 = {call}",
        "1. {call} -> a",
        "1. {call} => $a",
        "1. {call} as a",
        "1. with {call} as a:",
        "1. (a := {call})",
        "b = a = {call}",
    ],
)
def test_a_result_may_be_named_in_other_ways(naming: str) -> None:
    first, second = calls(naming.format(call='search("x")') + "\nsearch(a)")
    assert (second.arguments, second.error) == ([f"${first.number}"], None)


@pytest.mark.parametrize("naming", ['search("x") -> a', 'with search("x") as a:'])
def test_a_name_is_no_text_either_if_the_call_has_no_number(naming: str) -> None:
    _, second = calls(f"{naming}\nsearch(a)")
    assert "a is not a value" in (second.error or "")


def test_full_width_commas_separate_values_and_belong_to_text() -> None:
    assert only_call('1. math（"a"，["b"，"c"]，of="d"）').arguments == ["a", ["b", "c"]]
    assert only_call("1. search(北京，天气)").arguments == ["北京，天气"]


@pytest.mark.parametrize("name", ["user-id", "$top", "filter[name]", "@type", "user id", "limit"])
@pytest.mark.parametrize("form", ["%s=42", '"%s"=42', "'%s'=42", '"%s": 42', "%s = 42"])
def test_an_argument_may_have_any_name_that_the_tool_has(name: str, form: str) -> None:
    parser = PlanParser({"items.list": Signature("items.list", ("first", "user", name))})
    text = f'1. items.list("a", {form % name})'
    items = [item for character in text for item in parser.feed(character)]
    assert items == [Call(1, "items.list", ["a"], {name: 42}, text=text[14:-1])]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("user-id", "user_id"),
        ("user-id", "userId"),
        ("user-id", "user–id"),
        ("user-id", "`user-id`"),
        ("user_id", "userId"),
        ("userId", "user_id"),
        ("$top", "top"),
        ("$top", "${top}"),
        ("$top", r"\$top"),
        ("filter[name]", 'filter["name"]'),
        ("filter[name]", "filter['name']"),
        ("filter[name]", "filter_name"),
        ("filter[name]", "filter.name"),
        ("@type", "type"),
        ("@type", '["@type"]'),
    ],
)
def test_an_argument_is_known_by_the_letters_of_its_name(name: str, written: str) -> None:
    parser = PlanParser({"items.list": Signature("items.list", ("first", name, "other"))})
    [call] = parser.feed(f'1. items.list("a", {written}=42)')
    assert (call.arguments, call.keywords) == (["a"], {name: 42})


@pytest.mark.parametrize(
    ("text", "arguments", "keywords"),
    [
        ('1. items.list("user_id=42")', ["user_id=42"], {}),
        ('1. items.list("user id: 42", "$top=1")', ["user id: 42", "$top=1"], {}),
        ("1. items.list(user_id=1, userid=2)", [], {"user_id": 1, "userid": 2}),
        ("1. items.list(USERID=1)", [], {"USERID": 1}),
    ],
)
def test_text_is_no_name_and_a_name_that_may_be_two_is_neither(
    text: str, arguments: list[object], keywords: dict[str, object]
) -> None:
    parser = PlanParser({"items.list": Signature("items.list", ("user_id", "userid", "$top"))})
    [call] = parser.feed(text)
    assert (call.arguments, call.keywords) == (arguments, keywords)


@pytest.mark.parametrize(
    "text", ['**{"user-id": 42, "a": [1]}', '"x", **{"user-id": 42, "a": [1]}', '** {"user-id": 42, "a": [1]}']
)
def test_unpacked_arguments_are_arguments(text: str) -> None:
    call = only_call(f"1. search({text})")
    assert call.keywords == {"user-id": 42, "a": [1]}


@pytest.mark.parametrize(
    "text",
    [
        '1. search("x"), then math("2 + $1")',
        '1. search("x") and math("2")',
        'search("x") & math("2")',
        '1. search("x"). Then math("2").',
        '1. search("x") if $1 > 3',
        '1. search("x") for each of them',
        'Then search("x").\n1. math("2")',
        'Next, search.map(["x"])\n1. math("2")',
        'search "x"\n1. math("2")',
        "search: x\n1. math('2')",
        "2. look it up\n1. math('2')",
        '1. search("x") then join("Found.")',
    ],
)
def test_text_that_may_be_meant_as_a_call_and_is_none_is_told(text: str) -> None:
    assert any(item.unread for item in parse(text) if isinstance(item, Thought))


@pytest.mark.parametrize(
    "text",
    [
        'Thought: I use search("x").\n1. math("2")',
        '1. search("x") # then math("2")',
        'Here is the plan (in short):\n1. search("x"); \njoin()\nDone.',
        'To find it, I look up K2.\n1. search("x") → its height',
    ],
)
def test_other_words_are_not(text: str) -> None:
    assert not any(item.unread for item in parse(text) if isinstance(item, Thought))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ('query="a";user-id="b"', "not a Python literal"),
        ('query="a" user-id="b"', "not a Python literal"),
        ('query="a" | user-id="b"', "not a Python literal"),
        ('query="a" and "user-id"="b"', "is not a value"),
        ('query="a" if $1 else "b"', "is not a value"),
        ('"{}".format($1)', "is not a value"),
        ("$1.map(e => e.name)", "is not a value"),
        ("$1?.name", "is not a value"),
        ('"a" or "b"', "is not a value"),
        ('"%s" % "a"', "is not a value"),
        ('["a"; "b"]', "is not a value"),
        ("'a' - 'b'", "is not a value"),
        ('"a" + b', "is not a value"),
        ('query="a", query="b"', "'query' is given twice"),
        ('"[e.name for e in $1]"', "is not a value"),
        ('"e.name for e in $1"', "For that of each element write $1.name."),
        ("query=<query>", "There is no value in '<query>'"),
        ("<the query>", "There is no value in '<the query>'"),
        ("query={query}", "There is no value in '{query}'"),
        ("query=???", "There is no value"),
        ("query=__", "There is no value"),
        ("query=[<a>, <b>]", "There is no value in '<a>'"),
        ('"$(1)"', "write $1."),
        ('"$(1).name"', "write $1.name."),
        ('"{{1}}"', "write $1."),
        ('"{{ 1.name }}"', "write $1.name."),
        ('"${{1}}"', "write $1."),
        ('"{$1.name}"', "write $1.name."),
        ('"$1 [0]"', "write $1[0]."),
        ('"＄1"', "write $1."),
        ("＄1", "write $1."),
        ('["$１"]', "write $1."),
        ('"<result of task 1>"', "write $1."),
        ('"{{call_1.result[0].name}}"', "write $1[0].name."),
        ('"$result_1"', "write $1."),
        ('"[output from step 2]"', "write $2."),
        ("task_1", "write $1."),
        ("result1.name", "write $1.name."),
        ("$1.0", "write $1[0]."),
        ("$one", "There is no result $one"),
        ("${city}", "There is no result ${city}"),
        ("$1->name", "is not a value"),
        ("$1::name", "is not a value"),
        ("$1..name", "is not a value"),
        ("$1.*.name", "is not a value"),
        ("**kwargs", "is not a value"),
        ("*names", "is not a value"),
        ('"%s m" % $1', "is not a value"),
        ('"$1.name"[0]', "is not a value"),
    ],
)
def test_what_is_no_argument_fails_the_call(arguments: str, says: str) -> None:
    for chunks in ([f"1. search({arguments})"], f"1. search({arguments})"):
        parser = PlanParser({"search": Signature("search", ("query", "user-id"))})
        [call] = [item for chunk in chunks for item in parser.feed(chunk)]
        assert isinstance(call, Call)
        assert says in (call.error or "")


@pytest.mark.parametrize(
    "line",
    [
        'a, b = search("x"), search("y")',
        'a = await asyncio.gather(search("x"), search("y"))',
        'a = [search(x) for x in ["x", "y"]]',
        '7. a = [search("x")]',
    ],
)
def test_calls_of_a_line_that_cannot_be_read_fail_and_so_does_what_is_named_there(line: str) -> None:
    failed, call = calls(f"{line}\nsearch(a)")
    assert (failed.tool, failed.error) == ("search", "This is not a call; the form is search(…).")
    assert call.arguments == [f"${failed.number}"]


@pytest.mark.parametrize(
    "text",
    [
        'await asyncio.gather(search("x"), search("y"))',
        'for one in ["x", "y"]: search(one)',
        'except: search("x")',
        'assert search("x"); search("y")',
        '{"tool": "search", "query": "x"}',
        '1. {"name": "search", "arguments": {"query": "x"}}',
        '```json\n[{"function": "search", "query": "x"}]\n```',
        '<tool_call>{"name": "search", "arguments": {}}</tool_call>',
    ],
)
def test_calls_in_another_form_than_that_of_plans_fail(text: str) -> None:
    assert only_call(f"{text}\njoin()").error == "This is not a call; the form is search(…)."


@pytest.mark.parametrize(
    "argument", ["a", "[a]", '{"x": a}', '"about $a"', '"about {a}"', 'f"about {a}"', "a.name", "$a"]
)
def test_a_name_of_something_else_than_a_result_is_no_text(argument: str) -> None:
    assert only_call(f'a = "K2"\nsearch({argument})').error


PIECES = st.sampled_from(
    [
        *"12$().,\"'[]{}#\n \\:=<>`*-+",
        *("search", "math", "join", "Thought:", "```", "<think>", "</think>", "<END_OF_PLAN>", '1. search("', " = "),
        *(
            "（",
            "）",
            "，",
            "“",
            "”",
            "「",
            "a = search(",
            "await ",
            "{a}",
            'f"',
            " for e in $1",
            "e.a",
            "[*]",
            "lambda e",
        ),
        *('1. search.map(["a", ', "1. search.map(", '"b", ', ", query="),
        *("$1", "${1}", "$1.a", r"\x41", '"""', "abc", "\r\n", "é", "\0", "🙂", "true", "rb", "\ud800"),
    ]
)
TEXTS = st.lists(PIECES, max_size=40).map("".join)


@given(TEXTS, st.lists(st.integers(1, 9), min_size=1, max_size=20))
@example('1. search("\\x4', [1])
@example('1. search($1["a', [1])
def test_the_items_do_not_depend_on_the_chunks(text: str, sizes: list[int]) -> None:
    parser = PlanParser(TOOLS)
    items: list[Item] = []
    start = 0
    while start < len(text):
        size = sizes[start % len(sizes)]
        items += parser.feed(text[start : start + size])
        start += size
    assert items + parser.close() == parse(text)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.lists(VALUES, max_size=3), st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), VALUES, max_size=3))
def test_every_python_literal_is_read_back(arguments: list[object], keywords: dict[str, object]) -> None:
    written = ", ".join(
        [repr(value) for value in arguments] + [f"{name}={value!r}" for name, value in keywords.items()]
    )
    call = only_call(f"1. search({written})\n2. join()")
    assert call == Call(1, "search", _clean(arguments), _clean(keywords), text=written)


def _clean(value: object) -> object:
    """Lone surrogates, which no protocol carries, come out as the replacement character."""
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case list():
            return [_clean(item) for item in value]
        case dict():
            return {_clean(name): _clean(item) for name, item in value.items()}
    return value


def test_what_python_thinks_of_a_plan_is_not_told() -> None:
    code = 'from agent.language.parser import PlanParser; PlanParser(["f"]).feed("1. f(1if 2)")'
    result = subprocess.run(prepared("-c", code), capture_output=True, text=True, check=True)
    assert result.stderr == ""
