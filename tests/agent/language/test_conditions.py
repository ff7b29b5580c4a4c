"""A call that stands under a condition is not made as if it weren't."""

import pytest

from agent.language.parser import PlanParser
from agent.language.tasks import Call, Element, Join, Signature, Thought

TOOLS = {"search": Signature("search", ("query",)), "send": Signature("send", ("to",), changes=True)}


def read(text: str) -> list[Call | Element | Join]:
    """The items of a plan in which `send` changes something; they don't depend on the chunks."""
    whole, piecemeal = PlanParser(TOOLS), PlanParser(TOOLS)
    items = [*whole.feed(text), *whole.close()]
    assert [*(item for character in text for item in piecemeal.feed(character)), *piecemeal.close()] == items
    return [item for item in items if not isinstance(item, Thought)]


CONDITIONS = [
    " if $1 > 3",
    ", if $1 > 3",
    " (if $1 > 3)",
    " **if $1 > 3**",
    " # if $1 > 3",
    " // only if $1 > 3",
    " - only if it is more than 3",
    " only when $1 is true",
    " (tell her when $1 > 3)",
    " unless $1",
    " while $1",
    " until $1",
    " for x in $1",
    " for k, v in $1.items()",
    " for each of them",
    " provided that $1 > 3",
    " in case $1 > 3",
    " except on Sunday",
    " repeat 3 times",
    " else send('bob')",
    " if $1 else 3. send('bob')",
    " or send('bob')",
    " or 3. send('bob')",
    " and send('bob')",
    " & send('bob')",
    " && send('bob')",
    " || send('bob')",
    " then send('bob')",
    ". Then send('bob').",
    " ? $1 : $2",
    "[0]",
    ".name",
    ".upper()",
    " + 1",
    " * 3",
    " x 3",
    " == 5",
]


@pytest.mark.parametrize(
    "behind", [*CONDITIONS, " wenn $1 > 3", " 如果 $1 > 3", " twice", "; tell her", " # only on Monday"]
)
def test_a_call_that_changes_something_is_not_made_if_what_stands_behind_it_may_change_it(behind: str) -> None:
    for call in ("2. send('ana')", "2. send.map(['ana', 'eva'])", "send(to='ana')", "mail = send('ana')"):
        items = read(f"1. search('x')\n{call}{behind}\n3. send('carl')\n4. join('Done.')")
        told = [(item.tool, "no conditions" in str(item.error)) for item in items if isinstance(item, Call)]
        assert told == [("search", False), ("send", True)], call
        assert len(items) == 2, f"the plan ends there: {call}"


@pytest.mark.parametrize("behind", CONDITIONS)
def test_a_lookup_under_a_condition_may_be_made_and_the_plan_ends_with_a_failure_that_says_so(behind: str) -> None:
    first, last, *others = read(f"1. search('x'){behind}\n2. send('$1')\n3. join('It is $1.')")
    assert first == Call(1, "search", ["x"], text="'x'")
    assert isinstance(last, Call)
    assert last.number is None
    assert "no conditions" in (last.error or "")
    assert not others


REMARKS = [
    "",
    ".",
    ";",
    ",",
    "  # tell Ana, for the height",
    " // the mail",
    " -- the mail",
    " -> $2",
    " => mail",
    " = $2",
]
REMARKS += [" as mail", " as $mail:", "**", "`", " |", "```", " - tells Ana", " (to tell her)", " – the mail"]
LOOSE = [" [the mail]", " → her answer", ": the mail", " to tell her", ", to tell her"]
LOOSE += [" for the record", " as the first mail"]


@pytest.mark.parametrize(
    ("tool", "behind"),
    [(tool, remark) for tool in TOOLS for remark in [*REMARKS, *(LOOSE if tool == "search" else [])]],
)
def test_remarks_are_no_conditions(tool: str, behind: str) -> None:
    items = read(f"1. {tool}('ana'){behind}\n2. {tool}.map(['x']){behind}\n3. join()")
    assert [item for item in items if not isinstance(item, Element)] == [
        Call(1, tool, ["ana"], text="'ana'"),
        Call(2, tool, [["x"]], text="['x']", mapped=True),
        Join(3),
    ]


@pytest.mark.parametrize("between", ["; ", ", ", " ", " | ", " and 2. ", ", then 2. "])
def test_calls_that_share_a_line_are_no_conditions_of_each_other(between: str) -> None:
    number = "" if "2." in between else "2. "
    items = read(f"1. send('ana'){between}{number}send('bob')\njoin()")
    assert [item.error for item in items if isinstance(item, Call)] == [None, None]


@pytest.mark.parametrize(
    "line",
    [
        "2. if $1 > 3: send('ana')",
        "if $1: send('ana')",
        "for p in $1: send(p)",
        "2. unless $1: send.map(['ana'])",
        "2. $1 > 3 and send('ana')",
        "when $1 > 3, send('ana')",
        "if $1 > 3:\n    2. send('ana')",
        "if price > 3:\n    2. send('ana')",
        "If $1 is more than 3, then:\n2. send('ana')",
        "for p in $1:\n    send(p)",
    ],
)
def test_conditions_and_loops_before_a_call_fail_it(line: str) -> None:
    first, call, *others = read(f"1. search('x')\n{line}\n3. send('bob')\n4. join('Done.')")
    assert isinstance(first, Call)
    assert isinstance(call, Call)
    assert (first.error, call.tool) == (None, "send")
    assert "no conditions and no loops" in (call.error or "")
    assert not others


STATED = [
    "(only if $1 says late)",
    "- when it is late",
    "late orders",
    "pending confirmation",
    "Condition: late",
    "assert $1 > 3",
    "# if she is late",
    "# $1 must be late",
    "# nur bei Verspätung",
    "# 仅当航班延误时",
    "# si le vol est en retard",
    "# только если опаздывает",
    "Thought: Ana is to know if it is late.",
    "**Optional**",
    "IF late THEN",
    "On rain:",
    "[late]",
    "a) late",
    "# not yet",
    "# on delay",
    "# Ana must confirm",
    "# avant, confirmer avec Ana",
    "# for each guest",
    "# x3",
    "# ggf.",
    "# 必要时",
    "# 条件：晚点",
    "# au besoin",
    "# an example",
    "# cancelled",
    "# 已取消",
    "Thought: 有必要的话。",
    "Thought: Ana must confirm first.",
    "Thought: I see whether it is late.",
    "# weather permitting",
    "# as needed",
    "# where applicable",
    "# repeat 3 times",
    "# awaiting her reply",
    "# im Falle von Regen",
    "Gedanke: Ich sehe, ob es regnet.",
    "Pensée : s'il pleut, je le dis à Ana.",
    "# en caso de lluvia",
    "# caso chova",
    "# kun hvis det regner",
    "# jen když prší",
    "# samo ako pada kiša",
    "# tik jei lyja",
    "Kui sajab, kirjutan Anale.",
    "# yağmur yağarsa",
    "# в случае дождя",
    "# ikiwa mvua inanyesha",
    "# 下雨时",
    "# 雨天時",
    "思考：下雨才发。",
    "思考：雨が降れば送る。",
    "# 비 올 때",
    "# மழை பெய்தால்",
]


@pytest.mark.parametrize("text", STATED)
def test_what_stands_on_the_lines_around_a_call_that_changes_something_may_be_its_condition(text: str) -> None:
    for plan in (
        around
        for call in ("2. send('ana')", "2. send.map(['ana', 'eva'])", "send(to='ana')")
        for line in (text, f"\n   {text}")
        for around in (f"{call}\n{line}\n3. search('x')", f"{call}\n{line}", f"{line}\n{call}")
    ):
        items = read(f"1. search('x')\n{plan}\n4. send('bob')\njoin('Done.')")
        assert len(items) == 2, f"the plan ends there: {plan}"
        first, changing = items
        assert first == Call(1, "search", ["x"], text="'x'"), plan
        assert isinstance(changing, Call), plan
        assert (changing.tool.lower(), "no conditions" in (changing.error or "")) == ("send", True), plan


@pytest.mark.parametrize(
    "line",
    [
        "send('ana'), 3. send('bob') if $1",
        "send('ana'); 3. search('y') # only if late",
        "send('ana'), search.map(['y']) if late",
    ],
)
def test_a_condition_may_be_one_of_all_calls_on_its_line(line: str) -> None:
    first, failed, *others = read(f"1. search('x')\n2. {line}\n4. send('carl')\njoin()")
    assert first == Call(1, "search", ["x"], text="'x'")
    assert isinstance(failed, Call)
    assert (failed.number, failed.tool, "no conditions" in (failed.error or "")) == (2, "send", True)
    assert not others


@pytest.mark.parametrize("remark", ["# only if it is late", "# must be late", "-> late, if all is well"])
def test_a_remark_behind_a_lookup_may_be_about_what_comes_below(remark: str) -> None:
    calls = [item for item in read(f"1. search('x')  {remark}\n2. send('ana')\njoin()") if isinstance(item, Call)]
    assert all(call.error for call in calls if call.tool == "send")


@pytest.mark.parametrize("remark", LOOSE)
def test_other_words_behind_a_lookup_are_not_about_what_comes_below(remark: str) -> None:
    calls = [item for item in read(f"1. search('x'){remark}\n2. send('ana')\njoin()") if isinstance(item, Call)]
    assert [(call.tool, call.error) for call in calls] == [("search", None), ("send", None)]


def test_a_call_in_a_remark_is_none() -> None:
    assert read("1. search('x')\n// 2. send('ana')\n# 3. send('bob')\njoin()") == [
        Call(1, "search", ["x"], text="'x'"),
        Join(None),
    ]


@pytest.mark.parametrize(
    "guard", ["2. check('$1 > 3')", "2. if('$1')", "2. send: ana", "2. send ana a mail", "wait_for($1)"]
)
def test_what_stands_below_a_line_that_cannot_be_read_may_hang_on_it(guard: str) -> None:
    calls = [
        item
        for item in read(f"1. search('x')\n{guard}\n3. search('y')\n4. send('ana')\njoin()")
        if isinstance(item, Call)
    ]
    assert all(call.error for call in calls if call.tool == "send")
    assert "no conditions" in (calls[-1].error or "")


@pytest.mark.parametrize(
    "text",
    [
        "# Tell Ana",
        "# Send the height from $1 to Ana",
        "Thought: Ana is to know.",
        "Thought: Now that I know $1 and $2, I tell Ana.",
        "```python",
        "---",
        "// the mail",
        "Then:",
        "**Finally:**",
        "<plan>",
        "Then send the mail:",
        "### Step 2: Send the mail",
        "This sends it to Ana.",
        "- This sends it to Ana.",
        "(these run in parallel)",
        "# depends on 1",
        "# after the search",
        "# Ana needs to know, no reply expected",
        "Thought: Ana should be told at once.",
        "思考：现在发送邮件。",
        "思考：取消订单，同时，发送必要的文件。",
        "# 必要な書類を送る",
        "# cancel the order",
        "Thought: One mail for each guest.",
        "Thought: Once I have the height, I send it.",
        "Thought: Jetzt sende ich die Mail als Text.",
        "Gedanke: Als Nächstes sende ich die Mail.",
        "# 会議を15時に移動する",
        "# 下午3时",
        "# tell Jen in Anchorage, AK",
        "Thought: The Ob is longer, so Ana is told.",
        "Pensamiento: mientras tanto envío el correo.",
        "思考：メールを送らなければならない。",
        "思考：先查地址，才能发邮件。",
    ],
)
def test_remarks_sentences_and_thoughts_between_calls_are_no_conditions(text: str) -> None:
    items = read(f"1. search('x')\n{text}\n2. send('ana')\n{text}\n3. send('bob')\njoin()")
    assert [item.error for item in items if isinstance(item, Call)] == [None, None, None]


@pytest.mark.parametrize(
    "prose",
    [
        "Here is the plan:",
        "I look it up, and tell Ana.",
        "We only need two calls.",
        "Aquí va: primero se busca, luego se envía.",
        "When both are known, I compare them:",
    ],
)
def test_above_the_first_call_stands_what_the_model_likes_to_say(prose: str) -> None:
    tool = "search" if prose.startswith("When") else "send"
    assert read(f"{prose}\n1. {tool}('ana')\n2. join()") == [Call(1, tool, ["ana"], text="'ana'"), Join(2)]


@pytest.mark.parametrize(
    "prose",
    [
        "If it rains, people want to know.",
        "Thought: if $1 > 3, I tell Ana.",
        "Wenn es regnet, sage ich es Ana:",
        "雨なら送る:",
    ],
)
def test_unless_that_may_be_a_condition(prose: str) -> None:
    first, last = read(f"{prose}\n1. search('x')\n2. send('ana')\n3. join()")
    assert [getattr(item, "error", "") is None for item in (first, last)] == [True, False]


def test_a_call_that_changes_something_is_given_out_where_the_next_begins_and_all_others_at_once() -> None:
    parser = PlanParser(TOOLS)
    assert parser.feed("1. search.map(['a',") == [Element(1, "search", "a")]
    assert len(parser.feed("'b'])")) == 2
    assert parser.feed("\n2. send.map(['a', 'b'])\n") == []
    assert parser.feed("3. Send(") == [Call(2, "send", [["a", "b"]], text="['a', 'b']", mapped=True)]
    assert parser.feed("'c') 4. search('d')\n") == []
    assert parser.feed("5. send(") == [Call(3, "Send", ["c"], text="'c'"), Call(4, "search", ["d"], text="'d'")]
    assert parser.feed("'e'); 6. search('f'); join(") == []
    assert parser.feed(")") == [
        Call(5, "send", ["e"], text="'e'"),
        Call(6, "search", ["f"], text="'f'"),
        Join(None),
    ]
