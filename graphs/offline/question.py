"""Reads a question: which things it names, what is asked of them, and what changes it supposes."""

import re
from dataclasses import dataclass, field
from typing import Literal

from graphs.offline.words import (
    ADJECTIVES,
    KNOWN,
    MEASURES,
    UNIT_NAMES,
    WORDS,
    Adjective,
    in_digits,
    unit_of,
)

Operation = Literal["fact", "value", "compare", "difference", "ratio", "percent", "sum", "average"]

TOKEN = re.compile(r"\d[\d,]*(?:\.\d+)?%?|[^\W\d_](?:[\w–-]|['’](?=\w))*(?:(?<=\bSt|\bMt|\bDr)\.)?|\S")
CONNECTORS = re.compile(r"of|of the|de|da|du|del|la|van|von|al")
CLAUSE_ENDS = {*",;:.—", "and", "or", "while", "whereas", "if", "then", "but", "when", "after", "with"}
NO_NAMES = {"GDP", "US", "I"}
MOST_UNKNOWN = 1
"""How many words a question may have that mean nothing to the model: with more it may ask for anything."""


@dataclass(frozen=True)
class Thing:
    """Something that has a name."""

    name: str
    shown: str = field(compare=False)
    """The name as the question has it, with its article."""


@dataclass(frozen=True)
class Question:
    """What is asked."""

    operation: Operation
    things: list[Thing]
    measure: str = ""
    """Such as height; several, if it isn't clear which, with `or` between them."""

    unit: str = ""
    """The unit of the figures, or a scale, such as millions."""

    changes: dict[Thing, str] = field(default_factory=dict)
    """What the figure of a thing is to be multiplied with or divided by: ` * 0.9`."""

    adjective: Adjective | None = None
    form: str = ""
    """The adjective as the question has it: taller."""


Words = list[str | Thing]
"""A question: the words in small letters, and its things in the place of their names."""


def read_question(text: str, before: Question | None = None) -> Question | None:
    """What a text asks; None if that can't be told.

    Args:
        text: A question in English.
        before: The question before, which "And K2?" goes on from.
    """
    text = " ".join(re.sub(r"\s*\bper ?cent\b", "%", text.replace("’", "'")).split())
    words = find_things(text)
    things = list(dict.fromkeys(word for word in words if isinstance(word, Thing)))
    plain = [word for word in words if isinstance(word, str)]
    unknown = [word for word in plain if word[0].isalpha() and word.removesuffix("'s") not in KNOWN]
    if not things or len(unknown) > MOST_UNKNOWN or {*plain} & {*WORDS["unfit"]} or "at least" in text:
        return None
    changed = read_changes(words, things)
    if changed is None:
        return None
    changes, asked = changed
    said = [word for word in asked if isinstance(word, str)]
    measures = find_measures(said, plain)
    if not measures and before and before.measure and not {*plain} & {*WORDS["asking"]}:
        return Question("value" if len(things) == 1 else before.operation, things, before.measure, before.unit, changes)
    form, adjective = next(((word, ADJECTIVES[word]) for word in said if word in ADJECTIVES), ("", None))
    operation = find_operation(said, adjective, len(things)) if measures else "fact"
    if operation == "fact":
        if changes or not {*plain} & {*WORDS["asking"], "about"}:
            return None
        if adjective and adjective.degree == "superlative":
            described = text[text.lower().index(form) :].rstrip(" .?!")
            things = [Thing(described, described)]
        return Question("fact", things)
    unit = find_unit(text)
    if unit and (kinds := [one for one in measures if kind_of(MEASURES[one].unit) == kind_of(unit)]):
        measures = kinds
    is_one_kind = len({kind_of(MEASURES[one].unit) for one in measures}) == 1
    unit = unit or (MEASURES[measures[0]].unit if is_one_kind else "")
    return Question(operation, in_order(asked, things), " or ".join(measures), unit, changes, adjective, form)


# --- things


def find_things(text: str) -> Words:
    """The words of a text, with its things in the place of their names: words with capitals, and unknown words where
    there are none, or behind an article."""
    tokens = TOKEN.findall(text)
    words: Words = []
    place = 0
    while place < len(tokens):
        end = _end_of_name(tokens, place)
        if end > place:
            name = " ".join(tokens[place:end]).removesuffix("'s")
            words.append(_thing(name, words))
        else:
            words.append(tokens[place].lower())
        place = max(end, place + 1)
    has_names = any(isinstance(word, Thing) for word in words)
    return _with_common_nouns(words, only_behind_articles=has_names)


def _end_of_name(tokens: list[str], place: int) -> int:
    """Where the name ends that begins at a place; the place itself, if none does."""
    if not _may_begin(tokens, place):
        return place
    end = place + 1
    while end < len(tokens):
        step = next((step for step in (1, 2, 3) if _goes_on(tokens[end : end + step])), 0)
        is_number = tokens[end].isdigit() and tokens[end + 1 : end + 2] != ["times"]
        if not step and not is_number:
            break
        end += step or 1
    return end


def _may_begin(tokens: list[str], place: int) -> bool:
    token, before = tokens[place], tokens[place - 1] if place else "."
    if not token[0].isupper() or token in NO_NAMES:
        return False
    word = token.lower()
    is_known = word in KNOWN or word.removesuffix("'s") in KNOWN
    starts_sentence = before in ".?!:;\"'"
    return not is_known or (not starts_sentence and word not in WORDS["asking"]) or word in WORDS["kinds"]


def _goes_on(tokens: list[str]) -> bool:
    """Whether a name goes on with these: a word with a capital, after connecting words or none."""
    *between, last = tokens or [""]
    is_capital = last[:1].isupper() and last not in NO_NAMES
    return is_capital and (not between or CONNECTORS.fullmatch(" ".join(between)) is not None)


def _with_common_nouns(words: Words, *, only_behind_articles: bool) -> Words:
    found: Words = []
    run: list[str] = []
    for word in [*words, ""]:
        if isinstance(word, str) and word[:1].isalpha() and word not in KNOWN:
            run.append(word)
            continue
        if run:
            name, last = " ".join(run).removesuffix("'s"), found[-1] if found else ""
            if isinstance(last, Thing) and last.shown.startswith(("a ", "an ")):
                found[-1] = Thing(f"{last.name} {name}", f"{last.shown} {name}")  # an African elephant
            elif only_behind_articles and last not in ("a", "an", "than"):
                found += run
            else:
                found.append(_thing(name, found))
            run = []
        found.append(word)
    return found[:-1]


def _thing(name: str, before: Words) -> Thing:
    article = before[-1] if before and before[-1] in ("a", "an", "the") else ""
    return Thing(name, f"{article} {name}".strip())


def in_order(asked: Words, things: list[Thing]) -> list[Thing]:
    """The things as they are compared: what stands behind `than` comes last."""
    named = list(dict.fromkeys(word for word in asked if isinstance(word, Thing)))
    ordered = named if len(named) > 1 else things
    if "than" in asked:
        behind = next((word for word in asked[asked.index("than") :] if isinstance(word, Thing)), None)
        ordered = sorted(ordered, key=lambda thing: thing == behind)
    return ordered


# --- what is asked


def find_measures(asked: list[str], words: list[str]) -> list[str]:
    """The measures that are named, or else that an adjective stands for; in what is asked, or else in all words."""
    for text in (f" {' '.join(asked)} ", f" {' '.join(words)} "):
        for measure in MEASURES.values():
            if any(f" {noun} " in text for noun in (measure.name.lower(), *measure.nouns, *measure.asked)):
                return [measure.name]
    bases = [ADJECTIVES[word].base for word in (*asked, *words) if word in ADJECTIVES and ADJECTIVES[word].base]
    return [one.name for one in MEASURES.values() if bases and bases[0] in (*one.more, *one.less)]


def find_operation(words: list[str], adjective: Adjective | None, things: int) -> Operation:
    """What is to be done with the figures."""
    degree = adjective.degree if adjective else "positive"
    if things == 1:
        return "fact" if degree == "superlative" else "value"
    for operation in ("percent", "ratio", "average", "sum"):
        if {*words} & {*WORDS["operations"][operation]}:
            return operation
    says_difference = {"difference", "differ", "subtract", "minus"} & {*words}
    asks_how_much = {"much", "many", "by"} & {*words} and degree == "comparative"
    if says_difference or asks_how_much:
        return "difference"
    return "value" if degree == "positive" else "compare"


def find_unit(text: str) -> str:
    """The unit that is asked for: `in miles`, `how many metres`, `in millions`."""
    names = "|".join(re.escape(name) for name in [*UNIT_NAMES, *WORDS["scales"]])
    found = re.search(rf"\b(?:in|many) ((?:{names})s?)(?![\w²³/])", text)
    return found[1] if found and found[1] != "people" else ""


def kind_of(unit: str) -> int | None:
    """The kind of a unit; None for a scale, such as millions."""
    found = unit_of(unit)
    return found[0] if found else None


# --- changes


def read_changes(words: Words, things: list[Thing]) -> tuple[dict[Thing, str], Words] | None:
    """The changes that a question supposes, and its words without the clauses that say so; None if it has numbers that
    are none."""
    changes: dict[Thing, str] = {}
    asked: Words = []
    concerned, sign = things[:1], 1
    supposes = bool({*words} & {*WORDS["supposing"]}) or words[0] in (*WORDS["factors"], *WORDS["growing"])
    for clause in _clauses(words):
        inside = [word for word in clause if isinstance(word, Thing)]
        concerned = things if {*clause} & {*WORDS["everything"]} else inside[:1] or concerned
        sign = _direction(clause) or sign
        change, is_share = _change(clause, sign)
        if any(isinstance(word, str) and word[0].isdigit() for word in clause) and not change:
            return None
        if change and not (supposes or is_share):
            return None
        if change:
            changes |= dict.fromkeys(concerned, change)
        if not change or {*clause} & {*WORDS["asking"]}:
            asked += clause
    return changes, asked


def _clauses(words: Words) -> list[Words]:
    clauses: list[Words] = [[]]
    for word in words:
        if word in CLAUSE_ENDS:
            clauses.append([])
        clauses[-1].append(word)
    return [clause for clause in clauses if clause]


def _direction(clause: Words) -> int:
    """1 for more, -1 for less, 0 if the clause doesn't say."""
    for word in clause:
        if word in WORDS["shrinking"]:
            return -1
        if word in WORDS["growing"]:
            return 1
        if isinstance(word, str) and word in ADJECTIVES and ADJECTIVES[word].degree == "comparative":
            return ADJECTIVES[word].sign
    return 0


def _change(clause: Words, sign: int) -> tuple[str, bool]:
    """The change that a clause says, such as ` * 0.9`; and whether it is a share, as in 20% of the height of K2."""
    for place, word in enumerate(clause):
        if not isinstance(word, str):
            continue
        before, after = (clause[place - 1] if place else ""), (clause[place + 1] if place + 1 < len(clause) else "")
        is_share = after in ("of", "the") and not {*clause} & {*WORDS["growing"], *WORDS["shrinking"]}
        number = in_digits(word).replace(",", "") if after == "times" else word.replace(",", "")
        if word in WORDS["factors"]:
            factor = WORDS["factors"][word]
            if before == "by" and factor < 1:
                factor = 1 + sign * factor
            return f" * {factor:g}", is_share
        if re.fullmatch(r"[\d.]+%", number):
            share = float(number[:-1]) / 100
            return f" * {share if is_share else 1 + sign * share:.10g}", is_share
        is_factor = after == "times" or clause[max(0, place - 2) : place] == ["factor", "of"]
        if is_factor and re.fullmatch(r"[\d.]+", number):
            return f" {'*' if sign > 0 else '/'} {float(number):g}", clause[place + 2 : place + 3] == ["the"]
    return "", False
