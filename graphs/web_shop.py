"""Web shopping (section 5.4 of the paper): an environment that answers with pages, in which buying can't be undone.

    I want to buy running shoes, quick drying and lightweight, in color navy and size 11, for less than 70 dollars.

The first plan searches and opens several products at once; the joiner compares them; the second plan buys. Pages are
told from each other by the product's id, so runs share no session.
"""

import asyncio
from typing import Any

from langchain_core.tools import BaseTool, ToolException, tool
from typing_extensions import TypedDict

from agent import create_llm_compiler
from graphs import offline_examples  # noqa: F401 — the offline model's rules for this graph
from graphs.shop.catalogue import Product, ShopError, find_products, get_product


class Listing(TypedDict):
    """A product in the results of a search."""

    id: str
    title: str
    price: float


class Page(TypedDict):
    """A product's page, or the receipt of its purchase."""

    id: str
    title: str
    price: float
    description: str
    options: dict[str, dict[str, float]]
    chosen: dict[str, str]
    bought: bool


@tool(description="the products that fit a query best; words for the kind of thing find more than its details")
async def search(query: str) -> list[Listing]:
    """Look for products by title and kind.

    Raises:
        ToolException: Nothing fits.
    """
    return [Listing(id=one.id, title=one.title, price=one.price) for one in await _visit(find_products, query)]


@tool(
    description="opens a product's page, with the price for the chosen options (what a value costs more stands behind "
    "it); with buy=True buys it, for which each option must be chosen"
)
async def click(product: str, options: dict[str, str] = {}, buy: bool = False) -> Page:  # noqa: B006 (never changed)
    """Open a page of the shop, or buy.

    Raises:
        ToolException: There is no such product or option, or one has not been chosen.
    """
    return await _visit(_open_page, product, options, buy)  # type: ignore[no-any-return]


click.metadata = {"side_effects": True}  # a purchase is not tried again


def _open_page(number: str, options: dict[str, str], buy: bool) -> Page:
    product: Product = get_product(number)
    chosen, price = product.choose(options, all_of_them=buy)
    return Page(
        id=product.id,
        title=product.title,
        price=price,
        description=product.description,
        options=product.options,
        chosen=chosen,
        bought=buy,
    )


async def _visit(ask: Any, *arguments: Any) -> Any:
    try:
        return await asyncio.to_thread(ask, *arguments)
    except ShopError as error:
        raise ToolException(str(error)) from error


TOOLS: list[BaseTool] = [search, click]

EXAMPLES = """\
Question: I want to buy a rain jacket, packable and hooded, in color teal and size M, for less than 90 dollars.
1. search("rain jacket packable hooded")
2. click("$1[0].id")
3. click("$1[1].id")
4. click("$1[2].id")
5. click("$1[3].id")
6. click("$1[4].id")
7. join()

The same question, when P150 has turned out to fit best:
7. click("P150", options={"color": "teal", "size": "M"}, buy=True)
8. join()
"""
"""Several products are opened at once, before one is bought."""

graph = create_llm_compiler(TOOLS, examples=EXAMPLES, name="web_shop")
