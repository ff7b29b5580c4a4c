"""The paper's comparison on a scripted model: LLMCompiler, ReAct, and ReAct with parallel calls, on questions as
ParallelQA's.

    python -m tests.benchmarks.paper_comparison [--n 24] [--concurrency 6] [--out DIR]

It writes a dataset of questions over the embedded encyclopedia, starts a model server that has an answer to every
request of any of the three agents, with a time to first token of 300 ms and 80 tokens a second, and runs `llm-compiler
eval` on it. Search takes 0.8 s to 1.2 s, as a web search does; arithmetic asks the model for the expression, as in the
paper, unless the agent has seen the figures and writes it itself, as ReAct does here. What is compared is the agents'
shape: how many calls, how long, what at once. A scripted model makes no mistakes. Tokens are
those of messages: the schemas of tools, which ReAct sends beside them, are not counted.

With a real model it is `llm-compiler eval DATASET --model openai:…`.
"""

import argparse
import asyncio
import json
import os
import random
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.tools import tool

from agent import create_llm_compiler
from apps.cli.main import app
from graphs.examples.parallel_qa import EXAMPLES
from tests.support.model_server import ChatRequest, ModelServer, Reply
from tools.math import math
from tools.search import CORPUS
from tools.search import search as embedded_search

MEASURES = {"height": "metres", "length": "kilometres", "area": "square kilometres", "depth": "metres"}
PRICES = {
    "date": "2026-11",
    "source": "As an example, those of gpt-4.1-mini for the scripted model's tokens.",
    "models": {"scripted": {"input": 0.4, "cached_input": 0.1, "output": 1.6}},
}


@dataclass
class Speed:
    """How long things take, in seconds."""

    first_token: float = 0.3
    per_token: float = 1 / 80
    search: float = 1.0
    """On average; a search takes up to a fifth less or more."""


SPEED = Speed()


@tool
async def search(query: str) -> str:
    """the encyclopedia entry that fits the query best"""
    await asyncio.sleep(SPEED.search * random.Random(query).uniform(0.8, 1.2))
    return str(await embedded_search.ainvoke({"query": query}))


TOOLS = [search, math]
graph = create_llm_compiler(TOOLS, examples=EXAMPLES, name="paper_comparison")


@dataclass(frozen=True)
class Case:
    """A question, and what a good model does with it."""

    number: int
    measure: str
    figures: dict[str, float]
    """What the encyclopedia says of each thing."""

    percent: dict[str, int]
    """By how much each is to be changed."""

    sums: bool
    """Whether the sum is asked for, or else the largest."""

    @property
    def question(self) -> str:
        changes = [f"the {self.measure} of {name} changed by {self.percent[name]:+d}%" for name in self.figures]
        asked = f"what would their sum be, in {MEASURES[self.measure]}" if self.sums else "which would be the largest"
        return f"If {', '.join(changes[:-1])} and {changes[-1]}, {asked}?"

    @property
    def changed(self) -> dict[str, float]:
        return {name: figure * (1 + self.percent[name] / 100) for name, figure in self.figures.items()}

    @property
    def answer(self) -> str:
        return (
            f"{sum(self.changed.values()):.2f}" if self.sums else max(self.changed, key=lambda name: self.changed[name])
        )

    def problem(self, name: str) -> str:
        return f"{self.measure} of {name} in {MEASURES[self.measure]} * {1 + self.percent[name] / 100:.2f}"

    def expression(self, name: str) -> str:
        return f"{self.figures[name]:.0f} * {1 + self.percent[name] / 100:.2f}"

    @property
    def plan(self) -> str:
        names, count = list(self.figures), len(self.figures)
        lines = [f'{place}. search("{name}")' for place, name in enumerate(names, 1)]
        lines += [
            f'{count + place}. math("{self.problem(name)}", context=["${place}"])'
            for place, name in enumerate(names, 1)
        ]
        if self.sums:
            lines.append(f'{2 * count + 1}. math("{" + ".join(f"${count + place}" for place in range(1, count + 1))}")')
        return "\n".join([*lines, f"{len(lines) + 1}. join()"])

    def steps(self, results: list[str]) -> list[list[tuple[str, dict[str, Any]]]]:
        """The calls of a ReAct agent, those in one list at once; the results so far are known."""
        count = len(self.figures)
        searches = [("search", {"query": name}) for name in self.figures]
        maths = [("math", {"problem": self.expression(name)}) for name in self.figures]
        total = [[("math", {"problem": " + ".join(results[count : 2 * count])})]] if self.sums else []
        return [searches, maths, *total]


def make_cases(n: int, seed: int) -> list[Case]:
    """Questions about two to five things each, from the encyclopedia."""
    entries = json.loads(CORPUS.read_text("utf-8"))
    found: dict[str, dict[str, float]] = {measure: {} for measure in MEASURES}
    for entry in entries:
        for measure, unit in MEASURES.items():
            if match := re.search(rf"Its {measure} is ([\d,]+) {unit}", entry["text"]):
                found[measure][entry["title"]] = float(match[1].replace(",", ""))
    chance = random.Random(seed)
    cases = []
    for number in range(n):
        measure = chance.choice(list(MEASURES))
        names = chance.sample(sorted(found[measure]), 2 + number % 4)
        figures = {name: found[measure][name] for name in names}
        percent = {name: chance.choice([-30, -20, -15, -10, 5, 10, 15, 25]) for name in names}
        cases.append(Case(number + 1, measure, figures, percent, sums=chance.random() < 0.5))
    return cases


class Model:
    """Answers each request as a good model would."""

    def __init__(self, cases: list[Case]) -> None:
        self._cases = cases

    def __call__(self, request: ChatRequest) -> Reply:
        said = "\n".join(str(message.get("content")) for message in request.messages)
        if request.is_math:
            return _reply(self._expression(request.user))
        case = next(case for case in self._cases if case.question in said)
        if request.is_planner:
            return _reply(case.plan)
        return _reply(case.answer) if request.is_joiner else self._step(case, request)

    def _expression(self, problem: str) -> str:
        for case in self._cases:
            for name in case.figures:
                if case.problem(name) in problem:
                    return case.expression(name)
        raise LookupError(problem)

    def _step(self, case: Case, request: ChatRequest) -> Reply:
        results = [str(message["content"]) for message in request.messages if message["role"] == "tool"]
        rounds, done = case.steps(results), len(results)
        if done == sum(map(len, rounds)):
            return _reply(case.answer)
        if request.body.get("parallel_tool_calls") is False:
            tool_name, arguments = [call for calls in rounds for call in calls][done]
            about = arguments.get("query") or arguments["problem"]
            return _reply(f"Next I need {tool_name} for {about}.", [(tool_name, arguments)])
        for calls in rounds:
            if done < len(calls):
                return _reply(f"Next I need {calls[0][0]} for all of them.", calls)
            done -= len(calls)
        raise LookupError(case.question)


def _reply(text: str, calls: list[tuple[str, dict[str, Any]]] | None = None) -> Reply:
    return Reply(text, tool_calls=calls or (), first_token=SPEED.first_token, per_token=SPEED.per_token)


def main() -> None:
    """Make the comparison, and write its report."""
    parser = argparse.ArgumentParser(description="The paper's comparison on a scripted model.")
    parser.add_argument("--n", type=int, default=24, help="how many questions")
    parser.add_argument("--concurrency", type=int, default=6, help="how many runs at once")
    parser.add_argument("--seed", type=int, default=0, help="for the questions")
    parser.add_argument("--first-token", type=float, default=0.3, help="seconds to the model's first token")
    parser.add_argument("--rate", type=float, default=80.0, help="the model's tokens a second")
    parser.add_argument("--search", type=float, default=1.0, help="seconds that a search takes on average")
    parser.add_argument("--agents", default="llm-compiler,react,parallel-react", help="the agents")
    parser.add_argument("--out", type=Path, help="the folder of the report; default: a temporary one")
    options = parser.parse_args()
    SPEED.first_token, SPEED.per_token, SPEED.search = options.first_token, 1 / options.rate, options.search
    out = options.out or Path(tempfile.mkdtemp(prefix="paper-comparison-"))
    out.mkdir(parents=True, exist_ok=True)
    cases = make_cases(options.n, options.seed)
    questions = [
        {"id": str(c.number), "question": c.question, "answer": c.answer, "branch": len(c.figures)} for c in cases
    ]
    (out / "questions.json").write_text(json.dumps(questions, indent=1, ensure_ascii=False), "utf-8")
    (out / "prices.json").write_text(json.dumps(PRICES, indent=1), "utf-8")
    asyncio.run(embedded_search.ainvoke({"query": "K2"}))  # reads the corpus, which no agent shall wait for
    with ModelServer() as server:
        server.handler = Model(cases)
        os.environ |= {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "scripted"}
        arguments = ["eval", str(out / "questions.json"), "--graph", "tests.benchmarks.paper_comparison"]
        arguments += ["--model", "openai:scripted", "--prices", str(out / "prices.json"), "--out", str(out)]
        arguments += ["--agents", options.agents, "--concurrency", str(options.concurrency)]
        app(arguments, standalone_mode=False)
        server.check()


if __name__ == "__main__":
    from tests.benchmarks import paper_comparison

    paper_comparison.main()  # of the module that the evaluation imports, too
