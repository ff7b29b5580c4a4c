"""`offline`: a small rule-based chat model, so that the template runs without a key, a server or a network.

It reads the same prompts as a hosted model, and the system message gives it one of three roles: the planner (calls of
the tools described there), the joiner (an answer from the results shown), the math tool's arithmetic (an expression
from a problem and its context). It knows words, numbers, units and quantities, and nothing about the world.

A question is read into its things, their quantity and changes, and an expression over them (`Ask`); `Compiler` turns
that into calls, and finds those that have been made: the joiner compiles the question again to find its results.
"""

import ast
import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, NamedTuple
from uuid import uuid4

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool

REAL_MODEL = "set OPENAI_API_KEY, or LLM_COMPILER_MODEL=provider:model (with OPENAI_BASE_URL for a local server)"
GREETING = f"""Hello! I am the offline demo model. I can do arithmetic and answer questions about figures: how tall, \
long, deep, large or fast things are, their differences, ratios, sums, averages and percent changes. For anything \
else, {REAL_MODEL}."""
CANNOT = f"I am the offline demo model, and I can't answer that. For a real model, {REAL_MODEL}."

# ---- Words, units and quantities ---------------------------------------------------------------------------------


def any_of(text: str, suffix: str = "") -> re.Pattern[str]:
    """A pattern of whole words: any of the expressions in the text, with the suffix."""
    return re.compile(rf"\b(?:{'|'.join(text.split()) or '(?!)'}){suffix}\b", re.IGNORECASE)


UNITS = """length .001 mm millimetre millimeter;length .01 cm centimetre centimeter;length 1 m metre meter
length 1000 km kilometre kilometer;length 1609.344 mi mile;length .3048 ft foot feet;mass .001 g gram;mass 1 kg kilogram
mass 1000 t tonne ton;mass .45359237 lb pound;time 1 s second;time 60 min minute;time 3600 h hour;time 86400 day
time 31557600 year;temperature 1 °c celsius;money 1 $ dollar;count 1 people person inhabitant resident
scale 1e3 thousand;scale 1e6 million;scale 1e9 billion;scale 1e12 trillion"""
BASES = {  # the dimension and the size of units
    name: (dimension, float(size))
    for dimension, size, *names in map(str.split, re.split("[;\n]", UNITS))
    for name in names
}
SCALE = "(?:thousand|million|billion|trillion)"
_BASE = rf"(?:(?:square|sq|cubic)\.? )?(?:{'|'.join(sorted(map(re.escape, BASES), key=len)[::-1])})s?\^?[²³23]?"
UNIT = rf"(?i:{_BASE}(?:(?: per | ?/ ?){_BASE})?(?![\w²³]))"
NUMBER = r"(?<![\w.,@])[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e\d+)?(?!\d|[.,]\d)"
FIGURE = re.compile(
    rf"(\$?)({NUMBER})(?:[\s-]?({SCALE})\b)?(?:[\s-]?(?:US |Australian |degrees )?({UNIT}))?", re.IGNORECASE
)
FORMS = "(?:y|e|ier|iest|e?r|e?st|en(?:s|ed|ing)?|ed|ing|s)"  # of an adjective, and of the verb made from it
COMPARED = "(?:ier|iest|e?r|e?st)"
# name | usual unit | other nouns | stems of adjectives for more | for less | what has it
ROWS = r"""density|g/cm³||dens||
population|people|people inhabitants? residents populous|||
height|metres|elevation altitude|tall high|short low|mountain peak tower building skyscraper statue
length|kilometres||long|short|river wall canal bridge road
depth|metres||deep|shallow|
width|metres||wid broad|narrow|
wingspan|metres|wing.span|||
distance|kilometres||far(?:th)?|near clos|
area|square kilometres|sizes? cover\w*|larg bigg? vast|small|country countries ocean desert island lake state \w*forest
diameter|kilometres|sizes?|larg bigg?|small|planet moon
mass|kg|weight weigh\w* sizes?|heav larg bigg?|light small|animal
speed|km/h|velocity runs?|fast quick|slow|
temperature|°C||hott? warm|cold cool|
melting point|°C|melts?|||
lifespan|years|lives? lived life|||
orbital period|days|orbits?|||
running time|minutes|runtime|||
volume|km³||||
GDP|dollars|economy|rich|poor|
budget|dollars|cost price|expensive|cheap|
gross|dollars|grossed earned|||
atomic number|||||
year of death||die[ds]? death|||
year||born births? built complet\w* opened opening launched releas\w* invent\w* found(?:ed)? patented|new|old earl|"""
FORMS = "(?:y|e|ier|iest|e?r|e?st|en(?:s|ed|ing)?|ed|ing|s)"  # of an adjective, and of the verb made from it
COMPARED = "(?:ier|iest|e?r|e?st)"


class Measure(NamedTuple):
    """A quantity: its usual unit, and the words that name it, that speak of it at all, and that hint at it."""

    name: str
    unit: str
    nouns: re.Pattern[str]
    words: re.Pattern[str]
    hints: re.Pattern[str]
    more: str
    less: str


MEASURES = [
    Measure(name, unit, any_of(named), any_of(f"{named} (?:{stems}){FORMS}?"), any_of(hints, "s?"), more, less)
    for name, unit, nouns, more, less, hints in (row.split("|") for row in ROWS.splitlines())
    for named in [f"{name.replace(' ', '.')}{'s?' * bool(unit)} {nouns}"]
    for stems in ["|".join(f"{more} {less}".split()) or "(?!)"]
]
MORE, LESS = ("|".join(" ".join(texts).split()) for texts in zip(*((m.more, m.less) for m in MEASURES), strict=True))
MORE_THAN = any_of(f"more most great(?:er|est) max(?:imum)? last (?:{MORE}){COMPARED}")
LESS_THAN = any_of(f"less least few(?:er|est) min(?:imum)? first (?:{LESS}){COMPARED}")
GROWING = any_of(
    rf"""up more plus grew rose raise[sd]? raising swollen (?:{MORE}){FORMS} (?:length|height)en\w*
    (?:increas|grow|ris[ei]|expan|exten|enlarg|swell|boost|gain|magnif|add|jump|climb|surg|inflat)\w*"""
)
SHRINKING = any_of(
    rf"""down less fewer off minus lower(?:ed|ing|s)? los(?:es?|ing|t) cut(?:s|ting)? f[ae]ll\w* (?:{LESS}){FORMS}
    (?:decreas|reduc|shr[iau]nk|drop|subtract|declin|trim|erod|diminish|dwindl|deplet|remov|s[iau]nk|contract)\w*"""
)
KINDS = any_of(
    """mount mountain peak river desert ocean sea lake island rainforest forest trench country countrie state tower city
    citie building bridge statue structure animal planet element metal film movie book person continent skyscraper""",
    "s?",
)
STOP = any_of(
    """a about above after again all also am among an and another any are as ask assume at away be became become been
    before being below between both but by calculate can come compare compute consider could determine did do does each
    either even every exactly find first following for fraction from get give given had has have he her him his how
    however i identify if imagine in into is it its just know last let like make many match me mean more much must my
    name need new next no not now number of on one only or other our out over pair pairs per please put result results
    same say she should show since so some stack stand stands still such suppose take tell than that the their them then
    there these they thing things think this those though through times to together too top total under until up upon
    us use value values versus vs want was we were what when where whereas which while who whom whose why will with
    within without won would write wrote you your maximum minimum average ratio sum difference combined product factor
    answer multiply divide rank"""
)
KNOWN = "|".join(p.pattern for p in (STOP, GROWING, SHRINKING, MORE_THAN, LESS_THAN, *(m.words for m in MEASURES)))
NUMERALS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million"""
VALUES = dict(zip(NUMERALS.split(), [*range(20), *range(20, 100, 10), 100, 1000, 10**6], strict=True))
TIDY = {
    "[@_]": "",
    "’": "'",
    r"\bper ?cent(?:age)?s?\b": "%",
    r"(\d)\s+%": r"\1%",
    r"\bhalf\b": "50%",
    r"\ba quarter\b": "25%",
}
TIDY |= {r"\ba third\b": "33.3333333333%", r"\bwhat (?:fraction|share|proportion) of\b": "what % of"}
TIDY |= {r"\bhalv\w+": "0.5 times", r"\bdoubl\w+|\btwice\b": "2 times", r"\btripl\w+|\bthrice\b": "3 times"}


def value_of(number: str, scale: str | None = None) -> float:
    return float(number.replace(",", "").replace("−", "-")) * (BASES[scale.lower()][1] if scale else 1)


def size(unit: str) -> tuple[str, float]:
    """The dimension of a unit and its size in base units: `size("km²")` is `("length2", 1000000.0)`."""
    dimension, factor, sign = "", 1.0, 1
    for part in re.split(r" per | ?/ ?", unit.lower()) if unit else []:
        prefix, name, exponent = re.findall(r"^(square|sq|cubic)?\.? ?(.*?)\^?([²³23])?$", part)[0]
        power = sign * (3 if prefix == "cubic" or exponent in ("³", "3") else 2 if prefix or exponent else 1)
        base = BASES.get(name) or BASES[name.removesuffix("s")]
        dimension, factor, sign = f"{dimension}{base[0]}{power}", factor * base[1] ** power, -1
    return dimension, factor


# ---- Reading a question ------------------------------------------------------------------------------------------

_WORD = rf"(?:{'|'.join(VALUES)})\b"
_NUMERAL = rf"\b(?!{SCALE}|hundred|one\b(?! (?:hundred|{SCALE}|plus|minus|times))){_WORD}(?:[ -]{_WORD})*"
_CAPITAL = r"(?:\b(?!(?:GDP|I)\b)[A-ZÀ-Þ][\w–-]*(?:(?<=\b(?:St|Mt|Dr|Mr|Jr))\.)?)"
_SMALL = rf"(?:(?!(?:{KNOWN}|{UNIT})\b)[a-z][\w-]*)"
_NUMBERED = rf" \d+(?![\d.,%-]| ?(?:%|times|{UNIT}))"
_PROPER = (
    rf"{_CAPITAL}(?:(?:'s | of the | of | the | ){_CAPITAL}| (?!\w+(?:ed|ing|ly|[^suio]s)\b){_SMALL}|{_NUMBERED})*"
)
_COMMON = rf"(?!{KINDS.pattern}(?! of\b)){_SMALL}(?: (?:of (?:the )?)?{_SMALL})*"
_PLACE = "an?|the|than|or|and|of|between|is|are|was|were|does|do|did|can|to|vs|versus"
_AMOUNT = re.compile(
    rf"(?P<percent>{NUMBER})%|factor of (?P<by>{NUMBER})|(?P<times>{NUMBER})[ -]?(?:times|fold)\b"
    rf"|(?P<same>same (?:fraction|%|amount|rate))|(?<!than )(?P<figure>{NUMBER}[\s-]?(?:{SCALE} )?{UNIT})"
)
_SHARE = re.compile(
    r" (?:\w+ )?(?:as|of|the|than)\b.*@"
)  # "2 times as tall as", "20% of the height of", "5% more than"
_CUT = r",(?!\d)|;|:|\. |\b(?:and|or|while|then|whereas|but|if|when|after)\b| [—–] "
_AUXILIARY = "is|are|was|were|would|will|does|do|did|has|have|can|could"
_WH = r"\b(?:what|which|how|who|whose|where|why)\b"
_ASKS = rf"{_WH}|\b(?:would|will|is|are|does|do|did)\b"


def tidy(text: str) -> str:
    """The text with digits for number words, `%`, `2 times` for `doubled`, and small first words of sentences."""

    def small(m: re.Match[str]) -> str:
        starts = re.fullmatch(KNOWN, m[0].lower()) or m[1] in ("the", "a", "an", "that", "which", "how", "what", "me")
        return m[0].lower() if starts else m[0]

    def digits(m: re.Match[str]) -> str:
        total = 0
        for value in (VALUES[word] for word in re.split("[ -]", m[0])):
            total = (total or 1) * value if value >= 100 else total + value
        return str(total)

    text = re.sub(r"(?:^|(?<=[.?!:,] ))[A-Z]\w*(?:(?= (\w+))|\b)", small, text.lower() if text.isupper() else text)
    for pattern, new in TIDY.items():
        text = re.sub(pattern, new, text)
    return re.sub(_NUMERAL, digits, text)


def names(text: str) -> list[tuple[str, int, int]]:
    """The things in a tidy text, with their places: what has a capital, and unknown words in the place of a thing."""
    pattern = rf"({_PROPER})|\b(?:an?|(?:than|or)(?: the)?) ({_COMMON})"
    if not re.search(_CAPITAL, text):
        pattern = rf"(?:\b(?:{_PLACE}) |[,:] ?|^)({_COMMON})"
    return [(m[m.lastindex or 0], *m.span(m.lastindex or 0)) for m in re.finditer(pattern, text)]


def quantities(text: str, question: str, everything: str) -> tuple[list[Measure], str]:
    """What is measured, by noun or else by adjective, in the question or else in its premises; and the unit for it."""
    for nouns, source in ((True, question), (True, everything), (False, question), (False, everything)):
        found = [((measure.nouns if nouns else measure.words).search(source), measure) for measure in MEASURES]
        hits = [(match.start(), -match.end(), measure) for match, measure in found if match]
        if hits:
            break
    rows = [measure for *place, measure in hits if place == min(place for *place, _ in hits)]
    unit = next(iter(re.findall(rf"\b(?:in|how many(?: more)?) (?:\w+ of )?({UNIT})", text)), "")
    rows = [measure for measure in rows if size(measure.unit)[0] == size(unit)[0]] or rows
    rows = rows or [measure for measure in MEASURES if unit and size(measure.unit)[0] == size(unit)[0]][:1]
    rows = [measure for measure in rows if measure.hints.search(text)] or rows
    fits = any(size(unit)[0] in ("scale1", size(measure.unit)[0]) for measure in rows)
    return rows, unit if fits else rows[0].unit if len(rows) == 1 else ""


def change(amount: re.Match[str], sign: int, unit: str) -> str:
    """What a figure is multiplied by, or what is added to it: ` * 0.9`, ` / 10`, ` + 300`."""
    if amount["percent"]:
        return f" * {1 + sign * value_of(amount['percent']) / 100:.10g}"
    if amount["figure"]:
        return f" {'-' if sign < 0 else '+'} {in_unit(amount['figure'], unit)}"
    return f" {'/' if sign < 0 else '*'} {value_of(amount['by'] or amount['times'] or '1'):.10g}"


def in_unit(amount: str, unit: str) -> str:
    """An amount as a number in the unit."""
    match = FIGURE.fullmatch(amount)
    return f"{value_of(match[2], match[3]) * size(match[4] or '')[1] / size(unit)[1]:.12g}" if match else amount


def direction(clause: str) -> int:
    """Whether a clause speaks of more (1), of less (-1) or of neither (0)."""
    return -1 if SHRINKING.search(clause) else int(bool(GROWING.search(clause)))


class Ask(NamedTuple):
    """One question: what is asked of which quantity of which things, and how these are changed."""

    text: str
    question: str  # without its premises, with `@0` for the first thing
    things: list[str]
    changes: list[str]  # of the things, such as ` * 0.9`
    measures: list[Measure]
    unit: str

    @property
    def measure(self) -> str:
        sizes = len(self.measures) > 1 and all(measure.nouns.fullmatch("size") for measure in self.measures)
        return "size" if sizes else " or ".join(measure.name for measure in self.measures)

    @property
    def yes_no(self) -> bool:
        asks = re.search(rf"(?:^|[,;:.] |\bthen )\s*(?:{_AUXILIARY})\b", self.question)
        return bool(asks) and not re.search(rf"{_WH}| or ", self.question)

    def content(self) -> list[str]:
        return [word for word in re.findall(r"\w[\w'-]*", self.text) if not STOP.fullmatch(word)]


def premises(marked: str) -> tuple[str, dict[int, tuple[re.Match[str], int]]]:
    """What a text asks, and by which amounts it changes things (with 1 for more, -1 for less)."""
    asked, changed, last = [""], dict[int, tuple[re.Match[str], int]](), 0
    for clause in re.split(rf"(?={_CUT})", marked):
        match, sign, targets = _AMOUNT.search(clause), direction(clause), _numbers(clause)
        sign = sign or last * ("by " in clause)  # "… and Def by 5%"
        asks = re.search(rf"{_WH}|^\W*(?:{_AUXILIARY}) ", clause)
        if not match or (asks and _SHARE.match(clause[match.end() :])) or (match["figure"] and not sign):
            asked.append(clause)
            continue
        if re.match(r"\W*and (?:the |an? |that of )*@", clause):  # "Abc and Def grow by 5%", "extend Abc and Def by 5%"
            while re.search(r"@\d+(?:'s \w+)?\W*$", asked[-1]) and not re.search(_ASKS, asked[-1]):
                targets, sign = _numbers(asked[-1]) + targets, sign or direction(asked[-1])
                asked.pop()
        elif re.search(r"\b(?:both|each|all)\b", clause) and not targets:
            targets = sorted({*_numbers(marked)})
        before = _numbers(
            asked[-1]
        )  # "would Abc be longer than Def if it grew by 5%", "take Abc, add 5% to its length"
        targets = targets or (before[:1] if re.search(_ASKS, asked[-1]) else before[-1:]) or [*changed, 0][:1]
        amount = [match, *(how for how, _ in changed.values())][-1] if match["same"] else match
        last = sign or 1
        changed |= dict.fromkeys(targets, (amount, last))
    question = "".join(asked)
    return question if re.search("[a-z]", question) else marked, changed


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"@(\d+)", text)]


def read(text: str) -> Ask:
    """Understands one tidy question with its premises."""
    found, marked = names(text), text
    things = {name.lower(): name for name, *_ in reversed(found)}
    keys = [*dict.fromkeys(name.lower() for name, *_ in found)]
    for name, start, end in reversed(found):
        marked = f"{marked[:start]}@{keys.index(name.lower())}{marked[end:]}"
    question, changed = premises(marked)
    measures, unit = quantities(text, question, marked)
    changes = [change(*changed[i], unit) if i in changed else "" for i in range(len(keys))]
    return Ask(text, question, [things[key] for key in keys], changes, measures, unit)


def questions(text: str) -> list[str]:
    """The questions of a tidy text; a closing remark ("Answer in km.") stays with the question before it."""
    found: list[str] = []
    for part in re.split(r"\?+\s*|[,;]?\s+and (?=(?:what|how|which|who|when|where|by how)\b)", text):
        if found and not names(part) and not re.search(rf"\d|{_WH}", part):
            found[-1] += f". {part.strip(' .!')}" if part.strip(" .!") else ""
        elif part.strip(" .!"):
            found.append(part.strip(" .!\n"))
    return found


# ---- Expressions -------------------------------------------------------------------------------------------------

# Texts become expressions by rewriting, inner phrases first. Operands are numbers, `@0` for the first thing, and what
# stands in parentheses. In what is asked of things (`asked_of`), comparatives are `more` and `less`, superlatives are
# `most` and `least`, and nothing is left but words of arithmetic.
_ATOM = r"(?:(?:sqrt|max|min)?\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)|@\d+|(?<![\w.])\d+(?:\.\d+)?(?!%|[\d.]))"
_PART = rf"{_ATOM}(?: ?[*/] ?{_ATOM})*"
_SUM = rf"{_ATOM}(?: [-+*/] {_ATOM})*"
_LIST = rf"({_PART}(?:(?: ?, and | ?, | and | to ){_PART})+)"
_FOLDS = {"sum": "+", "total": "+", "combined": "+", "together": "+", "add": "+", "average": "mean", "mean": "mean"}
_FOLDS |= {"difference": "-", "gap": "-", "ratio": "/", "quotient": "/", "product": "*", "multiply": "*"}
_FOLD = "|".join(_FOLDS)
_REWRITES: dict[str, str | Callable[[re.Match[str]], str]] = {
    r"\$(?=\d)|(?<=\d),(?=\d{3})": "",
    r"\b(?:plus|added to)\b": "+",
    r"\bminus\b|−": "-",
    r"(?<!many )\btimes\b|\bmultiplied by\b|×|(?<=\d) ?x ?(?=\d)": "*",
    r"\b(?:divided by|over)\b|÷": "/",
    r"\^|\b(?:raised )?to (?:the )?power of\b": "**",
    rf"(\d+(?:\.\d+)?)% off ({_ATOM})": r"(\2 * (1 - \1 / 100))",
    rf"(\d+(?:\.\d+)?) ?% (?:of )?({_ATOM})": r"(\1 / 100 * \2)",
    rf"(\d+(?:\.\d+)?) ?% more than ({_ATOM})": r"more than (\2 * (1 + \1 / 100))",
    rf"(\d+(?:\.\d+)?) ?% less than ({_ATOM})": r"less than (\2 * (1 - \1 / 100))",
    r"(?<=\w )(\d+(?:\.\d+)?) \* (?:more than )?(@\d+)": r"(\1 * \2)",
    rf"\bsquare root (?:of )?({_ATOM})": r"sqrt(\1)",
    rf"({_ATOM}) squared": r"(\1 ** 2)",
    rf"\b(?:increase )?({_ATOM}) (?:increased |\+ )?by (\d+(?:\.\d+)?)%": r"(\1 * (1 + \2 / 100))",
    rf"\b(?:decrease |reduce )?({_ATOM}) (?:decreased |reduced |- )?by (\d+(?:\.\d+)?)%": r"(\1 * (1 - \2 / 100))",
    rf"({_ATOM} ?/ ?{_ATOM}) of ({_ATOM})": r"(\1 * \2)",
    rf"\bsubtract ({_PART}) from ({_PART})": r"(\2 - \1)",
    rf"\b(divide|multiply) ({_PART}) by ({_PART})": lambda m: f"({m[2]} {'*' if m[1] == 'multiply' else '/'} {m[3]})",
    rf"\b({_FOLD}) (?:of |between |years )*{_LIST}": lambda m: fold(m[1], re.findall(_PART, m[2])),
    rf"{_LIST} (together|combined|total)": lambda m: fold(m[2], re.findall(_PART, m[1])),
    rf"({_ATOM}) (?:in|as) % (?:of )?({_ATOM})": r"(\1 / \2 * 100)",
    rf"(?:what|which) % of ({_ATOM}) ({_ATOM})": r"(\2 / \1 * 100)",
    rf"(much|many|times|%) ({_ATOM}) (more|less) than": r"\1 \3 \2 than",
    rf"(much|many|times|%) (more|less) than ({_ATOM}) ({_ATOM})": r"\1 \2 \4 than \3",
    rf"(?:what|many) % (?:more|less) ({_ATOM}) than ({_ATOM})": r"((\1 - \2) / \2 * 100)",
    rf"many times (?:more|less) ({_ATOM}) than ({_ATOM})": r"(\1 / \2)",
    rf"many times [^@(]*({_ATOM})[^@(]*({_ATOM})": r"(max(\1, \2) / min(\1, \2))",
    rf"(?:much|many) more ({_ATOM}) than ({_ATOM})": r"(\1 - \2)",
    rf"(?:much|many) less ({_ATOM}) than ({_ATOM})": r"(\2 - \1)",
    rf"many years (?:after )?({_ATOM}) (?:and )?({_ATOM})": r"(\2 - \1)",
    rf"many years before ({_ATOM}) ({_ATOM})": r"(\1 - \2)",
    rf"({_ATOM}) how (much|many)": r"how \2 \1",
}
_FILLER = any_of(
    r"""what(?:'s)? is are was would be will how much calculate compute evaluate work out find tell me give can you
    please so then now if (?:the\s)?(?:result|value|answer)(?:\sof)? the equals? do know get there a"""
)
_KEPT = re.compile(
    rf"(?P<more>{MORE_THAN.pattern})|(?P<less>{LESS_THAN.pattern})|@\d+|{NUMBER}(?= ?%| times)|(?<=than ){NUMBER}|[%,]"
    rf"|\b(?:in|as)(?= (?:an? )?%)|(?<=% )of\b|(?<=years )(?:after|before)"
    rf"|\b(?:{_FOLD}|how|much|many|times|what|which|to|than|or|and|years|exceed|plus|minus|subtract|divide|from|by)(?=s?\b)"
)


def fold(word: str, parts: Sequence[str]) -> str:
    """The expression of an operation (by its name) over its operands."""
    sign = _FOLDS[word]
    return f"(({' + '.join(parts)}) / {len(parts)})" if sign == "mean" else f"({f' {sign} '.join(parts)})"


def rewritten(text: str) -> str:
    text = re.sub(" +", " ", text)
    for _ in range(8 if len(text) < 2000 else 0):  # for the deepest nesting
        for pattern, new in _REWRITES.items():
            text = re.sub(pattern, new, text)
    return re.sub(" +", " ", text).strip(" .!?=,")


def arithmetic(text: str) -> str | None:
    """The expression for arithmetic in words or symbols, None for any other text."""
    text = rewritten(_FILLER.sub("", text.removeprefix("and ")))
    if not re.fullmatch(r"(?:[\d.,()+\-*/%@\s]|sqrt|max|min)+", text):
        return None
    try:
        tree = ast.parse(text.replace("@", "0x"), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return text if isinstance(tree, ast.BinOp | ast.Call) else None


def asked_of(question: str, count: int) -> tuple[list[str], str]:
    """What a question wants of its things, as expressions (one value, or several to compare), and its bare words."""
    kept = []
    for m in _KEPT.finditer(question):
        end = bool(re.search("st$|max|min", m[0]))
        kept.append(("more", "most")[end] if m["more"] else ("less", "least")[end] if m["less"] else m[0])
    words = text = " ".join(kept).strip(" ,").replace("exceed", "more than")
    everything, inside = [f"@{i}" for i in range(count)], re.findall(r"@\d+", text)
    rest, folds = [thing for thing in everything if thing not in inside], re.findall(_FOLD, text)
    if {"more", "less"} <= {*kept} and "than" not in kept:  # "the ratio of the higher to the lower one"
        text = text.replace("more", "most").replace("less", "least")
    if "most" in text and "least" in text:
        ends = {"most": f"max({', '.join(everything)})", "least": f"min({', '.join(everything)})"}
        text = re.sub("most|least", lambda m: ends[m[0]], re.sub(r"@\d+", "", text))
    elif len(folds) == 1 and {"more", "less", "most", "least"} & {*kept} and len(inside) > 3 and len(inside) % 2 == 0:
        pair = rf"({_ATOM}) (?:and|to) (?:between |of )*({_ATOM})"
        text = re.sub(pair, lambda m: fold(folds[0], m.groups()), text).replace(folds[0], "")
    elif len(inside) < 2 and rest:
        others, much = " , ".join(rest), "much" in kept or "many" in kept
        if much and not (inside or folds):  # "by how much"
            text = f"difference {others}"
        elif "than" in kept and inside:  # "would it still be longer than …"
            text = f"{others} {text}"
        else:
            text = f"{text} {'than ' * (much and 'more' in kept)}{others}"
    return [group if re.fullmatch(_ATOM, group) else f"({group})" for group in re.findall(_SUM, rewritten(text))], words


# ---- Figures in texts --------------------------------------------------------------------------------------------

_SENTENCE = re.compile(r"\S.*?(?:[.!?](?=\s+[A-Z]|\s*$)|$)", re.MULTILINE)
_QUANTITY = "|".join(m.nouns.pattern for m in MEASURES)
_TERM = (
    rf"\b(?:the )?((?:(?:{_QUANTITY})(?: or )?)+) of (?:the )?(.+?)(?=\s[-+*/]\s|[,()]| (?:and|times) | in {UNIT}|\s*$)"
)


def about(text: str, name: str) -> int | None:
    """How soon a text names the thing (much later where it only has similar words); None when it doesn't."""
    if re.fullmatch("[A-Z]{2,4}", name) and (match := re.search(rf"\b{name[0]}\w+ (?:\w+ )?{name[1]}\w+", text)):
        return match.start()
    tokens = [word for word in re.findall(r"\w+", name.lower()) if not (KINDS.fullmatch(word) or STOP.fullmatch(word))]
    everything = {*re.findall(r"\w+", text.lower())}
    found = [near[0] for token in tokens if (near := get_close_matches(token, everything, 1, 0.8))]
    if 2 * len(found) <= len(tokens) and tokens:
        return None
    return sum(text.lower().index(word) for word in found[:1]) + 10_000 * len({*tokens} - everything)


def figure(text: str, measure: Measure, unit: str) -> float | None:
    """What a text gives for a quantity: in the unit, or in the usual one when that is of another kind."""
    dimension, base = size(measure.unit)
    if size(unit)[0] in (dimension, "scale1"):
        base = size(unit)[1] * (1 if size(unit)[0] == dimension else base)
    found = []
    for sentence in _SENTENCE.findall(text):
        for match in FIGURE.finditer(sentence):
            unit = match[4] or match[1]
            kind = size(unit)[0] if unit else dimension if dimension in ("", "count1") else None
            if kind == dimension and (not measure.name.startswith("year") or re.fullmatch(r"\d{2,4}", match[0])):
                value = value_of(match[2], match[3]) * size(unit)[1] / base
                value = -value if sentence[match.end() :].startswith(" BC") else value
                words = measure.words.finditer(sentence)
                found += [(max(word.start() - match.end(), match.start() - word.end()), value) for word in words]
    return min(found, key=lambda near: near[0])[1] if found else None


def solve(problem: str, context: list[str]) -> str:
    """An expression for a word problem with figures from the context, or `unknown: …`."""
    asked = re.search(rf",? *(?:both |all )?in ({UNIT})", problem)

    def value(name: str, measures: list[Measure]) -> str:
        places = sorted((place, text) for text in context if (place := about(text, name)) is not None)
        found = [figure(text, measure, asked[1] if asked else "") for measure in measures for _, text in places]
        if not (figures := [number for number in found if number is not None]):
            raise LookupError(f"{' or '.join(measure.name for measure in measures) or 'figure'} of {name}")
        return f"{Decimal(f'{figures[0]:.12g}'):f}"

    def term(m: re.Match[str]) -> str:
        return value(m[2], [measure for measure in MEASURES if measure.nouns.search(m[1])])

    try:
        text = re.sub(_TERM, term, problem.replace(asked[0], "") if asked else problem).strip(" .?")
        if expression := text if re.fullmatch(NUMBER, text) else arithmetic(tidy(text)):
            return expression
        ask = read(tidy(problem))
        groups, _ = asked_of(ask.question, len(ask.things))
        parts = [value(thing, ask.measures) + how for thing, how in zip(ask.things, ask.changes, strict=True)]
        return re.sub(r"@(\d+)", lambda m: parts[int(m[1])], groups[0]) if len(groups) == 1 else f"unknown: {problem}"
    except LookupError as missing:
        return f"unknown: {missing.args[0]}"


# ---- Conversation and compilation --------------------------------------------------------------------------------

_CALL = r"""\w[\w.-]*\((?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^"'])*?\)"""
_RESULT = re.compile(rf"^(\d+)\. ({_CALL}) (->|failed:) ?(.*(?:\n  .*)*)", re.MULTILINE)
_SEARCHES = any_of(r"search\w* look(?:s|up)? encyclop\w* wiki\w* articles? retriev\w*")
_COMPUTES = any_of(r"math\w* calculat\w* expressions? arithmetic evaluat\w* comput\w*")
_PLURAL = re.compile(
    r"\b(?:(?:those|these|both|the|all)(?: of)?(?: the| those| these)?(?: (\d+))?"
    r" (?:values|results|numbers|figures|answers)|(?:those|these)(?: (\d+))?|the (\d+)(?! \w)|them|both)\b"
)
_SINGLE = re.compile(r"\b(?:(?:that|this|the)(?: last)? (?:number|value|result|figure|answer|total)|that|this|it)\b")
_NOT_FOUND = re.compile(r"\bno\b|\bnot found\b|\bnothing\b", re.IGNORECASE)
_FOLLOWING = re.compile(
    r"^(?:what|how) about\b|\b(?:it|its|that|this|they|them|those|these|by how|ones?)\b|^\W*(?:and|which)\b"
)


class Result(NamedTuple):
    """A call that was made, as the prompt shows it; `key` holds the values that it was called with."""

    number: int
    key: str
    call: str
    text: str
    ok: bool


class Operand(NamedTuple):
    """A number of the question: what a math problem calls it, and the tasks whose texts hold its figures."""

    label: str
    text: str
    tasks: tuple[int, ...] = ()


class Goal(NamedTuple):
    """What a question comes to: operands, and either their comparison, a result made of them, or neither (facts)."""

    ask: Ask
    operands: list[Operand]
    result: Operand | None = None
    words: str = ""  # the bare words of the question (see `asked_of`)
    compares: bool = False


def call_key(call: str) -> str:
    try:
        node = ast.parse(call, mode="eval").body
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)] if isinstance(node, ast.Call) else []
        return repr([value for argument in arguments if (value := ast.literal_eval(argument)) != []])
    except (SyntaxError, ValueError):
        return call


def turns(messages: Sequence[BaseMessage]) -> list[tuple[str, list[Result], int]]:
    """The user's messages: the text, the results for it, and the number that a new plan is to start with, if said."""
    found = []
    for text in (str(message.text) for message in messages if message.type == "human"):
        question, *rest = re.split(r"\n\n(?=Results \(data|Still missing:|Plan .*from number)", text, maxsplit=1)
        results = [Result(int(m[1]), call_key(m[2]), m[2], m[4], m[3] == "->") for m in _RESULT.finditer("".join(rest))]
        start = re.search(r"^Plan .*from number (\d+)", "".join(rest), re.MULTILINE)
        found.append((question, results, int(start[1]) if start else 0))
    return found


def described_tools(prompt: str) -> dict[str, tuple[str, str]]:
    """The tools of a planner's prompt by purpose (search, math): the name, and that of the list parameter if any."""
    found: dict[str, tuple[str, str]] = {}
    block = re.search(r"^Tools:\n((?:.+\n?)*)", prompt, re.MULTILINE)
    for name, rest, text in re.findall(
        r"^([\w-]+)\(\w+: str\b(.*?)\)(?: ->|:)(.*)", block[1] if block else "", re.MULTILINE
    ):
        purpose, lists = f"{name} {text}".replace("_", " "), re.search(r"(\w+): list\b", rest)
        if _COMPUTES.search(purpose):
            found.setdefault("math", (name, lists[1] if lists else ""))
        elif _SEARCHES.search(purpose) and not re.search(r"\w+: [^=,]+(?:,|$)", rest):  # no other required parameter
            found.setdefault("search", (name, ""))
    return found


def replace(expression: str, operands: Sequence[Operand]) -> Operand:
    """The operand that an expression makes of others."""
    bare = expression[1:-1] if expression[:1] == "(" and re.fullmatch(_ATOM, expression) else expression
    label, text, tasks = bare, bare, list[int]()
    for i in _numbers(bare):
        label, text = label.replace(f"@{i}", operands[i].label, 1), text.replace(f"@{i}", operands[i].text, 1)
        tasks += operands[i].tasks
    return Operand(label, text, tuple(tasks))


class Compiler:
    """Turns questions into calls; a call that has been made keeps its number."""

    def __init__(self, results: Sequence[Result], tools: dict[str, tuple[str, str]], start: int = 0) -> None:
        self.results = {result.number: result for result in results}
        self.done = {result.key: result.number for result in results}
        self.next = start or max(self.results, default=0) + 1
        self.tools, self.possible = tools, True
        self.lines: list[str] = []
        self.goals: list[Goal] = []

    def call(self, purpose: str, text: str, tasks: Sequence[int] = ()) -> int:
        """The number of the call: the known one, or that of a new line of the plan."""
        references = [f"${number}" for number in tasks]
        key = repr([text, references] if references else [text])
        if key not in self.done:
            name, context = self.tools.get(purpose, ("", ""))
            self.possible &= bool(name and (context or not references))
            extra = f", {context}={json.dumps(references)}" if references else ""
            self.done[key] = self.next
            self.lines.append(f"{self.next}. {name}({json.dumps(text, ensure_ascii=False)}{extra})")
            self.next += 1
        return self.done[key]

    def math(self, operand: Operand, unit: str = "") -> Operand:
        """The operand as the result of a math task."""
        if re.fullmatch(r"\$\d+|[\d.]+", operand.text):
            return operand
        suffix = f", in {unit}" if operand.tasks and unit not in ("", "people") else ""
        return Operand(operand.label, f"${self.call('math', operand.text + suffix, sorted({*operand.tasks}))}")

    def search(self, thing: str, ask: Ask) -> int:
        """Looks a thing up; in other words when the first entry can't be had or has not what is asked for."""
        for phrase in (thing, f"{thing} {ask.measure}" if ask.measures else " ".join(ask.content())):
            result = self.results.get(self.done.get(repr([phrase]), 0))
            in_vain = result and not result.ok and not _NOT_FOUND.search(result.text)
            if not result or in_vain or (result.ok and passage(result.text, ask, thing)):
                return self.call("search", phrase)
        return self.call("search", thing)

    def turn(self, text: str) -> None:
        """Compiles one message of the user: its questions, one after another."""
        for question in map(self.resolve, questions(tidy(text))):
            for cut in (r"(?!)", r"[,;.] (?:and |then )*| (?:and )?then ", r",? and "):
                pieces = re.split(cut, question)
                if self.arithmetic(pieces[0]) and all(arithmetic(_SINGLE.sub("1", piece)) for piece in pieces[1:]):
                    for operand in filter(None, map(self.arithmetic, pieces)):
                        self.goals.append(Goal(Ask(question, question, [], [], [], ""), [], self.math(operand)))
                    break
            else:
                if goal := self.compile(read(question)):
                    self.goals.append(goal)

    def resolve(self, text: str) -> str:
        """The text with the thing of the question before where a pronoun, or nothing at all, stands for it."""
        things, own = self.goals[-1].ask.things if self.goals else [], names(text)
        pronoun = re.search(r"\bit('?s)?\b", text)
        if len(things) == 1 and pronoun and (not own or pronoun.start() < own[0][1]):
            return f"{text[: pronoun.start()]}{things[0]}{chr(39) + 's' if pronoun[1] else ''}{text[pronoun.end() :]}"
        compares = MORE_THAN.search(text) or LESS_THAN.search(text)
        if len(things) == len(own) == 1 and compares and re.search(r"\bhow (?:much|many)\b(?!.* than )", text):
            return f"{text} than {things[0]}"  # "and how much longer is the Danube?"
        return text

    def refer(self, text: str, first: int = 0) -> tuple[str, list[Operand]]:
        """The text with operands for its references to earlier values ("those two", "that"), and these operands."""
        earlier = [goal.result or goal.operands[-1] for goal in self.goals]
        earlier = self.goals[-1].operands if self.goals and self.goals[-1].compares else earlier
        earlier = [Operand(o.text, o.text) if o.text[0] == "$" else o for o in earlier if o.text]

        def several(match: re.Match[str]) -> str:
            count = min(int(next(filter(None, match.groups()), 2)), len(earlier))
            return " and ".join(f"@{first + i}" for i in range(len(earlier) - count, len(earlier)))

        text = _SINGLE.sub(f"@{first + len(earlier) - 1}", _PLURAL.sub(several, text)) if earlier else text
        return text, earlier

    def arithmetic(self, text: str) -> Operand | None:
        text, earlier = self.refer(text)
        expression = arithmetic(text)
        return replace(expression, earlier) if expression else None

    def compile(self, ask: Ask) -> Goal | None:
        """The calls for one question about things; None when it is no such question."""
        last = self.goals[-1] if self.goals and _FOLLOWING.search(ask.question) else None
        if last and not ask.measures:
            ask = ask._replace(measures=last.ask.measures, unit=last.ask.unit)
        asks = re.match(rf"\W*(?:when\b|(?:in |on |by )?{_WH}|tell me|(?:{_AUXILIARY})\b)", ask.question)
        if not (ask.measures or asks):
            return None
        if (
            not (last or ask.yes_no)
            and len(ask.things) < 2
            and re.search(r"\b(?:\w+est|most|first|last)\b", ask.question)
        ):
            ask = ask._replace(things=[], changes=[], measures=[])  # "the highest mountain in Africa" is a description
        changed, measured = any(ask.changes), bool(ask.measures)
        tasks = [self.search(thing, ask) for thing in ask.things]
        operands = [
            Operand(thing, f"{ask.measure} of {thing}{how}" if ask.measures else "", (task,))
            for thing, how, task in zip(ask.things, ask.changes, tasks, strict=True)
        ]
        if changed and measured:
            operands = [self.math(operand, ask.unit) for operand in operands]
        question = re.sub(rf"(?<=than ){FIGURE.pattern}", lambda m: in_unit(m[0], ask.unit), ask.question)
        if last and not operands and len(last.operands) > 1:
            operands = last.operands
        elif last and len(operands) < 2 and not changed:
            question, earlier = self.refer(question, len(operands))
            operands += earlier
        if not operands:
            phrase = " ".join(ask.content())
            return Goal(ask, [Operand(phrase, "", (self.call("search", phrase),))]) if phrase and asks else None
        groups, words = asked_of(question, len(ask.things) or len(operands))
        values = [replace(group, operands) for group in groups]
        if measured and len(groups) == 1 and groups[0][0] != "@":
            used = [operands[int(i)] for i in dict.fromkeys(re.findall(r"@(\d+)", groups[0]))]
            return Goal(ask, used, self.math(values[0], ask.unit), words)
        if measured and len(groups) > 1 and (ask.yes_no or re.search("more|less|most|least|which", words)):
            return Goal(ask, [self.math(value, ask.unit) for value in values], None, words, compares=True)
        return Goal(ask, operands[: len(ask.things) or 1], operands[0] if changed and measured else None)


# ---- Answers -----------------------------------------------------------------------------------------------------

SHAPES = {"when|year": r"\b\d{3,4}\b", "who": r"[A-Z]\w+ [A-Z]\w+", "where": r"\bin [A-Z]", "how": r"\d"}
RELATED = r"""invent\w* patent\w* devis\w* discover\w* found
born birth
die[ds]? death
s[aiu]nk
direct\w* wrote written author\w* paint\w* compos\w* creat\w* made by"""
SYNONYMS = [any_of(line) for line in RELATED.splitlines()]
SUBJECTS = {  # what a value is, by the words that asked for it
    "%": "percentage in {}",
    "ratio|times": "ratio of the {}",
    "differ|(?:much|many).*(?:more|less)|years": "difference in {}",
    "average|mean": "average {}",
    "sum|total|combined|together": "combined {}",
    "much": "difference in {}",
}


def written(value: float) -> str:
    """A number for people: `1,234,567`, `2.76`, `0.00123`."""
    rounded = round(value, 2 if abs(value) >= 1 else 4) or float(f"{value:.3g}")
    return f"{rounded:,.9f}".rstrip("0").rstrip(".")


def passage(text: str, ask: Ask, thing: str) -> str | None:
    """The sentence of an entry that fits the question best; None when none does."""
    content = [word for word in ask.content() if word.lower() not in thing.lower()]
    likes = [next((like for like in SYNONYMS if like.fullmatch(w)), any_of(w[:5] + r"\w*")) for w in content]
    patterns = [pattern for measure in ask.measures for pattern in (measure.nouns, measure.words)]
    likes = patterns if ask.measures and ask.measures[0].unit else patterns + likes
    shapes = [re.compile(shape) for word, shape in SHAPES.items() if re.search(rf"\b(?:{word})\b", ask.text)]
    shapes += [FIGURE] if ask.measures else []

    def fit(sentence: str) -> int:
        fits = sum(bool(like.search(sentence)) for like in likes)
        return fits and fits + sum(bool(shape.search(sentence)) for shape in shapes)

    best = max(_SENTENCE.findall(text), key=fit, default="")
    if (likes and not fit(best)) or about(text, thing) is None:
        return None
    return best if about(best, thing) is not None else f"{thing}: {best}"


def number(operand: Operand, results: dict[int, Result]) -> float | None:
    """The value of an operand: of a math task, or the number that it is."""
    result = results.get(int(operand.text[1:])) if operand.text[:1] == "$" else None
    text = result.text if result and result.ok else operand.text
    return float(text) if re.fullmatch(r"-?[\d.]+(?:e[+-]?\d+)?", text) else None


def comparison(ask: Ask, labels: list[str], values: list[float], amounts: list[str], word: str) -> str:
    """Which of several values is the one asked for, or whether the first one is."""
    ranks = [value * (-1 if LESS_THAN.fullmatch(word) else 1) for value in values]
    fits = not ask.unit or any(measure.words.fullmatch(word) for measure in ask.measures)
    would, quality = "would be" if any(ask.changes) else "is", word if fits else f"{word} in {ask.measure}"
    best, negated = ranks.index(max(ranks)), "would not be" if any(ask.changes) else "is not"
    if ask.yes_no:
        yes = ranks[0] > max(ranks[1:])
        return f"{'Yes' if yes else 'No'}, {labels[0]} {would if yes else negated} {quality}"
    if re.search(r" [-+/*] ", labels[best]):
        return f"The {word} {would} {labels[best]} with {amounts[best]}"
    return f"{labels[best]} {would} the {quality}"


def report(goal: Goal, results: dict[int, Result]) -> str | None:
    """The answer to one question; None when the results don't hold it."""
    ask, operands, result = goal.ask, goal.operands, goal.result
    if not result and not goal.compares:
        entries = [(operand.label, results.get(operand.tasks[0])) for operand in operands if operand.tasks]
        return " ".join(filter(None, (passage(r.text, ask, label) for label, r in entries if r and r.ok))) or None
    values, total = [number(operand, results) for operand in operands], number(result, results) if result else 0
    if total is None or (goal.compares and None in values):
        return None
    texts = [operand.label for operand in [*operands, *([result] if result else [])]]
    labels = [re.sub(r"\$(\d+)", lambda m: written(float(results[int(m[1])].text)), text) for text in texts]
    if result and not operands:
        return f"{labels[0]} = {written(total)}."
    labels, would = labels[: len(operands)], "would be" if any(ask.changes) else "is"
    ratios = all(re.search(r"/ [^\d(]", text) for text in labels)
    unit, dated = "" if ratios or not ask.unit else f" {ask.unit}", any(m.name.startswith("year") for m in ask.measures)
    amounts = ["" if v is None else f"{v:.0f}" if dated else written(v) + unit for v in values]
    details = "; ".join(f"{label}: {amount}" for label, amount in zip(labels, amounts, strict=True) if amount)
    details = f" ({details})." if details and len(labels) > 1 else "."
    matches = [m for m in (MORE_THAN.search(ask.question), LESS_THAN.search(ask.question)) if m]
    word = min(matches, key=lambda m: m.start())[0] if matches else "greater"
    if goal.compares:
        return comparison(ask, labels, [v or 0 for v in values], amounts, word) + details
    subject = next((text for words, text in SUBJECTS.items() if re.search(words, goal.words)), "{}").format(ask.measure)
    if subject.startswith("difference") and len(labels) == 2 and word.endswith("er"):
        first, second = labels if total >= 0 else labels[::-1]
        return f"{first} {would} {written(abs(total))}{unit} {word} than {second}{details}"
    ends = "the largest and the smallest of " if {"most", "least"} <= {*goal.words.split()} else ""
    subject = f"{subject} of {ends}{', '.join(labels[:-1])}{' and ' * (len(labels) > 1)}{labels[-1]}"
    unit = " %" if "%" in goal.words else "" if subject.startswith("ratio") else unit
    return f"The {subject} {would} {written(abs(total) if subject.startswith('diff') else total)}{unit}{details}"


# ---- The model ---------------------------------------------------------------------------------------------------

_HELLO = re.compile(
    r"\W*(?:hi|hello|hey|thanks?|good (?:morning|day|evening)|bye|help|who are you|what can you do)\b[\w ,']{0,20}\W*",
    re.IGNORECASE,
)
_PIECE = re.compile(r"\s*\w{1,6}|\s*[^\w\s]|\s+")


def compiled(messages: Sequence[BaseMessage], tools: dict[str, tuple[str, str]]) -> tuple[Compiler, str, list[Result]]:
    """The last question of a conversation, compiled after the earlier ones; its text and its results."""
    *earlier, (question, results, start) = turns(messages) or [("", [], 0)]
    compiler = Compiler([result for turn in earlier for result in turn[1]] + results, tools, start)
    number = compiler.next
    for turn in earlier:
        compiler.turn(turn[0])
    first, compiler.next, compiler.lines, compiler.possible = len(compiler.goals), number, [], True
    if not _HELLO.fullmatch(question):
        compiler.turn(question)
    compiler.goals = compiler.goals[first:]
    return compiler, question, results


def plan(prompt: str, messages: Sequence[BaseMessage]) -> str:
    """The planner's role."""
    compiler, *_ = compiled(messages, described_tools(prompt))
    lines = compiler.lines if compiler.possible else []
    return "\n".join([*lines, f"{compiler.next - len(compiler.lines) + len(lines)}. join()"])


def answer(messages: Sequence[BaseMessage]) -> tuple[str, str]:
    """The joiner's role: the answer, and the calls that could still help (empty when there are none)."""
    compiler, question, made = compiled(messages, {"search": ("search", ""), "math": ("math", "context")})
    if _HELLO.fullmatch(question):
        return GREETING, ""
    reports = [report(goal, compiler.results) for goal in compiler.goals]
    if not reports or not (made or all(reports)):
        return CANNOT, ""
    if all(reports):
        return " ".join(filter(None, reports)), ""
    texts = [
        text or f"I found no answer to “{goal.ask.text}”." for text, goal in zip(reports, compiler.goals, strict=True)
    ]
    failures = [f"{r.call} failed: {r.text}" for r in made if not r.ok and "Not run" not in r.text]
    return " ".join([*texts, *failures]), "; ".join(compiler.lines)


def reply(messages: Sequence[BaseMessage]) -> tuple[str, str]:
    """What the model says in the role that the prompt gives it, and what the joiner would still have called."""
    system, human = (next((str(m.text) for m in messages if m.type == kind), "") for kind in ("system", "human"))
    if system.startswith("Write one arithmetic expression"):
        problem, _, context = human.partition("\nContext:\n")
        return solve(problem.removeprefix("Problem:").strip(), re.split(r"(?m)^\d+\. ", context)[1:]), ""
    if re.search(r"(?m)^Tools:$", system):
        return plan(system, messages), ""
    text, missing = answer(messages)
    if "Finish(" not in system:
        return text, missing
    if missing and "Replan(" in system:
        return f"Thought: Something is missing.\nAction: Replan({missing})", ""
    return f"Thought: This is what the results show.\nAction: Finish({text})", ""


class OfflineChatModel(BaseChatModel):
    """The rule-based demo model: streams plans, answers and expressions token by token."""

    delay: float = 0.01
    """Seconds between tokens."""

    @property
    def _llm_type(self) -> str:
        return "offline"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[LanguageModelInput, AIMessage]:
        """Binds tools, of which the model calls `replan` when other words could find what is missing."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _chunks(self, messages: list[BaseMessage], tools: Sequence[dict[str, Any]]) -> Iterator[ChatGenerationChunk]:
        text, missing = reply(messages)
        calls = [
            tool_call_chunk(name="replan", args=json.dumps({name: missing}), id=f"call_{uuid4().hex}", index=0)
            for tool in tools
            if missing and tool["function"]["name"] == "replan"
            for name in tool["function"]["parameters"]["properties"]
        ][:1]
        for piece in [] if calls else _PIECE.findall(text):
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
        read = sum(len(_PIECE.findall(str(message.text))) for message in messages)
        wrote = len(_PIECE.findall(missing if calls else text))
        usage = UsageMetadata(input_tokens=read, output_tokens=wrote, total_tokens=read + wrote)
        last = AIMessageChunk(content="", tool_call_chunks=calls, usage_metadata=usage, chunk_position="last")
        last.response_metadata = {"model_name": "offline"}
        yield ChatGenerationChunk(message=last)

    def _stream(self, messages: list[BaseMessage], *_: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for chunk in self._chunks(messages, kwargs.get("tools", ())):
            time.sleep(self.delay)
            yield chunk

    async def _astream(self, messages: list[BaseMessage], *_: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._chunks(messages, kwargs.get("tools", ())):
            await asyncio.sleep(self.delay)
            yield chunk

    def _generate(self, messages: list[BaseMessage], *_: Any, **kwargs: Any) -> ChatResult:
        return generate_from_stream(self._stream(messages, **kwargs))
