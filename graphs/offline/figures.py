"""Solves what the math tool asks: finds figures in texts, and puts them into an expression."""

import re

from graphs.offline.words import MEASURES, UNIT_NAMES, WORDS, Measure, unit_of

NAMES = "|".join(re.escape(name) for name in MEASURES)
TERM = re.compile(rf"((?:{NAMES})(?: or (?:{NAMES}))*) of (?:the )?(.+?)(?= [-+*/] |[,()]|$)")
UNIT = "|".join(re.escape(name) for name in UNIT_NAMES)
FIGURE = re.compile(
    rf"(-?(?<![\w.,])\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)(?: ({'|'.join(WORDS['scales'])})\b)?(?: ({UNIT})s?(?![\w²³/]))?"
)
EXPRESSION = re.compile(r"(?:[\d.,e()+*/\s-]|max|min|abs)+")


def solve(problem: str, context: list[str]) -> str:
    """The expression for a problem such as "height of K2 - height of Mount Fuji, in metres", with figures for the
    terms; or `unknown: …`.

    Args:
        problem: What is to be solved.
        context: Texts that have the figures.
    """
    text, _, unit = problem.partition(", in ")
    solved = text
    for term in TERM.finditer(text):
        figure = next((found for text in _about(term[2], context) if (found := _figure(text, term[1], unit))), None)
        if figure is None:
            return f"unknown: {term[0]}"
        solved = solved.replace(term[0], figure, 1)
    return solved if EXPRESSION.fullmatch(solved) else f"unknown: {problem}"


def _about(name: str, context: list[str]) -> list[str]:
    """The texts that are about a thing: those that begin with its name first."""
    words = [word.rstrip("s") for word in re.findall(r"\w+", name.lower())]
    about = [text for text in context if all(word in text.lower() for word in words)]
    return sorted(about, key=lambda text: not all(word in text.lower()[: 3 * len(name) + 10] for word in words))


def _figure(text: str, measures: str, unit: str) -> str:
    """The figure that a text gives for a measure, in a unit; empty if there is none."""
    for name in measures.split(" or "):
        value = _first_figure(text, MEASURES[name], unit)
        if value is not None:
            return f"{value:.12g}"
    return ""


def _first_figure(text: str, measure: Measure, unit: str) -> float | None:
    """The first figure of the measure's kind behind its name; for a scale, such as millions, in that."""
    base = unit_of(measure.unit)
    scale = WORDS["scales"].get(unit.removesuffix("s"))
    wanted = unit_of(unit) if unit and not scale else base
    if base is None or wanted is None or wanted[0] != base[0]:
        return None
    for word in [measure.name, *measure.nouns]:
        named = re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE)
        for figure in FIGURE.finditer(text, named.end()) if named else ():
            found = unit_of(figure[3] or "")
            if found and found[0] == base[0]:
                value: float = float(figure[1].replace(",", "")) * WORDS["scales"].get(figure[2], 1) * found[1]
                return value / (scale or 1) / wanted[1]
    return None
