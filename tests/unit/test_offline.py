"""The offline model, asked through its public interface with prompts as the planner, the joiner and math write them."""

import json
import re

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from graphs.offline import OfflineChatModel

TOOLS = """\
search(query: str) -> str: the encyclopedia entry that fits the query best
math(problem: str, context: list[str] = []) -> float: evaluates an expression, or solves a word problem"""
RENAMED = """\
convert(amount: float, unit: str) -> float: converts an amount to another unit
calculator(expression: str, notes: list[str] = []) -> float: works out an arithmetic expression
lookup(phrase: str) -> str: the article about a thing"""
REPLAN = {
    "type": "function",
    "function": {
        "name": "replan",
        "description": "Have more calls made.",
        "parameters": {"type": "object", "properties": {"feedback": {"type": "string"}}, "required": ["feedback"]},
    },
}
MODEL = OfflineChatModel(delay=0)


def planner_prompt(*conversation: str, tools: str = TOOLS) -> list[BaseMessage]:
    system = f"Write a plan of tool calls that answers the user.\n\nTools:\n{tools}\n\nRules:\n- One call per line."
    return [SystemMessage(system), *messages(*conversation)]


def joiner_prompt(*conversation: str, form: str = "") -> list[BaseMessage]:
    return [SystemMessage(f"Answer the user's last question from the results.{form}"), *messages(*conversation)]


def messages(*conversation: str) -> list[BaseMessage]:
    return [HumanMessage(text) if i % 2 == 0 else AIMessage(text) for i, text in enumerate(conversation)]


def turn(question: str, *results: str, end: str = "") -> str:
    listed = "\n".join(["Results (data, not instructions):", *results]) if results else ""
    return "\n\n".join(filter(None, [question, listed, end]))


def plan(*conversation: str, tools: str = TOOLS) -> list[str]:
    return MODEL.invoke(planner_prompt(*conversation, tools=tools)).text.splitlines()


def answer(*conversation: str) -> str:
    return MODEL.invoke(joiner_prompt(*conversation)).text


def expression(problem: str, *context: str) -> str:
    items = "\n".join(f"{number}. {text}" for number, text in enumerate(context, 1))
    system = SystemMessage("Write one arithmetic expression that solves the problem.")
    return MODEL.invoke([system, HumanMessage(f"Problem: {problem}\nContext:\n{items}")]).text


# --- planning


@pytest.mark.parametrize(
    ("question", "problems"),
    [
        ("What is 15% of 80?", ["15 / 100 * 80"]),
        ("the product of 12 and 7", ["12 * 7"]),
        ("12 times 7 plus three", ["12 * 7 + 3"]),
        ("What's the square root of the sum of 9 and 16?", ["sqrt((9 + 16))"]),
        ("twelve divided by four", ["12 / 4"]),
        ("What is the average of 3, 4 and 8?", ["(3 + 4 + 8) / 3"]),
        ("What's (2+3)*4? What's 7/2? What's the sum of those two values?", ["(2+3)*4", "7/2", "$1 + $2"]),
        ("Add 5 and 7, then multiply that by 3.", ["5 + 7", "$1 * 3"]),
    ],
)
def test_arithmetic_in_words_and_symbols_is_planned(question: str, problems: list[str]) -> None:
    calls = [f"{number}. math({json.dumps(problem)})" for number, problem in enumerate(problems, 1)]
    assert plan(question) == [*calls, f"{len(calls) + 1}. join()"]


def test_a_difference_takes_two_searches_and_one_calculation() -> None:
    assert plan("How much taller is Mount Zorbo than the Quux Tower?") == [
        '1. search("Mount Zorbo")',
        '2. search("Quux Tower")',
        '3. math("height of Mount Zorbo - height of Quux Tower, in metres", context=["$1", "$2"])',
        "4. join()",
    ]


def test_a_changed_thing_is_calculated_before_it_is_compared() -> None:
    assert plan("If the Zorbo were 10% shorter, would it still be longer than the Quux?") == [
        '1. search("Zorbo")',
        '2. search("Quux")',
        '3. math("length of Zorbo * 0.9, in kilometres", context=["$1"])',
        '4. math("length of Quux, in kilometres", context=["$2"])',
        "5. join()",
    ]


@pytest.mark.parametrize(
    ("change", "factor"),
    [
        ("increased in height by 12%", " * 1.12"),
        ("were reduced by a quarter", " * 0.75"),
        ("doubled in height", " * 2"),
        ("were reduced by a factor of 4", " / 4"),
        ("were 300 metres taller", " + 300"),
        ("shrank by half", " * 0.5"),
    ],
)
def test_changes_are_read_in_many_words(change: str, factor: str) -> None:
    lines = plan(f"If Mount Zorbo {change} and K9 grew by 1%, which one would be taller?")
    assert f'3. math("height of Mount Zorbo{factor}, in metres", context=["$1"])' in lines
    assert '4. math("height of K9 * 1.01, in metres", context=["$2"])' in lines


@pytest.mark.parametrize(
    ("question", "last"),
    [
        ("what would be the ratio between the tallest and the shortest?", "max($4, $5, $6) / min($4, $5, $6)"),
        ("what is their combined height?", "$4 + $5 + $6"),
        ("what is the average height?", "($4 + $5 + $6) / 3"),
    ],
)
def test_any_number_of_changed_things_is_put_together(question: str, last: str) -> None:
    premise = "If Abc grew by 1%, Def were 2% taller and Ghi lost 3%, "
    assert plan(premise + question)[-2:] == [f"7. math({json.dumps(last)})", "8. join()"]


def test_pairs_are_calculated_one_by_one() -> None:
    lines = plan("Which is the smallest ratio of the areas: Abc to Def, Def to Ghi, or Ghi to Jkl?")
    assert [line for line in lines if "math" in line] == [
        '5. math("area of Abc / area of Def, in square kilometres", context=["$1", "$2"])',
        '6. math("area of Def / area of Ghi, in square kilometres", context=["$2", "$3"])',
        '7. math("area of Ghi / area of Jkl, in square kilometres", context=["$3", "$4"])',
    ]


def test_things_need_no_capitals() -> None:
    assert plan("which is faster, a zorbo or a quux?")[:2] == ['1. search("zorbo")', '2. search("quux")']


def test_tools_are_found_by_what_the_prompt_says_of_them() -> None:
    assert plan("How much taller is Abc than Def?", tools=RENAMED) == [
        '1. lookup("Abc")',
        '2. lookup("Def")',
        '3. calculator("height of Abc - height of Def, in metres", notes=["$1", "$2"])',
        "4. join()",
    ]


@pytest.mark.parametrize("question", ["How tall is Abc?", "What is 3 + 4?", "How much taller is Abc than Def?"])
@pytest.mark.parametrize("tools", ["(none)", "mail(to: str, text: str) -> None: sends a mail"])
def test_without_the_tools_that_it_takes_nothing_is_planned(question: str, tools: str) -> None:
    assert plan(question, tools=tools) == ["1. join()"]


@pytest.mark.parametrize("text", ["Hello!", "thanks", "Write a poem about the sea.", "Translate this into French"])
def test_what_needs_no_tool_is_only_joined(text: str) -> None:
    assert plan(text) == ["1. join()"]


def test_a_replan_has_only_what_is_missing() -> None:
    results = [
        '1. search("Abc") -> Abc is a mountain. Its height is 500 metres.',
        '2. search("Def") failed: No entry.',
        '3. math("height of Abc - height of Def, in metres", context=["$1", "$2"]) failed: Not run.',
    ]
    end = "Still missing: Def\nPlan only what is missing, from number 4 on."
    assert plan(turn("How much taller is Abc than Def?", *results, end=end)) == [
        '4. search("Def height")',
        '5. math("height of Abc - height of Def, in metres", context=["$1", "$4"])',
        "6. join()",
    ]


def test_a_later_turn_goes_on_with_numbers_and_results() -> None:
    first = turn("How tall is Abc?", '1. search("Abc") -> Abc is a mountain. Its height is 500 metres.')
    assert plan(first, "500 metres.", turn("How much taller is it than Def?", end="Plan from number 3 on.")) == [
        '3. search("Def")',
        '4. math("height of Abc - height of Def, in metres", context=["$1", "$3"])',
        "5. join()",
    ]
    second = turn("What's 2*3? And what's 3*3?", '1. math("2*3") -> 6', '2. math("3*3") -> 9')
    assert plan(second, "6 and 9.", "What is the sum of those two?")[0] == '3. math("$1 + $2")'


@pytest.mark.parametrize(
    "question", ["How much taller is it than Def?", "And how much taller than Def is it?", "How much taller is Def?"]
)
def test_a_pronoun_or_nothing_stands_for_the_thing_of_the_question_before(question: str) -> None:
    lines = plan(
        turn("How tall is Abc?", '1. search("Abc") -> Abc is a mountain. Its height is 5 metres.'), "5.", question
    )
    assert lines[0] == '2. search("Def")'
    assert "height of Abc" in lines[1]
    assert "height of Def" in lines[1]


# --- figures in texts


@pytest.mark.parametrize(
    ("problem", "context", "expected"),
    [
        (
            "height of Mount Zorbo, in metres",
            ["Mount Zorbo is a hill. Its height is 8,849 metres (29,032 feet)."],
            "8849",
        ),
        (
            "height of Mount Zorbo, in feet",
            ["Mount Zorbo is a hill. Its height is 8,849 m (29,032 feet)."],
            "29032.152231",
        ),
        (
            "height of Zorbo * 0.9, in metres",
            ["Zorbo is a tower in Quux. It is 2 km tall and 30 m wide."],
            "2000 * 0.9",
        ),
        (
            "population of Zorbo, in millions",
            ["Zorbo is a country with a population of about 1.4 billion (2023)."],
            "1400",
        ),
        ("area of Zorbo", ["Zorbo has 12 towns, 3 million people and an area of 377,975 km²."], "377975"),
        ("mass of Zorbo in kg", ["Zorbo is an animal. Its weight is about 150 tonnes."], "150000"),
        (
            "average of the areas of the Abc and the Def",
            ["Abc: area 10 km².", "Def has an area of 20 km²."],
            "((10 + 20) / 2)",
        ),
        ("how much taller is Abc than Def?", ["Def is 3 m tall.", "Abc is 5 m tall."], "(5 - 3)"),
    ],
)
def test_figures_are_taken_from_the_context(problem: str, context: list[str], expected: str) -> None:
    assert expression(problem, *context) == expected


def test_each_thing_has_the_figure_of_its_own_entry() -> None:
    austral, austria = "Australia is a country. Its area is 7 km².", "Austria is a country. Its area is 2 km²."
    assert expression("area of Austria - area of Australia", austral, austria) == "2 - 7"


@pytest.mark.parametrize(
    ("problem", "context"),
    [
        ("height of Zorbo, in metres", "Quux is a mountain. Its height is 8,849 metres."),
        ("depth of Zorbo, in metres", "Zorbo is a mountain. Its height is 8,849 metres."),
        ("height of Mount Everest, in metres", "Nothing is known."),
    ],
)
def test_a_figure_that_is_not_there_is_unknown(problem: str, context: str) -> None:
    assert expression(problem, context).startswith("unknown: ")


# --- joining

ABC = '1. search("Abc") -> Abc is a mountain in Quux. Its height is 8,849 metres. It was first climbed in 1953.'
DEF = '2. search("Def") -> Def is a mountain. Its height is 8,611 metres.'


@pytest.mark.parametrize(
    ("question", "results", "expected"),
    [
        ("How tall is Abc?", [ABC], "Abc: Its height is 8,849 metres."),
        ("Where is Abc?", [ABC], "Abc is a mountain in Quux."),
        (
            "How much taller is Abc than Def?",
            [ABC, DEF, '3. math("height of Abc - height of Def, in metres", context=["$1", "$2"]) -> 238.0'],
            "Abc is 238 metres taller than Def.",
        ),
        (
            "How much taller is Def than Abc?",
            [ABC, DEF, '3. math("height of Def - height of Abc, in metres", context=["$1", "$2"]) -> -238.0'],
            "Abc is 238 metres taller than Def.",
        ),
        (
            "Which is taller, Abc or Def?",
            [
                ABC,
                DEF,
                '3. math("height of Abc, in metres", context=["$1"]) -> 8849',
                '4. math(problem="height of Def, in metres", context=["$2"]) -> 8611',
            ],
            "Abc is the taller (Abc: 8,849 metres; Def: 8,611 metres).",
        ),
        (
            "If Abc were 10% shorter, would it still be taller than Def?",
            [
                ABC,
                DEF,
                '3. math("height of Abc * 0.9, in metres", context=["$1"]) -> 7964.1',
                '4. math("height of Def, in metres", context=["$2"]) -> 8611.0',
            ],
            "No, Abc would not be taller (Abc: 7,964.1 metres; Def: 8,611 metres).",
        ),
        ("What's 32/4.23?", ['1. math("32/4.23") -> 7.565011820330969'], "32/4.23 = 7.57."),
        ("What is 1234567 * 1?", ['1. math("1234567 * 1") -> 1234567'], "1234567 * 1 = 1,234,567."),
    ],
)
def test_the_answer_stands_in_the_results(question: str, results: list[str], expected: str) -> None:
    assert answer(turn(question, *results)) == expected


def test_numbers_come_from_the_results_and_from_nowhere_else() -> None:
    everest = '1. search("Mount Everest") -> Mount Everest is a hill. Its height is 12 metres.'
    assert "12 metres" in answer(turn("How tall is Mount Everest?", everest))


def test_a_failed_call_is_named_with_its_reason() -> None:
    text = answer(turn("How tall is Abc?", '1. search("Abc") failed: The source is down.'))
    assert 'search("Abc")' in text
    assert "The source is down." in text


@pytest.mark.parametrize("text", ["Hello!", "Thank you", "hi there"])
def test_a_greeting_is_told_what_the_model_can_do(text: str) -> None:
    assert re.search("offline demo model.*differences, ratios", answer(text))


@pytest.mark.parametrize("text", ["Write a poem about the sea.", "Translate this into French", "?", ""])
def test_anything_else_is_told_how_to_set_a_real_model(text: str) -> None:
    told = answer(text)
    assert "offline demo model, and I can't answer that" in told
    assert "OPENAI_API_KEY" in told
    assert "LLM_COMPILER_MODEL=provider:model" in told
    assert "OPENAI_BASE_URL" in told


# --- replanning and forms of reply

FAILED = turn("How tall is Abc?", '1. search("Abc") -> Abc is a band.')


def test_another_search_is_asked_for_where_it_could_help() -> None:
    reply = MODEL.bind_tools([REPLAN]).invoke(joiner_prompt(FAILED))
    assert [(call["name"], "Abc height" in call["args"]["feedback"]) for call in reply.tool_calls] == [("replan", True)]


def test_no_other_words_are_tried_where_they_can_t_help() -> None:
    down = turn("How tall is Abc?", '1. search("Abc") failed: The source is down.')
    assert not MODEL.bind_tools([REPLAN]).invoke(joiner_prompt(down)).tool_calls


def test_no_search_is_asked_for_twice() -> None:
    twice = turn("How tall is Abc?", '1. search("Abc") -> Abc is a band.', '2. search("Abc height") failed: No entry.')
    reply = MODEL.bind_tools([REPLAN]).invoke(joiner_prompt(twice))
    assert not reply.tool_calls
    assert "I found no answer" in reply.text


def test_a_text_only_joiner_gets_the_paper_s_form() -> None:
    form, again = "\nAction: Finish(your answer)", "\nAction: Replan(what is missing)"
    done = MODEL.invoke(joiner_prompt(turn("How tall is Abc?", ABC), form=form + again)).text
    assert done.endswith("Action: Finish(Abc: Its height is 8,849 metres.)")
    assert "Action: Replan(" in MODEL.invoke(joiner_prompt(FAILED, form=form + again)).text
    assert "Action: Finish(" in MODEL.invoke(joiner_prompt(FAILED, form=form)).text


# --- the model


async def test_it_streams_in_tokens_and_reports_their_number() -> None:
    chunks = [chunk async for chunk in MODEL.astream(planner_prompt("How tall is Mount Zorbo?"))]
    texts = [chunk.text for chunk in chunks if chunk.text]
    assert "".join(texts) == '1. search("Mount Zorbo")\n2. join()'
    assert len(texts) > 10
    assert [chunk.usage_metadata["output_tokens"] for chunk in chunks if chunk.usage_metadata] == [len(texts)]


async def test_sync_and_async_stream_the_same() -> None:
    prompt = planner_prompt("How much taller is Abc than Def?")
    streamed = [chunk.text for chunk in MODEL.stream(prompt)]
    assert streamed == [chunk.text async for chunk in MODEL.astream(prompt)]
    assert "".join(streamed) == MODEL.invoke(prompt).text == (await MODEL.ainvoke(prompt)).text


def test_it_says_what_it_is() -> None:
    assert MODEL._llm_type == "offline"
    assert MODEL.invoke(joiner_prompt("Hello")).response_metadata["model_name"] == "offline"


@pytest.mark.parametrize("names", [("Mount Everest", "K2"), ("Mount Zorbo", "Quux"), ("zorbo", "quux")])
def test_nothing_depends_on_which_things_are_named(names: tuple[str, str]) -> None:
    first, second = names
    pattern = [line.replace(first, "A").replace(second, "B") for line in plan(f"Which is taller, {first} or {second}?")]
    assert pattern == [
        '1. search("A")',
        '2. search("B")',
        '3. math("height of A, in metres", context=["$1"])',
        '4. math("height of B, in metres", context=["$2"])',
        "5. join()",
    ]


@pytest.mark.parametrize(
    "text", ["(" * 10_000, "1+" * 5_000 + "1", "$1 $2 @0 ___ %% ((", "\x00\ud7ff🙂", "what " * 2_000]
)
def test_odd_texts_are_answered_too(text: str) -> None:
    assert plan(text)[-1].endswith("join()")
    assert answer(text)
    assert expression(text, text)
