"""What tokens cost: a table from a model's name to its prices, which users edit or replace."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.evaluation.results import ModelCall, Tokens

TABLE = Path(__file__).with_name("prices.json")
UNUSABLE = "{path}: {problem}. See {table} for the form."

_SNAPSHOT = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8}|latest)\Z")


class PriceError(RuntimeError):
    """A price table can't be used; the message says why."""


@dataclass(frozen=True)
class Price:
    """In USD per million tokens."""

    input: float
    cached_input: float
    output: float

    def of(self, tokens: Tokens) -> float:
        """What the tokens cost, in USD."""
        fresh = tokens.input - tokens.cached_input
        return (fresh * self.input + tokens.cached_input * self.cached_input + tokens.output * self.output) / 1e6


@dataclass(frozen=True)
class Prices:
    """A price table."""

    models: Mapping[str, Price]
    date: str
    """As of when its prices are."""

    source: str

    def find(self, model: str) -> Price | None:
        """The price of a model, as its provider names it, with or without the date of a snapshot; None if unknown."""
        name = model.removeprefix("models/")
        return self.models.get(name) or self.models.get(_SNAPSHOT.sub("", name))

    def cost(self, calls: Sequence[ModelCall]) -> float | None:
        """What the calls that reported their tokens cost in USD; None if none did, or the price of one is unknown."""
        prices = [(self.find(call.model), call.tokens) for call in calls if call.tokens]
        if not prices or any(price is None for price, _ in prices):
            return None
        return sum(price.of(tokens) for price, tokens in prices if price)


def load_prices(path: Path = TABLE) -> Prices:
    """The price table of a file.

    Raises:
        PriceError: It can't be read, or lacks something.
    """
    try:
        values = json.loads(path.read_text("utf-8"))
        models = {str(name): _price(path, name, price) for name, price in values["models"].items()}
        return Prices(models, str(values.get("date", "no date")), str(values.get("source", "no source")))
    except OSError as error:
        raise PriceError(UNUSABLE.format(path=path, problem=f"can't be read: {error.strerror}", table=TABLE)) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise PriceError(UNUSABLE.format(path=path, problem=f"is not JSON: {error}", table=TABLE)) from error
    except (KeyError, TypeError, AttributeError):
        raise PriceError(UNUSABLE.format(path=path, problem="has no models", table=TABLE)) from None


def _price(path: Path, name: str, values: Any) -> Price:
    try:
        price = Price(
            float(values["input"]), float(values.get("cached_input", values["input"])), float(values["output"])
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        problem = f"the price of {name!r} needs the numbers input and output, and may have cached_input"
        raise PriceError(UNUSABLE.format(path=path, problem=problem, table=TABLE)) from None
    if not all(0 <= value < float("inf") for value in (price.input, price.cached_input, price.output)):
        problem = f"the price of {name!r} is negative or no number"
        raise PriceError(UNUSABLE.format(path=path, problem=problem, table=TABLE))
    return price
