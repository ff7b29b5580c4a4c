"""The offline model's rules for the example graphs, where no other model is set.

Hosted models need none of this: the examples are written for them. What stands in for them here reads the same prompts,
knows the form of the questions and of the results, and nothing else. The judge and the proposer of the Game of 24 are
exact.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from langchain_core.messages import BaseMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk

import graphs.llm_compiler  # noqa: F401 — sets the offline model that this one takes the place of
from agent import PROVIDERS
from graphs.examples.game_of_24.arithmetic import TARGET, leads_to_target, steps_from
from graphs.offline.model import OfflineChatModel, speak

RESULT = re.compile(r"^(\d+)(?:\[\d+\])?\. ([\w.-]+)\((.*?)\) (->|failed:) ?(.*(?:\n  .*)*)", re.MULTILINE)
"""A result in a joiner's prompt: `1[0]. search("K2") -> …`."""


class Result(NamedTuple):
    """What came of a task."""

    number: int
    tool: str
    arguments: str
    value: Any


@dataclass(frozen=True)
class Prompt:
    """What a planner's or a joiner's prompt says."""

    plans: bool
    """Whether it is a planner's."""

    tools: frozenset[str]
    """Those that there are, for a planner; those that were called, for a joiner."""

    question: str
    results: list[Result]
    failures: dict[str, str]
    """Why the last call of a tool failed, by tool."""

    feedback: str
    """What is still missing, on a replan."""

    number: int
    """The first free one."""

    @classmethod
    def read(cls, system: str, human: str) -> "Prompt":
        """The parts of a prompt."""
        block = re.search(r"^Tools:\n(.+?)(?:\n\n|\Z)", system, re.MULTILINE | re.DOTALL)
        feedback = re.search(r"\n\nStill missing: (.*)\nPlan only", human, re.DOTALL)
        number = re.search(r"from number (\d+) on", human)
        calls = RESULT.findall(human)
        return cls(
            plans=block is not None,
            tools=frozenset(re.findall(r"(?m)^([\w.-]+)\(", block[1]) if block else (call[1] for call in calls)),
            question=re.split(r"\n\n(?:Results \(data|Still missing|Plan )", human)[0],
            results=[
                Result(int(task), tool, arguments, read_value(text))
                for task, tool, arguments, mark, text in calls
                if mark == "->"
            ],
            failures={tool: text for _, tool, _, mark, text in calls if mark != "->"},
            feedback=feedback[1] if feedback else "",
            number=int(number[1]) if number else 1,
        )

    def of(self, tool: str) -> list[Result]:
        """The tool's results, as far as they are not cut."""
        return [result for result in self.results if result.tool == tool and isinstance(result.value, dict)]


@dataclass(frozen=True)
class Replan:
    """The joiner wants another plan."""

    feedback: str


# --- Movie recommendation


def plan_searches(prompt: Prompt) -> list[str]:
    """A search for each film of the question."""
    liked, options = _films_of(prompt.question)
    return [f"search_film.map({json.dumps([*liked, *options], ensure_ascii=False)})"] if options else []


def join_searches(prompt: Prompt) -> str | Replan:
    """The option that is most like the others: in words that few of the films have, genres among them, and in time."""
    liked, options = _films_of(prompt.question)
    texts = {read_value(result.arguments): str(result.value) for result in prompt.results}
    words = {title: set(re.findall(r"[a-z]{3,}", text.lower())) for title, text in texts.items()}
    years = {title: int(year[0]) for title, text in texts.items() if (year := re.search(r"\b(?:19|20)\d\d\b", text))}
    spread = Counter(word for found in words.values() for word in found)

    def likeness(option: str, title: str) -> float:
        apart = abs(years.get(option, 0) - years.get(title, 0))
        return sum(1 / spread[word] for word in words[option] & words[title]) + max(0.0, 2 - apart / 10)

    known = [option for option in options if option in texts]
    best = max(known, key=lambda option: sum(likeness(option, title) for title in liked if title in texts), default="")
    return best or "I found none of the films to choose from."


def _films_of(question: str) -> tuple[list[str], list[str]]:
    """The films that a question names, and those to choose from."""
    parts = re.search(r"similar to (.+?)\s*\n\s*Options:\s*(.+)", question, re.DOTALL)
    if not parts:
        return [], []
    options = [line.strip() for line in parts[2].splitlines()]
    return re.split(r",\s+", parts[1]), [option for option in options if option]


# --- Game of 24


def propose_exactly(numbers: str) -> str:
    """Every step from a state."""
    state = numbers.split()
    return "\n".join(f"{state[first]} {sign} {state[second]}" for first, sign, second in steps_from(state))


def judge_exactly(lines: str) -> str:
    """Whether states lead to 24."""
    states = [line.partition(". ")[2].split() for line in lines.splitlines()]
    verdicts = ["sure" if leads_to_target(state) else "impossible" for state in states]
    return "\n".join(f"{line}. {verdict}" for line, verdict in enumerate(verdicts, 1))


def plan_level(prompt: Prompt) -> list[str]:
    """A level of the tree: from the question's numbers, or from the states that were selected last."""
    first, numbers = prompt.number, _numbers_of(prompt.question)
    judged = f"${first + 1}"
    if selected := prompt.of("top_k_select"):
        states = [f"${selected[-1].number}.states[{i}]" for i in range(len(selected[-1].value["states"]))]
        steps, judge, select = f".map({json.dumps(states)})", f".map(${first})", f"({judged})"
    else:
        steps, judge, select = f"({json.dumps(numbers)})", f"(${first})", f"([{judged}])"
    return [f"thought_proposer{steps}", f"state_evaluator{judge}", f"top_k_select{select}"] if numbers else []


def join_level(prompt: Prompt) -> str | Replan:
    """The solution; or the next level, if there is anything to go on from."""
    selected = prompt.of("top_k_select")
    if not selected:
        return "The states could not be judged."
    found = selected[-1].value
    if found["solution"]:
        return f"{found['solution']}."
    if not found["states"]:
        return f"{', '.join(_numbers_of(prompt.question))} can't make {TARGET}."
    return Replan(f"No solution yet. Take a step from each state that task {selected[-1].number} selected.")


def _numbers_of(question: str) -> list[str]:
    return re.findall(r"\d+", re.sub(rf"(?i)game of {TARGET}|\b(?:make|get|reach|be|=|is) *{TARGET}\b", "", question))


# --- Web shopping

EXPLORED = 5
"""How many products are opened before one is bought."""

FILLERS = {"and", "buy", "find", "for", "get", "like", "looking", "need", "please", "some", "the", "want", "with"}


def plan_shopping(prompt: Prompt) -> list[str]:
    """A search, and a look at the first products found; or the purchase that the joiner asks for."""
    if order := re.search(r"Buy (\w+) with ({.*})", prompt.feedback):
        return [f"buy({json.dumps(order[1])}, {order[2]})"]
    wanted, limit = _wishes_of(prompt.question)
    opened = json.dumps([f"${prompt.number}[{place}].id" for place in range(EXPLORED)])
    return [f"search({json.dumps(' '.join(wanted))})", f"click.map({opened})"] if limit else []


def join_shopping(prompt: Prompt) -> str | Replan:
    """The product that has most of what is asked for, to be bought; or what has been bought."""
    wanted, limit = _wishes_of(prompt.question)
    for receipt in (result.value for result in prompt.of("buy")):
        return f"I bought {receipt['title']} ({receipt['id']}) for {receipt['price']:.2f} dollars."
    best: tuple[float, str] = (-1, "")
    for page in (result.value for result in prompt.of("click")):
        options = {name: _choose(name, values, prompt.question) for name, values in page["options"].items()}
        price = page["price"] + sum(page["options"][name][value] for name, (value, _) in options.items())
        has = set(_words(f"{page['title']} {page['description']}"))
        fit = sum(word in has for word in wanted) + sum(asked for _, asked in options.values()) + (price <= limit)
        chosen = json.dumps({name: value for name, (value, _) in options.items()})
        best = max(best, (fit, f"Buy {page['id']} with {chosen}."), key=lambda one: one[0])
    if "buy" in prompt.failures:
        return f"I have not bought what fits best. {prompt.failures['buy']}"
    return Replan(best[1]) if best[1] else "I found nothing to buy."


def _wishes_of(question: str) -> tuple[list[str], float]:
    """The words for what is wanted, and the most that it may cost; 0.0 if that is not said."""
    price = r"(?i)(?:for )?(?:(?:less|lower|cheaper) than|under|below|at most|up to) \$?(\d+(?:\.\d+)?)"
    thing, limit, *_ = [*re.split(price, question, maxsplit=1), "0"]
    return [word for word in dict.fromkeys(_words(thing)) if word not in FILLERS], float(limit)


def _choose(name: str, values: dict[str, float], question: str) -> tuple[str, bool]:
    """The value of an option that a question asks for, else the cheapest; and whether it asks for it."""
    for value in values:
        named = "" if len(value) > 3 else f"{name} "  # a size M is more than the letter
        if re.search(rf"\b{named}{re.escape(value)}\b", question, re.IGNORECASE):
            return value, True
    return min(values, key=lambda value: values[value]), False


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z-]{3,}", text.lower())


RULES: dict[str, tuple[Callable[[Prompt], list[str]], Callable[[Prompt], str | Replan]]] = {
    "click": (plan_shopping, join_shopping),
    "search_film": (plan_searches, join_searches),
    "thought_proposer": (plan_level, join_level),
}
"""How each example plans, calls without numbers, and joins; by the tool that tells it from the others."""

TOOLS_OWN = {"Game of 24: propose": propose_exactly, "Game of 24: judge": judge_exactly}
"""The rules for what the examples' tools ask the model, by how that begins."""


def reply(messages: Sequence[BaseMessage], may_replan: bool) -> str | Replan | None:
    """What is said to a prompt; None if it is of no example."""
    system, human = (_last(messages, kind) for kind in ("system", "human"))
    for start, answer in TOOLS_OWN.items():
        if system.startswith(start):
            return answer(human)
    prompt = Prompt.read(system, human)
    rules = next((rules for tool, rules in RULES.items() if tool in prompt.tools), None)
    if rules is None:
        return None
    plan, join = rules
    if prompt.plans:
        return "\n".join(f"{number}. {call}" for number, call in enumerate([*plan(prompt), "join()"], prompt.number))
    decision = join(prompt)
    if isinstance(decision, Replan) and not may_replan:
        return f"I am not done, and there may be no further plan. {decision.feedback}"
    return decision


class OfflineExamplesModel(OfflineChatModel):
    """The offline demo model, with rules for the example graphs."""

    def _stream(self, messages: list[BaseMessage], *args: Any, **options: Any) -> Iterator[ChatGenerationChunk]:
        said = reply(messages, may_replan=bool(options.get("tools")) or "Replan(" in str(messages[0].text))
        if said is None:
            yield from super()._stream(messages, *args, **options)
        elif isinstance(said, Replan) and options.get("tools"):
            arguments = json.dumps({"feedback": said.feedback})
            replan = tool_call_chunk(name="replan", args=arguments, id="replan", index=0)
            yield from speak(messages, "", [replan], delay=self.delay)
        else:
            text = f"Action: Replan({said.feedback})" if isinstance(said, Replan) else said
            yield from speak(messages, text, delay=self.delay)


def _last(messages: Sequence[BaseMessage], kind: str) -> str:
    return next((str(message.text) for message in reversed(messages) if message.type == kind), "")


def read_value(text: str) -> Any:
    """What a result's text stands for."""
    try:
        return json.loads(text)
    except ValueError:
        return text


PROVIDERS["offline"] = lambda _: OfflineExamplesModel()
