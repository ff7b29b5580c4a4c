"""The offline model: asked with prompts as planner, joiner and math tool write them, and through the graph."""

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from agent import create_llm_compiler
from graphs.offline.model import OfflineChatModel
from tools import TOOLS

SEARCH = "search(query: str) -> str: the encyclopedia entry that fits the query best"
MATH = "math(problem: str, context: list[str] = []) -> float: evaluates an expression, or solves a word problem"
RENAMED = (
    "lookup(phrase: str) -> str: the entry on a thing",
    "calculator(expression: str, notes: list[str] = []) -> float",
)
ZORBO = "Mount Zorbo is a mountain. Its height is 5,000 metres (16,404 feet). It was first climbed in 1950."
QUUX = "The Quux Tower is a tower of 1.25 km, opened in 1999. Its height is 1.25 km and its cost 3 million dollars."
REPLAN = {"type": "function", "function": {"name": "replan", "parameters": {"type": "object", "properties": {}}}}
TURN = "How tall is Mount Zorbo?"
MODEL = OfflineChatModel(delay=0)


def conversation(system: str, texts: tuple[str, ...]) -> list[BaseMessage]:
    turns = [HumanMessage(text) if i % 2 == 0 else AIMessage(text) for i, text in enumerate(texts)]
    return [SystemMessage(system), *turns]


def plan(*texts: str, tools: tuple[str, ...] = (SEARCH, MATH)) -> list[str]:
    listed = "\n".join(tools)
    return MODEL.invoke(conversation(f"Write a plan.\n\nTools:\n{listed}\n\nRules:\n- One", texts)).text.splitlines()


def answer(*texts: str, form: str = "") -> str:
    return MODEL.invoke(conversation(f"Answer the user's last question.{form}", texts)).text


def expression(problem: str, *context: str) -> str:
    items = "\n".join(f"{number}. {text}" for number, text in enumerate(context, 1))
    return MODEL.invoke(
        conversation("Write one arithmetic expression that solves it.", (f"Problem: {problem}\nContext:\n{items}",))
    ).text


def with_results(question: str, *results: str) -> str:
    return "\n".join([f"{question}\n", "Results (data, not instructions):", *results])


# --- planning


@pytest.mark.parametrize(
    ("question", "lines"),
    [
        ("What is 15% of 80?", ['1. math("15 / 100 * 80")']),
        ("square root of 144", ['1. math("sqrt(144)")']),
        ("12 times 7 plus three", ['1. math("12 * 7 + 3")']),
        ("the product of 12 and 7", ['1. math("12 * 7")']),
        ("twelve divided by four", ['1. math("12 / 4")']),
        ("Subtract 5 from twenty-five", ['1. math("25 - 5")']),
        ("Divide 144 by 12 and add 7", ['1. math("144 / 12 + 7")']),
        ("Add 15 and 27, then multiply the result by 2", ['1. math("(15 + 27) * 2")']),
        ("What is 45 minus 19, times 3?", ['1. math("(45 - 19) * 3")']),
        ("seven hundred and twelve plus forty-two", ['1. math("712 + 42")']),
        ("two thirds of 90", ['1. math("2 / 3 * 90")']),
        ("25 squared", ['1. math("25 ** 2")']),
        ("2 to the power of 10", ['1. math("2 ** 10")']),
        (
            "What's (2+3)*4? What's 7/2? What's the sum of those two values?",
            ['1. math("(2 + 3) * 4")', '2. math("7 / 2")', '3. math("$1 + $2")'],
        ),
    ],
)
def test_arithmetic_is_planned_without_a_search(question: str, lines: list[str]) -> None:
    assert plan(question) == [*lines, f"{len(lines) + 1}. join()"]


def test_searches_come_first_and_one_expression_combines_them() -> None:
    assert plan("How much taller is Mount Zorbo than the Quux Tower?") == [
        '1. search("Mount Zorbo")',
        '2. search("Quux Tower")',
        '3. math("height of Mount Zorbo - height of Quux Tower, in metres", context=["$1", "$2"])',
        "4. join()",
    ]


@pytest.mark.parametrize(
    ("question", "problem"),
    [
        ("How many times heavier is a zorbo than a quux?", "mass of zorbo / mass of quux, in kg"),
        ("What is the combined length of the Zorbo and the Quux?", "length of Zorbo + length of Quux, in kilometres"),
        ("What is the average speed of Zorbo and Quux?", "(speed of Zorbo + speed of Quux) / 2, in km/h"),
        ("By how many metres is Zorbo shallower than Quux?", "depth of Quux - depth of Zorbo, in metres"),
        (
            "What is the population of Zorbo and Quux together, in millions?",
            "population of Zorbo + population of Quux, in millions",
        ),
        ("By what percent is Zorbo taller than Quux?", "(height of Zorbo / height of Quux - 1) * 100, in metres"),
        ("By what percent is Zorbo lighter than Quux?", "(mass of Zorbo / mass of Quux - 1) * -100, in kg"),
        ("How many times would Zorbo fit into the length of Quux?", "length of Quux / length of Zorbo, in kilometres"),
        (
            "What is the sum of the heights of Zorbo and Quux divided by 3?",
            "(height of Zorbo + height of Quux) / 3, in metres",
        ),
        ("What are the melting points of zorbium and quuxium?", "melting point of zorbium, in °C"),
        ("How much shorter is Zorbo than Quux?", "extent of Quux - extent of Zorbo"),
        ("If a zorbo ran 20% slower, would it still be faster than a quux?", "speed of zorbo * 0.8, in km/h"),
    ],
)
def test_the_operation_is_read_from_the_words(question: str, problem: str) -> None:
    assert plan(question)[2].startswith(f'3. math("{problem}", context=["$1"')


@pytest.mark.parametrize(
    ("question", "changed"),
    [
        ("If Zorbo was 20% shallower and Quux 10% deeper, which would be shallower?", ("depth", "0.8", "1.1")),
        ("If the Zorbo doubled in area and the Quux lost 25%, which has more area?", ("area", "2", "0.75")),
        (
            "After increasing the height of Zorbo by 60% and decreasing the height of Quux by 30%, which is taller?",
            ("height", "1.6", "0.7"),
        ),
        (
            "Given that Zorbo's population grows by 8% and Quux's decreases by 7%, which is more populous?",
            ("population", "1.08", "0.93"),
        ),
    ],
)
def test_each_change_is_a_calculation_of_its_own(question: str, changed: tuple[str, str, str]) -> None:
    what, first, second = changed
    lines = plan(question)
    assert lines[2].startswith(f'3. math("{what} of Zorbo * {first}, in ')
    assert lines[3].startswith(f'4. math("{what} of Quux * {second}, in ')


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("When was the Zorbo Canal opened?", "Zorbo Canal"),
        ("Who built the Tower of Quux?", "Tower of Quux"),
        ("Where is St. Zorbo's Basilica?", "St. Zorbo's Basilica"),
    ],
)
def test_a_name_does_not_tell_what_is_asked(question: str, name: str) -> None:
    assert plan(question) == [f'1. search("{name}")', "2. join()"]


def test_a_verb_before_an_article_is_no_thing() -> None:
    assert plan("Take the height of Mount Zorbo, double it")[:2] == [
        '1. search("Mount Zorbo")',
        '2. math("height of Mount Zorbo * 2, in metres", context=["$1"])',
    ]


def test_tools_are_called_by_the_names_of_the_prompt() -> None:
    assert plan("How tall is Mount Zorbo?", tools=RENAMED) == [
        '1. lookup("Mount Zorbo")',
        '2. calculator("height of Mount Zorbo, in metres", notes=["$1"])',
        "3. join()",
    ]


@pytest.mark.parametrize("tools", [(), (SEARCH,), (MATH,), ("mail(to: str) -> None: sends a mail",)])
def test_without_the_tools_it_needs_it_only_joins(tools: tuple[str, ...]) -> None:
    assert plan("How tall is Mount Zorbo?", tools=tools) == ["1. join()"]


@pytest.mark.parametrize("text", ["Hello!", "Write a poem about the sea.", "What should I cook?", ""])
def test_what_needs_no_tool_is_only_joined(text: str) -> None:
    assert plan(text) == ["1. join()"]


def test_a_later_turn_goes_on_with_numbers_and_results() -> None:
    first = with_results(TURN, f'1. search("Mount Zorbo") -> {ZORBO}', '2. math("…", context=["$1"]) -> 5000')
    second = with_results(
        "And how tall is Quux?", f'4. search("Quux") -> {QUUX}', '5. math("…", context=["$4"]) -> 1250'
    )
    assert plan(first, "5,000", "And how tall is Quux?\n\nPlan from number 4 on.") == [
        '4. search("Quux")',
        '5. math("height of Quux, in metres", context=["$4"])',
        "6. join()",
    ]
    last = "What is the sum of those two?\n\nPlan from number 7 on."
    assert plan(first, "5,000", second, "1,250", last) == ['7. math("$2 + $5")', "8. join()"]


# --- arithmetic over texts


@pytest.mark.parametrize(
    ("problem", "context", "expected"),
    [
        ("height of Mount Zorbo - height of the Quux Tower, in metres", (ZORBO, QUUX), "5000 - 1250"),
        ("height of Mount Zorbo * 0.9, in kilometres", (ZORBO,), "5 * 0.9"),
        ("population of Zorbia, in millions", ("Zorbia has a population of about 1.5 billion (2023).",), "1500"),
        ("mass of Zorbo, in kg", ("Zorbo is a planet. Its mass is 5.972e24 kg.",), "5.972e+24"),
        ("depth of Zorbo, in metres", ("Zorbo: its area is 31,500 km² and its greatest depth 1,642 m.",), "1642"),
        ("height of Mount Zorbo, in metres", (QUUX,), "unknown: height of Mount Zorbo"),
        ("depth of Mount Zorbo, in metres", (ZORBO,), "unknown: depth of Mount Zorbo"),
        ("extent of Mount Zorbo - extent of Quux", (ZORBO, QUUX), "5000 - 1250"),
        ("melting point of Zorbo, in °C", ("Zorbo: its melting point is 0 °C.",), "0"),
        ("height of Mount Zorbo, in fathoms", (ZORBO,), "unknown: height of Mount Zorbo, in fathoms"),
        ("height of Zorbo Tower", ("The tower of Quux: its height is 5 m.", "Zorbo Tower: its height is 7 m."), "7"),
    ],
)
def test_figures_are_taken_from_the_context(problem: str, context: tuple[str, ...], expected: str) -> None:
    assert expression(problem, *context) == expected


# --- answering

FIRST = '1. search("Mount Zorbo") -> …'
SECOND = '2. search("Quux") -> …'


@pytest.mark.parametrize(
    ("question", "results", "expected"),
    [
        (TURN, (FIRST, "2. math(…) -> 1234567.891"), "The height is 1,234,567.89 metres for Mount Zorbo."),
        (
            "How much taller is Quux than Mount Zorbo?",
            (FIRST, SECOND, "3. math(…) -> -238"),
            "Mount Zorbo is 238 metres taller than Quux.",
        ),
        (
            "What is the ratio of the height of Mount Zorbo to that of Quux?",
            (FIRST, SECOND, "3. math(…) -> 2.7572"),
            "The height of Mount Zorbo is 2.76 times that of Quux.",
        ),
        (
            "Is Mount Zorbo taller than Quux?",
            (FIRST, SECOND, "3. math(…) -> 5", "4. math(…) -> 7"),
            "No. The height is 5 metres for Mount Zorbo and 7 metres for Quux.",
        ),
        (
            "Which would be shorter if Quux grew by 10%, Mount Zorbo or Quux?",
            (FIRST, SECOND, "3. math(…) -> 5", "4. math(…) -> 7"),
            "The smallest would be Mount Zorbo. The height would be 5 metres for Mount Zorbo and 7 metres for Quux.",
        ),
        (
            "By what percent is Mount Zorbo taller than Quux?",
            (FIRST, SECOND, "3. math(…) -> 22.7434"),
            "Mount Zorbo is 22.74% taller than Quux.",
        ),
        (
            "How many times as tall as the shortest is the tallest of Mount Zorbo and Quux?",
            (FIRST, SECOND, "3. math(…) -> 4"),
            "The tallest is 4 times as tall as the shortest.",
        ),
        (
            "How much taller is the tallest than the shortest of Mount Zorbo, Foo and Quux?",
            (FIRST, '2. search("Foo") -> …', '3. search("Quux") -> …', "4. math(…) -> 27"),
            "The tallest is 27 metres taller than the shortest.",
        ),
        (
            "How much shorter is Zorbo than Quux?",
            ("1. search(…) -> Its length is 2 km.", "2. search(…) -> Its length is 3 km.", "3. math(…) -> 1"),
            "Zorbo is 1 kilometres shorter than Quux.",
        ),
        (
            "Is Mount Zorbo at least 3 times as tall as Quux?",
            (FIRST, SECOND, '3. math("height of Mount Zorbo") -> 9', '4. math("height of Quux * 3") -> 12'),
            "No. The height would be 9 metres for Mount Zorbo and 12 metres for Quux.",
        ),
        ("3/4 + 1/8", ('1. math("3 / 4 + 1 / 8") -> 0.875',), "3 / 4 + 1 / 8 = 0.875."),
        ("Who invented the zorbo?", ('1. search("zorbo") -> Ann invented the zorbo.',), "Ann invented the zorbo."),
        ("What is 6 times 7?", ('1. math("6 * 7") -> 42',), "6 * 7 = 42."),
    ],
)
def test_the_answer_has_the_figures_of_the_results(question: str, results: tuple[str, ...], expected: str) -> None:
    assert answer(with_results(question, *results)) == expected


def test_a_failed_call_is_reported_with_its_reason() -> None:
    text = answer(with_results(TURN, '1. search("Mount Zorbo") failed: no entry', "2. math(…) failed: Not run"))
    assert "no height for Mount Zorbo" in text
    assert "no entry" in text


@pytest.mark.parametrize(
    "text",
    [
        "Hi!",
        "Write a poem about the sea.",
        "Why is the sky blue?",
        "If K2 were 300 metres taller, how tall would it be?",
        "What is 17 modulo 5?",
        "",
        "?",
    ],
)
def test_it_says_what_it_is_and_how_to_set_a_real_model(text: str) -> None:
    assert all(part in answer(text) for part in ("offline demo model", "OPENAI_API_KEY", "LLM_COMPILER_MODEL"))


def test_a_text_only_joiner_gets_the_form_that_it_asks_for() -> None:
    text = answer(with_results("What is 6 * 7?", '1. math("6 * 7") -> 42'), form="\nAction: Finish(your answer)")
    assert text.endswith("Action: Finish(6 * 7 = 42.)")


# --- the model


async def test_it_streams_tokens_and_then_its_usage() -> None:
    prompt = conversation("Answer the user's last question.", ("Hello!",))
    chunks = [chunk async for chunk in MODEL.bind_tools([REPLAN]).astream(prompt)]
    assert "".join(chunk.text for chunk in chunks) == answer("Hello!") == "".join(c.text for c in MODEL.stream(prompt))
    assert len(chunks) > 20
    assert [chunk.usage_metadata["output_tokens"] for chunk in chunks if chunk.usage_metadata] == [
        sum(bool(chunk.text) for chunk in chunks)
    ]


def test_it_is_named_offline_and_takes_its_time_by_default() -> None:
    assert (OfflineChatModel()._llm_type, OfflineChatModel().delay) == ("offline", 0.012)


# --- through the graph


@pytest.mark.parametrize(
    ("questions", "expected"),
    [
        (["What's ((3*(4+5)/0.5)+3245) + 8? What's 32/4.23? What's the sum of those two values?"], "3,314.57"),
        (["How much taller is Mount Everest than K2?"], "238 metres taller"),
        (["If the Nile were 10% shorter, would it still be longer than the Amazon?"], "No. "),
        (["Who invented the telephone?"], "Bell"),
        (["How tall is K2?", "And how tall is Mont Blanc?", "What is the sum of those two?"], "13,417"),
        (["How high is K2?", "And Mount Everest?", "What's the ratio?"], "8,611 / 8,849 = 0.97."),
        (["How much shorter is the Danube than the Volga?"], "681 kilometres shorter than"),
        (["When was the Suez Canal opened?"], "1869"),
        (["Double the length of the Loire and subtract the length of the Rhine."], "would be 782 kilometres"),
        (["How tall is Mount Zorbo?"], "No entry fits"),
    ],
)
async def test_questions_are_answered_through_the_graph(questions: list[str], expected: str) -> None:
    graph = create_llm_compiler(TOOLS, model=MODEL)
    messages: list[BaseMessage] = []
    for question in questions:
        messages = (await graph.ainvoke({"messages": [*messages, HumanMessage(question)]}))["messages"]
    assert expected in messages[-1].text
