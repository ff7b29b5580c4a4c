"""Makes the pictures of docs/ anew, from real runs: `make pictures`. The page's takes Chromium."""

import asyncio
import os
import re
import shutil
import sys
from io import StringIO

from playwright.async_api import async_playwright
from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME

from apps.cli.live_view import LiveView
from apps.runs.palette import DARK
from apps.runs.run import Run, follow
from apps.server.app import create_app
from tests.support import ROOT
from tests.support.serving import serving

DOCS = ROOT / "docs"
COLUMNS = 120


async def draw_run(question: str) -> None:
    """The live view as it stands when the run has ended."""
    run = Run(question)
    with LiveView(run, Console(file=StringIO(), force_terminal=True, width=COLUMNS, height=40)) as view:
        async for _ in follow(run):
            pass
    console = Console(file=StringIO(), force_terminal=True, width=COLUMNS, height=40, record=True)
    console.print(question, style="bold", highlight=False)
    console.print(view)
    svg = console.export_svg(title="$ make demo")
    svg = svg.replace(SVG_EXPORT_THEME.ansi_colors[2].hex, DARK.done)  # as on the page
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # fonts from another's server
    (DOCS / "run.svg").write_text(svg, "utf-8")


async def draw_page(question: str) -> None:
    """The page when it has the answer."""
    async with async_playwright() as playwright, serving(create_app()) as url:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1280, "height": 900}, device_scale_factor=1.5)
        await page.goto(url)
        await page.fill("#question", question)
        await page.click("#send")
        await page.wait_for_selector('.turn[data-phase="done"]')
        await page.screenshot(path=DOCS / "page.png", full_page=True)
        await browser.close()


if __name__ == "__main__":
    os.environ |= {"DEMO_LATENCY": "1", "LLM_COMPILER_MODEL": "offline"}
    asyncio.run(draw_run(sys.argv[1]))
    asyncio.run(draw_page(sys.argv[1]))
