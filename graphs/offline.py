"""`offline`: a small rule-based chat model, so that the template runs without a key, a server or a network. It knows
words, numbers and units: `read` understands a question, `Compiler` plans, and the joiner compiles again to answer."""

import ast
import re
from collections import namedtuple
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from langchain_core.messages import BaseMessage

from graphs.offline_speech import SpeakingModel

REAL_MODEL = "set OPENAI_API_KEY, or LLM_COMPILER_MODEL=provider:model (with OPENAI_BASE_URL for a local server)."
GREETING = f"Hello! I am the offline demo model, for arithmetic and figures of things. For anything else, {REAL_MODEL}"
CANNOT = f"I am the offline demo model, and I can't answer that. For a real model, {REAL_MODEL}"
# Its usual unit, other words for it, stems of adjectives for more and for less, and measures that it may stand for.
Measure = namedtuple("Measure", ["name", "unit", "words", "more", "less", "kinds"], defaults=["", "", "", "", ""])
MEASURES = [Measure("height", "metres", "elevation altitude mount mountain tower building statue", "tall high", "low")]
MEASURES += [Measure("year", "", "born built completed opened released invented died", "young new", "old")]
MEASURES += [Measure("length", "kilometres", "river canal bridge", "long"), Measure("boiling point", "°C", "boil")]
MEASURES += [Measure("extent", "", "", "", "short", "length height")]
MEASURES += [Measure("size", "", "", "large big", "small tiny", "area diameter mass"), Measure("atomic number")]
MEASURES += [Measure("area", "square kilometres", "cover surface", "vast"), Measure("width", "metres", "wide")]
MEASURES += [Measure("population", "people", "inhabitant resident populous people"), Measure("diameter", "kilometres")]
MEASURES += [Measure("melting point", "°C", "melt temperature", "hot warm", "cold cool")]
MEASURES += [Measure("speed", "km/h", "run ran", "fast quick", "slow"), Measure("lifespan", "years")]
MEASURES += [Measure("mass", "kg", "weight weigh", "heavy", "light"), Measure("density", "g/cm³", "", "dense")]
MEASURES += [Measure("depth", "metres", "", "deep", "shallow"), Measure("GDP", "dollars", "economy", "rich")]
BY_NAME = {measure.name: measure for measure in MEASURES}
UNITS = {
    "length": {"metre": 1, "m": 1, "kilometre": 1e3, "km": 1e3, "mile": 1609.344, "foot": 0.3048, "feet": 0.3048},
    "area": {"square kilometre": 1, "km²": 1, "square km": 1, "sq km": 1, "square mile": 2.589988},
    "mass": {"kilogram": 1, "kg": 1, "tonne": 1e3, "ton": 1e3, "gram": 1e-3, "pound": 0.45359237},
    "speed": {"km/h": 1, "kilometres per hour": 1, "mph": 1.609344, "metres per second": 3.6, "m/s": 3.6},
    "scale": {"thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12},
} | {name: {name: 1} for name in ("", "people", "g/cm³", "°C", "year", "dollar")}
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
SAME = {r"per ?cent(?:age)?\b": "%", r"(\d) %": r"\1%", r"\bdoubl\w+": "increased by 100%", r"\bby half\b": "by 50%"}
SAME |= {r"\btripl\w+": "increased by 200%", r"\bhalv\w+": "decreased by 50%", r"\btwice\b": "2 times", r"\^": "**"}
SAME |= {r"\b(kilo)?meter": r"\1metre", "^[Aa]dd ": "sum ", "’": "'", r" squared\b": "**2", r" cubed\b": "**3"}
SAME |= {"^[Mm]ultiply": "product", "^[Dd]ivide": "ratio", r"\bplus\b": "+", r"\bminus\b": "-", "÷": "/", "×": "*"}
SAME |= {r"\bhalf (?:of )?the\b": "0.5 times the", r"\b(?:a |one )?half of": "1/2 of", r"\ba (third|quarter)": r"1 \1"}
SAME |= {r"(\d+) thirds?\b": r"\1/3", r"(\d+) quarters?\b": r"\1/4", " divided by": " /", " multiplied by": " *"}
SAME |= {r" (?:raised )?to the power (?:of )?": "**", "square root of": "sqrt", r"(\d+) factorial\b": r"factorial \1"}


def words(text: str, stems: str = "", forms: str = "(?:y|e|[a-z]?i?er|[a-z]?i?est|)", end: str = "") -> re.Pattern[str]:
    """A pattern for any of the words in a text, or of the forms of adjectives such as heavy, heavier and heaviest."""
    found = [word + end for word in text.split()] + [stem.rstrip("ye") + forms for stem in stems.split()]
    return re.compile(rf"\b(?:{'|'.join(found)})\b", re.IGNORECASE)


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
CHANGE = re.compile(rf"{NUMBER}%|by a factor of {NUMBER}|{NUMBER} times")
CLAUSES = r"(?=,(?!\d)|[;:—]|\. |\b(?:and|or|while|whereas|if|then|but|when|after|with)\b)"
ASKS = re.compile(r"(?:^|[,.;:] ?|then |and )(?:is|are|was|were|would|will|does|do|did|has|can|could) ")
UNFIT = re.compile(rf"\b(?:[Ii]|my|you|should|why|write|translate|second|third|latter|\d+/\d+|{NUMBER} (?:{UNIT}))\b")
THAN = r"\b\w+er\b(?=.* than)|\b(?:more|less)\b(?= (?:\w+ )?than)|(?<=times )as \w+(?= as)"
WH = re.compile(r"\b(?:what|what's|which|how|who|where|when)\b")
STEPS = {"add": "+", "subtract": "-", "multiply(?: it| result)? by": "*", "divide(?: it| result)? by": "/"}
SIGNS = {"percent": "/", "ratio": "/", "average": "+", "sum": "+", "product": "*", "difference": "-"}
OPERATIONS = {n: n for n in SIGNS} | {"percent": "%", "ratio": "ratio|times", "sum": "sum |total|combined|together"}
OPERATIONS["difference"] = rf"difference| - |(?:much|many)\b.*(?:{UP.pattern}|{DOWN.pattern}|between|after|before)"
NESTED = r"\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"
ATOM = rf"(?:(?:sqrt|factorial)?{NESTED}|\$\d+|(?<![\w.$])\d+(?:\.\d+)?(?![\d%]|\.\d))"
PHRASES = {r"(?<=\d),(?=\d{3})": "", r" times |(?<=\d) ?x ?(?=\d)": " * "}  # of arithmetic
PHRASES[r"\b(?:wh(?:at|ich)(?:'s| is| are)?|how much is|calculate|compute|please|the|result of|then)\b|^and\b"] = ""
PHRASES |= {rf"({NUMBER})% of +({ATOM})": r"(\1 / 100 * \2)", rf"(\d+/\d+) of +({ATOM})": r"(\1 * \2)"}
PHRASES |= {rf"(sqrt|factorial)(?: of)? ({ATOM})": r"\1(\2)", rf"subtract ({ATOM}) from ({ATOM})": r"(\2 - \1)"}
PHRASES |= {rf"^([^a-z]+?),? (?:and )?{step} ({ATOM})": rf"(\1) {sign} \2" for step, sign in STEPS.items()}
FOLDED = rf"({'|'.join(SIGNS)}) (?:of |between )?({ATOM}(?:(?:, and|,| and| to| by) {ATOM})+)"
PARTS = re.compile(r"\?+\s*(?!answer|give|$)|[,;]? and (?=(?:what|how|which|who|when|where)\b)|; ")
RESULT = re.compile(r"^(\d+)\. ([\w.-]+\(.*?\)) (->|failed:) ?(.*(?:\n  .*)*)", re.MULTILINE)
HELLO = r"(?i)\W*(?:hi|hello|hey|thanks?|good (?:morning|day|evening)|who are you|what can you do)\b[\w ,']{0,20}\W*"


@dataclass
class Question:
    """A part of a message: arithmetic, or a question about things, with the tasks that its results come from."""

    asked: str  # without premises, and with @0 for the first thing; or the expression
    operation: str = "arithmetic"
    names: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)  # what each figure goes through, such as ` * 0.9`
    measure: Measure | None = None
    unit: str = ""
    sign: int = 0  # 1 where more is asked for, -1 where less is
    searches: list[str] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)

    def answer(self, results: dict[str, str]) -> str:
        """The answer, from the results of the tasks."""
        measure, operation, names, asked = self.measure, self.operation, self.names, self.asked
        listed = " and ".join(", ".join(names).rsplit(", ", 1))
        values = {task: float(result) for task, result in results.items() if re.fullmatch(NUMBER, result)}
        if any(task not in (values if measure or operation == "arithmetic" else results) for task in self.tasks):
            return f"I found no {measure.name if measure else 'answer'} for {listed or asked}."
        places = {task: 2 if measure or abs(x - round(x, 4)) > 1e-9 else 4 for task, x in values.items()}
        shown = {task: f"{round(x, places[task]) or x:,.12g}" for task, x in values.items()}
        if operation == "arithmetic":
            return re.sub(r"\$\d+", lambda m: shown[m[0]], asked) + f" = {shown[self.tasks[0]]}."
        if not measure:
            return " ".join(results[task] for task in self.tasks)
        kinds, texts = [BY_NAME[name] for name in measure.kinds.split()], [results[task] for task in self.searches]
        measure = next((m for m in kinds if all(find_figure(text, m, m.unit) for text in texts)), measure)
        unit = "years" if (measure.name, operation) == ("year", "difference") else self.unit or measure.unit
        unit = {"ratio": " times", "percent": "%"}.get(operation, f" {unit}".rstrip())
        numbers, figures = [values[task] for task in self.tasks], [shown[task] + unit for task in self.tasks]
        is_, figure = "would be" if any(self.changes) else "is", figures[0].lstrip("-" * (operation == "difference"))
        if than := re.search(THAN, asked) if operation in SIGNS else None:
            less = operation != "percent" and (self.sign < 0) != (numbers[0] < 0)
            as_ = "as" if than[0].startswith("as ") else "than"
            first, last = (names[-1], names[0]) if less else (names[0], names[-1])
            return f"{first[0].upper()}{first[1:]} {is_} {figure} {than[0]} {as_} {last}."
        if operation in ("ratio", "percent"):
            return f"The {measure.name} of {names[0]} {is_} {figure} {'of ' * (unit == '%')}that of {names[-1]}."
        if operation in SIGNS:
            word = {"sum": "combined", "product": "multiplied", "difference": "difference in"}.get(operation, operation)
            return f"The {word} {measure.name} of {listed} {is_} {figure}."
        best = max(numbers, key=lambda value: value * self.sign)
        facts = " and ".join(f"{figure} for {name}" for figure, name in zip(figures, names, strict=False))
        verdict = {"compare": f"{'Yes' if numbers[0] == best != numbers[-1] else 'No'}. "}
        verdict["extreme"] = f"The {'greatest' if self.sign > 0 else 'smallest'} {is_} {names[numbers.index(best)]}. "
        verdict["result"] = f"The result {is_} {figure}."
        return verdict.get(operation, "") + f"The {measure.name} {is_} {facts}." * (operation != "result")


def tidy(text: str) -> str:
    """The text with digits for number words, % for percent, and small first words of sentences."""
    start = rf"(?:^|(?<=[.?!:,] ))(?:(?!(?i:{KIND})\b)(?i:{KNOWN})(?!\w)|[A-Z]\w+(?= (?:the|an?) ))"
    text = re.sub(start, lambda m: m[0].lower(), text.strip())
    number = rf"\b(?!one\b(?! [-+*/]| times| hundred| thousand))(?:{'|'.join(VALUES)})\b(?!-)"
    text = re.sub(number, lambda m: str(VALUES[m[0]]), text)
    for word, size in {"hundred": 100, "thousand": 1000}.items():
        number = rf"\b(\d+|an?) {word}\b(?:(?: and)? (\d+)\b)?"
        text = re.sub(number, lambda m: str(int(m[1].strip("an") or 1) * size + int(m[2] or 0)), text)  # noqa: B023
    for pattern, same in SAME.items():
        text = re.sub(pattern, same, text)
    return text


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
    signs = [(match.start(), sign) for pattern, sign in ((UP, 1), (DOWN, -1)) for match in pattern.finditer(asked)]
    operation = next((name for name, pattern in OPERATIONS.items() if re.search(pattern, asked)), "fact")
    if len(things or before.names) < 2 and not re.search(r"\b(?:it|that)\b", asked):
        operation = "fact"
    elif operation == "fact" and signs:
        operation = "compare" if ASKS.search(asked) and not WH.search(asked) and " or " not in asked else "extreme"
    if len(order) < 2 and (changes or operation != "fact" or not order):
        others = [index for index in range(len(things)) if index not in order]
        order = others + order if re.search(r"\bthan (?:that of )?(?:the |an? )?@", asked) else order + others
    measure = best_measure(marked) or (best_measure(text) if operation != "fact" else None)
    measure = (best_measure(text, measure.kinds) or measure) if measure and measure.kinds else measure
    measure = measure or (None if re.search(r"\b(?:who|when|where)\b", asked) else before.measure)
    measure = None if measure and measure.name == "year" and operation == "fact" else measure
    names = [things[i] for i in order] or before.names
    after = [changes.get(i, "") for i in order] or before.changes
    unit = re.findall(rf"\bin ({UNIT})", marked) or [measure.unit if measure else ""]
    return Question(asked, operation, names, after, measure, unit[0], max(signs, default=(0, 0))[1])


def best_measure(text: str, among: str = "") -> Measure | None:
    """The measure that most words of the text are about."""
    hits = {m: len({*WORDS[m].findall(text)}) + 3 * (m.name in text) for m in MEASURES if m.name in (among or m.name)}
    return max(hits, key=lambda m: hits[m]) if any(hits.values()) else None


def read_changes(marked: str, count: int) -> tuple[dict[int, str], str]:
    """The changes of things, and the text without the clauses that speak of them."""
    changes, kept, held, sign = dict[int, str](), "", list(range(count)), 1
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
        measures = [BY_NAME[name] for name in BY_NAME[term[1]].kinds.split() or [term[1]]]
        values = [find_figure(entry, m, unit[1] if unit else "") for m in measures for entry in about]
        if not (known := [value for value in values if value is not None]):
            return f"unknown: {term[0]}"
        text = text.replace(term[0], f"{known[0]:.12g}", 1)
    plain = re.fullmatch(r"(?:[\d.,e()+\-*/\s]|max|min)+", text := text.replace("the ", ""))
    return text if plain else arithmetic(tidy(text)) or f"unknown: {problem}"


@dataclass
class Compiler:
    """Turns the parts of a message into calls."""

    tools: dict[str, tuple[str, str]]  # for each kind the name, and the parameter for a list
    first: int = 1
    known: list[str] = field(default_factory=list)  # references to numbers
    lines: list[str] = field(default_factory=list)

    @property
    def number(self) -> int:
        return self.first + len(self.lines)

    def call(self, kind: str, text: str, context: Sequence[str] = ()) -> str:
        """Plans a call, and returns the reference to its result."""
        tool, parameter = self.tools.get(kind, ("", ""))
        notes = f", {parameter}={[*context]}".replace("'", '"') if context else ""
        line = f'{self.number}. {tool}("{text}"{notes})' if tool and (parameter or not notes) else ""
        self.lines.append(line)
        return f"${self.number - 1}"

    def compile(self, part: str, before: Question) -> Question | None:
        """Plans what a part needs; None if it is neither arithmetic nor about things."""
        last = self.known
        text = re.sub(r"\b(?:that|it|this)\b", last[-1], part) if last else part
        operation = next((name for name, pattern in OPERATIONS.items() if re.search(pattern, part)), "")
        those = re.search(r"\b(?:th[oe]se|them|the|both)(?: (\d+))?(?: (?:values|results|numbers))?[ .?]*$", part)
        if last[1:] and (those or (operation and not re.search(rf"\d|{CAPITAL}|{COMMON}", part))):
            given = before.tasks if before.tasks[1:] and not those else last[-int((those and those[1]) or 2) :]
            text = f"{part[: those.start()] if those else operation + ' of '}{' and '.join(given)}"
        if expression := arithmetic(text):
            self.known.append(self.call("math", expression))
            return Question(expression, tasks=self.known[-1:])
        tail = re.search(rf"[,;]?(?: and| then)* ([-+*/] {NUMBER})[ .?!]*$", part)
        question = read(part[: tail.start()] if tail else part, before)
        measure, names, in_unit = question.measure, question.names, f", in {question.unit}" * bool(question.unit)
        combines, asked, sign = question.operation in SIGNS, question.asked, question.sign
        ends = [f"the {found[0]}" for found in (UP.search(asked), DOWN.search(asked)) if found]
        percent = sign if question.operation == "percent" and "than" in asked else 0
        mixed = combines and names[2:] and not ends[1:] and (sign or SIGNS[question.operation] in "/-")
        unread = re.search(r"(?<!@)\d", asked) if not measure else tail and not combines
        if mixed or unread or not names or UNFIT.search(part) or not (measure or WH.search(part)):
            return None
        question.searches = question.tasks = context = [self.call("search", name) for name in names]
        if not measure:
            return question
        parts = [f"{measure.name} of {name}{change}" for name, change in zip(names, question.changes, strict=True)]
        if any(question.changes) or not combines:
            question.tasks = parts = [self.call("math", p + in_unit, [s]) for p, s in zip(parts, context, strict=True)]
            context = []
        if combines:
            parts = last[-1:] * (len(parts) == 1) + parts
            if (sign < 0 and "than" in asked and not percent) or re.search(r"what % of|\bfit in", asked):
                parts, question.names = parts[::-1], names[::-1]
            if ends[1:]:
                question.names, among = ends, ", ".join(parts)
                parts = [f"max({among})", f"min({among})"]
            text = combine(question.operation, parts, percent)
            if tail:
                text, question.operation = f"({text}) {tail[1]}", "result"
            question.tasks = [self.call("math", text + in_unit * bool(context), context)]
        self.known += question.tasks
        return question


def compiled(messages: Sequence[BaseMessage], tools: dict[str, tuple[str, str]]) -> tuple[str, str]:
    """The plan for the last message of a conversation, and the answer to it."""
    compiler, before, results, answers = Compiler(tools), Question(""), dict[str, str](), [""]
    for text in (str(message.text) for message in messages if message.type == "human"):
        found, start = RESULT.findall(text), re.search(r"from number (\d+) on", text)
        results |= {f"${number}": result for number, _, mark, result in found if mark == "->"}
        first = int(start[1] if start else found[0][0] if found else compiler.number)
        compiler, answers = Compiler(tools, first, [task for task in compiler.known if task in results]), []
        for part in filter(None, PARTS.split(tidy(re.split(r"\n\n(?:Results \(data|Still missing|Plan )", text)[0]))):
            question = compiler.compile(part.strip(" .!\n"), before)
            before = question or before
            answers.append(question.answer(results) if question else GREETING if re.fullmatch(HELLO, part) else CANNOT)
        answers += [f"{call} failed: {why}" for _, call, mark, why in found if mark != "->"]
        if {CANNOT, GREETING, ""} & {*answers, *compiler.lines} or "\n\nStill missing:" in text:
            compiler.lines = []
    return "\n".join([*compiler.lines, f"{compiler.number}. join()"]), " ".join(dict.fromkeys(answers)) or CANNOT


class OfflineChatModel(SpeakingModel):
    """The rule-based demo model: streams plans, answers and expressions token by token."""

    def reply(self, messages: Sequence[BaseMessage]) -> str:
        """What it says in the role that the prompt gives it."""
        system, human = (next((str(m.text) for m in messages if m.type == kind), "") for kind in ("system", "human"))
        if system.startswith("Write one arithmetic expression"):
            problem, _, context = human.partition("\nContext:\n")
            return solve(problem.removeprefix("Problem:").strip(), re.split(r"(?m)^\d+\. ", context)[1:])
        tools: dict[str, tuple[str, str]] = {}
        if block := re.search(r"^Tools:\n(.+?)(?:\n\n|\Z)", system, re.MULTILINE | re.DOTALL):
            for name, rest in re.findall(r"^([\w.-]+)(\(.*)", block[1], re.MULTILINE):
                if kind := re.search("(?i)(math|calc|expression)|search|look|find|wiki|encyclop", f"{name} {rest}"):
                    parameter = "".join(re.findall(r"(\w+): list", rest)[:1])
                    tools.setdefault("math" if kind[1] else "search", (name, parameter))
        plan, text = compiled(messages, tools)
        finish = "Thought: This is what the results show.\nAction: Finish({})" if "Finish(" in system else "{}"
        return plan if block else finish.format(text)
