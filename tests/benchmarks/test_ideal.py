"""The yardstick of the benchmark is exact, and every agent is told the same work."""

import json
import re

import pytest

from agent.language.parser import PlanParser
from agent.language.plan import Plan
from agent.language.tasks import Join, Signature, Task, Thought
from tests.benchmarks.ideal import Speed, first_call_sent, ideal
from tests.benchmarks.server import answer, record
from tests.benchmarks.workloads import PLANS, WORKLOADS, Call, Workload, map_plan, our_plan
from tests.support.model_server import ChatRequest, Exchange, tokens_of

SIGNATURES = {
    "search": Signature("search", ("query",), frozenset({"query"})),
    "math": Signature("math", ("query", "context"), frozenset({"query", "context"})),
}


def request(model: str, *messages: tuple[str, str], **body: object) -> ChatRequest:
    said = [{"role": role, "content": text} for role, text in messages]
    return ChatRequest("chat", {"model": model, "messages": said, **body}, {}, 0.0)


def test_the_ideal_is_exact() -> None:
    calls = (Call(1, "search", "a", (), 0.5), Call(2, "search", "b", (), 0.1), Call(3, "math", "c", (1, 2), 0.25))
    workload = Workload("small", calls)
    # 1 . ␣search ( " a " )  ⏎2 . ␣search ( " b " )  ⏎3 . ␣math ( " c " , ␣context = [ " $ 1 " , …
    plan = tokens_of(our_plan(workload))
    assert [place for place, token in enumerate(plan) if token == ")"] == [7, 15, 38, 43]
    best = ideal(workload, Speed(first_token=1.0, per_second=100.0))
    assert best.closed == pytest.approx((1.07, 1.15, 1.38))
    assert best.started == pytest.approx((1.07, 1.15, 1.57))
    assert best.finished == pytest.approx((1.57, 1.25, 1.82))
    assert best.join_started == pytest.approx(1.82)
    assert best.total == pytest.approx(1.82 + 1.0 + 0.01 * (len(tokens_of(workload.answer)) - 1))


def test_joining_waits_for_the_end_of_a_plan_that_takes_longer_than_its_calls() -> None:
    workload = Workload("quick", (Call(1, "search", "a", (), 0.0),))
    best = ideal(workload, Speed(first_token=1.0, per_second=100.0))
    assert best.finished == pytest.approx((1.07,))
    assert best.join_started == pytest.approx(1.12)


def tasks_of(text: str) -> list[Task]:
    parser, plan = PlanParser(SIGNATURES), Plan(SIGNATURES)
    items = [item for item in parser.feed(text) if not isinstance(item, Join | Thought)]
    assert parser.ended
    return [task for item in items for task in plan.add(item)]


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
def test_our_plan_is_the_workload(workload: Workload) -> None:
    tasks = tasks_of(our_plan(workload))
    assert [(t.number, t.tool, t.arguments["query"], t.dependencies, t.error) for t in tasks] == [
        (call.number, call.tool, call.text, call.needs, None) for call in workload.calls
    ]


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
def test_our_plan_with_maps_is_the_workload(workload: Workload) -> None:
    calls = [task for task in tasks_of(map_plan(workload)) if task.is_call]
    assert [(task.tool, task.arguments["query"], task.error) for task in calls] == [
        (call.tool, call.text, None) for call in workload.calls
    ]
    assert [bool(task.dependencies) for task in calls] == [bool(call.needs) for call in workload.calls]


@pytest.mark.parametrize("form", sorted(PLANS.keys() - {"maps", "direct"}))
@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
def test_each_form_has_the_same_calls(workload: Workload, form: str) -> None:
    *lines, last = PLANS[form](workload).splitlines()
    assert re.fullmatch(r"\d+\. join\(\)( ?<END_OF_PLAN>)?", last)
    for line, call in zip(lines, workload.calls, strict=True):
        assert line.startswith(f"{call.number}. {call.tool}(")
        assert json.dumps(call.text) in line
        assert tuple(map(int, re.findall(r"\$(\d+)", line))) == call.needs


def test_maps_say_the_same_in_fewer_lines() -> None:
    searches, maths, last, join = PLANS["maps"](WORKLOADS["diamond"]).splitlines()
    texts = [call.text for call in WORKLOADS["diamond"].calls]
    assert searches == f"1. search.map({json.dumps(texts[:3])})"
    assert maths == f"2. math.map({json.dumps(texts[3:6])}, context=$1)"
    assert last == f"3. math({json.dumps(texts[6])}, context=$2)"
    assert join == "4. join()"
    assert PLANS["maps"](WORKLOADS["fifty"]).count("\n") == 1
    assert PLANS["maps"](WORKLOADS["chain"]) == our_plan(WORKLOADS["chain"])
    assert PLANS["maps"](WORKLOADS["random"]) == our_plan(WORKLOADS["random"])


@pytest.mark.parametrize(
    ("plan", "known_with"),
    [
        ('1. search("a b")\n2. join()', '1. search("a b")'),
        ('1. search.map(["a b", "c"])\n2. join()', '1. search.map(["a b"'),
    ],
)
def test_the_first_call_is_known_with_its_parenthesis_or_with_the_first_element(plan: str, known_with: str) -> None:
    assert first_call_sent(plan, Speed()) == Speed().until(len(tokens_of(known_with)))


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
def test_a_direct_plan_makes_the_same_calls_and_has_the_answers_words(workload: Workload) -> None:
    made = [task.arguments for task in tasks_of(PLANS["direct"](workload)) if task.is_call and task.tool != "argmax"]
    assert [arguments["query"] for arguments in made] == [call.text for call in workload.calls]
    answer = re.search(r'join\("(.+) \$\d+(.*)"\)\Z', PLANS["direct"](workload))
    assert answer
    assert workload.answer.startswith(answer[1])
    assert workload.answer.endswith(answer[2])


def test_calls_can_be_told_apart_by_their_text() -> None:
    for workload in WORKLOADS.values():
        assert len(workload.seconds) == len(workload.calls)
        assert sum(len(step) for step in workload.steps()) == len(workload.calls)


def test_a_react_model_calls_one_tool_or_all_that_it_can() -> None:
    question = ("user", WORKLOADS["diamond"].question)
    results = [("tool", "result")] * 3
    speed = Speed()
    assert [name for name, _ in answer(request("react", question), speed).tool_calls] == ["search"]
    assert [name for name, _ in answer(request("react", question, *results), speed).tool_calls] == ["math"]
    assert [name for name, _ in answer(request("react-parallel", question), speed).tool_calls] == ["search"] * 3
    assert [name for name, _ in answer(request("react-parallel", question, *results), speed).tool_calls] == ["math"] * 3
    done = answer(request("react-parallel", question, *[("tool", "result")] * 7), speed)
    assert done.text == WORKLOADS["diamond"].answer
    assert not done.tool_calls


def test_the_server_counts_all_that_a_model_reads() -> None:
    asked = request("react", ("user", "Workload two: which?"), tools=[{"type": "function", "function": {"name": "f"}}])
    asked.messages[0]["tool_calls"] = [{"function": {"name": "search", "arguments": "{}"}}]
    counted = record(Exchange(asked, answer(asked, Speed())))
    parts = ['{"type": "function", "function": {"name": "f"}}', "Workload two: which?", "search{}"]
    assert counted["input"] == len(tokens_of("\n".join(parts)))
