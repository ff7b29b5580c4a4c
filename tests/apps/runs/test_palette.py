"""One palette for every view."""

import re
from dataclasses import asdict

from apps.runs.palette import DARK, LIGHT
from tests.support import ROOT


def test_the_page_has_the_colours_of_the_palette() -> None:
    css = (ROOT / "apps" / "server" / "page" / "page.css").read_text("utf-8")
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#\w{6});", part)) for part in css.split("prefers-color-scheme: dark", 1)
    )
    for page, palette in ((light, LIGHT), (dark, DARK)):
        assert {name: page[name] for name in asdict(palette)} == asdict(palette)
