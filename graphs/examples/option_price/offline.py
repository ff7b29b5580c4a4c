"""What the offline demo model stands in with for a model that reads such questions."""

import re

from graphs.offline.model import RULES, Rules
from graphs.offline.prompt import Prompt

_FIGURES = {
    "spot": r"at (\d[\d.]*)",
    "strike": r"strike of (\d[\d.]*)",
    "years": r"(\d[\d.]*) years?",
    "rate": r"rate of (\d[\d.]*)%",
    "volatility": r"volatility of (\d[\d.]*)%",
}


def plan(prompt: Prompt) -> str:
    """Eight parts of the simulation, and their price; nothing if a figure is missing."""
    found = {name: re.search(pattern, prompt.question) for name, pattern in _FIGURES.items()}
    figures = {name: float(match[1]) for name, match in found.items() if match}
    number = prompt.number
    if prompt.feedback or len(figures) < len(_FIGURES):
        return f"{number}. join()"
    figures |= {name: figures[name] / 100 for name in ("rate", "volatility")}
    arguments = ", ".join(f"{name}={value:g}" for name, value in figures.items())
    return (
        f"{number}. simulate.map({list(range(1, 9))}, {arguments})\n{number + 1}. combine(${number})\n"
        f'{number + 2}. join("It is worth ${number + 1}.price, with a standard error of ${number + 1}.error.")'
    )


def join(prompt: Prompt) -> str:
    """The price, or why there is none."""
    if prompt.failures:
        return prompt.failures[0].text
    price = prompt.results[-1].value
    return f"It is worth {price['price']}, with a standard error of {price['error']}."


RULES["simulate"] = Rules(plan, join)
