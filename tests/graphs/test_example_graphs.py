"""The example graphs from question to answer: with the offline model, and with the real client of a scripted server."""

import ast
import importlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command

from agent import PROVIDERS, create_llm_compiler
from agent.language.parser import PlanParser
from agent.language.plan import Plan
from agent.language.tasks import Call, Element
from agent.tooling.describe import signature_of
from apps.evaluation.agents import find_subject, make_agents
from apps.runs.graphs import listed
from graphs.examples import parallel_qa
from graphs.examples.game_of_24 import graph as game_of_24
from graphs.examples.game_of_24.arithmetic import value_of
from graphs.examples.movie_recommendation import graph as movie_recommendation
from graphs.examples.web_shop import graph as web_shop
from graphs.examples.web_shop.catalogue import Goal, all_goals
from graphs.examples.web_shop.reward import find_purchase, reward
from graphs.offline.model import OfflineChatModel
from graphs.offline.plan import CANNOT
from tests.support import ROOT
from tests.support.demo import AGENT
from tests.support.model_server import Answer, ChatRequest, ModelServer, Reply
from tests.support.prepared_python import prepared

Graph = CompiledStateGraph[Any, Any, Any, Any]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The offline model, at full speed."""
    monkeypatch.setitem(PROVIDERS, "offline", lambda _: OfflineChatModel(delay=0))


@pytest.fixture
def hosted(model_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> ModelServer:
    """The scripted server, as the model that the environment names."""
    monkeypatch.setenv("OPENAI_BASE_URL", model_server.base_url)
    monkeypatch.setenv("LLM_COMPILER_MODEL", "openai:test-model")
    return model_server


async def ask(graph: Graph, question: str, **context: Any) -> list[Any]:
    return list((await graph.ainvoke({"messages": question}, context=context))["messages"])


def plans(messages: list[Any]) -> list[list[str]]:
    """The tools that each plan calls."""
    found = [message.tool_calls for message in messages if isinstance(message, AIMessage) and message.tool_calls]
    return [[call["name"] for call in calls] for calls in found]


def results(messages: list[Any]) -> list[Any]:
    """What the tools returned, in order."""
    outcomes = [message for message in messages if isinstance(message, ToolMessage)]
    assert all(outcome.status == "success" for outcome in outcomes), [outcome.text for outcome in outcomes]
    return [outcome.artifact for outcome in outcomes]


# --- all of them

LISTED = listed()


def module_of(path: str) -> str:
    """The name of the module at `./graphs/….py`."""
    return path.removeprefix("./").removesuffix(".py").replace("/", ".")


QUESTIONS = {
    AGENT: "How much taller is Mount Everest than K2?",
    "parallel_qa": "How much taller is Mount Everest than K2?",
    "movie_recommendation": "Find a movie similar to Alien, Aliens\nOptions:\nSabrina\nTerminator",
    "game_of_24": "Make 24 from 1, 1, 1 and 1.",
    "web_shop": "I want to buy a zorbo for less than 10 dollars.",
    "option_price": "What is a call option worth?",
    "react": "How much taller is Mount Everest than K2?",
    "parallel_react": "How much taller is Mount Everest than K2?",
}
ANSWERS = {
    "option_price": CANNOT,
    "movie_recommendation": "Terminator",
    "game_of_24": "1, 1, 1, 1 can't make 24.",
    "web_shop": "I found nothing to buy.",
}

# As the development server loads them: by path, in the order of the file, without the modules' own names.
LOAD_AND_ASK = """\
import importlib.util, json, sys
questions, found = json.loads(sys.argv[1]), {}
for name, place in json.load(open("langgraph.json"))["graphs"].items():
    if name == "llm_compiler" and name not in questions:
        continue  # somebody's own graph, which may want a key
    path, _, variable = place["path"].partition(":")
    spec = importlib.util.spec_from_file_location("loaded__" + name, path)
    module = sys.modules["loaded__" + name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found[name] = getattr(module, variable)
answers = {name: found[name].invoke({"messages": asked})["messages"][-1].text for name, asked in questions.items()}
print(json.dumps([list(found), answers]))
"""


def has_graph(path: Path) -> bool:
    targets = [node.targets for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.Assign)]
    return any(isinstance(target, ast.Name) and target.id == "graph" for found in targets for target in found)


def test_langgraph_json_lists_every_graph() -> None:
    files = {path for path in (ROOT / "graphs").rglob("*.py") if has_graph(path)}
    assert files <= {ROOT / place.partition(":")[0] for place in LISTED.values()}


def test_every_graph_answers_when_the_server_has_loaded_them_all() -> None:
    command = prepared("-c", LOAD_AND_ASK, json.dumps(QUESTIONS))
    ran = subprocess.run(command, cwd=ROOT, env={}, capture_output=True, text=True, check=False)
    assert ran.stderr == ""
    names, answers = json.loads(ran.stdout)
    assert set(QUESTIONS) <= set(names)
    expected = dict.fromkeys(QUESTIONS, "Mount Everest is 238 metres taller than K2.") | ANSWERS
    assert answers == expected


@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_every_graph_has_a_name_of_its_own_and_its_tools(name: str) -> None:
    path, attribute = LISTED[name].split(":")
    module = importlib.import_module(module_of(path))
    assert getattr(module, attribute).get_name() == name
    assert module.TOOLS


@pytest.mark.parametrize("name", [AGENT, "parallel_qa", "movie_recommendation", "game_of_24", "web_shop"])
def test_the_plans_that_a_planner_is_shown_can_be_run(name: str) -> None:
    """No call has a tool, an argument or a reference that there isn't."""
    module = importlib.import_module(module_of(LISTED[name].partition(":")[0]))
    signatures = {tool.name: signature_of(tool) for tool in module.TOOLS}
    examples = [text for text in module.EXAMPLES.split("\n\n") if text.strip()]
    earlier: set[int] = set()
    for example in examples:
        earlier = earlier if example.startswith("The same question") else set()
        plan, parser = Plan(signatures, earlier=earlier), PlanParser(signatures)
        start = example.index(f"\n{max(earlier, default=0) + 1}. ")
        items = [*parser.feed(example[start:]), *parser.close()]
        tasks = [task for item in items if isinstance(item, Call | Element) for task in plan.add(item)]
        assert parser.ended
        assert [task.error for task in tasks if task.error] == []
        numbers = {task.number for task in tasks} | earlier
        assert {number for task in tasks for number in task.dependencies} <= numbers
        earlier = numbers
    assert examples


# --- ParallelQA


async def test_parallel_qa_offline() -> None:
    question = "If the height of K2 is reduced by 10% and Mount Elbert grows by 50%, which one would be higher?"
    messages = await ask(parallel_qa.graph, question)
    assert plans(messages) == [["search", "search", "math", "math", "argmax"]]
    assert "K2" in messages[-1].text


async def test_parallel_qa_with_a_model(hosted: ModelServer) -> None:
    plan = """\
1. search.map(["Mount Everest", "K2"])
2. math.map(["height of Mount Everest in metres * 1.1", "height of K2 in metres * 0.9"], context=$1)
3. math("max($2) - min($2)")
4. join("It would be $3 metres higher.")"""
    hosted.handler = lambda request: (
        plan if request.is_planner else "8849 * 1.1" if "* 1.1" in request.user else "8611 * 0.9"
    )
    messages = await ask(
        parallel_qa.graph, "With 10% more for Mount Everest and 10% less for K2, how far apart are they?"
    )
    assert results(messages)[-1] == pytest.approx(8849 * 1.1 - 8611 * 0.9)
    assert messages[-1].text == "It would be 1984 metres higher."
    planner = (await hosted.exchange(0, "planner")).request
    assert "Lake Superior" in planner.system


# --- Game of 24

WON = [
    "4 9 10 13",
    "1 1 4 6",
    "3 3 8 8",
    "1 5 5 5",
]


@pytest.mark.parametrize("numbers", WON)
async def test_a_game_that_can_be_won_is_won_by_replanning(numbers: str) -> None:
    messages = await ask(game_of_24.graph, f"Make 24 from {', '.join(numbers.split())}.")
    expression = messages[-1].text.partition(" = 24")[0]
    assert value_of(expression) == 24
    assert sorted(re.findall(r"\d+", expression)) == sorted(numbers.split())
    first, *others = plans(messages)
    assert first == ["thought_proposer", "state_evaluator", "top_k_select"]
    assert len(others) == 2
    assert all(plan.count("thought_proposer") == plan.count("state_evaluator") for plan in others)


async def test_a_game_that_can_not_be_won_ends_with_the_first_plan() -> None:
    messages = await ask(game_of_24.graph, "Use 1, 1, 1 and 1 to make 24.")
    assert messages[-1].text == "1, 1, 1, 1 can't make 24."
    assert len(plans(messages)) == 1


async def test_a_game_ends_at_the_limit_of_replans() -> None:
    messages = await ask(game_of_24.graph, "Make 24 from 4 9 10 13", max_replans=1)
    assert messages[-1].text.startswith("I am not done")
    assert len(plans(messages)) == 2


async def test_a_game_with_a_model(hosted: ModelServer) -> None:
    """Its plans, proposals and judgements are a model's; the second plan refers to the first one's results."""

    def reply(request: ChatRequest) -> Answer:
        further = "Still missing" in request.user
        solved = '"solution": "' in request.user
        match request.role, request.system.partition(".")[0]:
            case "planner", _ if not further:
                return '1. thought_proposer([2, 3, 4])\n2. state_evaluator("$1")\n3. top_k_select("$2", k=2)\n4. join()'
            case "planner", _:
                return "4. thought_proposer.map($3.states)\n5. state_evaluator.map($4)\n6. top_k_select($5)\n7. join()"
            case "joiner", _:
                return "2 * 3 * 4." if solved else Reply(tool_calls=[("replan", {"feedback": "One step more."})])
            case _, "Game of 24: propose steps":
                return "2 + 3\n2 * 3\n4 - 2" if request.user == "2 3 4" else f"{request.user.replace(' ', ' * ')} = ?"
            case _:
                return "1. impossible\n2. sure\n3. likely"

    hosted.handler = reply
    messages = await ask(game_of_24.graph, "Make 24 from 2, 3 and 4.")
    outcomes = results(messages)
    assert outcomes[2] == {"solution": None, "states": [["2 * 3", "4"], ["4 - 2", "3"]]}
    assert outcomes[3] == [["(2 * 3) * 4"]]
    assert outcomes[-1]["solution"] == "(2 * 3) * 4 = 24"
    assert messages[-1].text == "2 * 3 * 4."


# --- Movie recommendation

MOVIES = """\
Find a movie similar to Alien, Blade Runner, Aliens, The Matrix
Options:
Sabrina
Terminator
Up
Monsters, Inc
"""


async def test_eight_films_are_looked_up_at_once_and_the_most_similar_is_chosen() -> None:
    messages = await ask(movie_recommendation.graph, MOVIES)
    assert plans(messages) == [["search_film"] * 8]
    assert len(results(messages)) == 8
    assert messages[1].response_metadata["dependencies"] == {}
    assert messages[-1].text == "Terminator"


async def test_films_that_are_not_there_are_not_chosen() -> None:
    messages = await ask(movie_recommendation.graph, "Find a movie similar to Heat, Zorbo\nOptions:\nQuux\nUp")
    assert [message.status for message in messages[2:-1]] == ["success", "error", "error", "success"]
    assert messages[-1].text == "Up"
    messages = await ask(movie_recommendation.graph, "Find a movie similar to Heat\nOptions:\nQuux\nZorbo")
    assert messages[-1].text == "I found none of the films to choose from."


async def test_a_question_of_another_form_is_refused_offline() -> None:
    messages = await ask(movie_recommendation.graph, "Why are films so long?")
    assert "offline demo model" in messages[-1].text


async def test_movies_with_a_model(hosted: ModelServer) -> None:
    titles = ["Alien", "Blade Runner", "Aliens", "The Matrix", "Sabrina", "Terminator", "Up", "Monsters, Inc"]
    hosted.script(planner=[f"1. search_film.map({json.dumps(titles)})\n2. join()"], joiner=["The Terminator."])
    messages = await ask(movie_recommendation.graph, MOVIES)
    assert [result.partition(" (")[0] for result in results(messages)][4:] == [
        *("Sabrina", "The Terminator", "Up", "Monsters, Inc."),
    ]
    joiner = (await hosted.exchange(0, "joiner")).request
    assert "Genres: romance, comedy." in joiner.user


# --- Web shopping

UNATTENDED = {"approve_side_effects": False}


@pytest.mark.parametrize("goal", all_goals()[:10], ids=lambda goal: goal.id)
async def test_products_are_compared_before_one_is_bought(goal: Goal) -> None:
    messages = await ask(web_shop.graph, goal.instruction, **UNATTENDED)
    assert plans(messages) == [["search"] + ["click"] * 5, ["buy"]]
    assert len(results(messages)) == 7
    assert reward(goal, find_purchase(messages)) > 0.5
    assert messages[-1].text.startswith("I bought ")


async def test_an_evaluation_asks_nobody_before_it_buys() -> None:
    [agent] = make_agents(["llm-compiler"], find_subject("web_shop"), "offline", "")
    output = await agent.graph.ainvoke({"messages": all_goals()[0].instruction}, context=agent.context)
    assert find_purchase(output["messages"])


async def test_shoppers_at_the_same_time_buy_what_each_wants() -> None:
    goals = all_goals()[10:14]
    alone = [find_purchase(await ask(web_shop.graph, goal.instruction, **UNATTENDED)) for goal in goals]
    graph: Graph = web_shop.graph
    outputs = await graph.abatch([{"messages": goal.instruction} for goal in goals], context=UNATTENDED)
    assert [find_purchase(output["messages"]) for output in outputs] == alone


@pytest.mark.parametrize(
    ("decision", "answer"), [("approve", r"I bought .*\."), ("reject", r"I have not bought what fits best\. .*")]
)
async def test_a_purchase_waits_for_approval(decision: str, answer: str) -> None:
    graph: Graph = create_llm_compiler(web_shop.TOOLS, examples=web_shop.EXAMPLES, checkpointer=InMemorySaver())
    thread: RunnableConfig = {"configurable": {"thread_id": "1"}}
    paused = await graph.ainvoke({"messages": all_goals()[0].instruction}, thread)
    (request,) = paused["__interrupt__"][0].value["action_requests"]
    assert request["name"] == "buy"
    messages = (await graph.ainvoke(Command(resume={"decisions": [{"type": decision}]}), thread))["messages"]
    assert re.fullmatch(answer, messages[-1].text)
    assert (find_purchase(messages) is not None) == (decision == "approve")


async def test_a_run_that_can_not_wait_says_that_it_has_not_bought() -> None:
    messages = await ask(web_shop.graph, all_goals()[0].instruction)
    assert messages[-1].text.startswith("I have not bought what fits best. Not run: buy needs a person's approval")


async def test_nothing_is_bought_of_what_is_not_there() -> None:
    messages = await ask(web_shop.graph, "I want to buy a zorbo for less than 10 dollars.", **UNATTENDED)
    assert messages[-1].text == "I found nothing to buy."
    assert find_purchase(messages) is None


async def test_shopping_with_a_model(hosted: ModelServer) -> None:
    look = """\
1. search("yoga mat eco friendly")
2. click.map(["$1[0].id", "$1[1].id"])
3. join()"""
    purchase = """\
3. buy("P426", {"color": "teal", "thickness": "4 mm"})
4. join("I bought a yoga mat for 90 dollars.")"""
    more = Reply(tool_calls=[("replan", {"feedback": "Buy P426 in teal, 4 mm."})])
    hosted.script(planner=[look, purchase], joiner=[more, "It is yours, for 87.95 dollars."])
    messages = await ask(web_shop.graph, all_goals()[4].instruction, **UNATTENDED)
    assert messages[-1].text == "It is yours, for 87.95 dollars."
    assert reward(all_goals()[4], find_purchase(messages)) == 1.0
    joiner = (await hosted.exchange(0, "joiner")).request
    assert '"description": "' in joiner.user
