"""`make remove-demo`: takes away what is there for show, and leaves a project with one tool, to go on from.

`DEMO` names whole files and folders. In other files, `MARKED`, what goes stands between comments `demo` and `/demo`, or
on a line that ends with a comment `demo`. In return, what is in `.ci/start` is laid over the project.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

DEMO = [
    ".ci/remove_demo.py",
    ".ci/start",
    "docs/page.png",
    "docs/run.svg",
    "graphs/examples",
    "graphs/offline",
    "notebooks",
    "tests/benchmarks/paper_comparison.py",
    "tests/cluster/test_option_price.py",
    "tests/end_to_end/test_demo.py",
    "tests/graphs/examples",
    "tests/graphs/test_example_graphs.py",
    "tests/graphs/test_offline.py",
    "tests/graphs/test_react_offline.py",
    "tests/support/demo.py",
    "tests/support/notebooks.py",
    "tests/support/pictures.py",
    "tests/test_notebooks.py",
    "tests/test_removing_the_demo.py",
    "tests/tools/test_argmax.py",
    "tests/tools/test_demo_latency.py",
    "tests/tools/test_expression.py",
    "tests/tools/test_expression_attacks.py",
    "tests/tools/test_expression_results.py",
    "tests/tools/test_math.py",
    "tests/tools/test_search.py",
    "tools/argmax.py",
    "tools/corpus.json",
    "tools/demo_latency.py",
    "tools/expression.py",
    "tools/math.py",
    "tools/search.py",
]
MARKED = [
    ".env.example",
    "AGENTS.md",
    "CHANGELOG.md",
    "Dockerfile",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "apps/cli/evaluate.py",
    "apps/cli/main.py",
    "apps/evaluation/prices.py",
    "apps/runs/wording.py",
    "docs/scaling.md",
    "docs/serving.md",
    "graphs/mcp_agent.py",
    "graphs/react.py",
    "pyproject.toml",
    "tests/agent/tooling/test_any_tool.py",
    "tests/apps/evaluation/test_figures.py",
    "tests/apps/server/test_page.py",
    "tests/conftest.py",
    "tests/support/prepared_python/server.py",
    "tests/test_readme.py",
]
BLOCK = re.compile(r"^ *(?:# demo|<!-- demo -->)\n.*?^ *(?:# /demo|<!-- /demo -->)\n\n?", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"^.*(?:# demo|<!-- demo -->.*)\n", re.MULTILINE)

QUESTION = "What time is it in Tokyo and in New York?"
ASKED = re.compile(
    r'((?:make demo Q=|llm-compiler .*|echo |^(?:curl|print).*"question": |^question = )")[^"…]+\?(?=")|(^Q \?= ).*',
    re.MULTILINE,
)
"""A question of the demo, in a command."""

ASK = '@$(BIN)/llm-compiler "$$QUESTION"\n'
ASK_A_MODEL = """\
@[ "$$OPENAI_API_KEY$$LLM_COMPILER_MODEL" ] || grep -qsE '^(OPENAI_API_KEY|LLM_COMPILER_MODEL)=.' .env \\
		|| { echo 'Set OPENAI_API_KEY, here or in .env, for a model that answers.'; exit; }; \\
		$(BIN)/llm-compiler "$$QUESTION"
"""


NO_REPOSITORY = """\
No git repository has this project; you could not go back. Make one first: \
git init && git add --all && git commit --message begin"""


def main() -> None:
    """Removes the demo, if git has all that there is."""
    if not git("ls-files", "README.md"):
        sys.exit(NO_REPOSITORY)
    if changed := git("status", "--porcelain", "--untracked-files=no"):
        sys.exit(f"Commit first, so that you can go back:\n{changed.rstrip()}")
    for path in map(ROOT.joinpath, MARKED):
        path.write_text(without_demo(path.read_text("utf-8")), "utf-8")
    shutil.copytree(ROOT / ".ci" / "start", ROOT, dirs_exist_ok=True)
    for path in map(ROOT.joinpath, DEMO):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    forget_graphs(ROOT / "langgraph.json")


def git(*arguments: str) -> str:
    """What git prints: nothing, if it isn't here, or has no repository."""
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""


def without_demo(text: str) -> str:
    """The text without what is marked, and with a question that the one tool can answer."""
    text = LINE.sub("", BLOCK.sub("", text)).replace(ASK, ASK_A_MODEL)
    return ASKED.sub(lambda found: f"{found[1] or found[2]}{QUESTION}", text)


def forget_graphs(path: Path) -> None:
    """Takes the graphs out of the list whose files are gone."""
    listed = json.loads(path.read_text("utf-8"))
    for name, graph in list(listed["graphs"].items()):
        if not (ROOT / graph["path"].partition(":")[0]).exists():
            del listed["graphs"][name]
    path.write_text(json.dumps(listed, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
