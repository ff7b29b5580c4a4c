"""What the shop has: products and goals, read from `shop.sqlite`.

A connection is opened for each question asked, read-only: runs share nothing, and nothing can be changed.
"""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATABASE = Path(__file__).with_name("shop.sqlite")
MOST_WORDS = 50
"""Of a query; further ones are not looked for."""

PAGE = 10
"""Products."""

AS_JSON = ("attributes", "options")
"""The columns that hold JSON."""

NOTHING = "Nothing in the shop fits {query!r}. Name a kind of product, such as {kinds}."
NO_PRODUCT = "There is no product {number!r}. Search first; a result's `id` names its product."
NO_OPTION = "{product} has no option {name!r}; it has: {names}."
NO_VALUE = "{product} does not come with {name} {value!r}; choose one of: {values}."
NOT_CHOSEN = "To buy {product}, choose a value for: {names}."


class ShopError(ValueError):
    """The shop can't do that. The message says what it can do."""


@dataclass(frozen=True)
class Product:
    """Something to buy."""

    id: str
    title: str
    kind: str
    category: str
    """From the widest to the narrowest: `Clothing > Shoes > Sport`."""

    attributes: list[str]
    description: str
    price: float
    """Dollars, without what its options cost."""

    options: dict[str, dict[str, float]]
    """The values of each option, and the dollars that each costs more."""

    def choose(self, options: dict[str, str], all_of_them: bool = False) -> tuple[dict[str, str], float]:
        """The options as the product names them, and the price with them.

        Args:
            options: Values by option; case doesn't count.
            all_of_them: Whether each option must have one, as for a purchase.

        Raises:
            ShopError: There is no such option or value, or one is missing.
        """
        chosen: dict[str, str] = {}
        for name, value in options.items():
            option = next((one for one in self.options if one.casefold() == name.strip().casefold()), None)
            if option is None:
                raise ShopError(NO_OPTION.format(product=self.id, name=name, names=", ".join(self.options)))
            values = self.options[option]
            found = next((one for one in values if one.casefold() == value.strip().casefold()), None)
            if found is None:
                listed = ", ".join(values)
                raise ShopError(NO_VALUE.format(product=self.id, name=option, value=value, values=listed))
            chosen[option] = found
        if all_of_them and (missing := [name for name in self.options if name not in chosen]):
            listed = "; ".join(f"{name} ({', '.join(self.options[name])})" for name in missing)
            raise ShopError(NOT_CHOSEN.format(product=self.id, names=listed))
        return chosen, round(self.price + sum(self.options[name][value] for name, value in chosen.items()), 2)


@dataclass(frozen=True)
class Goal:
    """What someone wants to buy."""

    id: str
    instruction: str
    """In the customer's words."""

    product: str
    """The id of a product that is all that is wanted; others may do as well."""

    attributes: list[str]
    options: dict[str, str]
    price_limit: float
    """Dollars."""


def find_products(query: str, page: int = 1) -> list[Product]:
    """A page of the products whose titles and kinds fit the query, the best by BM25 first; nothing behind the last one.

    Raises:
        ShopError: None does.
    """
    words = list(dict.fromkeys(re.findall(r"\w+", query.lower())))[:MOST_WORDS]
    with _open() as shop:
        found = shop.execute(
            "SELECT products.* FROM listings JOIN products ON products.rowid = listings.rowid"
            " WHERE listings MATCH ? ORDER BY bm25(listings), products.id LIMIT ? OFFSET ?",
            (" OR ".join(f'"{word}"' for word in words) or '""', PAGE, PAGE * (page - 1)),
        ).fetchall()
        if not found and page == 1:
            kinds = [row["kind"] for row in shop.execute("SELECT DISTINCT kind FROM products ORDER BY kind LIMIT 5")]
            raise ShopError(NOTHING.format(query=query, kinds=", ".join(kinds)))
    return [Product(**_values(row)) for row in found]


def get_product(number: str) -> Product:
    """The product with this id.

    Raises:
        ShopError: There is none.
    """
    with _open() as shop:
        row = shop.execute("SELECT * FROM products WHERE id = upper(trim(?))", (number,)).fetchone()
    if row is None:
        raise ShopError(NO_PRODUCT.format(number=number))
    return Product(**_values(row))


def all_products() -> list[Product]:
    """Every product, by id."""
    with _open() as shop:
        return [Product(**_values(row)) for row in shop.execute("SELECT * FROM products ORDER BY id")]


def all_goals() -> list[Goal]:
    """What customers want, for evaluations."""
    with _open() as shop:
        return [Goal(**_values(row)) for row in shop.execute("SELECT * FROM goals ORDER BY id")]


@contextmanager
def _open() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"{DATABASE.as_uri()}?mode=ro&immutable=1", uri=True)) as shop:
        shop.row_factory = sqlite3.Row
        yield shop


def _values(row: sqlite3.Row) -> dict[str, Any]:
    return {name: json.loads(row[name]) if name in AS_JSON else row[name] for name in row.keys()}  # noqa: SIM118
