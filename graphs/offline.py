"""`offline`: a small rule-based chat model, so that the template runs without a key, a server or a network.

As the system message says, it plans calls, joins their results into an answer, or writes the expression for a math
problem. It knows words, numbers and units, and nothing about the world. `read` understands a question, `Compiler` turns
it into calls; the joiner compiles it again, and finds the results by their numbers.
"""

import ast
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage, UsageMetadata
from langchain_core.outputs import ChatGenerationChunk, ChatResult

REAL_MODEL = "set OPENAI_API_KEY, or LLM_COMPILER_MODEL=provider:model (with OPENAI_BASE_URL for a local server)."
GREETING = f"Hello! I am the offline demo model, for arithmetic and figures of things. For anything else, {REAL_MODEL}"
CANNOT = f"I am the offline demo model, and I can't answer that. For a real model, {REAL_MODEL}"


class Measure(NamedTuple):
    """What things have a figure of: its usual unit, other words for it, stems of adjectives for more and for less."""

    name: str
    unit: str
    words: str = ""
    more: str = ""
    less: str = ""


MEASURES = [
    Measure("height", "metres", "elevation altitude stands mountain tower building statue", "tall high", "short low"),
    Measure("length", "kilometres", "river canal bridge", "long", "short"),
    Measure("size", "", "", "large big", "small tiny"),  # area, diameter or mass
    Measure("area", "square kilometres", "cover surface", "vast"),
    Measure("population", "people", "inhabitant resident populous people"),
    Measure("melting point", "°C", "melt temperature", "hot warm", "cold cool"),
    Measure("year", "", "born built completed opened released invented died", "young new", "old"),
]
MEASURES += [Measure("depth", "metres", "", "deep", "shallow"), Measure("speed", "km/h", "run", "fast quick", "slow")]
MEASURES += [Measure("mass", "kg", "weight weigh", "heavy", "light"), Measure("GDP", "dollars", "economy", "rich")]
MEASURES += [Measure("diameter", "kilometres"), Measure("density", "g/cm³", "", "dense"), Measure("lifespan", "years")]
BY_NAME = {measure.name: measure for measure in MEASURES}
UNITS = {
    "length": {"metre": 1, "m": 1, "kilometre": 1e3, "km": 1e3, "mile": 1609.344, "foot": 0.3048, "feet": 0.3048},
    "area": {"square kilometre": 1, "km²": 1, "square km": 1, "sq km": 1, "square mile": 2.589988},
    "mass": {"kilogram": 1, "kg": 1, "tonne": 1e3, "ton": 1e3, "gram": 1e-3, "pound": 0.45359237},
    "speed": {"km/h": 1, "kilometres per hour": 1, "mph": 1.609344, "metres per second": 3.6, "m/s": 3.6},
    "scale": {"thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12},
} | {name: {name: 1} for name in ("", "people", "g/cm³", "°C", "year", "dollar")}
UNIT_SIZES = {name + s: (kind, sizes[name]) for kind, sizes in UNITS.items() for name in sizes for s in ("", "s")}
GROW = "increas grow grew ris rose rais exten expan enlarg swell boost gain magnif add lengthen deepen widen up"
SHRINK = "decreas reduc shr lower short shallow cut los fall fell drop declin contract diminish erod subtract"
KIND = "(?:mount|mountain|river|desert|ocean|island|forest|trench|countr[iy]e?|state|tower|cit[iy]e?|planet)s?"
STOP = r"""[a-z]{1,2} about above after all also among and animal answer any are ask average before between both but
    calculate can combined compare compute considering could did difference divided does each factor film find for from
    get give given had has have her him his how into its know last many mean more most much multiplied need new not now
    number one only our out over person place point product ratio results? root same should since some square squared
    structure sum suppose tell than that the their them then these they this those through times together top total two
    was were what what's when where which who why will with would write you your"""
NUMERALS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand"""
VALUES = dict(zip(NUMERALS.split(), [*range(20), *range(20, 100, 10), 100, 1000], strict=True))
VALUES |= {f"{ten}-{one}": VALUES[ten] + VALUES[one] for ten in list(VALUES)[20:28] for one in list(VALUES)[1:10]}
SAME = {r"per ?cent(?:age)?\b": "%", r"(\d) %": r"\1%", r"\bdoubl\w+": "increased by 100%", r"\bby half\b": "by 50%"}
SAME |= {r"\btripl\w+": "increased by 200%", r"\bhalv\w+": "decreased by 50%", r"\btwice\b": "2 times", r"\^": "**"}
SAME |= {r"\b(kilo)?meter": r"\1metre", "^[Ss]ubtract (.+) from (.+)": r"\2 - \1", "^[Aa]dd ": "sum ", "’": "'"}
SAME |= {"^[Mm]ultiply": "product", "^[Dd]ivide": "ratio", r"\bplus\b": "+", r"\bminus\b": "-", "÷": "/", "×": "*"}


def words(text: str, stems: str = "", forms: str = "(?:y|e|[a-z]?i?er|[a-z]?i?est|)", end: str = "") -> re.Pattern[str]:
    """A pattern for any of the words in a text, or of the forms of adjectives such as heavy, heavier and heaviest."""
    found = [word + end for word in text.split()] + [stem.rstrip("ye") + forms for stem in stems.split()]
    return re.compile(rf"\b(?:{'|'.join(found)})\b", re.IGNORECASE)


UP = words("more most greate(?:r|st) exceed", " ".join(m.more for m in MEASURES), "[a-z]?i?e(?:r|st)")
DOWN = words("less least fewe(?:r|st)", " ".join(m.less for m in MEASURES), "[a-z]?i?e(?:r|st)")
GROWING = words(f"{UP.pattern} {GROW}", end="[a-z]*")
SHRINKING = words(f"{DOWN.pattern} {SHRINK}", end="[a-z]*")
WORDS = {m: words(f"{m.name.replace(' ', '.')} {m.words}", f"{m.more} {m.less}", end="s?") for m in MEASURES}
UNIT = rf"(?:{'|'.join(sorted(filter(None, UNIT_SIZES), key=len, reverse=True))})(?![\w²³])"
NUMBER = r"(?<![\w.,])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[+-]?\d+)?(?!\d|[.,]\d)"
FIGURE = re.compile(rf"({NUMBER})(?:[ -]?([mb]illion|thousand|trillion)\b)?(?:[ -](?:US )?|)({UNIT})?")
KNOWN = "|".join(p.pattern for p in (words(f"{STOP} {NUMERALS}"), GROWING, SHRINKING, *WORDS.values())) + rf"|\b{UNIT}"
CAPITAL = r"\b(?!(?:GDP|I|US)\b)[A-ZÀ-Þ](?:(?!'s\b)[\w'–-])*(?:(?<=\bSt|\bMt|\bDr)\.)?"
NAME = rf"{CAPITAL}(?:(?: of the| of| the| da| de| van| von| al)? {CAPITAL}| \d+(?![\d%.]| times)| {KIND}\b)*"
SMALL = rf"\b(?:{KIND} )?(?!{KNOWN})[a-z][\w-]*"
COMMON = rf"{SMALL}(?: (?:of (?:the )?)?{SMALL})*"
CHANGE = re.compile(rf"{NUMBER}%|by a factor of {NUMBER}|{NUMBER} times")
CLAUSES = r"(?=,(?!\d)|[;:—]|\. |\b(?:and|or|while|whereas|if|then|but|when|after|with)\b)"
ASKS = re.compile(r"(?:^|[,.;:] ?|then |and )(?:is|are|was|were|would|will|does|do|did|has|can|could) ")
UNFIT = re.compile(rf"\b(?:[Ii]|my|you|should|why|write|translate|third|quarter|{NUMBER} (?:{UNIT}))\b")
WH = re.compile(r"\b(?:what|what's|which|how|who|where|when)\b")
SIGNS = {"percent": "/", "ratio": "/", "average": "+", "sum": "+", "product": "*", "difference": "-"}
OPERATIONS = {n: n for n in SIGNS} | {"percent": "%", "ratio": "ratio|times", "sum": "sum |total|combined|together"}
OPERATIONS["difference"] = rf"difference|(?:much|many)\b.*(?:{UP.pattern}|{DOWN.pattern}|between|after|before)"
ATOM = r"(?:(?:sqrt)?\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)|\$\d+|(?<![\w.$])\d+(?:\.\d+)?(?![\d%]|\.\d))"
PHRASES = {  # of arithmetic
    r"(?<=\d),(?=\d{3})": "",
    r"\b(?:what(?:'s| is| are)?|how much is|calculate|compute|please|the|result of|then|and now)\b|^and\b": "",
    r" times | multiplied by |(?<=\d) ?x ?(?=\d)": " * ",
    r" divided by ": " / ",
    rf"({NUMBER})% of +({ATOM})": r"(\1 / 100 * \2)",
    r"^\(([^()]*)\)$": r"\1",
    rf"square root of ({ATOM})": r"sqrt(\1)",
}
FOLDED = rf"({'|'.join(SIGNS)}) (?:of |between )?({ATOM}(?:(?:, and|,| and| to| by) {ATOM})+)"
PARTS = re.compile(r"\?+\s*(?!answer|give|$)|[,;]? and (?=(?:what|how|which|who|when|where)\b)|; ")
RESULT = re.compile(r"^(\d+)\. ([\w.-]+\(.*?\)) (->|failed:) ?(.*(?:\n  .*)*)", re.MULTILINE)
HELLO = r"(?i)\W*(?:hi|hello|hey|thanks?|good (?:morning|day|evening)|who are you|what can you do)\b[\w ,']{0,20}\W*"


@dataclass
class Question:
    """A part of a message: arithmetic, or a question about things, with the tasks that its results come from."""

    asked: str  # without premises, and with @0 for the first thing; or the expression
    operation: str = "arithmetic"
    things: list[str] = field(default_factory=list)
    changes: dict[int, str] = field(default_factory=dict)  # what the figures go through, such as ` * 0.9`
    order: list[int] = field(default_factory=list)
    measure: Measure | None = None
    unit: str = ""
    sign: int = 0  # 1 where more is asked for, -1 where less is
    tasks: list[int] = field(default_factory=list)

    def answer(self, results: dict[int, str]) -> str:
        """The answer, from the results of the tasks."""
        measure, asked, names = self.measure, self.asked, [self.things[i] for i in self.order]
        shown = {n: f"{round(float(x), 2) or float(x):,.12g}" for n, x in results.items() if re.fullmatch(NUMBER, x)}
        if any(task not in (shown if measure or self.operation == "arithmetic" else results) for task in self.tasks):
            return f"I found no {measure.name if measure else 'answer'} for {' and '.join(names) or asked}."
        if self.operation == "arithmetic":
            return re.sub(r"\$(\d+)", lambda m: shown[int(m[1])], asked) + f" = {shown[self.tasks[0]]}."
        if not measure:
            return " ".join(results[task] for task in self.tasks)
        unit = {"ratio": "", "percent": "%"}.get(self.operation, self.unit)
        figures = [f"{shown[task]} {unit}".strip() for task in self.tasks]
        numbers = [float(results[task]) for task in self.tasks]
        is_, best = "would be" if self.changes else "is", max(numbers, key=lambda value: value * self.sign)
        if self.operation == "difference" and names[1:] and (er := re.search(r"\b\w+er\b(?=.* than)", asked)):
            return f"{names[numbers[0] < 0]} {is_} {figures[0].lstrip('-')} {er[0]} than {names[numbers[0] >= 0]}."
        if self.operation in SIGNS:
            return f"The {self.operation} ({measure.name} of {', '.join(names)}) {is_} {figures[0].lstrip('-')}."
        facts = " and ".join(f"{figure} for {name}" for figure, name in zip(figures, names, strict=True))
        first = f"{'Yes' if numbers[0] == best != numbers[1] else 'No'}. " if self.operation == "compare" else ""
        if self.operation == "extreme":
            first = f"The {'greatest' if self.sign > 0 else 'smallest'} {is_} {names[numbers.index(best)]}. "
        return f"{first}The {measure.name} {is_} {facts}."


def tidy(text: str) -> str:
    """The text with digits for number words, % for percent, and small first words of sentences."""
    text = re.sub(rf"(?:^|(?<=[.?!:,] ))(?i:{KNOWN})(?!\w)", lambda m: m[0].lower(), text.strip())
    for pattern, same in SAME.items():
        text = re.sub(pattern, same, text)
    return re.sub(rf"\b(?!one\b(?! [-+*/]| times))(?:{'|'.join(VALUES)})\b(?!-)", lambda m: str(VALUES[m[0]]), text)


def read(text: str, before: Question) -> Question:
    """Understands a question. Its things are words with capitals, and unknown words in the place of a thing."""
    pattern = rf"({NAME})|\b(?:an?|than(?: the| an?)?) ({COMMON})" if re.search(CAPITAL, text) else rf"({COMMON})"
    found = [(m[m.lastindex or 0], *m.span(m.lastindex or 0)) for m in re.finditer(pattern, text)]
    found = [thing for thing in found if not re.fullmatch(rf"(?i:{KIND})(?: {KIND})*", thing[0])]
    things, marked = list(dict.fromkeys(name for name, *_ in found)), text
    for name, start, end in reversed(found):
        marked = f"{marked[:start]}@{things.index(name)}{marked[end:]}"
    changes, asked = read_changes(marked, len(things))
    order = list(dict.fromkeys(int(index) for index in re.findall(r"@(\d+)", asked)))
    before_things = (before.things, before.order, before.changes | changes)
    things, order, changes = (things, order, changes) if things else before_things
    hits = {m: len({*WORDS[m].findall(asked)} | {*WORDS[m].findall(text)}) + 3 * (m.name in text) for m in MEASURES}
    measure = max(MEASURES, key=lambda m: hits[m]) if any(hits.values()) else before.measure
    signs = [(match.start(), 1) for match in UP.finditer(asked)] + [(m.start(), -1) for m in DOWN.finditer(asked)]
    sign = max(signs, default=(0, 0))[1]
    operation = next((name for name, pattern in OPERATIONS.items() if re.search(pattern, asked)), "fact")
    if len(things) < 2 and not re.search(r"\b(?:it|that)\b", asked):
        operation = "fact"
    elif operation == "fact" and sign:
        operation = "compare" if ASKS.search(asked) and not WH.search(asked) and " or " not in asked else "extreme"
    if len(order) < 2 and (operation != "fact" or not order):
        others = [index for index in range(len(things)) if index not in order]
        order = others + order if re.search(r"\bthan (?:that of )?(?:the )?@", asked) else order + others
    measure = None if measure and measure.name == "year" and operation == "fact" else measure
    unit = re.findall(rf"\bin ({UNIT})", marked) or [measure.unit if measure else ""]
    return Question(asked, operation, things, changes, order, measure, unit[0], sign)


def read_changes(marked: str, count: int) -> tuple[dict[int, str], str]:
    """The changes of things, and the text without the clauses that speak of them."""
    changes: dict[int, str] = {}
    kept, held, sign = "", list(range(count)), 1
    for clause in re.split(CLAUSES, marked):
        inside = [int(index) for index in re.findall(r"@(\d+)", clause)]
        sign = -1 if SHRINKING.search(clause) else 1 if GROWING.search(clause) else sign
        if found := CHANGE.search(clause):
            value = float(re.sub("[^0-9.]", "", found[0]))
            share = value / 100 if re.search(r"% of .*@", clause) and WH.search(clause) else 1 + sign * value / 100
            change = f" * {share:.10g}" if "%" in found[0] else f" {'*' if sign > 0 else '/'} {value:.10g}"
            targets = range(count) if re.search(r"\b(?:both|each|all)\b", clause) else inside[:1] or held
            changes |= dict.fromkeys(targets, change)
        elif inside:
            held = inside[:1] if ASKS.search(clause) or WH.search(clause) else inside[-1:]
        if not found or len(inside) > 1 or WH.search(clause):
            kept += CHANGE.sub("", clause)
    return changes, kept.strip(" ,")


def combine(operation: str, parts: list[str]) -> str:
    """The expression of an operation over its operands."""
    text = f" {SIGNS[operation]} ".join(parts)
    return f"({text}) / {len(parts)}" if operation == "average" else text + " * 100" * (operation == "percent")


def arithmetic(text: str) -> str | None:
    """The expression for arithmetic in words or symbols, with $1 for the result of task 1; None for any other text."""
    for _ in range(3):  # inner phrases first
        for pattern, new in PHRASES.items():
            text = " ".join(re.sub(pattern, new, text.lower()).split()).strip(" .?!=,")
        text = re.sub(FOLDED, lambda m: f"({combine(m[1], re.findall(ATOM, m[2]))})", text)
    try:
        ast.parse(text.replace("$", "0x"), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return text if re.fullmatch(r"(?=.*\d)(?:[\d.()+\-*/$\s]|sqrt)+", text) else None


def find_figure(text: str, measure: Measure, unit: str) -> float | None:
    """What a text gives for a measure. A figure belongs to the measure of its kind that is named nearest."""
    (kind, base), (wanted, size) = UNIT_SIZES[measure.unit], UNIT_SIZES[unit]
    rivals = [m for m in MEASURES if UNIT_SIZES[m.unit][0] == kind]
    named, found = [(word, m) for m in rivals for word in WORDS[m].finditer(text)], []
    for match in FIGURE.finditer(text):
        its_kind, its_size = UNIT_SIZES[match[3] or "people" * (kind == "people")]
        gaps = [(max(word.start() - match.end(), match.start() - word.end()), m) for word, m in named]
        if its_kind == kind and gaps and (gap := min(gaps)[0], measure) in gaps:
            found.append((gap, float(match[1].replace(",", "")) * UNIT_SIZES[match[2] or ""][1] * its_size))
    return min(found)[1] / (size if wanted in (kind, "scale") else base) if found else None


def solve(problem: str, context: list[str]) -> str:
    """The expression for a word problem, with figures from the context; or `unknown: …`."""
    unit = re.search(rf",? (?:both |all )?in ({UNIT})", problem)
    text = problem.replace(unit[0], "") if unit else problem
    for term in re.finditer(rf"({'|'.join(BY_NAME)}) of (?:the )?(.+?)(?= [-+*/] |[,()]|$)", text):
        names = [word.rstrip("s") for word in re.findall(r"\w+", term[2].lower()) if not re.fullmatch(KIND, word)]
        about = [entry for entry in context if all(name in entry.lower() for name in names)]
        measures = [BY_NAME[name] for name in (["area", "diameter", "mass"] if term[1] == "size" else [term[1]])]
        values = [find_figure(entry, m, unit[1] if unit else "") for m in measures for entry in about]
        if not any(values):
            return f"unknown: {term[0]}"
        text = text.replace(term[0], f"{next(filter(None, values)):.12g}", 1)
    plain = re.fullmatch(r"(?:[\d.,e()+\-*/\s]|max|min)+", text := text.replace("the ", ""))
    return text if plain else arithmetic(tidy(text)) or f"unknown: {problem}"


@dataclass
class Compiler:
    """Turns the parts of a message into calls."""

    tools: dict[str, tuple[str, str]]  # for each kind the name, and the parameter for a list
    number: int = 1
    known: list[int] = field(default_factory=list)  # tasks that give numbers
    lines: list[str] = field(default_factory=list)

    def call(self, kind: str, text: str, context: Sequence[int] = ()) -> int:
        """Plans a call."""
        tool, parameter = self.tools.get(kind, ("", ""))
        notes = f", {parameter}={[f'${task}' for task in context]}".replace("'", '"') if context else ""
        self.lines.append(f'{self.number}. {tool}("{text}"{notes})' if tool and (parameter or not notes) else "")
        self.number += 1
        return self.number - 1

    def compile(self, part: str, before: Question) -> Question | None:
        """Plans what a part needs; None if it is neither arithmetic nor about things."""
        last = [f"${task}" for task in self.known]
        text = re.sub(r"\b(?:that|it|this)\b", last[-1], part) if last else part
        plural = r"\b(?:those|these|both|them|the)(?: of them)?(?: (\d+))?(?: (?:values|results|numbers))?[ .?]*$"
        if len(last) > 1 and (those := re.search(plural, part)):
            text = part[: those.start()] + " and ".join(last[-int(those[1] or 2) :])
        if expression := arithmetic(text):
            self.known.append(self.call("math", expression))
            return Question(expression, tasks=self.known[-1:])
        question = read(part, before)
        measure, order, in_unit = question.measure, question.order, f", in {question.unit}" * bool(question.unit)
        combines, ends = question.operation in SIGNS, UP.search(question.asked) and DOWN.search(question.asked)
        mixed = combines and len(order) > 2 and not ends and (question.sign or SIGNS[question.operation] in "/-")
        if mixed or not question.things or UNFIT.search(part) or not (measure or WH.search(part)):
            return None
        searches = [self.call("search", question.things[i]) for i in order]
        parts, context, question.tasks = [], [], [] if measure else searches
        for i, search in zip(order, searches if measure else (), strict=False):
            parts.append(f"{measure.name} of {question.things[i]}{question.changes.get(i, '')}")
            if i in question.changes or not combines:
                question.tasks.append(self.call("math", parts.pop() + in_unit, [search]))
                parts.append(f"${question.tasks[-1]}")
            else:
                context.append(search)
        if combines and measure:
            parts = last[-1:] * (len(parts) == 1) + parts
            if (question.sign < 0 and "than" in question.asked) or "what % of" in question.asked:
                parts.reverse()
            parts = [f"max({', '.join(parts)})", f"min({', '.join(parts)})"] if ends else parts
            question.tasks = [self.call("math", combine(question.operation, parts) + in_unit * bool(context), context)]
        self.known += question.tasks if measure else []
        return question


def compiled(messages: Sequence[BaseMessage], tools: dict[str, tuple[str, str]]) -> tuple[str, str]:
    """The plan for the last message of a conversation, and the answer to it."""
    compiler, before, results, answers = Compiler(tools), Question(""), dict[int, str](), [""]
    for text in (str(message.text) for message in messages if message.type == "human"):
        found, start = RESULT.findall(text), re.search(r"from number (\d+) on", text)
        results |= {int(number): result for number, _, mark, result in found if mark == "->"}
        first = int(start[1] if start else found[0][0] if found else compiler.number)
        compiler, answers = Compiler(tools, first, [task for task in compiler.known if task in results]), []
        for part in filter(None, PARTS.split(tidy(re.split(r"\n\n(?:Results \(data|Still missing|Plan )", text)[0]))):
            question = compiler.compile(part.strip(" .!\n"), before)
            before = question or before
            answers.append(question.answer(results) if question else GREETING if re.fullmatch(HELLO, part) else CANNOT)
        answers += [f"{call} failed: {why}" for _, call, mark, why in found if mark != "->"]
        if {CANNOT, GREETING, ""} & {*answers, *compiler.lines} or "\n\nStill missing:" in text:
            compiler.lines, compiler.number = [], first
    return "\n".join([*compiler.lines, f"{compiler.number}. join()"]), " ".join(dict.fromkeys(answers)) or CANNOT


def reply(messages: Sequence[BaseMessage]) -> str:
    """What the model says in the role that the prompt gives it."""
    system, human = (next((str(m.text) for m in messages if m.type == kind), "") for kind in ("system", "human"))
    if system.startswith("Write one arithmetic expression"):
        problem, _, context = human.partition("\nContext:\n")
        return solve(problem.removeprefix("Problem:").strip(), re.split(r"(?m)^\d+\. ", context)[1:])
    tools: dict[str, tuple[str, str]] = {}
    if block := re.search(r"^Tools:\n(.+?)(?:\n\n|\Z)", system, re.MULTILINE | re.DOTALL):
        for name, rest in re.findall(r"^([\w.-]+)(\(.*)", block[1], re.MULTILINE):
            if kind := re.search("(?i)(math|calc|expression)|search|look|find|wiki|encyclop", f"{name} {rest}"):
                tools.setdefault("math" if kind[1] else "search", (name, (re.findall(r"(\w+): list", rest) or [""])[0]))
        return compiled(messages, tools)[0]
    text = compiled(messages, tools)[1]
    return f"Thought: This is what the results show.\nAction: Finish({text})" if "Finish(" in system else text


class OfflineChatModel(BaseChatModel):
    """The rule-based demo model: streams plans, answers and expressions token by token."""

    delay: float = 0.012  # seconds between tokens

    @property
    def _llm_type(self) -> str:
        return "offline"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self.bind(tools=tools, **kwargs)

    def _stream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        pieces = re.findall(r"\s*\w{1,6}|\s*[^\w\s]|\s+", reply(messages))
        for piece in pieces:
            time.sleep(self.delay)
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
        read = sum(len(str(message.text)) // 4 for message in messages)
        usage = UsageMetadata(input_tokens=read, output_tokens=len(pieces), total_tokens=read + len(pieces))
        yield ChatGenerationChunk(message=AIMessageChunk(content="", usage_metadata=usage, chunk_position="last"))

    def _generate(self, messages: list[BaseMessage], *_: Any, **kwargs: Any) -> ChatResult:
        return generate_from_stream(self._stream(messages, **kwargs))
