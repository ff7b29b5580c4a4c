"""What the offline demo model stands in with for a model that knows films: it reads what was found of them."""

import json
import re
from collections import Counter

from graphs.offline.model import RULES, Rules
from graphs.offline.prompt import Prompt, read_value


def plan(prompt: Prompt) -> str:
    """A search for each film of the question."""
    liked, options = _films_of(prompt.question)
    if not options:
        return f"{prompt.number}. join()"
    films = json.dumps([*liked, *options], ensure_ascii=False)
    return f"{prompt.number}. search_film.map({films})\n{prompt.number + 1}. join()"


def join(prompt: Prompt) -> str:
    """The option that is most like the others: in words that few of the films have, genres among them, and in time."""
    liked, options = _films_of(prompt.question)
    texts = {read_value(result.arguments): result.text for result in prompt.results}
    words = {title: set(re.findall(r"[a-z]{3,}", text.lower())) for title, text in texts.items()}
    years = {title: int(year[0]) for title, text in texts.items() if (year := re.search(r"\b(?:19|20)\d\d\b", text))}
    spread = Counter(word for found in words.values() for word in found)

    def likeness(option: str, title: str) -> float:
        apart = abs(years.get(option, 0) - years.get(title, 0))
        return sum(1 / spread[word] for word in words[option] & words[title]) + max(0.0, 2 - apart / 10)

    known = [option for option in options if option in texts]
    best = max(known, key=lambda option: sum(likeness(option, title) for title in liked if title in texts), default="")
    return best or "I found none of the films to choose from."


def _films_of(question: str) -> tuple[list[str], list[str]]:
    """The films that a question names, and those to choose from."""
    parts = re.search(r"similar to (.+?)\s*\n\s*Options:\s*(.+)", question, re.DOTALL)
    if not parts:
        return [], []
    options = [line.strip() for line in parts[2].splitlines()]
    return re.split(r",\s+", parts[1]), [option for option in options if option]


RULES["search_film"] = Rules(plan, join)
