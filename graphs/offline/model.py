"""`offline`: a small rule-based chat model, so that the template runs without a key, a server or a network. It knows
words, numbers and units: `read` understands a question, `Compiler` plans, and the joiner compiles again to answer."""

import ast
import re
import time
from collections import namedtuple
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel, generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage, ToolCallChunk, UsageMetadata
from langchain_core.outputs import ChatGenerationChunk, ChatResult


def words(text: str, stems: str = "", forms: str = "(?:y|e|[a-z]?i?er|[a-z]?i?est|)", end: str = "") -> re.Pattern[str]:
    """A pattern for any of the words in a text, or of the forms of adjectives such as heavy, heavier and heaviest."""
    found = [word + end for word in text.split()] + [stem.rstrip("ye") + forms for stem in stems.split()]
    return re.compile(rf"\b(?:{'|'.join(found)})\b", re.IGNORECASE)


Chunks = Iterator[ChatGenerationChunk]
CANNOT = "I am the offline demo model: I can do arithmetic and compare figures, but nothing else. For a real model,"
CANNOT += " set OPENAI_API_KEY, or LLM_COMPILER_MODEL=provider:model (with OPENAI_BASE_URL for a local server)."
# Name: unit: other words: stems of adjectives for more: and less: what it may stand for. The first of equals counts.
Measure = namedtuple("Measure", ["name", "unit", "words", "more", "less", "kinds"], defaults=["", "", "", "", ""])
TABLE = """depth: metres:: deep: shallow; density: g/cm³:: dense; atomic number; speed: km/h: run ran: fast quick: slow
    extent:::: short: length height; length: kilometres: river canal bridge: long: short; GDP: dollars: economy: rich
    height: metres: elevation altitude mount mountain tower building statue: tall high: low short; lifespan: years
    population: people: inhabitant resident populous people; size::: large big: small tiny: area diameter mass
    area: square kilometres: cover surface: vast large big: small; diameter: kilometres:: large big: small
    melting point: °C: melt temperature: hot warm: cold cool; mass: kg: weight weigh: heavy: light; width: metres: wide
    year:: who when where born built completed opened released invented died: young new: old; boiling point: °C: boil"""
MEASURES = [Measure(*map(str.strip, row.split(":"))) for row in re.split("[;\n]", TABLE)]
BY_NAME = {measure.name: measure for measure in MEASURES}
UNITS = {"length": {"metre": 1, "m": 1, "kilometre": 1e3, "km": 1e3, "mile": 1609.344, "foot": 0.3048, "feet": 0.3048}}
UNITS |= {"area": {"square kilometre": 1, "km²": 1, "square km": 1, "sq km": 1, "square mile": 2.589988}}
UNITS |= {"mass": {"kilogram": 1, "kg": 1, "tonne": 1e3, "ton": 1e3, "gram": 1e-3, "pound": 0.45359237}}
UNITS |= {"speed": {"km/h": 1, "kilometres per hour": 1, "mph": 1.609344, "metres per second": 3.6, "m/s": 3.6}}
UNITS |= {"scale": {"thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}}
UNITS |= {name: {name: 1} for name in ("", "people", "g/cm³", "°C", "year", "dollar")}
UNIT_SIZES = {name + s: (kind, sizes[name]) for kind, sizes in UNITS.items() for name in sizes for s in ("", "s")}
GROW = "increas grow grew ris rose rais exten expan enlarg swell boost gain magnif add lengthen deepen widen doubl up"
SHRINK = "decreas reduc shr lower short shallow cut los fall fell drop declin contract diminish erod subtract halv"
KIND = "(?:mount|mountain|river|desert|ocean|island|forest|trench|countr[iy]e?|state|tower|cit[iy]e?|planet)s?"
STOP = r"""[a-z]{1,2} about above after all also among and animal answer any are ask average before between both but
    calculate can combined compare compute considering could did difference divided? does each ever factor find fit for
    from get give given had half has have her him his how into its know last many mean more most much multipl\w+ need
    new not now number one only our out over person place points? product ratio really results? root same should since
    some square still structure sum suppose take tell than that the their them then these they this those through times
    together top total two was were what what's when where which who why will with would write yet you your"""
NUMERALS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety"""
VALUES = dict(zip(NUMERALS.split(), [*range(20), *range(20, 100, 10)], strict=True))
VALUES |= {f"{ten}-{one}": VALUES[ten] + VALUES[one] for ten in list(VALUES)[20:] for one in list(VALUES)[1:10]}
SAME = {r"per ?cent(?:age)?\b": "%", r"(\d) %": r"\1%", r"\bdoubl\w+": "increased by 100%", r"\^": "**", "’": "'"}
SAME |= {r"\btripl\w+": "increased by 200%", r"\bhalv\w+": "decreased by 50%", r"\bby (?:a )?half\b": "by 50%"}
SAME |= {r"\bhalf (?:of )?the\b": "0.5 times the", r"\b(?:a |one )?half of": "1/2 of", r"\ba (third|quarter)": r"1 \1"}
SAME |= {r"(\d+) thirds?\b": r"\1/3", r"(\d+) quarters?\b": r"\1/4", r"\btwice\b": "2 times", r" squared\b": "**2"}
SAME |= {r" (?:raised )?to the power (?:of )?": "**", "square root of": "sqrt", r"(\d+) factorial\b": r"factorial \1"}
SAME |= {r"\b(kilo)?meter": r"\1metre", "^[Aa]dd ": "sum ", "^[Mm]ultiply": "product", "at least": "more than"}
SAME |= {"^[Dd]ivide": "ratio", r"\b(?:plus|add)\b": "+", r"\b(?:minus|subtract(?!.*from))\b": "-", r" cubed\b": "**3"}
SAME |= {r"÷|\bdivided?(?: it| the result)? by\b": "/", r"×|\bmultipl(?:y|ied)(?: it| the result)? by\b": "*"}
UP = words("more most greate(?:r|st) exceed dominate", " ".join(m.more for m in MEASURES), "[a-z]?i?e(?:r|st)")
DOWN = words("less least fewe(?:r|st)", " ".join(m.less for m in MEASURES), "[a-z]?i?e(?:r|st)")
GROWING, SHRINKING = (words(f"{p.pattern} {w}", end="[a-z]*") for p, w in ((UP, GROW), (DOWN, SHRINK)))
WORDS = {m: words(f"{m.name.replace(' ', '.')} {m.words}", f"{m.more} {m.less}", end="s?") for m in MEASURES}
UNIT = rf"(?:{'|'.join(sorted(filter(None, UNIT_SIZES), key=len, reverse=True))})(?![\w²³])"
NUMBER = r"(?<![\w.,])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[+-]?\d+)?(?!\d|[.,]\d)"
FIGURE = re.compile(rf"({NUMBER})(?:[ -]?([mb]illion|thousand|trillion)\b)?(?:[ -](?:US )?|)({UNIT})?")
KNOWN = "|".join(p.pattern for p in (words(f"{STOP} {NUMERALS}"), GROWING, SHRINKING, *WORDS.values())) + rf"|\b{UNIT}"
CAPITAL = r"\b(?!(?:GDP|I|US)\b)[A-ZÀ-Þ](?:(?!'s\b)[\w'–-]|'s(?= (?!GDP|US\b)[A-ZÀ-Þ]))*(?:(?<=\bSt|\bMt|\bDr)\.)?"
NAME = rf"{CAPITAL}(?:(?: of the| of| the| da| de| van| von| al)? {CAPITAL}| \d+(?![\d%.]| times)| {KIND}\b)*"
SMALL = rf"\b(?:{KIND} )?(?!{KNOWN})[a-z][\w-]*"
COMMON = rf"{SMALL}(?: (?:of (?:the )?)?{SMALL})*"
THING = rf"(\b(?:an?|than(?: the| an?)?) )?((?(1){COMMON}|{NAME}))"
CHANGE = re.compile(rf"{NUMBER}%|by a factor of {NUMBER}|{NUMBER} times")
ASKS = re.compile(r"(?:^|[,.;:] ?|then |and )(?:is|are|was|were|would|will|does|do|did|has|can|could) ")
UNFIT = re.compile(rf"\b(?:[Ii]|my|you|should|why|write|translate|second|third|latter|\d+/\d+|{NUMBER} (?:{UNIT}))\b")
THAN = r"\b\w+er\b(?=.* (than))|\b(?:more|less)\b(?= (?:\w+ )?(than))|(?<=times )as \w+(?= (as))"
WH = re.compile(r"\b(?:what|what's|which|how|who|where|when)\b")
SIGNS = {"percent": "/", "ratio": "/", "average": "+", "sum": "+", "product": "*", "difference": "-"}
OPERATIONS = {n: n for n in SIGNS} | {"percent": "%", "ratio": "ratio|times", "sum": "sum |total|combined|together"}
OPERATIONS["difference"] = rf"difference| - |(?:much|many)\b.*(?:{UP.pattern}|{DOWN.pattern}|between|after|before)"
ATOM = r"(?:(?:sqrt|factorial)?\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)|\$\d+|(?<![\w.$])\d+(?:\.\d+)?(?![\d%]|\.\d))"
PHRASES = {r"(?<=\d),(?=\d{3})": "", rf"^([^a-z]+?)(?:,|,? and) ([-+*/]) ({ATOM})": r"(\1) \2 \3"}  # of arithmetic
PHRASES[r"\b(?:wh(?:at|ich)(?:'s| is| are)?|how much is|calculate|compute|please|the|result of|then)\b|^and\b"] = ""
PHRASES |= {rf"(\d+/\d+) of +({ATOM})": r"(\1 * \2)", rf"subtract ({ATOM}) from ({ATOM})": r"(\2 - \1)"}
PHRASES |= {rf"({NUMBER})% of +({ATOM})": r"(\1 / 100 * \2)", r" times |(?<=\d) ?x ?(?=\d)": " * "}
PHRASES |= {rf"(sqrt|factorial)(?: of)? ({ATOM})": r"\1(\2)"}
FOLDED = rf"({'|'.join(SIGNS)}) (?:of |between )?({ATOM}(?:(?:, and|,| and| to| by) {ATOM})+)"
PARTS = re.compile(r"\?+\s*(?!answer|give|$)|[,;]? and (?=(?:what|how|which|who|when|where)\b)|; ")
RESULT = re.compile(r"^(\d+)\. ([\w.-]+\(.*?\)) (->|failed:) ?(.*(?:\n  .*)*)", re.MULTILINE)
# The first thing is @0 in what is asked; changes are like ` * 0.9`; the sign is 1 if more is asked for, -1 if less.
Question = namedtuple("Question", ["asked", "operation", "names", "changes", "measure", "unit", "sign"])
TOKEN = re.compile(r"\s*\w{1,6}|\s*[^\w\s]|\s+")


def answer(question: Question, results: list[str], texts: list[str]) -> str:
    """The answer, from results that are figures, or texts if no measure is asked for; and from what was found."""
    asked, operation, names, changes, measure, unit, sign = question
    listed = " and ".join(", ".join(names).rsplit(", ", 1))
    numbers = [float(result) for result in results if re.fullmatch(NUMBER, result)]
    if len(numbers) < len(results) if measure else not all(results):
        return f"I found no {measure.name if measure else 'answer'} for {listed}."
    if not measure:
        return " ".join(results)
    measure = next((m for m in MEASURES if m.name in measure.kinds and all(find_figures(t, m) for t in texts)), measure)
    unit = "years" if (measure.name, operation) == ("year", "difference") else unit or measure.unit
    unit = {"ratio": " times", "percent": "%"}.get(operation, f" {unit}".rstrip())
    figures = [f"{round(number, 2) or number:,.12g}{unit}" for number in numbers]
    is_, figure = "would be" if any(changes) else "is", figures[0].lstrip("-" * (operation == "difference"))
    if operation == "result":
        return f"The result {is_} {figure}."
    if than := re.search(THAN, asked) if operation in SIGNS else None:
        less = operation != "percent" and bool(DOWN.search(than[0])) != (numbers[0] < 0)
        first, last = (names[-1], names[0]) if less else (names[0], names[-1])
        return f"{first[0].upper()}{first[1:]} {is_} {figure} {than[0]} {than[than.lastindex or 0]} {last}."
    if operation in ("ratio", "percent"):
        return f"The {measure.name} of {names[0]} {is_} {figure} {'of ' * (unit == '%')}that of {names[-1]}."
    if operation in SIGNS:
        word = {"sum": "combined", "product": "multiplied", "difference": "difference in"}.get(operation, operation)
        return f"The {word} {measure.name} of {listed} {is_} {figure}."
    best = max(numbers, key=lambda number: number * sign)
    facts = " and ".join(f"{figure} for {name}" for figure, name in zip(figures, names, strict=False))
    verdict = {"compare": f"{'Yes' if numbers[0] == best != numbers[-1] else 'No'}. "}
    verdict["extreme"] = f"The {'greatest' if sign > 0 else 'smallest'} {is_} {names[numbers.index(best)]}. "
    return f"{verdict.get(operation, '')}The {measure.name} {is_} {facts}."


def tidy(text: str) -> str:
    """The text with digits for number words, % for percent, and small first words of sentences."""
    start = rf"(?:^|(?<=[.?!:,] ))(?:(?!(?i:{KIND})\b)(?i:{KNOWN})(?!\w)|[A-Z]\w+(?= (?:the|an?) ))"
    text = re.sub(start, lambda m: m[0].lower(), text.strip())
    number = rf"\b(?!one\b(?! [-+*/]| times| hundred| thousand))(?:{'|'.join(VALUES)}|a(?= hundred| thousand))\b(?!-)"
    text = re.sub(number, lambda m: str(VALUES.get(m[0], 1)), text)
    text = re.sub(r"\b(\d+) hundred\b(?:(?: and)? (\d+))?", lambda m: f"{m[1]}{m[2] or '':0>2}", text)
    text = re.sub(r"\b(\d+) thousand\b(?:(?: and)? (\d+))?", lambda m: f"{m[1]}{m[2] or '':0>3}", text)
    for pattern, same in SAME.items():
        text = re.sub(pattern, same, text)
    return text


def read(text: str, before: Question) -> Question:
    """Understands a question. Its things are words with capitals, and unknown words in the place of a thing."""
    things, thing = dict[str, int](), THING if re.search(CAPITAL, text) else rf"()({COMMON})"
    marked = re.sub(thing, lambda m: f"{m[1] or ''}@{things.setdefault(m[2], len(things))}", text)
    changes, asked = read_changes(marked, len(things))
    order = list(dict.fromkeys(int(index) for index in re.findall(r"@(\d+)", asked)))
    order = order if order[1:] else [*dict.fromkeys([*([] if "than" in asked else order), *range(len(things))])]
    signs = [(match.start(), sign) for pattern, sign in ((UP, 1), (DOWN, -1)) for match in pattern.finditer(asked)]
    operation = next((name for name, pattern in OPERATIONS.items() if re.search(pattern, asked)), "fact")
    if len(things or before.names) < 2 and not re.search(r"\b(?:it|that)\b", asked):
        operation = "fact"
    elif operation == "fact" and signs:
        operation = "compare" if ASKS.search(asked) and not WH.search(asked) and " or " not in asked else "extreme"
    hits = {m: [len({*WORDS[m].findall(t)}) + 3 * (m.name in t) for t in (marked, text)] for m in MEASURES}
    most = max(hits, key=lambda m: hits[m][: 1 if operation == "fact" else 2])
    measure = most if hits[most][0] or (operation != "fact" and hits[most][1]) else before.measure
    measure = None if measure and measure.name == "year" and operation == "fact" else measure
    names = [[*things][i] for i in order] or before.names
    after = [changes.get(i, "") for i in order] or before.changes
    unit = re.findall(rf"\bin ({UNIT})", marked) or [measure.unit if measure else ""]
    return Question(asked, operation, names, after, measure, unit[0], max(signs, default=(0, 0))[1])


def read_changes(marked: str, count: int) -> tuple[dict[int, str], str]:
    """The changes of things, and the text without the clauses that speak of them."""
    changes, kept, held, sign = dict[int, str](), "", list(range(count)), 1
    for clause in re.split(r"(?=,(?!\d)|[;:—]|\. |\b(?:and|or|while|whereas|if|then|but|when|after|with)\b)", marked):
        inside = [int(index) for index in re.findall(r"@(\d+)", clause)]
        compared = re.search(r"times as \w+ as", clause)
        held = inside[-1:] if compared else inside[:1] or held
        sign = 1 if compared else -1 if SHRINKING.search(clause) else 1 if GROWING.search(clause) else sign
        if found := CHANGE.search(clause):
            value = float(re.sub("[^0-9.]", "", found[0]))
            share = value / 100 if re.search(r"% of .*@", clause) and WH.search(clause) else 1 + sign * value / 100
            change = f" * {share:.10g}" if "%" in found[0] else f" {'*' if sign > 0 else '/'} {value:.10g}"
            changes |= dict.fromkeys(range(count) if re.search(r"\b(?:both|each|all)\b", clause) else held, change)
        kept += CHANGE.sub("", clause) if not found or len(inside) > 1 or WH.search(clause) else ""
    return changes, kept.strip(" ,")


def combine(operation: str, parts: list[str], sign: int = 0) -> str:
    """The expression of an operation over its operands; with a sign, of percent more or less."""
    text = f" {SIGNS[operation]} ".join(parts)
    percent = f"({text} - 1) * {sign}00" if sign else f"{text} * 100"
    return {"average": f"({text}) / {len(parts)}", "percent": percent}.get(operation, text)


def arithmetic(text: str) -> str | None:
    """The expression for arithmetic in words or symbols, with $1 for the result of task 1; None for any other text."""
    for _ in range(4):  # inner phrases first
        for pattern, new in PHRASES.items():
            text = " ".join(re.sub(pattern, new, text.lower()).split()).strip(" .?!=,")
        text = re.sub(FOLDED, lambda m: f"({combine(m[1], re.findall(ATOM, m[2]))})", text)
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        if re.fullmatch(r"(?=.*\d)(?:[\d.()+\-*/$\s]|sqrt|factorial)+", text):
            return ast.unparse(ast.parse(text.replace("$", "_"), mode="eval")).replace("_", "$")
    return None


def find_figures(text: str, measure: Measure, unit: str = "") -> list[float]:
    """What a text gives for a measure, nearest first. A figure belongs to the measure that is named nearest to it."""
    (kind, base), (wanted, size) = UNIT_SIZES[measure.unit], UNIT_SIZES.get(unit, ("", 1))
    named = [(word, m) for m in MEASURES if UNIT_SIZES[m.unit][0] == kind for word in WORDS[m].finditer(text)]
    found = []
    for match in FIGURE.finditer(text):
        its_kind, its_size = UNIT_SIZES[match[3] or "people" * (kind == "people")]
        gaps = [(max(word.start() - match.end(), match.start() - word.end()), m) for word, m in named]
        if its_kind == kind and gaps and (gap := min(gaps)[0], measure) in gaps:
            found.append((gap, float(match[1].replace(",", "")) * UNIT_SIZES[match[2] or ""][1] * its_size))
    return [value / (size if wanted in (kind, "scale") else base) for _, value in sorted(found)]


def solve(problem: str, context: list[str]) -> str:
    """The expression for a word problem, with figures from the context; or `unknown: …`."""
    text, _, unit = problem.partition(", in ")
    for term in re.finditer(rf"({'|'.join(BY_NAME)}) of (?:the )?(.+?)(?= [-+*/] |[,()]|$)", text):
        name = re.findall(r"\w+", term[2].lower())
        about = [entry for entry in context if all(word.rstrip("s") in entry.lower() for word in name)]
        kinds = BY_NAME[term[1]].kinds.split() or [term[1]]
        if not (values := [x for kind in kinds for entry in about for x in find_figures(entry, BY_NAME[kind], unit)]):
            return f"unknown: {term[0]}"
        text = text.replace(term[0], f"{values[0]:.12g}", 1)
    return text if unit in UNIT_SIZES and re.fullmatch(r"(?:[\d.,e()+*/\s-]|max|min)+", text) else f"unknown: {problem}"


@dataclass
class Compiler:
    """Turns the parts of messages into calls, and into answers from their results."""

    tools: dict[str, tuple[str, str]]  # for each kind the name, and the parameter for a list
    results: dict[str, str] = field(default_factory=dict)  # by reference, such as `$1`
    known: list[str] = field(default_factory=list)  # references to numbers
    before: Question = field(default_factory=lambda: Question("", "fact", [], [], None, "", 0))
    first: int = 1  # the number of the first call
    lines: list[str] = field(default_factory=list)

    def call(self, kind: str, text: str, context: Sequence[str] = ()) -> str:
        """Plans a call, and returns the reference to its result."""
        (tool, parameter), number = self.tools.get(kind, ("", "")), self.first + len(self.lines)
        notes = f", {parameter}={[*context]}".replace("'", '"') if context else ""
        self.lines.append(f'{number}. {tool}("{text}"{notes})' if tool and (parameter or not notes) else "")
        return f"${number}"

    def compile(self, part: str) -> str:
        """Plans what a part of a message needs, and answers it from the results that there are."""
        known = self.known
        text = re.sub(r"\b(?:that|it|this)\b", known[-1], part) if known else part
        operation = next((name for name, pattern in OPERATIONS.items() if re.search(pattern, part)), "")
        those = re.search(r"\b(?:th[oe]se|them|the|both)(?: (\d+))?(?: (?:values|results|numbers))?[ .?]*$", part)
        if known[1:] and (those or (operation and not re.search(rf"\d|{CAPITAL}|{COMMON}", part))):
            count = int((those and those[1]) or max(2, len(self.before.names)))
            text = f"{part[: those.start()] if those else operation + ' of '}{' and '.join(known[-count:])}"
        if expression := arithmetic(text):
            known.append(self.call("math", expression))
            values = {task: float(result) for task, result in self.results.items() if re.fullmatch(NUMBER, result)}
            shown = {t: f"{round(x, 4 if abs(x - round(x, 4)) < 1e-9 else 2) or x:,.12g}" for t, x in values.items()}
            return re.sub(r"\$\d+", lambda m: shown.get(m[0], "unknown"), f"{expression} = {known[-1]}.")
        tail = re.search(rf"[,;]?(?: and| then)* ([-+*/] {NUMBER})[ .?!]*$", part)
        question = read(part[: tail.start()] if tail else part, self.before)
        asked, operation, names, changes, measure, unit, sign = question
        combines, in_unit = operation in SIGNS, f", in {unit}" * bool(unit)
        ends = [f"the {word}" for pattern in (UP, DOWN) for word in pattern.findall(asked)[-1:]]
        mixed = combines and names[2:] and not ends[1:] and (sign or SIGNS[operation] in "/-")
        unread = re.search(r"(?<!@)\d", asked) if not measure else tail and not combines
        if mixed or unread or not names or UNFIT.search(part) or not (measure or WH.search(part)):
            return CANNOT
        self.before = question
        searches = tasks = context = [self.call("search", name) for name in names]
        if measure:
            parts = [f"{measure.name} of {name}{change}" for name, change in zip(names, changes, strict=True)]
            if any(changes) or not combines:
                tasks = parts = [self.call("math", p + in_unit, [s]) for p, s in zip(parts, searches, strict=True)]
                context, in_unit = [], ""
            if combines:
                parts = known[-1:] * (len(parts) == 1) + parts
                if (sign < 0 and "than" in asked and operation != "percent") or re.search(r"what % of|\bfit in", asked):
                    parts, names = parts[::-1], names[::-1]
                if ends[1:]:
                    names, parts = ends, [f"{end}({', '.join(parts)})" for end in ("max", "min")]
                text = combine(operation, parts, sign * ("than" in asked))
                if tail:
                    text, operation = f"({text}) {tail[1]}", "result"
                tasks = [self.call("math", text + in_unit, context)]
            known += tasks
        found = [[self.results.get(task, "") for task in some] for some in (tasks, searches)]
        return answer(question._replace(operation=operation, names=names), *found)


def speak(messages: Sequence[BaseMessage], text: str, calls: Sequence[ToolCallChunk] = (), *, delay: float) -> Chunks:
    """A reply to messages as it streams: its text token by token, each after `delay` seconds, then its tool calls."""
    pieces, silent = TOKEN.findall(text), sum(len(TOKEN.findall(f"{call['name']}{call['args']}")) for call in calls)
    for piece in pieces:
        time.sleep(delay)
        yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
    time.sleep(delay * silent)
    read, written = sum(len(str(message.text)) // 4 for message in messages), len(pieces) + silent
    usage = UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)
    last = AIMessageChunk(content="", tool_call_chunks=list(calls), usage_metadata=usage, chunk_position="last")
    yield ChatGenerationChunk(message=last)


class OfflineChatModel(BaseChatModel):
    """The rule-based demo model: streams plans, answers and expressions token by token."""

    delay: float = 0.012
    """Seconds between tokens."""

    @property
    def _llm_type(self) -> str:
        return "offline"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self.bind(tools=tools, **kwargs)

    def _stream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> Chunks:
        yield from speak(messages, self.reply(messages), delay=self.delay)

    def _generate(self, messages: list[BaseMessage], *_: Any, **kwargs: Any) -> ChatResult:
        return generate_from_stream(self._stream(messages, **kwargs))

    def reply(self, messages: Sequence[BaseMessage]) -> str:
        """What it says in the role that the prompt gives it."""
        system, human = (next((str(m.text) for m in messages if m.type == kind), "") for kind in ("system", "human"))
        if system.startswith("Write one arithmetic expression"):
            problem, *context = re.split(r"(?m)^\d+\. ", human)
            return solve(problem.partition("\nContext:")[0].removeprefix("Problem:").strip(), context)
        tools, block = dict[str, tuple[str, str]](), re.search(r"(?ms)^Tools:\n(.+?)(?:\n\n|\Z)", system)
        for name, rest in re.findall(r"(?m)^([\w.-]+)(\(.*)", block[1] if block else ""):
            if kind := re.search("(?i)(math|calc|expression)|search|look|find|wiki|encyclop", name + rest):
                tools.setdefault("math" if kind[1] else "search", (name, "".join(re.findall(r"(\w+): list", rest)[:1])))
        compiler, answers = Compiler(tools), [""]
        for text in (str(message.text) for message in messages if message.type == "human"):
            found, start = RESULT.findall(text), re.search(r"from number (\d+) on", text)
            compiler.results |= {f"${number}": result for number, _, mark, result in found if mark == "->"}
            compiler.known = [task for task in compiler.known if task in compiler.results]
            compiler.first = int(start[1] if start else found[0][0] if found else compiler.first + len(compiler.lines))
            compiler.lines, asked = [], tidy(re.split(r"\n\n(?:Results \(data|Still missing|Plan )", text)[0])
            answers = [compiler.compile(part.strip(" .!\n")) for part in PARTS.split(asked) if part]
            answers += [f"{call} failed: {why}" for _, call, mark, why in found if mark != "->"]
            if {CANNOT, ""} & {*answers, *compiler.lines} or "\n\nStill missing:" in text:
                compiler.lines = []
        if block:
            return "\n".join([*compiler.lines, f"{compiler.first + len(compiler.lines)}. join()"])
        finish = "Thought: This is what the results show.\nAction: Finish({})" if "Finish(" in system else "{}"
        return finish.format(" ".join(dict.fromkeys(answers)) or CANNOT)
