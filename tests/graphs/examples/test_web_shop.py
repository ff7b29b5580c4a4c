"""The shop: its products and goals, its tools, the reward for a purchase, and the script that makes it all."""

import asyncio
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import ToolMessage
from langchain_core.tools import ToolException

from graphs.examples.web_shop import catalogue
from graphs.examples.web_shop.catalogue import ShopError, all_goals, all_products, find_products, get_product
from graphs.examples.web_shop.generate import make_goals, make_products, write_shop
from graphs.examples.web_shop.graph import buy, click, search
from graphs.examples.web_shop.reward import Purchase, find_purchase, has_attribute, reward, type_match

PRODUCTS = all_products()
GOALS = all_goals()
SHOES = next(product for product in PRODUCTS if product.kind == "running shoes")


def rows(path: Path) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(path)) as shop:
        return {table: shop.execute(f"SELECT * FROM {table}").fetchall() for table in ("products", "goals", "listings")}


def perfect(goal: catalogue.Goal) -> Purchase:
    product = get_product(goal.product)
    return Purchase(product.id, *product.choose(goal.options, all_of_them=True))


# --- what there is


def test_there_are_hundreds_of_products_of_many_kinds() -> None:
    kinds = Counter(product.kind for product in PRODUCTS)
    assert len(PRODUCTS) >= 300
    assert len(kinds) >= 20
    assert len({product.id for product in PRODUCTS}) == len(PRODUCTS)
    for product in PRODUCTS:
        assert product.kind in product.title
        assert product.price > 0
        assert len(product.attributes) >= 3
        assert all(len(values) >= 2 for values in product.options.values())
        assert all(has_attribute(product, attribute) for attribute in product.attributes)


def test_the_script_makes_the_shop_that_is_there(tmp_path: Path) -> None:
    write_shop(tmp_path / "shop.sqlite")
    assert rows(tmp_path / "shop.sqlite") == rows(catalogue.DATABASE)


def test_another_seed_makes_another_shop() -> None:
    assert make_products() == PRODUCTS == make_products()
    assert make_products(1) != PRODUCTS
    assert make_goals(PRODUCTS) == GOALS
    assert make_goals(PRODUCTS, seed=1) != GOALS


def test_a_goal_says_all_that_it_wants() -> None:
    assert len(GOALS) == 100
    for goal in GOALS:
        wanted = [*goal.attributes, *goal.options.values(), f"{goal.price_limit:.2f}", get_product(goal.product).kind]
        assert all(text in goal.instruction for text in wanted)


def test_the_shop_can_not_be_changed() -> None:
    with catalogue._open() as shop, pytest.raises(sqlite3.OperationalError, match="readonly"):
        shop.execute("DELETE FROM products")


# --- the tools


async def test_a_search_lists_products_of_the_kind_that_is_named() -> None:
    found = await search.ainvoke({"query": "Waterproof RUNNING shoe"})
    assert len(found) == 10
    assert all("running shoes" in listing["title"] for listing in found)
    assert "waterproof" in found[0]["title"]
    assert found == await search.ainvoke({"query": "Waterproof RUNNING shoe"})


async def test_further_products_are_on_further_pages() -> None:
    pages = [await search.ainvoke({"query": "standing desk", "page": page}) for page in (1, 2, 100)]
    desks = [product.id for product in PRODUCTS if product.kind == "standing desk"]
    assert [len(page) for page in pages[::2]] == [10, 0]
    assert set(desks) <= {listing["id"] for page in pages for listing in page}
    assert not {listing["id"] for listing in pages[0]} & {listing["id"] for listing in pages[1]}


@pytest.mark.parametrize("query", ["zorbo", "", '"', "NOT OR AND (", "*", "title:", "'; DROP --"])
async def test_a_search_for_anything_else_says_so(query: str) -> None:
    with pytest.raises(ToolException, match="Nothing in the shop fits"):
        await search.ainvoke({"query": query})


async def test_a_long_query_is_looked_for_by_its_first_words() -> None:
    found = await search.ainvoke({"query": "yoga mat " + " ".join(f"word{number}" for number in range(100_000))})
    assert all("yoga mat" in listing["title"] for listing in found)


@given(st.text(max_size=50))
def test_any_query_finds_products_or_nothing(query: str) -> None:
    try:
        assert find_products(query)
    except ShopError as error:
        assert "Nothing in the shop" in str(error)  # noqa: PT017 (both may be)


async def test_a_page_shows_the_product_and_the_price_of_the_chosen_options() -> None:
    dear = next(
        (one, name, value)
        for one in PRODUCTS
        for name in one.options
        for value in one.options[name].items()
        if value[1]
    )
    product, name, (value, more) = dear
    plain = await click.ainvoke({"product": f" {product.id.lower()} "})
    chosen = await click.ainvoke({"product": product.id, "options": {name.upper(): value.upper()}})
    assert plain == {
        "id": product.id,
        "title": product.title,
        "price": product.price,
        "chosen": {},
        "description": product.description,
        "options": product.options,
    }
    assert chosen == {**plain, "chosen": {name: value}, "price": round(product.price + more, 2)}


async def test_a_purchase_needs_a_value_for_each_option() -> None:
    name, *others = SHOES.options
    some = {name: next(iter(SHOES.options[name]))}
    with pytest.raises(ToolException, match=rf"To buy {SHOES.id}, choose a value for: {others[0]} \("):
        await buy.ainvoke({"product": SHOES.id, "options": some})
    every = {option: next(iter(values)) for option, values in SHOES.options.items()}
    _, price = SHOES.choose(every)
    receipt = await buy.ainvoke({"product": SHOES.id, "options": every})
    assert receipt == {"id": SHOES.id, "title": SHOES.title, "price": price, "chosen": every}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"product": "P1"}, "There is no product 'P1'"),
        ({"product": SHOES.id, "options": {"flavor": "mint"}}, "has no option 'flavor'; it has: color, size"),
        ({"product": SHOES.id, "options": {"size": "99"}}, "does not come with size '99'; choose one of"),
    ],
)
async def test_what_is_not_there_is_told_with_what_is(arguments: dict[str, Any], why: str) -> None:
    for tool in (click, buy):
        with pytest.raises(ToolException, match=why):
            await tool.ainvoke({"options": {}, **arguments})


def test_buying_is_a_side_effect_and_looking_is_none() -> None:
    assert buy.metadata == {"side_effects": True}
    assert not click.metadata
    assert not search.metadata


async def test_visitors_do_not_see_each_other() -> None:
    """Whatever the others click on, a page is what it was."""
    every = [{option: value} for option, values in SHOES.options.items() for value in values]
    pages = await asyncio.gather(*(click.ainvoke({"product": SHOES.id, "options": chosen}) for chosen in every * 5))
    assert [page["chosen"] for page in pages] == every * 5
    assert (await click.ainvoke({"product": SHOES.id}))["chosen"] == {}


# --- the reward


def test_just_what_is_wanted_is_worth_one_and_nothing_is_worth_nothing() -> None:
    for goal in GOALS:
        assert reward(goal, perfect(goal)) == 1.0
        assert reward(goal, None) == 0.0


def test_each_thing_that_is_missed_costs_its_share() -> None:
    goal = GOALS[0]
    best, most = perfect(goal), len(goal.attributes) + len(goal.options) + 1
    too_dear = Purchase(best.product, best.options, goal.price_limit + 0.01)
    no_options = Purchase(best.product, {}, best.price)
    assert reward(goal, too_dear) == pytest.approx((most - 1) / most)
    assert reward(goal, no_options) == pytest.approx((most - len(goal.options)) / most)


@given(st.sampled_from(GOALS), st.sampled_from(PRODUCTS), st.floats(0, 1000))
def test_a_reward_lies_between_nought_and_one_and_falls_with_the_type(
    goal: catalogue.Goal, product: catalogue.Product, price: float
) -> None:
    purchase = Purchase(product.id, goal.options, price)
    worth = reward(goal, purchase)
    assert 0 <= worth <= type_match(get_product(goal.product), product) <= 1
    assert reward(goal, Purchase(product.id, goal.options, 0.0)) >= worth


def product(title: str, kind: str, category: str) -> catalogue.Product:
    return catalogue.Product("P1", title, kind, category, [], "", 1.0, {})


RUNNING = product("Quux running shoes, light, breathable, vegan", "running shoes", "Clothing > Shoes > Sport")


@pytest.mark.parametrize(
    ("bought", "worth"),
    [
        (product("Zorbo shoes", "running shoes", "Toys > Baby > Games"), 1.0),
        (product("Zorbo shoes", "trail shoes", "Clothing > Shoes > Trail"), 1.0),
        (product("Zorbo baby shoes, vegan", "baby shoes", "Toys > Baby > Shoes"), 1.0),
        (product("Zorbo baby shoes", "baby shoes", "Toys > Baby > Shoes"), 0.5),
        (product("Zorbo lamp", "lamp", "Home > Lighting > Lamps"), 0.0),
        (product("Zorbo lamp", "lamp", "Clothing > Shoes > Sport"), 0.0),
    ],
)
def test_the_type_counts_by_kind_category_and_title(bought: catalogue.Product, worth: float) -> None:
    assert type_match(RUNNING, bought) == worth


def test_the_last_purchase_of_a_conversation_counts() -> None:
    def called(tool: str, identity: str, **options: Any) -> ToolMessage:
        receipt = {"id": identity, "chosen": {}, "price": 1.0}
        return ToolMessage("", artifact=receipt, name=tool, tool_call_id=identity, **options)

    assert find_purchase([]) is None
    assert find_purchase([called("click", "P1"), called("buy", "P2", status="error")]) is None
    assert find_purchase([called("buy", "P1"), called("buy", "P2"), called("click", "P3")]) == Purchase("P2", {}, 1.0)
    text = ToolMessage('{"id": "P4", "chosen": {}, "price": 4.0}', name="buy", tool_call_id="4")
    assert find_purchase([text]) == Purchase("P4", {}, 4.0)
