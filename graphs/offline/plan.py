"""Plans: the calls that find out what is asked, and the words of the answer."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from graphs.offline.arithmetic import read_arithmetic
from graphs.offline.prompt import Prompt, Result
from graphs.offline.question import Question, Thing, read_question
from graphs.offline.words import MEASURES, WORDS

CANNOT = (
    "I am the offline demo model: asked in English, I can do arithmetic, and compare, add and change the figures of "
    "things in the encyclopedia, such as heights. For a real model, set OPENAI_API_KEY, or "
    "LLM_COMPILER_MODEL=provider:model (with OPENAI_BASE_URL for a local server)."
)
FAILED = "I can't tell: {call} failed: {reason}"

PARTS = re.compile(r"\?+\s+|; ")
KINDS = {
    "search": "search|look|find|encyclop",
    "math": "math|calc|expression",
    "argmax": "argmax|largest",
    "argmin": "argmin|smallest",
}
"""How tools are told from what the prompt says of them."""

OWN_TOOLS = {"search": "(query: str)", "math": "(problem: str, context: list)", "argmax": "", "argmin": ""}
"""Those of `tools`, with which a plan is made again for its answer's words: the joiner is told of results alone."""


class NoToolError(LookupError):
    """There is no tool for a call that the plan needs."""


@dataclass
class Plan:
    """Calls, one a line, and the answer."""

    first: int
    tools: Mapping[str, str]
    """What is said of each tool, by name."""

    lines: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    """The answer, with references for the results."""

    @property
    def text(self) -> str:
        """The plan as it is written."""
        answer = json.dumps(" ".join(self.sentences), ensure_ascii=False) if self.sentences else ""
        return "\n".join([*self.lines, f"{self.first + len(self.lines)}. join({answer})"])

    def call(self, kind: str, *arguments: object, context: str = "") -> str:
        """Adds a call, and returns the reference to its result. A list as first argument is mapped over.

        Raises:
            NoToolError: There is no tool of that kind.
        """
        tool = self.find(kind)
        if tool is None:
            raise NoToolError(kind)
        number = self.first + len(self.lines)
        mapped = ".map" if kind in ("search", "math") and isinstance(arguments[0], list) else ""
        written = [json.dumps(argument, ensure_ascii=False) for argument in arguments[:1]]
        written += [str(argument) for argument in arguments[1:]]
        if context:
            found = re.search(r"(\w+): list", self.tools[tool])
            if found is None:
                raise NoToolError(kind)
            written.append(f"{found[1]}={context}")
        self.lines.append(f"{number}. {tool}{mapped}({', '.join(written)})")
        return f"${number}"

    def find(self, kind: str) -> str | None:
        """The tool of that kind, by its name or else by what is said of it; None if there is none."""
        by_name = (tool for tool in self.tools if re.search(KINDS[kind], tool, re.IGNORECASE))
        by_said = (tool for tool, said in self.tools.items() if re.search(KINDS[kind], said, re.IGNORECASE))
        return next(chain(by_name, by_said), None)


def write_plan(prompt: Prompt) -> str:
    """The plan for the last question; it has no calls if that can't be understood, or takes tools that there aren't."""
    plan = None if prompt.feedback else _plan(prompt, prompt.number, prompt.tools)
    return plan.text if plan else f"{prompt.number}. join()"


def _plan(prompt: Prompt, first: int, tools: Mapping[str, str]) -> Plan | None:
    plan = Plan(first, tools)
    known = [_reference(result) for turn in prompt.turns[:-1] for result in turn.results if _is_number(result)]
    before: Question | None = None
    for turn in prompt.turns[:-1]:
        for part in PARTS.split(turn.question):
            before = read_question(part, before) or before
    try:
        for part in filter(str.strip, PARTS.split(prompt.question)):
            if expression := read_arithmetic(part, known):
                result = plan.call("math", expression)
                known.append(result)
                plan.sentences.append(f"{expression} = {result}.")
            elif question := read_question(part, before):
                before = question
                known += _plan_question(plan, question)
            else:
                return None
    except NoToolError:
        return None
    return plan if plan.lines else None


def answer(prompt: Prompt) -> str:
    """The answer from the results, where the plan's own could not be taken; or why there is none."""
    for failed in prompt.failures:  # the first: others may have failed for it
        return FAILED.format(call=f"{failed.tool}({failed.arguments})", reason=failed.text)
    results = prompt.turns[-1].results
    plan = _plan(prompt, results[0].number, OWN_TOOLS) if results else None
    if plan is None:
        return CANNOT
    values = {_reference(result): result for turn in prompt.turns for result in turn.results}
    return " ".join(_fill_in(sentence, values) for sentence in plan.sentences)


def _fill_in(sentence: str, values: Mapping[str, Result]) -> str:
    """The sentence with results for references."""

    def value(match: re.Match[str]) -> str:
        result = values.get(match[0])
        if result is None:
            return "unknown"
        return f"{result.value:.10g}" if _is_number(result) else str(result.value)

    return re.sub(r"\$\d+(?:\[\d+\])?", value, sentence)


def _reference(result: Result) -> str:
    return f"${result.number}" if result.element is None else f"${result.number}[{result.element}]"


def _is_number(result: Result) -> bool:
    return isinstance(result.value, int | float) and not isinstance(result.value, bool)


# --- questions


def _plan_question(plan: Plan, question: Question) -> list[str]:
    """Plans what a question needs.

    Returns:
        References to the figures that it is answered with.
    """
    things = question.things
    texts = plan.call("search", [thing.name for thing in things] if things[1:] else things[0].name)
    if question.operation == "fact":
        plan.sentences += [f"{texts}[{i}]" for i in range(len(things))] if things[1:] else [texts]
        return []
    is_simple = not question.changes and len(things) == 2
    if is_simple and question.operation in ("difference", "ratio", "percent", "sum", "average"):
        terms = [_term(question, thing) for thing in things]
        result = plan.call("math", f"{_combined(question, terms)}{_unit(question)}", context=texts)
        plan.sentences.append(_combined_in_words(question, result))
        return [result]
    figures = _plan_figures(plan, question, texts)
    if question.operation in ("value", "compare"):
        plan.sentences.append(_figures_in_words(plan, question, figures))
        return figures
    result = plan.call("math", _combined(question, figures))
    plan.sentences.append(_combined_in_words(question, result))
    return [result]


def _plan_figures(plan: Plan, question: Question, texts: str) -> list[str]:
    """A calculation for each thing."""
    problems = [f"{_term(question, thing)}{_unit(question)}" for thing in question.things]
    if len(problems) == 1:
        return [plan.call("math", problems[0], context=f'["{texts}"]')]
    numbers = plan.call("math", problems, context=texts)
    return [f"{numbers}[{i}]" for i in range(len(problems))]


def _term(question: Question, thing: Thing) -> str:
    return f"{question.measure} of {thing.name}{question.changes.get(thing, '')}"


def _unit(question: Question) -> str:
    return f", in {question.unit}" if question.unit else ""


def _combined(question: Question, terms: Sequence[str]) -> str:
    """The expression that combines the figures."""
    first, last = terms[0], terms[-1]
    if len(terms) > 2:
        first, last = f"max({', '.join(terms)})", f"min({', '.join(terms)})"
    elif _is_less(question) and question.operation != "percent":
        first, last = last, first
    match question.operation:
        case "difference":
            return f"{first} - {last}" if _compares(question) or len(terms) > 2 else f"abs({first} - {last})"
        case "ratio":
            return f"{first} / {last}"
        case "percent" if _compares(question):
            return f"({first} / {last} - 1) * {'-100' if _is_less(question) else '100'}"
        case "percent":
            return f"{first} / {last} * 100"
        case "average":
            return f"({' + '.join(terms)}) / {len(terms)}"
    return " + ".join(terms)


def _is_less(question: Question) -> bool:
    return _compares(question) and question.adjective is not None and question.adjective.sign < 0


def _compares(question: Question) -> bool:
    """Whether one thing is said to be more than another: taller than."""
    return question.adjective is not None and question.adjective.degree == "comparative"


# --- answers


def _combined_in_words(question: Question, result: str) -> str:
    """What the figures come to, by the word for it in the question: taller, or else by the name of the measure."""
    names = [thing.shown for thing in question.things]
    first, last = names[0], names[-1]
    measure, form = question.measure, question.form
    base = question.adjective.base if question.adjective and _compares(question) else ""
    is_, figure = _is(question), _figure(question, result)
    if question.operation in ("sum", "average"):
        word = "combined" if question.operation == "sum" else "average"
        return f"The {word} {measure} of {_listed(names)} {is_} {figure}."
    if len(names) > 2:
        amount = figure if question.operation == "difference" else result
        return f"The {question.operation} between the greatest and the least {measure} {is_} {amount}."
    match question.operation:
        case "difference" if base:
            text = f"{first} {is_} {figure} {form} than {last}."
        case "difference" if form:
            text = f"The {measure} of {first} {is_} {figure} {form} than that of {last}."
        case "difference":
            text = f"The difference in {measure} between {first} and {last} {is_} {figure}."
        case "ratio" if base and _is_less(question):
            text = f"{first} {is_} {result} times {form} than {last}."
        case "ratio" if base:
            text = f"{first} {is_} {result} times as {base} as {last}."
        case "ratio":
            text = f"The {measure} of {first} {is_} {result} times that of {last}."
        case _ if base:
            text = f"{first} {is_} {result}% {form} than {last}."
        case _:
            text = f"The {measure} of {first} {is_} {result}% of that of {last}."
    return f"{text[0].upper()}{text[1:]}"


def _figures_in_words(plan: Plan, question: Question, figures: Sequence[str]) -> str:
    """Each figure, and whose is the most or the least."""
    names = [thing.shown for thing in question.things]
    if len(names) == 1:
        return f"The {question.measure} of {names[0]} {_is(question)} {_figure(question, figures[0])}."
    facts = _listed([f"{_figure(question, one)} for {name}" for one, name in zip(figures, names, strict=True)])
    adjective = question.adjective
    kind = "argmin" if adjective and adjective.sign < 0 else "argmax"
    if question.operation != "compare" or adjective is None or not plan.find(kind):
        return f"The {question.measure} {_is(question)} {facts}."
    best = plan.call(kind, names, figures[0].partition("[")[0])
    most = "greatest" if adjective.sign > 0 else "smallest"
    which = f"{question.form} one" if adjective.base else f"one with the {most} {question.measure}"
    return f"The {which} {_is(question)} {best}: {facts}."


def _is(question: Question) -> str:
    return "would be" if question.changes else "is"


def _figure(question: Question, figure: str) -> str:
    """The figure with its unit; with a scale, such as millions, that of the measure."""
    if question.unit.removesuffix("s") in WORDS["scales"]:
        return f"{figure} {question.unit.removesuffix('s')} {MEASURES[question.measure].unit}".strip()
    return f"{figure} {question.unit}".strip()


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
