"""What tokens cost: as the package genai-prices knows it, or as a table of the user's own says.

The table is JSON, in USD per million tokens: {"models": {"my-model": {"input": 1, "cached_input": 0.1, "output": 4}}};
without `cached_input`, cached tokens cost what others do. It may have a `source`, which the report names.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from apps.evaluation.results import ModelCall, Result, Tokens
from apps.runs.errors import in_one_line
from apps.runs.wording import version_of

UNUSABLE = "{path}: {problem}. apps/evaluation/prices.py shows the form."
UNKNOWN = "No price is known for {models}: costs are left empty. Give a table with --prices{package}."
INSTALL = ", or pip install -e '.[evaluation]'"

Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class PriceError(RuntimeError):
    """A price table can't be used; the message says why."""


class Price(BaseModel):
    """In USD per million tokens."""

    input: Rate
    output: Rate
    cached_input: Rate | None = None

    def of(self, tokens: Tokens) -> float:
        """What the tokens cost, in USD."""
        cached = self.input if self.cached_input is None else self.cached_input
        fresh = tokens.input - tokens.cached_input
        return (fresh * self.input + tokens.cached_input * cached + tokens.output * self.output) / 1e6


class Prices(BaseModel):
    """What is known of prices; a table of one's own comes first."""

    models: Mapping[str, Price] = {
        "offline": Price(input=0, output=0),  # demo
    }
    source: str = ""

    def of(self, call: ModelCall, provider: str) -> float | None:
        """What a call cost in USD; None if it reported no tokens, or the price of its model is unknown.

        Args:
            call: The call.
            provider: The provider of its model, as in `openai:…`.
        """
        if call.tokens is None:
            return None
        if price := self.models.get(call.model):
            return price.of(call.tokens)
        try:
            from genai_prices import Usage, calc_price
        except ImportError:
            return None
        usage = Usage(
            input_tokens=call.tokens.input,
            cache_read_tokens=call.tokens.cached_input,
            output_tokens=call.tokens.output,
        )
        try:
            return float(calc_price(usage, call.model.removeprefix("models/"), provider_id=provider).total_price)
        except (LookupError, ValueError):
            return None

    def cost(self, run: Result) -> float | None:
        """What the calls of a run that reported their tokens cost in USD; None if none did, or a price is unknown."""
        provider = run.model.partition(":")[0]
        costs = [self.of(call, provider) for call in run.calls if call.tokens]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if known and len(known) == len(costs) else None

    def about(self) -> str:
        """Where the prices are from."""
        version = version_of("genai-prices")
        package = f"genai-prices {version}" if version else ""
        return "; ".join(filter(None, [self.source, package])) or "none"


def load_prices(path: Path | None = None) -> Prices:
    """The prices; with a path, those of the table there come first.

    Raises:
        PriceError: It can't be read, or lacks something.
    """
    if path is None:
        return Prices()
    try:
        table = Prices.model_validate_json(path.read_bytes())
    except OSError as error:
        raise PriceError(UNUSABLE.format(path=path, problem=f"can't be read: {error.strerror}")) from error
    except ValidationError as error:
        raise PriceError(UNUSABLE.format(path=path, problem=in_one_line(error))) from None
    if "models" not in table.model_fields_set:
        raise PriceError(UNUSABLE.format(path=path, problem="has no models"))
    return table


def unknown_prices(prices: Prices, runs: list[Result]) -> str:
    """What to say of models without a price; empty if there is none."""
    unknown = {
        call.model
        for run in runs
        for call in run.calls
        if call.tokens and prices.of(call, run.model.partition(":")[0]) is None
    }
    if not unknown:
        return ""
    package = "" if "genai-prices" in prices.about() else INSTALL
    return UNKNOWN.format(models=", ".join(sorted(unknown)), package=package)
