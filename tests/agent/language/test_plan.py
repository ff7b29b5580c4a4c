"""How calls become the numbered, linked tasks of a plan."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.language.parser import PlanParser
from agent.language.plan import Plan
from agent.language.tasks import Call, Element, Join, Signature, Task

SEARCH = Signature("search", ("query",), frozenset({"query"}))
MATH = Signature("math", ("problem", "context"), frozenset({"problem"}))
ANYTHING = Signature("anything", (), frozenset(), open=True)
NAMED = Signature("named", ("first",), frozenset({"first"}), open=True)
TOOLS = {tool.name: tool for tool in (SEARCH, MATH, ANYTHING, NAMED)}


def make(*calls: Call | Element, earlier: tuple[int, ...] = ()) -> list[Task]:
    """The tasks of a plan of these calls."""
    plan = Plan(TOOLS, earlier)
    return [task for call in calls for task in plan.add(call)]


def search(number: int | None, query: Any = "x") -> Call:
    return Call(number, "search", [query], text=repr(query))


def math(number: int | None, problem: Any, *rest: Any, **keywords: Any) -> Call:
    return Call(number, "math", [problem, *rest], keywords)


def arguments(call: Call) -> dict[str, Any]:
    """The arguments by name of a call that nothing is wrong with."""
    (task,) = make(call)
    assert task.error is None
    return task.arguments


def error(call: Call) -> str:
    (task,) = make(call)
    assert task.error
    return task.error


# --- numbers and dependencies


def test_a_call_becomes_a_task_at_once() -> None:
    plan = Plan(TOOLS)
    [task] = plan.add(search(1, "K2"))
    assert task == Task(1, "search", {"query": "K2"}, positional=1)
    assert plan.tasks == [task]


def test_tasks_depend_on_what_they_refer_to_in_the_order_of_the_text() -> None:
    *_, last = make(search(1), search(2), search(3), math(4, "$3 and $1 and $3", ["${2}", {"a": "$1.price"}]))
    assert last.dependencies == (3, 1, 2)


def test_a_call_without_a_number_gets_the_next_one() -> None:
    assert [task.number for task in make(search(None), search(None), search(7), search(None))] == [1, 2, 7, 8]


def test_numbers_may_start_anywhere_and_be_out_of_order() -> None:
    tasks = make(search(12), search(10), math(11, "$12 - $10"))
    assert [task.number for task in tasks] == [12, 10, 11]
    assert tasks[-1].dependencies == (12, 10)


def test_a_number_used_twice_is_replaced_and_later_references_follow_it() -> None:
    first, second, third = make(search(1, "first"), search(1, "second"), math(2, "$1"))
    assert [first.number, second.number, third.number] == [1, 2, 3]
    assert third.arguments == {"problem": "$2"}
    assert third.dependencies == (2,)


def test_it_is_noted_which_number_the_plan_writes_for_one_that_was_taken() -> None:
    tasks = make(search(1), search(1), Element(1, "search", "K2"), math(4, ""), earlier=(1, 4))
    assert [(task.number, task.again) for task in tasks] == [(5, 1), (6, 1), (7, 1), (8, 4)]


def test_a_plan_that_counts_from_1_again_in_a_later_turn_goes_on_counting() -> None:
    tasks = make(search(1), search(2), math(3, "$1 - ${2}", ["$2[0].name"]), earlier=(1, 2, 3))
    assert [task.number for task in tasks] == [4, 5, 6]
    assert tasks[-1].arguments == {"problem": "$4 - ${5}", "context": ["$5[0].name"]}
    assert tasks[-1].dependencies == (4, 5)


def test_a_later_plan_can_refer_to_earlier_results() -> None:
    again, onwards = make(math(1, "$2 * 2"), math(4, "$3 * 2"), earlier=(1, 2, 3))
    assert (again.number, again.dependencies) == (4, (2,))
    assert (onwards.number, onwards.dependencies) == (5, (3,))


def test_a_task_that_counts_from_1_again_may_refer_to_the_earlier_task_1() -> None:
    (task,) = make(math(1, "$1 * 2"), earlier=(1,))
    assert (task.number, task.dependencies, task.error) == (2, (1,), None)


def test_the_last_number_counts_earlier_tasks_and_the_join() -> None:
    plan = Plan(TOOLS, earlier=(1, 2))
    assert plan.last == 2
    plan.add(search(3))
    assert plan.last == 3
    plan.end(Join(4))
    assert plan.last == 4


def test_a_join_without_a_number_takes_none() -> None:
    plan = Plan(TOOLS)
    plan.add(search(1))
    plan.end(Join())
    assert plan.last == 1


@given(st.lists(st.none() | st.integers(0, 20)), st.sets(st.integers(1, 20)))
def test_every_task_has_a_number_of_its_own(numbers: list[int | None], earlier: set[int]) -> None:
    tasks = make(*map(search, numbers), earlier=tuple(earlier))
    own = [task.number for task in tasks]
    assert len(set(own)) == len(own)
    assert not earlier & set(own)


@given(st.lists(st.integers(1, 6), min_size=1), st.sets(st.integers(1, 6)), st.data())
def test_a_reference_means_the_last_task_written_with_its_number(
    numbers: list[int], earlier: set[int], data: st.DataObject
) -> None:
    target = data.draw(st.sampled_from(numbers))
    calls = [search(number, f"call {place}") for place, number in enumerate(numbers)]
    tasks = make(*calls, math(None, f"${target}"), earlier=tuple(earlier))
    meant = len(numbers) - 1 - numbers[::-1].index(target)
    assert tasks[-1].dependencies == (tasks[meant].number,)


def test_an_escaped_dollar_sign_is_left_to_the_executor() -> None:
    (task,) = make(search(1, r"tea for \$5"))
    assert (task.arguments, task.dependencies) == ({"query": r"tea for \$5"}, ())


# --- circles


def test_a_task_that_refers_to_itself_is_wrong() -> None:
    (task,) = make(math(1, "twice ${1}"))
    assert task.error == "Task 1 refers to its own result, ${1}."


def test_a_sum_of_money_in_a_task_of_that_number_is_text() -> None:
    (task,) = make(search(1, "what $1 bought in 1950"))
    assert (task.arguments, task.dependencies, task.error) == ({"query": r"what \$1 bought in 1950"}, (), None)


def test_a_task_may_refer_to_a_later_one() -> None:
    first, second = make(math(1, "$2"), search(2))
    assert first.dependencies == (2,)
    assert first.error is None
    assert second.error is None


def test_the_task_that_closes_a_circle_is_wrong_and_names_it() -> None:
    tasks = make(math(1, "$2"), math(2, "$3"), math(3, "$1"), search(4))
    assert [task.error for task in tasks] == [None, None, "The tasks 3 → 1 → 2 → 3 wait for each other.", None]


def test_two_tasks_that_refer_to_each_other_are_a_circle() -> None:
    _, second = make(math(1, "$2"), math(2, "$1"))
    assert second.error == "The tasks 2 → 1 → 2 wait for each other."


def test_a_detour_is_no_circle() -> None:
    assert [task.error for task in make(math(1, "$2 $3"), math(2, "$3"), search(3), math(4, "$1 $2 $3"))] == [None] * 4


def test_a_long_chain_of_forward_references_is_no_circle() -> None:
    tasks = make(*(math(number, f"${number + 1}") for number in range(1, 2000)), search(2000))
    assert not any(task.error for task in tasks)


@given(st.lists(st.lists(st.integers(1, 8), max_size=3), max_size=8))
def test_every_circle_has_one_task_at_least_that_is_wrong(links: list[list[int]]) -> None:
    tasks = make(*(math(number, " ".join(f"${n}" for n in to)) for number, to in enumerate(links, start=1)))
    waits = {task.number: set(task.dependencies) for task in tasks if not task.error}
    while free := [number for number, others in waits.items() if not others & waits.keys()]:
        for number in free:
            del waits[number]
    assert not waits


# --- binding


@pytest.mark.parametrize(
    ("call", "bound"),
    [
        (math(1, "a"), {"problem": "a"}),
        (math(1, "a", ["b"]), {"problem": "a", "context": ["b"]}),
        (math(1, "a", context=["b"]), {"problem": "a", "context": ["b"]}),
        (Call(1, "math", [], {"context": ["b"], "problem": "a"}), {"context": ["b"], "problem": "a"}),
    ],
)
def test_arguments_are_bound_by_position_and_by_name(call: Call, bound: dict[str, Any]) -> None:
    assert arguments(call) == bound


_NAMES = st.lists(st.text("abcdef", min_size=1), unique=True, max_size=6)


@given(_NAMES, st.data())
def test_position_and_name_say_the_same(names: list[str], data: st.DataObject) -> None:
    tool = Signature(
        "tool", tuple(names), frozenset(data.draw(st.sets(st.sampled_from(names)))) if names else frozenset()
    )
    split = data.draw(st.integers(0, len(names)))
    values = dict(zip(names, range(len(names)), strict=True))
    by_name = data.draw(st.permutations(names[split:]))
    call = Call(1, "tool", [values[name] for name in names[:split]], {name: values[name] for name in by_name})
    [task] = Plan({"tool": tool}).add(call)
    assert (task.error, task.arguments) == (None, values)


def test_a_dict_is_unpacked_as_function_calling_has_it() -> None:
    assert arguments(math(1, {"problem": "a", "context": []})) == {"problem": "a", "context": []}


def test_a_dict_that_does_not_name_the_arguments_is_an_argument() -> None:
    assert arguments(search(1, {"other": 1})) == {"query": {"other": 1}}
    assert arguments(search(1, {})) == {"query": {}}


def test_unquoted_text_keeps_its_commas() -> None:
    call = Call(1, "search", ["Paris", "the capital", "1900"], text=" Paris, the capital, 1900 ")
    assert arguments(call) == {"query": "Paris, the capital, 1900"}


def test_an_open_signature_takes_any_name() -> None:
    assert arguments(Call(1, "anything", [], {"x": 1, "y": "z"})) == {"x": 1, "y": "z"}
    assert arguments(Call(1, "named", ["a"], {"other": 2})) == {"first": "a", "other": 2}


def test_the_name_of_a_tool_may_be_written_in_another_case() -> None:
    (task,) = make(Call(1, "Search", ["x"]))
    assert (task.tool, task.error) == ("search", None)


def test_the_exact_name_of_a_tool_comes_first() -> None:
    tools = {"Get": Signature("Get", ("x",)), "get": Signature("get", ("x",))}
    assert [Plan(tools).add(Call(1, name, ["v"]))[0].tool for name in ("Get", "get")] == ["Get", "get"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            math(1, "a", "b", "c"),
            "math takes problem, [context]; 3 arguments are too many.",
        ),
        (Call(1, "search", [1, 2]), "search takes query; 2 arguments are too many."),
        (Call(1, "search", ["$2", "$3"], text="$2, $3"), "search takes query; 2 arguments are too many."),
        (Call(1, "anything", ["x"]), "anything takes none; 1 arguments are too many."),
        (Call(1, "math", ["a"], {"problem": "b"}), "math is given the argument 'problem' twice."),
        (math(1, "a", text="b"), "math has no argument 'text'; it takes problem, [context]."),
        (Call(1, "math", [], {"context": []}), "math needs the argument 'problem'; it takes problem, [context]."),
        (Call(1, "search"), "search needs the argument 'query'; it takes query."),
        (Call(1, "named", [], {"other": 1}), "named needs the argument 'first'; it takes first."),
    ],
)
def test_what_is_wrong_with_the_arguments_is_said(call: Call, message: str) -> None:
    assert error(call) == message


def test_a_call_that_could_not_be_read_says_why_and_keeps_its_text() -> None:
    (task,) = make(Call(1, "search", text='"a', error="The text is not closed."))
    assert task.error == "The text is not closed."
    assert task.arguments == {"text": '"a'}


def test_a_task_too_many_is_that_first_of_all() -> None:
    plan = Plan(TOOLS, most=1)
    plan.add(Call(1, "search", ["K2"]))
    assert plan.add(Call(2, "serch"))[0].error == "The plan ends here: it has more than 1 tasks (max_tasks)."
    assert plan.full


def test_an_unknown_tool_is_named_with_the_nearest_and_all_others() -> None:
    assert error(Call(1, "serch", ["x"])) == (
        "There is no tool 'serch'. Did you mean search? The tools are: search, math, anything, named."
    )


def test_a_tool_like_no_other_gets_no_hint() -> None:
    assert error(Call(1, "zzz")) == "There is no tool 'zzz'. The tools are: search, math, anything, named."


def test_without_tools_every_tool_is_unknown() -> None:
    assert Plan({}).add(search(1))[0].error == "There is no tool 'search'. The tools are: none."


def test_a_failed_task_keeps_its_arguments_as_read_and_its_dependencies() -> None:
    _, task = make(search(1), Call(2, "serch", ["$1"], {"limit": 3}))
    assert task.arguments == {"arguments": ["$1"], "limit": 3}
    assert task.dependencies == (1,)


# --- maps


def tasks_of(text: str, *, early: bool) -> list[Task]:
    """The tasks of a text; its maps' elements as they are read, or all at the closing parenthesis."""
    plan, parser = Plan(TOOLS, earlier=[9], maps={9: 2}), PlanParser(TOOLS)
    items = [item for item in (*parser.feed(text), *parser.close()) if isinstance(item, Call | Element)]
    return [task for item in items if early or isinstance(item, Call) for task in plan.add(item)]


@pytest.mark.parametrize(
    "written",
    [
        '["a", "b"]',
        '["a", "b"], context="c"',
        'context="c", problem=["a", "b"]',
        'context=$9, problem=["a", "b"]',
        'context=$9[:], problem=["a", "b"]',
        'context=$7, problem=["a", "b"]',
        'context=("u", "v"), problem=["a", "b"]',
        'context="c", problem="x", ["a", "b"]',
        'context="c", problem="x", problem=["a", "b"]',
        'other="x", problem=["a", "b"]',
        'context="c", context=["a", "b"]',
    ],
)
def test_elements_that_start_when_read_are_those_of_the_whole_map(written: str) -> None:
    text = f"1. math.map({written})\n"
    assert tasks_of(text, early=True) == tasks_of(text, early=False)


def test_an_argument_before_a_map_s_list_and_after_it_is_an_error() -> None:
    *_, whole = tasks_of('1. math.map(context="c", problem=["a"], context="d")\n', early=True)
    assert whole.error == "The argument 'context' stands before the list that is mapped over, and again after it."
