"""How good a purchase is, from 0 to 1, as WebShop has it (Yao et al., 2022, arXiv 2207.01206, section 3.1):

    reward = type * (attributes that match + options that match + 1 if the price is kept)
                  / (attributes wanted     + options wanted     + 1)

`type` is 1 for the kind of thing that is wanted, and less for another one. For an agent:

    goal = all_goals()[0]
    run = graph.invoke({"messages": goal.instruction}, context={"approve_side_effects": False})
    reward(goal, find_purchase(run["messages"]))
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher

from langchain_core.messages import BaseMessage, ToolMessage

from graphs.examples.web_shop.catalogue import Goal, Product, get_product

ALIKE = 0.85
"""How much of two texts must agree to count as the same, as a share of their letters."""


@dataclass(frozen=True)
class Purchase:
    """What was bought."""

    product: str
    """Its id."""

    options: Mapping[str, str]
    price: float
    """Dollars, with the options."""


def reward(goal: Goal, purchase: Purchase | None) -> float:
    """How well the purchase fits the goal; 0.0 if nothing was bought."""
    if purchase is None:
        return 0.0
    wanted, bought = get_product(goal.product), get_product(purchase.product)
    attributes = sum(has_attribute(bought, attribute) for attribute in goal.attributes)
    options = sum(purchase.options.get(name) == value for name, value in goal.options.items())
    kept = purchase.price <= goal.price_limit
    most = len(goal.attributes) + len(goal.options) + 1
    return type_match(wanted, bought) * (attributes + options + kept) / most


def type_match(wanted: Product, bought: Product) -> float:
    """1.0, 0.5, 0.1 or 0.0: how much the kinds of two products agree, by their kinds, categories and titles."""
    words, others = _words(wanted.title), _words(bought.title)
    shared = len(words & others) / len(words)
    if shared == 0:
        return 0.0
    if shared < 0.1:
        return 0.1
    levels = set(wanted.category.split(" > ")) & set(bought.category.split(" > "))
    return 1.0 if wanted.kind == bought.kind or len(levels) >= 2 or shared > 0.2 else 0.5


def has_attribute(product: Product, attribute: str) -> bool:
    """Whether the product has the attribute, or says so in its title or description."""
    asked, text = attribute.casefold(), f"{product.title} {product.description}".casefold()
    return asked in text or any(SequenceMatcher(None, asked, one).ratio() >= ALIKE for one in product.attributes)


def find_purchase(messages: Iterable[BaseMessage]) -> Purchase | None:
    """The last purchase of a conversation, whichever agent made it; None if there is none."""
    found = None
    for message in messages:
        if isinstance(message, ToolMessage) and message.name == "buy" and message.status == "success":
            receipt = message.artifact or json.loads(str(message.text))
            found = Purchase(receipt["id"], receipt["chosen"], receipt["price"])
    return found


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))
