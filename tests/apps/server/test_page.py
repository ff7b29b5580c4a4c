"""The page in a real Chromium: the real server and the real agent behind it, the model scripted."""

import asyncio
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

import pytest
import pytest_asyncio
import uvicorn
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.config import get_stream_writer
from langgraph.types import interrupt
from playwright.async_api import Browser, Error, Page, async_playwright, expect
from pydantic import SecretStr

from agent import create_llm_compiler
from agent.language.values import for_people
from apps.runs.graphs import Graph
from apps.server.app import create_app
from apps.server.limits import Limits
from tests.support import PATIENCE
from tests.support.demo import AGENT  # demo
from tests.support.model_server import Control, Cut, Gate, HttpError, ModelServer, Reply
from tests.support.serving import Uvicorn, app_of

# The first has no window to draw, and takes the least CPU.
BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
# Without sandbox, because tests may run as root; the others keep it from looking for its maker's servers.
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
EVIL = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>$9"

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not CHROMIUM, reason="There is no Chromium here: apt-get install chromium-headless-shell"),
]


# --- the server, the browser, and what a test does with them


class Server:
    """One for all tests, from which the browser has the page's files once. What answers is the app of a test."""

    app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)

    async def __aenter__(self) -> Self:
        config = uvicorn.Config(
            self, port=0, lifespan="off", log_config=None, timeout_graceful_shutdown=1, timeout_keep_alive=600
        )
        self._uvicorn = Uvicorn(config)
        self._serving = asyncio.create_task(self._uvicorn.serve())
        await self._uvicorn.listening.wait()
        self.url = f"http://127.0.0.1:{self._uvicorn.servers[0].sockets[0].getsockname()[1]}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._uvicorn.should_exit = True
        await self._serving

    @asynccontextmanager
    async def answering(self, app: Any) -> AsyncIterator[Self]:
        """With an app, from its start to its end."""
        async with app.router.lifespan_context(app):
            self.app = app
            yield self

    def drop_connections(self) -> None:
        """As when the machine dies: nobody says goodbye."""
        for connection in list(self._uvicorn.server_state.connections):
            connection.transport.abort()


Doors = defaultdict[str, asyncio.Event]
DOORS = Doors(asyncio.Event)
"""Tools wait at theirs until the test lets them go on."""

Serve = Callable[..., Awaitable[Server]]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        expect.set_options(timeout=1000 * PATIENCE)
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS, timeout=1000 * PATIENCE)
        yield browser
        await browser.close()


@pytest.fixture
def complaints() -> list[str]:
    """What a page's console may not hold, but does; a test that makes the browser complain takes it out."""
    return []


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def tab(browser: Browser) -> Page:
    """Where tests without wishes of their own open the page: a new tab costs three times as much as a page in it."""
    page = await browser.new_page(reduced_motion="reduce")  # what moves without an end is half of the work
    page.set_default_timeout(1000 * PATIENCE)
    return page


@pytest_asyncio.fixture(loop_scope="module")
async def open_page(
    browser: Browser, tab: Page, complaints: list[str]
) -> AsyncIterator[Callable[..., Awaitable[Page]]]:
    """Opens a page whose errors fail the test."""
    listeners: dict[str, Callable[[Any], None]] = {
        "pageerror": lambda error: complaints.append(f"page: {error}"),
        "dialog": lambda dialog: complaints.append(f"dialog: {dialog.message}"),
        "console": lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None,
    }

    async def open_(url: str, width: int = 1280, height: int = 900, **options: Any) -> Page:
        page = tab
        if options:
            page = await browser.new_page(reduced_motion="reduce", **options)
            page.set_default_timeout(1000 * PATIENCE)
            leaving.push_async_callback(page.close)
        await page.set_viewport_size({"width": width, "height": height})
        for event, listener in listeners.items():
            page.on(event, listener)  # type: ignore[call-overload]
            leaving.callback(page.remove_listener, event, listener)
        await page.goto(url)
        return page

    async with AsyncExitStack() as leaving:
        yield open_
        await tab.unroute_all()
        if tab.url.startswith("http"):
            await tab.evaluate("sessionStorage.clear(), localStorage.clear()")
        await tab.goto("about:blank")
    assert not complaints


@pytest.fixture
def doors() -> Doors:
    DOORS.clear()
    return DOORS


@tool
async def search(query: str, context: str = "") -> str:
    """looks something up"""
    await DOORS[query].wait()
    return f"found {query} {EVIL}"


@tool
async def quick(text: str) -> str:
    """says the same"""
    return text


@tool
async def fail(text: str) -> str:
    """never works"""
    raise ValueError(f"broken {text}")


@tool
async def tell(text: str) -> str:
    """tells its progress in words of its own"""
    get_stream_writer()({"type": "task_progress", "percent": 50})
    return text


@tool
async def ask_back(question: str) -> str:
    """asks the user"""
    return f"you said {interrupt({'question': question})}"


@tool
async def book(flight: str, seats: int = 1) -> str:
    """books a flight"""
    return f"booked {seats} on {flight}"


book.metadata = {"requires_approval": True}
TOOLS = [search, quick, fail, tell, ask_back, book]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server() -> AsyncIterator[Server]:
    async with Server() as server:
        yield server


@pytest.fixture(scope="module")
def graph(_running_model_server: ModelServer) -> Graph:
    """An agent with the scripted model. To make one takes as long as a question."""
    options: Any = {"base_url": _running_model_server.base_url, "api_key": "test", "max_retries": 0}
    return create_llm_compiler(TOOLS, model=ChatOpenAI(model="test-model", stream_usage=True, **options))


@pytest_asyncio.fixture(loop_scope="module")
async def serve(server: Server, graph: Graph, model_server: ModelServer, doors: Doors) -> AsyncIterator[Serve]:
    """Serves the agent, in the place of the one before."""

    async with AsyncExitStack() as stack:

        async def start(database: str | None = None, **limits: Any) -> Server:
            await stack.aclose()
            app = stack.enter_context(app_of(graph, Limits(**limits), database))
            return await stack.enter_async_context(server.answering(app))

        yield start


async def ask(page: Page, question: str = "What is it?") -> None:
    await page.get_by_label("Question").fill(question)
    await page.get_by_label("Question").press("Enter")


def node(page: Page, key: str, state: str | None = None) -> Any:
    """The node of a task, in a state."""
    return page.locator(f'.node[data-key="{key}"]' + (f'[data-state="{state}"]' if state else ""))


def row(page: Page, key: str, state: str | None = None) -> Any:
    """The same in the timeline."""
    return page.locator(f'.row[data-key="{key}"]' + (f'[data-state="{state}"]' if state else ""))


async def answered(page: Page, answer: str) -> None:
    await expect(page.get_by_role("region", name="Answer").last).to_have_text(answer)
    await expect(page.get_by_role("status").first).to_have_text("Done")


async def fits(page: Page) -> bool:
    """Whether nothing has to be scrolled to the right."""
    return bool(await page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


# --- a run


async def test_a_question_is_seen_compiling(
    serve: Serve, open_page: Any, model_server: ModelServer, doors: Doors
) -> None:
    second, third, end = Gate(), Gate(), Gate()
    plan: list[str | Control] = [
        '1. search("K2")\n',
        second,
        '2. search("Everest")\n3. quick("$1 $2")\n',
        third,
        "4. join()",
    ]
    model_server.script(planner=[Reply(plan)], joiner=[Reply(["238 metres", end, " taller."])])
    page: Page = await open_page((await serve()).url)
    await ask(page, "How much taller is it?")

    await expect(node(page, "1", "running")).to_be_visible()
    await expect(page.get_by_label("The plan as the model wrote it")).to_have_text('1. search("K2")')
    await expect(page.get_by_role("heading", name="How much taller is it?")).to_be_visible()
    await expect(page.get_by_role("status")).to_have_text("Planning")
    await expect(page.locator(".node")).to_have_count(1)
    await expect(page.get_by_role("button", name="Ask", exact=True)).to_be_disabled()
    place = "one => [one.style.left, one.style.top]"
    before = await node(page, "1").evaluate(place)

    second.open()
    await expect(node(page, "2", "running")).to_be_visible()
    await expect(node(page, "3", "planned")).to_contain_text("planned")
    await expect(page.locator(".edges path")).to_have_count(2)
    assert await node(page, "1").evaluate(place) == before, "nodes stay where they are"
    await expect(row(page, "2", "running")).to_be_visible()
    await expect(row(page, "3", "planned")).to_be_visible()

    doors["K2"].set()
    await expect(node(page, "1", "done")).to_be_visible()
    await expect(page.locator('.edges path[data-state="done"]')).to_have_count(1)
    third.open()
    await expect(page.get_by_role("status")).to_have_text("Running the tasks")
    await expect(page.locator(".numbers")).to_contain_text("1 of 3 tasks")

    doors["Everest"].set()
    await expect(node(page, "3", "done")).to_be_visible()
    await expect(page.get_by_role("status")).to_have_text("Answering")
    await expect(page.get_by_role("region", name="Answer")).to_have_text("238 metres")
    end.open()
    await answered(page, "238 metres taller.")
    summary = page.get_by_label("Summary")
    for fact in ("Total", "One after another", "Tasks", "Tokens", "test-model"):
        await expect(summary).to_contain_text(fact)
    await expect(page.locator(".row")).to_have_count(5)
    await expect(page.get_by_role("button", name="Ask", exact=True)).to_be_enabled()


async def test_nothing_from_outside_becomes_markup(
    serve: Serve, open_page: Any, model_server: ModelServer, doors: Doors
) -> None:
    doors["x"].set()
    model_server.script(
        planner=[f'Thought: {EVIL}\n1. search("x")\n2. fail("{EVIL}")\n3. nothing("{EVIL}")\n4. join()'],
        joiner=[Reply("", [("replan", {"feedback": EVIL})]), EVIL],
    )
    model_server.script(planner=["5. join()"])
    page: Page = await open_page((await serve()).url)
    await ask(page, EVIL)
    await answered(page, EVIL)
    await expect(page.get_by_role("heading", name=EVIL)).to_be_visible()
    await expect(page.get_by_text(f"Planned again: {EVIL}")).to_be_visible()
    for key in ("1", "2", "3"):
        await node(page, key).click()
        await expect(page.locator(".details .outcome")).to_contain_text("<script>" if key != "3" else "no tool")
    await expect(page.locator("#turns img, #turns script")).to_have_count(0)
    assert await page.evaluate("window.hacked") is None


MARKDOWN = f"""\
# Heights

It is **hot**, `2**3**2`, {EVIL}, see [docs](https://example.org) and https://example.com.
Not [this](javascript:alert(1)), ![nor](x.png), nor 2 ** 3, 5**6 + 7**8*9*2. **Open

- Rome, **21** °C
- Oslo
  1. in *summer*

| city | °C |
|---|---|
| Rome | 21 |

```python
print("<b>")
```
"""


async def test_markdown_of_an_answer_is_shown_so(serve: Serve, open_page: Any, model_server: ModelServer) -> None:
    model_server.script(planner=["1. join()"], joiner=[MARKDOWN])
    page: Page = await open_page((await serve()).url)
    await ask(page)
    shown = page.get_by_role("region", name="Answer")
    await expect(shown).to_contain_text("nor 2 ** 3, 5**6 + 7**8*9*2. **Open")
    for selector, texts in {
        "h3": ["Heights"],
        "strong": ["hot", "21"],
        "em": ["summer"],
        "code": ["2**3**2", 'print("<b>")'],
        "ol li": ["in summer"],
        "td": ["Rome", "21"],
        "a": ["docs", "https://example.com", "nor"],
    }.items():
        await expect(shown.locator(selector)).to_have_text(texts)
    await expect(page.locator("#turns img, #turns script, #turns b")).to_have_count(0)
    assert await page.evaluate("window.hacked") is None


HOSTILE = ("**a ", "[", "[[[[", "![", ">>>>", "> ", "`a``b```", "- ", "*_", "|a", "<", "&", "1. ", "#", "~~a ", "\\")
RICH_TEXT = """async (texts) => {
  const { richText } = await import("/rich_text.js");
  return texts.map(text => {
    const made = document.createElement("div");
    made.append(...richText(text));
    return [made.innerText.length, [...made.querySelectorAll("*")].map(one => one.localName).join()];
  });
}"""


async def test_hostile_markdown_is_text_in_no_time(serve: Serve, open_page: Any) -> None:
    page: Page = await open_page((await serve()).url)
    *made, too_long = await page.evaluate(
        RICH_TEXT, [marks * (50_000 // len(marks)) for marks in HOSTILE] + ["- " * 40_000]
    )
    assert too_long == [80_000, "p"], "it is not read"
    assert "script" not in str(made)


async def test_the_policy_forbids_markup_made_of_text(
    serve: Serve, open_page: Any, complaints: list[str], model_server: ModelServer
) -> None:
    page: Page = await open_page((await serve()).url)
    for attempt in ("document.body.innerHTML = '<p>'", "document.createElement('script').text = '1'"):
        with pytest.raises(Error, match=r"This document requires 'Trusted(HTML|Script)' assignment"):
            await page.evaluate(attempt)
    picture = "document.body.append(Object.assign(new Image(), {src: 'https://example.org/x.png'}))"
    await page.evaluate(picture)
    await expect(page.locator("body > img")).to_have_count(1)
    assert all("Trusted" in complaint or "Content Security Policy" in complaint for complaint in complaints), complaints
    assert any("example.org" in complaint for complaint in complaints)
    complaints.clear()


async def test_the_link_to_the_api_leads_to_its_description(serve: Serve, open_page: Any) -> None:
    server = await serve()
    page: Page = await open_page(server.url)
    described = await page.request.get(
        server.url + str(await page.get_by_role("link", name="API").get_attribute("href"))
    )
    assert "/agent/stream" in (await described.json())["paths"]


async def test_a_failing_tool(serve: Serve, open_page: Any, model_server: ModelServer) -> None:
    model_server.script(planner=['1. fail("tool")\n2. quick("$1")\n3. quick("fine")\n4. join()'], joiner=["No luck."])
    page: Page = await open_page((await serve()).url)
    await ask(page)
    await answered(page, "No luck.")
    await expect(node(page, "1", "failed")).to_contain_text("failed")
    await expect(node(page, "2", "skipped")).to_contain_text("skipped")
    await expect(node(page, "3", "done")).to_be_visible()
    await expect(page.locator(".numbers")).to_contain_text("2 without a result")
    await row(page, "1").click()
    details = page.get_by_label("Details of the task")
    await expect(details).to_contain_text("Why there is no result")
    await expect(details).to_contain_text("broken tool")
    await details.get_by_role("button", name="Close the details").click()
    await expect(details).to_be_hidden()


async def test_what_only_a_tool_knows_of_is_not_shown(serve: Serve, open_page: Any, model_server: ModelServer) -> None:
    model_server.script(planner=['1. tell("a")\n2. join()'], joiner=["a"])
    page: Page = await open_page((await serve()).url)
    await ask(page)
    await answered(page, "a")
    await expect(page.locator(".numbers")).to_contain_text("1 task ")
    await expect(node(page, "1", "done")).to_be_visible()


async def test_a_second_plan_comes_after_the_first(serve: Serve, open_page: Any, model_server: ModelServer) -> None:
    model_server.script(
        planner=['1. fail("a")\n2. join()', '3. quick("b")\n4. quick("$3 $1")\n5. join()'],
        joiner=[Reply("", [("replan", {"feedback": "There is no a yet."})]), "b it is."],
    )
    page: Page = await open_page((await serve()).url)
    await ask(page)
    await answered(page, "b it is.")
    await expect(page.locator(".round")).to_have_count(2)
    await expect(page.locator(".round").last).to_contain_text("Planned again: There is no a yet.")
    await expect(page.get_by_label("Tasks of plan 1").locator(".node")).to_have_count(1)
    await expect(page.get_by_label("Tasks of plan 2").locator(".node")).to_have_count(2)
    await expect(page.locator(".row .tool")).to_have_text(
        ["plan 1", "fail", "join 1", "plan 2", "quick", "quick", "join 2"]
    )


@pytest.mark.parametrize("tasks", [2, 12, 30])
async def test_names_of_tools_are_not_cut(serve: Serve, open_page: Any, model_server: ModelServer, tasks: int) -> None:
    chain = "".join(f'{number}. quick("${number - 1}")\n' for number in range(2, tasks))
    model_server.script(planner=[f'1. quick("a")\n{chain}{tasks}. book("A")\n{tasks + 1}. join()'])
    page: Page = await open_page((await serve()).url)
    await ask(page)
    await expect(node(page, str(tasks), "paused")).to_contain_text("paused")
    cut = """texts => texts.filter(text => text.scrollWidth > text.clientWidth).map(text => text.textContent)"""
    for width in (1280, 400):
        await page.set_viewport_size({"width": width, "height": 900})
        assert await page.locator(".node .tool, .node .state").evaluate_all(cut) == []
        assert await fits(page)


async def test_what_runs_is_kept_in_sight_until_the_reader_scrolls(
    serve: Serve, open_page: Any, model_server: ModelServer, doors: Doors
) -> None:
    chain = "".join(f'{number}. search("{number}", "${number - 1}")\n' for number in range(2, 13))
    model_server.script(planner=[f'1. search("1")\n{chain}13. join()'], joiner=["Done."])
    page: Page = await open_page((await serve()).url, 800)
    await ask(page)
    await expect(node(page, "12")).to_be_attached()
    await expect(node(page, "12")).not_to_be_in_viewport()
    for number in range(1, 11):
        doors[str(number)].set()
    await expect(node(page, "11", "running")).to_be_in_viewport(ratio=1)
    graph = page.get_by_label("Tasks of plan 1")
    await graph.evaluate("one => one.scrollTo(0, 0)")
    await expect(node(page, "1")).to_be_in_viewport(ratio=1)
    doors["11"].set()
    await expect(node(page, "12", "running")).not_to_be_in_viewport()
    doors["12"].set()
    await answered(page, "Done.")
    await expect(node(page, "1")).to_be_in_viewport()


async def test_elements_of_a_map_are_nodes_and_many_are_one(
    serve: Serve, open_page: Any, model_server: ModelServer
) -> None:
    many = ", ".join(f'"{number}"' for number in range(40))
    plan = f'1. quick.map(["a", "b"])\n2. quick.map($1)\n3. quick.map([{many}])\n4. quick("$2[0] $3[:]")\n5. join()'
    model_server.script(planner=[plan], joiner=["All."])
    page: Page = await open_page((await serve()).url)
    await ask(page)
    await answered(page, "All.")
    keys = await page.locator(".node").evaluate_all("nodes => nodes.map(node => node.dataset.key)")
    assert keys == ["1[0]", "1[1]", "2[0]", "2[1]", "3[*]", "4"]
    edges = await page.locator(".edges path").evaluate_all("paths => paths.map(path => path.dataset.from)")
    assert sorted(edges) == ["1[0]", "1[1]", "2[0]", "3[*]"], "an element needs one other, and 4 needs one and many"
    await expect(node(page, "3[*]", "done")).to_contain_text("40/40")
    await node(page, "3[*]").click()
    details = page.get_by_label("Details of the task")
    await details.get_by_role("button", name="3[39]").click()
    await expect(details.locator(".outcome")).to_have_text("39")


async def test_a_call_that_was_made_before_says_so(serve: Serve, open_page: Any, model_server: ModelServer) -> None:
    model_server.script(planner=['1. quick("a")\n2. quick("a")\n3. join()'], joiner=["a"])
    page: Page = await open_page((await serve()).url)
    await ask(page)
    await answered(page, "a")
    await expect(node(page, "2", "done")).to_contain_text("reused")
    await expect(row(page, "2").locator(".took")).to_have_text("reused")
    await expect(row(page, "1").locator(".bar")).to_be_visible()
    await expect(row(page, "2").locator(".bar")).to_be_hidden()
    await node(page, "2").click()
    await expect(page.locator(".details")).to_contain_text("the same call as 1, made once")


async def test_a_hundred_tasks(serve: Serve, open_page: Any, model_server: ModelServer) -> None:
    lines = [f'{number}. quick("{number}")\n' for number in range(1, 50)]
    lines += [f'{number}. quick("of ${number - 49}")\n' for number in range(50, 99)]
    plan = Reply([*lines, '99. quick("$98")\n', "100. join()"], split=False)
    model_server.script(planner=[plan], joiner=["Done."])
    page: Page = await open_page((await serve()).url)
    await ask(page)
    await answered(page, "Done.")
    await expect(page.locator(".node[data-state=done]")).to_have_count(99)
    await expect(page.locator('.node[tabindex="0"]')).to_have_count(1)
    assert await fits(page)
    assert await page.evaluate("document.documentElement.scrollHeight") < 3 * 900, "long lists scroll in themselves"


async def test_a_follow_up_goes_on_with_the_conversation(
    serve: Serve, open_page: Any, model_server: ModelServer
) -> None:
    model_server.script(planner=['1. quick("a")\n2. join()', '2. quick("b")\n3. join()'], joiner=["It is a.", "And b."])
    page: Page = await open_page((await serve()).url)
    await ask(page, "First?")
    await answered(page, "It is a.")
    await ask(page, "Second?")
    await answered(page, "And b.")
    assert "It is a." in str((await model_server.exchange(1, "planner")).request.messages)
    await expect(page.locator(".work:visible")).to_have_count(1)
    await page.get_by_role("button", name="Show work").click()
    await expect(page.locator(".work:visible")).to_have_count(2)

    model_server.script(planner=['1. quick("c")\n2. join()'], joiner=["It is c."])
    await page.get_by_role("button", name="New conversation").click()
    await expect(page.locator(".turn")).to_have_count(0)
    await ask(page, "Third?")
    await answered(page, "It is c.")
    assert "It is a." not in str((await model_server.exchange(2, "planner")).request.messages)


async def test_a_question_too_early_is_told_why_it_is_not_asked(
    serve: Serve, open_page: Any, model_server: ModelServer, doors: Doors
) -> None:
    model_server.script(planner=['1. search("a")\n2. book("$1")\n3. join()'], joiner=["Booked."])
    page: Page = await open_page((await serve()).url)
    await ask(page)
    await expect(node(page, "1", "running")).to_be_visible()
    await ask(page, "And then?")
    await expect(page.get_by_text("still being answered")).to_be_visible()
    await expect(page.get_by_label("Question")).to_have_value("And then?")
    doors["a"].set()
    await expect(page.get_by_label("Call of book")).to_be_visible()
    await expect(page.get_by_placeholder("Waiting for your approval")).to_be_visible()
    await page.get_by_label("Question").press("Enter")
    await expect(page.get_by_text("waits for your approval")).to_be_visible()
    await page.get_by_role("button", name="Approve", exact=True).click()
    await answered(page, "Booked.")
    await expect(page.get_by_text("waits for your approval")).to_have_count(0)
    await expect(page.locator(".turn")).to_have_count(1)


# --- approval


async def test_a_call_is_approved(serve: Serve, open_page: Any, model_server: ModelServer) -> None:
    model_server.script(planner=['1. quick("SK 1")\n2. book("$1")\n3. join()'], joiner=["Booked."])
    page: Page = await open_page((await serve()).url)
    await ask(page)
    card = page.get_by_label("Call of book")
    await expect(card).to_contain_text('"flight": "SK 1"')
    await expect(card.get_by_role("button", name="Approve")).to_be_in_viewport(ratio=1)
    await expect(page.get_by_role("status").first).to_be_in_viewport(ratio=1)
    await expect(card).to_contain_text("books a flight")
    await expect(page.get_by_role("status").first).to_have_text("Waiting for your approval")
    await expect(node(page, "2", "paused")).to_contain_text("paused")
    await card.get_by_role("button", name="Approve").click()
    await answered(page, "Booked.")
    await expect(card).to_have_count(0)
    await expect(page.locator(".round")).to_have_count(1)
    await expect(page.locator(".node")).to_have_count(2)
    await node(page, "2", "done").click()
    await expect(page.locator(".details .outcome")).to_have_text("booked 1 on SK 1")


async def test_the_time_of_a_run_that_paused_is_what_it_took_in_all(
    serve: Serve, open_page: Any, model_server: ModelServer
) -> None:
    model_server.script(planner=[Reply('1. book("A")\n2. join()', first_token=0.2)], joiner=["It is booked."])
    page: Page = await open_page((await serve()).url)
    await ask(page)
    await page.get_by_role("button", name="Approve", exact=True).click()
    await answered(page, "It is booked.")
    summary = dict(
        zip(await page.locator("dt").all_inner_texts(), await page.locator("dd").all_inner_texts(), strict=True)
    )
    assert float(summary["Total"].removesuffix(" s")) >= 0.2, "the plan before the pause counts"
    assert "One after another" not in summary
    assert "Infinity" not in str(summary)
    assert "NaN" not in str(summary)


async def test_calls_are_edited_rejected_and_answered_in_their_place(
    serve: Serve, open_page: Any, model_server: ModelServer
) -> None:
    model_server.script(planner=['1. book("A")\n2. book("B")\n3. book("C")\n4. join()'], joiner=["Done so."])
    page: Page = await open_page((await serve()).url)
    await ask(page)
    cards = page.get_by_label("Call of book")
    await expect(cards).to_have_count(3)
    go_on = page.get_by_role("button", name="Go on")

    first = cards.nth(0)
    await first.get_by_role("button", name="Edit").click()
    await first.get_by_label("Arguments, as JSON").fill('{"flight": "A", "seats": ')
    await first.get_by_role("button", name="Approve these").click()
    await expect(first.get_by_role("alert")).to_contain_text("This is not JSON")
    await first.get_by_label("Arguments, as JSON").fill('{"flight": "A", "seats": 3}')
    await first.get_by_role("button", name="Approve these").click()
    await expect(first).to_contain_text("Approved with changes")

    second = cards.nth(1)
    await second.get_by_role("button", name="Approve").click()
    await second.get_by_role("button", name="Change").click()
    await second.get_by_role("button", name="Reject").click()
    await second.get_by_label("Why not?").fill("too dear")
    await second.get_by_role("button", name="Reject").click()
    await expect(go_on).to_be_disabled()

    third = cards.nth(2)
    await third.get_by_role("button", name="Respond").click()
    await third.get_by_label("The result to use").fill("I have a ticket")
    await third.get_by_role("button", name="Respond").click()
    await go_on.click()
    await answered(page, "Done so.")
    for key, state, said in (
        ("1", "done", "booked 3 on A"),
        ("2", "failed", "too dear"),
        ("3", "done", "I have a ticket"),
    ):
        await node(page, key, state).click()
        await expect(page.locator(".details .outcome")).to_contain_text(said)


async def test_a_tool_asks_back(serve: Serve, open_page: Any, model_server: ModelServer) -> None:
    model_server.script(planner=['1. ask_back("Which colour?")\n2. quick("$1")\n3. join()'], joiner=["Blue."])
    page: Page = await open_page((await serve()).url)
    await ask(page)
    card = page.get_by_label("Question of a tool")
    await expect(card).to_contain_text("Which colour?")
    await card.get_by_label("Your answer").fill("blue")
    await card.get_by_role("button", name="Answer").click()
    await answered(page, "Blue.")
    await node(page, "2", "done").click()
    await expect(page.locator(".details .outcome")).to_have_text("you said blue")


async def test_stopped_while_it_waits_the_next_question_begins_anew(
    serve: Serve, open_page: Any, model_server: ModelServer
) -> None:
    model_server.script(planner=['1. book("A")\n2. join()', "1. join()"], joiner=["Hello."])
    page: Page = await open_page((await serve()).url)
    await ask(page)
    await expect(page.get_by_label("Call of book")).to_be_visible()
    await page.get_by_role("button", name="Stop").click()
    await expect(page.get_by_label("Call of book")).to_have_count(0)
    await expect(node(page, "1", "stopped")).to_be_visible()
    await ask(page, "Something else?")
    await expect(page.get_by_role("region", name="Answer").last).to_have_text("Hello.")
    await expect(page.get_by_role("button", name="Try again")).to_be_hidden()


# --- stopping


async def test_stop_cancels_the_run(serve: Serve, open_page: Any, model_server: ModelServer) -> None:
    model_server.script(planner=[Reply(['1. search("a")\n2. quick("$1")\n', Gate()]), "1. join()"], joiner=["Fine."])
    page: Page = await open_page((await serve()).url)
    await ask(page)
    await expect(node(page, "2", "planned")).to_be_visible()
    await page.get_by_role("button", name="Stop").click()
    await (await model_server.exchange(0)).until_disconnected()
    await expect(page.get_by_role("status").first).to_have_text("Stopped")
    await expect(node(page, "1", "stopped")).to_contain_text("stopped")
    await page.get_by_role("button", name="Ask again").click()
    await answered(page, "Fine.")


async def test_what_was_stopped_is_resumed(
    serve: Serve, open_page: Any, model_server: ModelServer, doors: Doors
) -> None:
    model_server.script(planner=['1. quick("a")\n2. search("$1")\n3. join()'], joiner=["Found."])
    page: Page = await open_page((await serve()).url)
    await ask(page)
    await expect(node(page, "2", "running")).to_be_visible()
    await page.get_by_role("button", name="Stop").click()
    await expect(node(page, "2", "stopped")).to_be_visible()
    doors["a"].set()
    await page.get_by_role("button", name="Resume").click()
    await answered(page, "Found.")
    await expect(page.locator(".node[data-state=done]")).to_have_count(2)
    await expect(page.get_by_label("The plan as the model wrote it")).to_contain_text("2. search")


# --- coming back


async def test_a_run_is_found_again_after_a_reload_and_a_lost_connection(
    serve: Serve, open_page: Any, model_server: ModelServer, doors: Doors, complaints: list[str]
) -> None:
    written = Gate()
    plan: list[str | Control] = ['1. search("a")\n', written, '2. quick("$1")\n3. join()']
    model_server.script(planner=[Reply(plan)], joiner=["Fine."])
    server = await serve()
    page: Page = await open_page(server.url)
    await ask(page, "Still there?")
    await expect(node(page, "1", "running")).to_be_visible()
    for lose in (page.reload, server.drop_connections):
        async with page.expect_response("**/agent/threads/*/stream"):
            if lost := lose():
                await lost
        await expect(page.locator(".turn")).to_have_count(1)
        await expect(page.get_by_role("heading", name="Still there?")).to_be_visible()
        await expect(node(page, "1", "running")).to_be_visible()
        await expect(page.get_by_label("The plan as the model wrote it")).to_have_text('1. search("a")')
    written.open()
    doors["a"].set()
    await answered(page, "Fine.")
    await expect(page.locator(".node[data-state=done]")).to_have_count(2)
    assert all("net::ERR_" in complaint for complaint in complaints), complaints
    complaints.clear()


async def test_a_run_that_died_with_its_server_is_resumed(
    serve: Serve,
    open_page: Any,
    model_server: ModelServer,
    doors: Doors,
    complaints: list[str],
    tmp_path: Path,
) -> None:
    model_server.script(planner=['1. quick("a")\n2. search("$1")\n3. join()'], joiner=["Here again."])
    database = f"sqlite:///{tmp_path}/threads.db"
    page: Page = await open_page((await serve(database)).url)
    await ask(page, "Still there?")
    await expect(node(page, "2", "running")).to_be_visible()
    address = page.url
    await page.goto("about:blank")
    await serve(database)
    doors["a"].set()
    await page.goto(address)
    await expect(page.get_by_text("This run was interrupted.")).to_be_visible()
    await page.get_by_role("button", name="Resume").click()
    await answered(page, "Here again.")
    await expect(page.get_by_role("heading", name="Still there?")).to_be_visible()
    await expect(page.locator(".node[data-state=done]")).to_have_count(2)
    assert all("net::ERR_" in complaint for complaint in complaints), complaints
    complaints.clear()


async def test_a_conversation_is_there_after_a_reload(serve: Serve, open_page: Any, model_server: ModelServer) -> None:
    model_server.script(
        planner=['1. fail("a")\n2. join()', '3. quick("b")\n4. join()', '5. book("A")\n6. join()'],
        joiner=[Reply("", [("replan", {"feedback": "No a."})]), "It is **b**.", "Booked."],
    )
    page: Page = await open_page((await serve()).url)
    await ask(page, "First?")
    await answered(page, "It is b.")
    await ask(page, "Second?")
    await expect(page.get_by_label("Call of book")).to_be_visible()
    await page.reload()
    await expect(page.locator("h2:visible")).to_have_text(["First?", "Second?"])
    await expect(page.get_by_role("region", name="Answer").locator("strong")).to_have_text("b")
    await expect(page.locator(".plan.streaming")).to_have_count(0)
    await expect(page.get_by_role("heading", name="Graph")).to_have_count(0)
    await page.get_by_role("button", name="Show work").click()
    await expect(page.get_by_text("Planned again: No a.")).to_be_visible()
    await node(page, "3", "done").click()
    await expect(page.locator(".details.open .outcome")).to_have_text("b")
    await page.get_by_role("button", name="Approve", exact=True).click()
    await expect(page.get_by_role("region", name="Answer").last).to_have_text("Booked.")
    await expect(node(page, "5", "done")).to_be_visible()


async def test_conversations_are_opened_renamed_and_deleted(
    serve: Serve, open_page: Any, model_server: ModelServer, complaints: list[str]
) -> None:
    model_server.script(planner=["1. join()"] * 2, joiner=["One.", "Two."])
    page: Page = await open_page((await serve()).url)
    await ask(page, "First?")
    await answered(page, "One.")
    first = page.url
    await page.get_by_role("button", name="New conversation").click()
    await ask(page, "Second?")
    await answered(page, "Two.")

    dialog, links = page.get_by_role("dialog"), page.get_by_role("dialog").get_by_role("link")
    await page.get_by_role("button", name="Conversations").click()
    await expect(links).to_have_text(["Second?", "First?"])
    await dialog.get_by_role("button", name="Rename First?").click()
    await dialog.get_by_label("Title").fill("The first")
    await page.keyboard.press("Enter")
    await expect(links).to_have_text(["Second?", "The first"])
    await links.last.click()
    await expect(page.get_by_role("heading", name="First?")).to_be_visible()
    assert page.url == first
    await page.go_back()
    await expect(page.get_by_role("heading", name="Second?")).to_be_visible()
    await page.go_forward()
    await expect(page.get_by_role("heading", name="First?")).to_be_visible()

    await page.get_by_role("button", name="Conversations").click()
    await dialog.get_by_role("button", name="Delete The first").click()
    await dialog.get_by_role("button", name="Keep").click()
    await dialog.get_by_role("button", name="Delete The first").click()
    await dialog.get_by_role("button", name="Delete for good").click()
    await expect(links).to_have_text(["Second?"])
    await page.keyboard.press("Escape")
    await expect(page.locator(".turn")).to_have_count(0)
    await page.goto(first)
    await expect(page.get_by_text("no such conversation")).to_be_visible()
    assert all("404" in complaint for complaint in complaints), complaints
    complaints.clear()


# --- what goes wrong


async def test_decisions_that_were_lost_are_sent_again(
    serve: Serve, open_page: Any, model_server: ModelServer, complaints: list[str]
) -> None:
    model_server.script(planner=['1. book("A")\n2. join()'], joiner=["Booked."])
    server = await serve()
    page: Page = await open_page(server.url)
    await ask(page)
    await page.route("**/agent/stream", lambda route: route.abort())
    await page.get_by_role("button", name="Approve", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("The server can't be reached.")
    await page.unroute("**/agent/stream")
    await page.get_by_role("button", name="Try again").click()
    await answered(page, "Booked.")
    await expect(node(page, "1", "done")).to_be_visible()
    assert "net::ERR_FAILED" in complaints.pop()


async def test_what_the_server_refuses_is_told_in_its_words(
    serve: Serve, open_page: Any, complaints: list[str]
) -> None:
    page: Page = await open_page((await serve()).url)
    await page.get_by_label("Question").focus()
    await page.keyboard.insert_text("long " * 5000)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("24,999 characters, and may have 20,000")
    await expect(page.get_by_role("status").first).to_have_text("Failed")
    assert "422" in complaints.pop()


async def test_a_run_that_fails_says_so(serve: Serve, open_page: Any, model_server: ModelServer) -> None:
    page: Page = await open_page((await serve()).url)
    planned = Gate()
    model_server.script(planner=[Reply(['1. search("a")\n', planned, Cut()])])
    await ask(page)
    await expect(node(page, "1")).to_be_visible()
    planned.open()
    await expect(page.get_by_role("alert")).to_contain_text("The model's server can't be reached.")
    await expect(node(page, "1", "stopped")).to_be_visible()
    await expect(page.locator('.row.of-model[data-state="failed"]')).to_contain_text("plan")


async def test_a_run_that_fails_before_it_has_a_plan_shows_no_empty_work(
    serve: Serve, open_page: Any, model_server: ModelServer
) -> None:
    model_server.script(planner=[HttpError(400, "no")])
    page: Page = await open_page((await serve()).url)
    await ask(page)
    await expect(page.get_by_role("alert")).to_contain_text("400")
    await expect(page.locator(".panel:visible")).to_have_count(0)
    await expect(page.get_by_role("button", name="Hide work")).to_be_hidden()


async def test_a_key_is_asked_for_and_kept_in_the_tab(
    serve: Serve, open_page: Any, model_server: ModelServer, complaints: list[str]
) -> None:
    """The page itself comes with the browser's own question for a password; then the server has another key."""
    url = (await serve(api_key=SecretStr("old"))).url
    page: Page = await open_page(url, http_credentials={"username": "", "password": "old"})
    await page.wait_for_load_state("networkidle")
    await page.set_extra_http_headers({"Authorization": "Bearer old"})
    await serve(api_key=SecretStr("new"))
    model_server.script(planner=["1. join()", "1. join()"], joiner=["Welcome.", "Again."])
    await ask(page)
    dialog = page.get_by_role("dialog", name="This server wants an API key")
    await dialog.get_by_label("Key").fill("wrong")
    await dialog.get_by_role("button", name="Use it").click()
    await expect(dialog.get_by_role("alert")).to_have_text("The server does not accept this key.")
    await dialog.get_by_label("Key").fill("new")
    await page.keyboard.press("Enter")
    await answered(page, "Welcome.")
    await ask(page)
    await answered(page, "Again.")
    assert await page.evaluate("Object.values(sessionStorage).join()") == "new"
    assert "new" not in await page.evaluate("Object.values(localStorage).join() + document.cookie")
    assert all("401" in complaint for complaint in complaints), complaints
    complaints.clear()


# --- for everybody


async def test_everything_can_be_done_with_the_keyboard(
    serve: Serve, open_page: Any, model_server: ModelServer
) -> None:
    plan = '1. quick("a")\n2. quick("b")\n3. quick("$1 $2")\n4. join()'
    model_server.script(planner=[plan], joiner=["Done."])
    page: Page = await open_page((await serve()).url)
    press = page.keyboard.press

    async def focused() -> str:
        return str(await page.evaluate("document.activeElement.dataset.key ?? document.activeElement.textContent"))

    await expect(page.get_by_label("Question")).to_be_focused()
    await page.keyboard.type("Two lines?")
    await press("Shift+Enter")
    await page.keyboard.type("Yes.")
    await press("Enter")
    await answered(page, "Done.")
    await expect(page.get_by_role("heading", name="Two lines? Yes.")).to_be_visible()

    await page.get_by_role("button", name="Hide work").focus()
    await press("Tab")
    assert await focused() == "1"
    for key, arrives in (("ArrowDown", "2"), ("ArrowRight", "3"), ("Home", "1"), ("ArrowUp", "1"), ("End", "3")):
        await press(key)
        assert await focused() == arrives
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert await page.evaluate(outline) == "solid"
    await press("Enter")
    details = page.get_by_label("Details of the task")
    await expect(details).to_contain_text("a b")
    await expect(node(page, "3")).to_have_attribute("aria-expanded", "true")
    await press("Escape")
    await expect(details).to_be_hidden()
    assert await focused() == "3"

    await press("Tab")  # the plan, which scrolls
    await press("Tab")
    assert await focused() == "1"  # in the timeline
    await press("ArrowDown")
    await press("Space")
    await expect(details).to_contain_text("2 quick")
    await press("Tab")
    await expect(details.get_by_role("button", name="Close the details")).to_be_focused()
    await press("Enter")
    assert await focused() == "2"


async def test_what_has_the_focus_is_not_behind_the_form(
    serve: Serve, open_page: Any, model_server: ModelServer
) -> None:
    lines = "".join(f'{number}. book("{number}")\n' for number in range(1, 6))
    model_server.script(planner=[f"{lines}6. join()"])
    page: Page = await open_page((await serve()).url, 800, 600)
    await ask(page)
    await expect(page.get_by_role("button", name="Respond")).to_have_count(5)
    await page.get_by_label("Question").fill("one\ntwo\nthree\nfour")
    await page.evaluate("scrollTo(0, 0)")
    await page.get_by_role("button", name="Stop").focus()
    hidden = "document.activeElement.getBoundingClientRect().bottom - document.forms[0].getBoundingClientRect().top"
    for _ in range(30):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.id") == "question":
            break
        assert await page.evaluate(hidden) <= 0, await page.evaluate("document.activeElement.textContent")
    else:
        raise AssertionError("the form comes last")


async def test_it_is_told_to_those_who_do_not_see_it(
    serve: Serve, open_page: Any, model_server: ModelServer, doors: Doors
) -> None:
    model_server.script(planner=['1. search("K2")\n2. quick("$1")\n3. join()'], joiner=["Done."])
    page: Page = await open_page((await serve()).url)
    await expect(page.get_by_role("main")).to_be_visible()
    await expect(page.get_by_role("heading", level=1)).to_have_text("LLMCompiler")
    await ask(page)
    graph = page.get_by_role("group", name="Tasks of plan 1")
    await expect(graph.get_by_role("button", name='Task 1, search("K2"): running')).to_be_visible()
    await expect(graph.get_by_role("button", name='Task 2, quick("$1"): planned, needs 1')).to_be_visible()
    doors["K2"].set()
    await answered(page, "Done.")
    timeline = page.get_by_role("group", name="Timeline")
    await expect(timeline.get_by_role("button", name='Task 1, search("K2"): done, from 0.')).to_be_visible()
    answer = page.get_by_role("region", name="Answer")
    await expect(answer).to_have_attribute("aria-live", "polite")
    await expect(answer).to_have_attribute("aria-busy", "false")
    assert await page.evaluate(UNNAMED) == 0


UNNAMED = """
[...document.querySelectorAll("button, textarea, input, a")]
  .filter((one) => !(one.ariaLabel || one.textContent.trim() || one.labels?.length)).length
"""
CONTRASTS = """
() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgb = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => ((v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (one) => {
    for (; one; one = one.parentElement) {
      const color = rgb(getComputedStyle(one).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const one of document.querySelectorAll("body *")) {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !one.checkVisibility() || one.closest(":disabled")) continue;
    const [a, b] = [light(rgb(getComputedStyle(one).color)), light(ground(one))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${one.className} ${one.textContent.slice(0, 20)} ${ratio.toFixed(2)}`);
  }
  return poor;
}
"""


async def test_it_can_be_read_in_every_light_and_width(serve: Serve, open_page: Any, model_server: ModelServer) -> None:
    model_server.script(
        planner=['1. fail("a")\n2. quick("$1")\n3. quick("b")\n4. book("C")\n5. quick("$3 $4")\n6. join()'],
        joiner=["A long word: " + "x" * 300],
    )
    page: Page = await open_page((await serve()).url)

    async def can_be_read() -> None:
        for width in (400, 1600):
            await page.set_viewport_size({"width": width, "height": 900})
            assert await fits(page)
            for scheme in ("light", "dark"):
                await page.emulate_media(color_scheme=scheme)
                assert await page.evaluate(CONTRASTS) == [], scheme

    await can_be_read()
    await ask(page, "Which? " + "y" * 300)
    await node(page, "1", "failed").click()
    await expect(page.get_by_label("Call of book")).to_be_visible()
    await can_be_read()
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Approve", exact=True).click()
    await answered(page, "A long word: " + "x" * 300)
    await can_be_read()
    await page.get_by_role("button", name="Conversations").click()
    await can_be_read()
    assert await page.evaluate("document.getAnimations().length") == 0


@pytest.mark.parametrize(("width", "first"), [(390, "answer"), (1280, "work")])
async def test_on_a_phone_the_answer_comes_before_the_work(
    serve: Serve, open_page: Any, model_server: ModelServer, width: int, first: str
) -> None:
    model_server.script(planner=['1. quick("a")\n2. join("It is $1.")'])
    page: Page = await open_page((await serve()).url, width)
    await ask(page)
    await answered(page, "It is a.")
    order = await page.locator(".work, .answer").evaluate_all("all => all.map(one => one.className)")
    assert order[0] == first
    await expect(page.get_by_label("Details of the task")).to_be_hidden()


# --- the layout, by itself

LAYOUT = """
async (plans) => {
  const { layout } = await import("/layout.js");
  const problems = [];
  for (const needs of plans) {
    const keys = needs.map((_, index) => String(index));
    const known = new Map(needs.map((some, index) => [String(index), some.map(String)]));
    const { places, edges } = layout(keys, known);
    const shorter = layout(keys.slice(0, -1), known).places;
    for (const [key, place] of shorter) {
      if (JSON.stringify(places.get(key)) !== JSON.stringify(place)) problems.push(`${key} moved`);
    }
    const placed = [...places.values()];
    placed.forEach((one, index) => {
      for (const other of placed.slice(index + 1)) {
        if (one.layer === other.layer && Math.abs(one.row - other.row) < 0.999) problems.push("two at one place");
      }
    });
    for (const { from, to } of edges) {
      if (places.get(from).layer >= places.get(to).layer) problems.push(`${from} is not left of ${to}`);
    }
    if (edges.length !== needs.flat().length) problems.push("an edge is missing");
  }
  return problems;
}
"""


async def test_nodes_stay_apart_and_in_place_while_a_graph_grows(serve: Serve, open_page: Any) -> None:
    page: Page = await open_page((await serve()).url)
    plans = [
        [
            [need for need in range(number) if (number * 7 + need * 13 + seed) % (2 + seed % 5) == 0]
            for number in range(size)
        ]
        for size in (1, 2, 7, 25)
        for seed in range(20)
    ]
    assert await page.evaluate(LAYOUT, plans) == []


async def test_a_reference_further_down_the_plan_is_drawn(serve: Serve, open_page: Any) -> None:
    page: Page = await open_page((await serve()).url)
    plan = "import('/layout.js').then(({ layout }) => layout(['1', '2'], new Map([['1', ['2']], ['2', []]])).edges)"
    assert await page.evaluate(plan) == [{"from": "2", "to": "1", "through": []}]


# --- numbers, by themselves


async def test_numbers_that_no_one_meant_are_shown_as_people_write_them(serve: Serve, open_page: Any) -> None:
    page: Page = await open_page((await serve()).url)
    shown = "import('/format.js').then(({ readable }) => readable({}))".replace
    text = "[9910.880000000001, 649825.7999999999, -0.30000000000000004, 12.5, 46.947974] v1.2.30000000000000004"
    text += '{"a":9910.880000000001,"b":[0.30000000000000004,0.30000000000000004]}'
    expected = for_people(text)
    assert "9910.88, 649,825.8, -0.3, 12.5, 46.947974" in expected
    assert await page.evaluate(shown("{}", repr(text))) == expected


# demo
# --- as it comes

ANSWERS = {"llm_compiler": ["238", "Nile", "2.5"], "parallel_qa": ["238", "K2", "1.22"]}
"""To the questions that the page suggests, by the agent's name."""


async def test_the_examples_on_the_page_are_answered_without_a_key(
    server: Server, open_page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_COMPILER_GRAPH", AGENT)
    async with server.answering(create_app(limits=Limits.from_environment())):
        for index, answer in enumerate(ANSWERS[AGENT]):
            page: Page = await open_page(server.url)
            example = page.get_by_role("group", name="Examples").get_by_role("button").nth(index)
            question = await example.inner_text()
            await example.click()
            await expect(page.get_by_role("heading", name=question)).to_be_visible()
            await expect(page.get_by_role("status").first).to_have_text("Done")
            await expect(page.get_by_role("region", name="Answer")).to_contain_text(answer)
            await expect(page.get_by_label("Summary")).to_contain_text("offline")


# /demo
