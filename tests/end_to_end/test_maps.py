"""Maps in the plan language, end to end: one line, many calls."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from agent import create_llm_compiler
from tests.support.model_server import Gate, ModelServer, Reply


@tool
async def look_up(name: str) -> str:
    """look something up"""
    if name == "nothing":
        raise ValueError("no entry")
    return f"entry of {name}"


@tool
async def names(text: str) -> list[str]:
    """the names in a text"""
    return text.split()


@tool
async def count(name: str) -> int:
    """the letters of a name"""
    return len(name)


@tool
async def join_up(texts: list[str], glue: str = " ") -> str:
    """texts as one"""
    return glue.join(texts)


@tool
async def pair(first: str, second: str = "-") -> str:
    """two as one"""
    return f"{first}/{second}"


@tool
async def people(text: str) -> list[dict[str, Any]]:
    """the people in a text, such as Ana:Graz Ben:Bern"""
    split = (word.split(":") for word in text.split())
    return [{"name": name, "city": city, "letters": list(name)} for name, city in split]


@tool
async def person(text: str) -> dict[str, str]:
    """a person, such as Ana:Graz"""
    if ":" not in text:
        raise ValueError("no such person")
    return dict(zip(("name", "city"), text.split(":"), strict=True))


@tool
async def label(name: str, marks: list[str]) -> str:
    """a name with its marks"""
    return f"{name}: {' '.join(marks)}"


TOOLS = [look_up, names, count, join_up, pair, people, person, label]


async def run(
    server: ModelServer, model: ChatOpenAI, *lines: str, turn: list[Any] | None = None, **options: Any
) -> list[AnyMessage]:
    """The messages of a turn with this plan."""
    server.script(planner=["\n".join([*lines, "join()"])], joiner=["Done."])
    graph = create_llm_compiler(TOOLS, model=model)
    output = await graph.ainvoke({"messages": [*(turn or []), ("user", "Question?")]}, **options)
    return output["messages"]


def results(messages: list[AnyMessage]) -> dict[str, str]:
    """The observations, by tool call id."""
    return {m.tool_call_id: m.text for m in messages if isinstance(m, ToolMessage)}


def calls(messages: list[AnyMessage]) -> dict[str | None, dict[str, Any]]:
    """The arguments that calls were made with, by tool call id."""
    return {call["id"]: call["args"] for m in messages if isinstance(m, AIMessage) for call in m.tool_calls}


async def test_a_map_calls_its_tool_for_each_element(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    messages = await run(model_server, chat_model, '1. look_up.map(["K2", "Fuji"])')
    assert results(messages) == {"task_1_0": "entry of K2", "task_1_1": "entry of Fuji"}
    assert calls(messages) == {"task_1_0": {"name": "K2"}, "task_1_1": {"name": "Fuji"}}


async def test_its_list_may_stand_in_quotes(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    messages = await run(model_server, chat_model, """1. look_up.map('["K2", "Fuji"]')""")
    assert results(messages) == {"task_1_0": "entry of K2", "task_1_1": "entry of Fuji"}


@pytest.mark.parametrize("before", ["", 'where="here", names='])
async def test_an_element_starts_while_the_rest_of_its_line_is_streaming(
    model_server: ModelServer, chat_model: ChatOpenAI, before: str
) -> None:
    gate, started = Gate(), asyncio.Event()

    async def note(names: str) -> str:
        """Notes."""
        started.set()
        return names

    async def note_there(names: str, where: str = "there") -> str:
        """Notes."""
        started.set()
        return f"{names} {where}"

    called = note_there if before else note
    plan = [f'1. {called.__name__}.map({before}["K2", ', gate, '"Fuji"])\n', "2. join()"]
    model_server.script(planner=[Reply(plan)], joiner=["Done."])
    running = asyncio.create_task(create_llm_compiler([called], model=chat_model).ainvoke({"messages": "Question?"}))
    await started.wait()
    gate.open()
    there = " here" if before else ""
    assert list(results((await running)["messages"]).items()) == [
        ("task_1_0", f"K2{there}"),
        ("task_1_1", f"Fuji{there}"),
    ]


async def test_an_element_waits_for_arguments_that_may_follow_the_list(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    messages = await run(
        model_server,
        chat_model,
        '1. look_up.map(["K2", "Fuji"])',
        '2. pair.map(second=$1, first=["a", "b"])',
        '3. pair.map(["a", "b"], second="c")',
    )
    assert [results(messages)[f"task_2_{index}"] for index in (0, 1)] == ["a/entry of K2", "b/entry of Fuji"]
    assert [results(messages)[f"task_3_{index}"] for index in (0, 1)] == ["a/c", "b/c"]


async def test_maps_of_one_length_are_taken_element_by_element(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    messages = await run(
        model_server, chat_model, '1. look_up.map(["K2", "Fuji"])', '2. pair.map(["a", "b"], second=$1)'
    )
    assert results(messages)["task_2_0"] == "a/entry of K2"
    assert results(messages)["task_2_1"] == "b/entry of Fuji"


async def test_an_element_of_a_zipped_map_waits_for_its_own_element_only(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    second_may_end, first_is_used = asyncio.Event(), asyncio.Event()

    @tool
    async def fetch(name: str) -> str:
        """fetch"""
        if name == "slow":
            await second_may_end.wait()
        return name

    @tool
    async def use(name: str) -> str:
        """use"""
        if name == "quick":
            first_is_used.set()
        return name

    model_server.script(planner=['1. fetch.map(["quick", "slow"])\n2. use.map($1)\njoin()'], joiner=["Done."])
    graph = create_llm_compiler([fetch, use], model=chat_model)
    running = asyncio.create_task(graph.ainvoke({"messages": "Question?"}))
    await first_is_used.wait()
    second_may_end.set()
    assert results((await running)["messages"])["task_2_1"] == "slow"


async def test_a_map_over_a_result_has_as_many_calls_as_the_list(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    messages = await run(
        model_server, chat_model, '1. names("K2 Fuji Etna")', "2. count.map($1)", "3. pair.map($1, second=$2)"
    )
    assert [results(messages)[f"task_2_{i}"] for i in range(3)] == ["2", "4", "4"]
    assert [results(messages)[f"task_3_{i}"] for i in range(3)] == ["K2/2", "Fuji/4", "Etna/4"]
    assert calls(messages)["task_2_1"] == {"name": "Fuji"}
    assert "task_2" not in calls(messages)


async def test_a_reference_to_a_map_is_the_list_of_its_results(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    messages = await run(
        model_server,
        chat_model,
        '1. count.map(["K2", "Fuji"])',
        '2. pair("$1", second="$1[1] and $1[-1]")',
        "3. join_up($1)",
    )
    assert results(messages)["task_2"] == "[2, 4]/4 and 4"
    assert results(messages)["task_3"] == "2 4"


async def test_the_whole_list_goes_to_each_call_on_demand(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    messages = await run(
        model_server, chat_model, '1. count.map(["K2", "Fuji"])', '2. pair.map(["a", "b", "c"], second=$1[:])'
    )
    assert results(messages)["task_2_2"] == "c/[2, 4]"


async def test_maps_of_other_lengths_fail_and_say_what_to_do(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    messages = await run(
        model_server, chat_model, '1. count.map(["K2", "Fuji"])', '2. pair.map(["a", "b", "c"], second=$1)'
    )
    assert results(messages)["task_2"] == "pair.map has 3 elements, and $1 has 2. $1[:] gives each call all of it."


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        ('count.map("K2")', "count.map calls count for each element of a list, and name is no list: 'K2'."),
        ("count.map()", "count needs the argument 'name'; it takes name."),
        ("coumt.map([1])", "There is no tool 'coumt'. Did you mean count? The tools are:"),
        ('count.map(["K2"], 7)', "count takes name; 2 arguments are too many."),
        ('count.map(["K2"] + $1)', "The list that is mapped over is followed by + $1."),
    ],
)
async def test_a_wrong_map_is_a_failed_task(
    plan: str, why: str, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    messages = await run(model_server, chat_model, f"1. {plan}")
    assert results(messages)["task_1"].startswith(why)


async def test_a_map_over_a_result_that_is_no_list_fails(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    messages = await run(model_server, chat_model, '1. count("K2")', "2. look_up.map($1)", "3. pair($2)")
    assert (
        results(messages)["task_2"] == "look_up.map calls look_up for each element of a list, and name is no list: 2."
    )
    assert results(messages)["task_3"].startswith("Not run: it needs task 2, which failed")


@pytest.mark.parametrize("plan", ["1. count.map([])", '1. names("")\n2. count.map($1)'])
async def test_a_map_over_nothing_is_an_empty_list(
    plan: str, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    number = plan.count("\n") + 1
    messages = await run(model_server, chat_model, plan, f"join_up(${number})")
    assert results(messages)[f"task_{number}"] == "[]"
    assert results(messages)[f"task_{number + 1}"] == ""


@pytest.mark.parametrize("path", ["name", "city.zip"])
async def test_a_map_over_a_field_of_nobody_is_an_empty_list(
    path: str, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    messages = await run(model_server, chat_model, '1. people("")', f"2. pair.map($1.{path}, $1.city)")
    assert results(messages)["task_2"] == "[]"


async def test_a_field_of_nobody_is_an_error_elsewhere(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    messages = await run(model_server, chat_model, '1. people("")', "2. look_up($1.name)")
    assert results(messages)["task_2"] == "$1.name does not exist: a list of 0 has no .name."


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        ('pair.map(["a", "b"], ["x", "y"])', ["a/x", "b/y"]),
        ('pair.map(second=["x", "y"], first=["a", "b"])', ["a/x", "b/y"]),
        ("pair.map($1.name, $1.city)", ["Ana/Graz", "Ben/Bern"]),
        ('pair.map($1.name, "$1.city, $1[0].name")', ["Ana/Graz, Ana", "Ben/Bern, Ana"]),
        ("pair.map($1.name, $2)", ["Ana/K2", "Ben/Fuji"]),
        ("label.map($1.city, $1.letters)", ["Graz: A n a", "Bern: B e n"]),
        ("label.map($1.name, $1.city[:])", ["Ana: Graz Bern", "Ben: Graz Bern"]),
        ("pair.map($1.name, $1.city[:])", ['Ana/["Graz", "Bern"]', 'Ben/["Graz", "Bern"]']),
        ('pair.map($1.name, "$2")', ["Ana/K2", "Ben/Fuji"]),
        (
            "pair.map($1.name, {'in': $1.city, 'all': $2})",
            ['Ana/{"in": "Graz", "all": ["K2", "Fuji"]}', 'Ben/{"in": "Bern", "all": ["K2", "Fuji"]}'],
        ),
        ('pair.map($1.name, "of $2")', ["Ana/of [K2, Fuji]", "Ben/of [K2, Fuji]"]),
        ('pair.map(["a", "b", "c"], $2)', ['a/["K2", "Fuji"]', 'b/["K2", "Fuji"]', 'c/["K2", "Fuji"]']),
    ],
)
async def test_lists_where_the_tool_takes_one_thing_are_taken_element_by_element(
    call: str, wanted: list[str], model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    plan = ['1. people("Ana:Graz Ben:Bern")', '2. names("K2 Fuji")', f"3. {call}"]
    messages = await run(model_server, chat_model, *plan)
    found = results(messages)
    assert [found[f"task_3_{index}"] for index in range(len(wanted))] == wanted
    assert f"task_3_{len(wanted)}" not in found


async def test_a_list_that_the_tool_takes_goes_to_each_call(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    messages = await run(model_server, chat_model, '1. join_up.map([["a", "b"], ["c", "d"]], glue=["-", "+"])')
    assert results(messages) == {"task_1_0": "a-b", "task_1_1": "c+d"}


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        ('pair.map("a", ["x", "y"])', ["a/x", "a/y"]),
        ('pair.map("a", $2)', ["a/K2", "a/Fuji"]),
        ('pair.map("a", $1.city)', ["a/Graz", "a/Bern"]),
        ('pair.map($1[0].name, ["x", "y"])', ["Ana/x", "Ana/y"]),
    ],
)
async def test_a_map_is_over_the_list_that_it_has_wherever_that_stands(
    call: str, wanted: list[str], model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    plan = ['1. people("Ana:Graz Ben:Bern")', '2. names("K2 Fuji")', f"3. {call}"]
    found = results(await run(model_server, chat_model, *plan))
    assert [found[f"task_3_{index}"] for index in range(len(wanted))] == wanted


@pytest.mark.parametrize("over", ['["a", "b", "c"]', "$1"])
async def test_lists_of_other_lengths_fail_and_say_what_to_do(
    over: str, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    messages = await run(model_server, chat_model, '1. names("a b c")', f'2. pair.map({over}, ["x", "y"])')
    assert results(messages)["task_2"] == (
        "pair.map has 3 elements, and second 2. Give as many, or one for all calls, without brackets."
    )


@pytest.mark.parametrize("over", ['[("a", "x"), ("b", "y")]', '[["a"], ["b"]]'])
async def test_a_list_is_no_element_where_the_tool_takes_one_thing(
    over: str, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    found = results(await run(model_server, chat_model, f"1. pair.map({over})", f"2. names.map({over})"))
    assert "pair takes one first a call, and ['a'" in found["task_1_0"]
    assert "Each argument has a list of its own: names.map([…], […])." in found["task_2_1"]


async def test_a_failed_element_fails_only_what_uses_it(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    messages = await run(
        model_server,
        chat_model,
        '1. look_up.map(["K2", "nothing"])',
        "2. count.map($1)",
        '3. count("$1[0]")',
        '4. count("$1")',
        "5. join_up($1)",
    )
    assert results(messages) == {
        "task_1_0": "entry of K2",
        "task_1_1": "ValueError: no entry",
        "task_2_0": "11",
        "task_2_1": "Not run: it needs task 1[1], which failed: ValueError: no entry",
        "task_3": "11",
        "task_4": "Not run: it needs task 1[1], which failed: ValueError: no entry",
        "task_5": "entry of K2 (failed: ValueError: no entry)",
    }


async def test_a_part_of_each_element_of_a_map_has_the_reason_in_place_of_those_that_failed(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    lines = ['1. person.map(["Ana:Graz", "nobody", "Ben:Bern"])', "2. join_up($1.city)", "3. count.map($1.city)"]
    found = results(await run(model_server, chat_model, *lines))
    assert found["task_2"] == "Graz (failed: ValueError: no such person) Bern"
    assert found["task_3_0"] == found["task_3_2"] == "4"
    assert found["task_3_1"] == "Not run: it needs task 1[1], which failed: ValueError: no such person"


async def test_a_later_turn_refers_to_a_map(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    model_server.script(
        planner=[
            '1. count.map(["K2", "Fuji"])\njoin()',
            '2. join_up($1)\n3. look_up.map($1)\n4. count("$1[0]")\njoin()',
        ],
        joiner=["Done.", "Done."],
    )
    graph = create_llm_compiler(TOOLS, model=chat_model, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    await graph.ainvoke({"messages": "Question?"}, config)
    messages = (await graph.ainvoke({"messages": "And now?"}, config))["messages"]
    assert results(messages)["task_2"] == "2 4"
    assert results(messages)["task_3_1"] == "entry of 4"
    assert results(messages)["task_4"] == "1"


async def test_a_map_of_too_many_elements_ends_the_plan(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    elements = ", ".join(f'"{i}"' for i in range(50))
    model_server.script(planner=[f"1. count.map([{elements}])\n2. join()"], joiner=["Done."])
    graph = create_llm_compiler(TOOLS, model=chat_model)
    output = await graph.ainvoke({"messages": "Question?"}, context={"max_tasks": 3})
    assert list(results(output["messages"])) == ["task_1_0", "task_1_1", "task_1_2", "task_1_3"]
    assert results(output["messages"])["task_1_3"].startswith("The plan ends here: it has more than 3 tasks")


async def test_a_map_over_a_list_of_too_many_elements_fails(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    messages = await run(model_server, chat_model, '1. names("a b c d")', "2. count.map($1)", context={"max_tasks": 3})
    assert results(messages)["task_2"].startswith("The list has 4 elements, and with a call for each the plan has more")


async def test_a_map_over_a_list_may_use_up_the_tasks(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    messages = await run(model_server, chat_model, '1. names("a b c d")', "2. count.map($1)", context={"max_tasks": 5})
    assert len([name for name in results(messages) if name.startswith("task_2")]) == 4


async def test_an_element_that_refers_to_its_own_map_fails_alone(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    messages = await run(model_server, chat_model, '1. count.map(["x $1[0]", "y"])', "2. count($1[1])")
    assert results(messages)["task_1_0"] == "Task 1 refers to its own result, $1[0]."
    assert results(messages)["task_1_1"] == results(messages)["task_2"] == "1"


async def test_the_joiner_sees_each_element(model_server: ModelServer, chat_model: ChatOpenAI) -> None:
    await run(model_server, chat_model, '1. count.map(["K2", "Fuji"])')
    prompt = model_server.requests[1].messages[-1]["content"]
    assert '1[0]. count("K2") -> 2\n1[1]. count("Fuji") -> 4' in prompt


@pytest.mark.parametrize("plan", ['1. work.map(["a", "b"])', '1. split("a b")\n2. work.map($1)'])
async def test_finished_elements_are_not_called_again_after_a_crash(
    plan: str, model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    ran: list[str] = []
    holding, released = asyncio.Event(), asyncio.Event()

    @tool
    async def split(text: str) -> list[str]:
        """split"""
        ran.append("split")
        return text.split()

    @tool
    async def work(name: str) -> str:
        """work"""
        ran.append(name)
        if name == "b":
            holding.set()
            await released.wait()
        return name.upper()

    model_server.script(planner=[f"{plan}\njoin()"], joiner=["Done."])
    graph = create_llm_compiler([split, work], model=chat_model, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    missing = {"plan_finished", "task_finished work"}
    async with aclosing(graph.astream({"messages": "Question?"}, config, stream_mode="custom")) as events:
        async for event in events:
            missing -= {event["type"], f"{event['type']} {event.get('tool')}"}
            if not missing:
                break
        await holding.wait()
    before = list(ran)
    released.set()
    messages = (await graph.ainvoke(None, config))["messages"]
    assert ran == [*before, "b"]
    assert [text for key, text in results(messages).items() if key.count("_") == 2] == ["A", "B"]


async def test_an_element_that_interrupts_pauses_the_run_and_nothing_else_runs_again(
    model_server: ModelServer, chat_model: ChatOpenAI
) -> None:
    ran: list[str] = []

    @tool
    async def split(text: str) -> list[str]:
        """split"""
        return text.split()

    @tool
    async def ask(name: str) -> str:
        """ask"""
        ran.append(name)
        return interrupt(f"{name}?") if name != "a" else name

    model_server.script(planner=['1. split("a b c")\n2. ask.map($1)\njoin()'], joiner=["Done."])
    graph = create_llm_compiler([split, ask], model=chat_model, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    paused = await graph.ainvoke({"messages": "Question?"}, config)
    answers = {one.id: one.value.upper() for one in paused["__interrupt__"]}
    assert sorted(answers.values()) == ["B?", "C?"]
    output = await graph.ainvoke(Command(resume=answers), config)
    assert list(results(output["messages"]).values())[1:] == ["a", "B?", "C?"]
    assert ran.count("a") == 1
