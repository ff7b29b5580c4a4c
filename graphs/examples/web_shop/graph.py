"""Web shopping (section 5.4 of the paper): an environment that answers with pages, in which buying can't be undone.

    I want to buy running shoes, quick drying and lightweight, in color navy and size 11, for less than 70 dollars.

The first plan searches and opens several products at once; the joiner compares them; the second plan buys. A page is
named by its product's id, so runs share no session.
"""

import asyncio
from typing import Annotated, Any

from langchain_core.tools import BaseTool, ToolException, tool
from pydantic import Field
from typing_extensions import TypedDict

from agent import create_llm_compiler
from graphs.examples.web_shop import offline  # noqa: F401 — rules for the demo model
from graphs.examples.web_shop.catalogue import Product, ShopError, find_products, get_product


class Listing(TypedDict):
    """A product in the results of a search."""

    id: str
    title: str
    price: float


class Receipt(TypedDict):
    """A product with the options that were chosen, and its price with them in dollars."""

    id: str
    title: str
    price: float
    chosen: dict[str, str]


class Page(Receipt):
    """A product's page: it also shows what there is to choose, and what each value costs more."""

    description: str
    options: dict[str, dict[str, float]]


@tool(description="ten products a page, the best fits first; words for the kind of thing find more than its details")
async def search(query: str, page: Annotated[int, Field(ge=1, le=100)] = 1) -> list[Listing]:
    """Look for products by title and kind.

    Raises:
        ToolException: Nothing fits.
    """
    return [Listing(id=one.id, title=one.title, price=one.price) for one in await _visit(find_products, query, page)]


@tool(description="opens a product's page, with the price for the options that are chosen")
async def click(product: str, options: dict[str, str] = {}) -> Page:  # noqa: B006 (never changed)
    """Open a page of the shop.

    Raises:
        ToolException: There is no such product or option.
    """
    page = await _visit(get_product, product)
    chosen, price = await _visit(page.choose, options)
    return Page(**_receipt(page, chosen, price), description=page.description, options=page.options)


@tool(description="buys a product with a value for each of its options; this can't be undone")
async def buy(product: str, options: dict[str, str]) -> Receipt:
    """Buy. Here that changes nothing but the conversation: the receipt is all that there is of a purchase.

    Raises:
        ToolException: There is no such product or option, or one has not been chosen.
    """
    page = await _visit(get_product, product)
    return _receipt(page, *await _visit(page.choose, options, True))


# Not tried again; and a plan that was written after reading pages, which are someone else's words, needs approval for
# it (in a run without a checkpointer it fails; the context's `approve_side_effects=False` lets it buy).
buy.metadata = {"side_effects": True}


def _receipt(product: Product, chosen: dict[str, str], price: float) -> Receipt:
    return Receipt(id=product.id, title=product.title, price=price, chosen=chosen)


async def _visit(ask: Any, *arguments: Any) -> Any:
    try:
        return await asyncio.to_thread(ask, *arguments)
    except ShopError as error:
        raise ToolException(str(error)) from error


TOOLS: list[BaseTool] = [search, click, buy]

EXAMPLES = """\
Question: I want to buy a rain jacket, packable and hooded, in color teal and size M, for less than 90 dollars.
1. search("rain jacket packable hooded")
2. click.map($1.id)
3. join()

The same question, when P150 has turned out to fit best:
3. buy("P150", {"color": "teal", "size": "M"})
4. join()
"""
"""Several products are opened at once, before one is bought."""

graph = create_llm_compiler(TOOLS, examples=EXAMPLES, name="web_shop")
