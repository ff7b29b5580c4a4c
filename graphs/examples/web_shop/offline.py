"""What the offline demo model stands in with for a model that shops: it counts what a page has of what is asked for."""

import json
import re

from graphs.offline.model import RULES, Replan, Rules
from graphs.offline.prompt import Prompt

EXPLORED = 5
"""How many products are opened before one is bought."""

FILLERS = {"and", "buy", "find", "for", "get", "like", "looking", "need", "please", "some", "the", "want", "with"}


def plan(prompt: Prompt) -> str:
    """A search, and a look at the first products found; or the purchase that the joiner asks for."""
    first = prompt.number
    if order := re.search(r"Buy (\w+) with ({.*})", prompt.feedback):
        return f"{first}. buy({json.dumps(order[1])}, {order[2]})\n{first + 1}. join()"
    wanted, limit = _wishes_of(prompt.question)
    if not limit:
        return f"{first}. join()"
    opened = json.dumps([f"${first}[{place}].id" for place in range(EXPLORED)])
    search = f"{first}. search({json.dumps(' '.join(wanted))})"
    return f"{search}\n{first + 1}. click.map({opened})\n{first + 2}. join()"


def join(prompt: Prompt) -> str | Replan:
    """The product that has most of what is asked for, to be bought; or what has been bought."""
    wanted, limit = _wishes_of(prompt.question)
    found = {tool: [one.value for one in prompt.results if one.tool == tool] for tool in ("buy", "click")}
    for receipt in found["buy"]:
        chosen = ", ".join([receipt["id"], *(f"{name} {value}" for name, value in receipt["chosen"].items())])
        return f"I bought {receipt['title']} ({chosen}) for {receipt['price']:.2f} dollars."
    if refused := [one.text for one in prompt.failures if one.tool == "buy"]:
        return f"I have not bought what fits best. {refused[-1]}"
    best: tuple[float, str] = (-1, "")
    for page in found["click"]:
        if not isinstance(page, dict):
            continue  # too long to be shown as a whole
        options = {name: _choose(name, values, prompt.question) for name, values in page["options"].items()}
        price = page["price"] + sum(page["options"][name][value] for name, (value, _) in options.items())
        has = set(_words(f"{page['title']} {page['description']}"))
        fit = sum(word in has for word in wanted) + sum(asked for _, asked in options.values()) + (price <= limit)
        chosen = json.dumps({name: value for name, (value, _) in options.items()})
        best = max(best, (fit, f"Buy {page['id']} with {chosen}."), key=lambda one: one[0])
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


RULES["click"] = Rules(plan, join)
