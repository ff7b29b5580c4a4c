"""The demo's agent: the default one; or, where that has been replaced, the example that has the same tools."""

from apps.runs.graphs import listed
from tests.support import ROOT

AGENT = next(
    name
    for name in ("llm_compiler", "parallel_qa")
    if "from graphs import offline" in (ROOT / listed()[name].partition(":")[0]).read_text("utf-8")
)
"""Its name in langgraph.json."""
