"""Makes `shop.sqlite` from `wares.json`: `python -m graphs.examples.web_shop.generate`. One seed makes one shop."""

import json
import sqlite3
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

from graphs.examples.web_shop.catalogue import DATABASE, Goal, Product

SEED = 24
PRODUCTS_PER_KIND = 15
GOALS = 100
WARES = Path(__file__).with_name("wares.json")

TABLES = """
CREATE TABLE products (id TEXT UNIQUE, title TEXT, kind TEXT, category TEXT, attributes TEXT, description TEXT,
    price REAL, options TEXT);
CREATE TABLE goals (id TEXT UNIQUE, instruction TEXT, product TEXT, attributes TEXT, options TEXT, price_limit REAL);
CREATE VIRTUAL TABLE listings USING fts5(title, kind, category, content='products', tokenize='porter');
"""


def make_products(seed: int = SEED) -> list[Product]:
    """The products, some of each kind. A title tells of two attributes at most; the page tells of all."""
    random = Random(seed)
    products: list[Product] = []
    wares = json.loads(WARES.read_text(encoding="utf-8"))
    for kind in wares["kinds"]:
        for _ in range(PRODUCTS_PER_KIND):
            attributes = random.sample(kind["attributes"], random.randint(3, 6))
            shown = attributes[: random.randint(0, 2)]
            title = ", ".join([f"{random.choice(wares['brands'])} {kind['name']}", *shown])
            low, high = kind["price"]
            base = round(random.triangular(low, high, low + (high - low) / 4)) - 0.05
            products.append(
                Product(
                    id=f"P{len(products) + 101}",
                    title=title,
                    kind=kind["name"],
                    category=kind["category"],
                    attributes=sorted(attributes),
                    description=f"{', '.join(sorted(attributes)).capitalize()}. {random.choice(wares['sentences'])}",
                    price=round(base, 2),
                    options={name: _make_option(random, values, base) for name, values in kind["options"].items()},
                )
            )
    return products


def make_goals(products: list[Product], seed: int = SEED) -> list[Goal]:
    """What customers want: two attributes and a value for each option of some product, and a price that it keeps."""
    random = Random(seed + 1)
    goals = []
    for number, product in enumerate(random.sample(products, GOALS), 1):
        attributes = random.sample(product.attributes, 2)
        options = {name: random.choice(list(values)) for name, values in product.options.items()}
        _, price = product.choose(options, all_of_them=True)
        limit = float((int(price) // 10 + random.randint(1, 2)) * 10)
        wanted = " and ".join(f"{name} {value}" for name, value in options.items())
        text = f"{product.kind}, {' and '.join(attributes)}, in {wanted}, for less than {limit:.2f} dollars"
        goals.append(Goal(f"G{number:03}", f"I want to buy {text}.", product.id, attributes, options, limit))
    return goals


def write_shop(path: Path) -> None:
    """Write the shop to a new file, in place of one that is there."""
    path.unlink(missing_ok=True)
    products = make_products()
    with closing(sqlite3.connect(path)) as shop, shop:
        shop.executescript(TABLES)
        for table, rows in (("products", products), ("goals", make_goals(products))):
            for row in rows:
                values = [
                    json.dumps(value) if isinstance(value, list | dict) else value for value in asdict(row).values()
                ]
                places = ", ".join("?" * len(values))
                shop.execute(f"INSERT INTO {table} ({', '.join(asdict(row))}) VALUES ({places})", values)
        shop.execute("INSERT INTO listings (listings) VALUES ('rebuild')")
        shop.execute("INSERT INTO listings (listings) VALUES ('optimize')")


def _make_option(random: Random, values: list[str], price: float) -> dict[str, Any]:
    """Some of the values, in their order; now and then one that costs more."""
    kept = sorted(random.sample(range(len(values)), random.randint(min(2, len(values)), len(values))))
    extra = [0.0 if random.random() < 0.8 else round(price * random.choice((0.05, 0.1, 0.2)), 2) for _ in kept]
    return {values[place]: more for place, more in zip(kept, extra, strict=True)}


if __name__ == "__main__":
    write_shop(DATABASE)
    sys.stdout.write(f"{DATABASE}\n")
