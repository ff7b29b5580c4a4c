"""`llm-compiler eval`. What takes long to import is imported when it runs, not for `--help`."""

import asyncio
import math
import os  # demo
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from dotenv import load_dotenv

from apps.cli.console import INTERRUPTED, WrongUsageError, say, stop

if TYPE_CHECKING:
    from rich.console import Console

    from apps.evaluation.runner import Spec

EPILOG = """\b
Examples:
  llm-compiler eval questions.json --model openai:gpt-4.1-mini
  llm-compiler eval questions.csv --n 20 --agents llm-compiler,react --judge
  llm-compiler eval questions.jsonl --scorer contains
  llm-compiler eval questions.jsonl --graph my_package.my_graph --repeat 3 --out mine
"""
AGENTS = "llm-compiler,react,parallel-react"


def evaluate(
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET",
            help="Questions with answers: JSON as the paper's, JSON lines, CSV, TSV, or langsmith:NAME.",
        ),
    ],
    agents: Annotated[str, typer.Option(metavar="NAMES", help="The agents to compare.")] = AGENTS,
    graph: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A graph of langgraph.json, or any module with `graph` and `TOOLS`. Default: as for a question.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="PROVIDER:MODEL", help="The model of every agent. Default: as for a question.")
    ] = None,
    n: Annotated[
        int | None, typer.Option("--n", min=1, help="How many questions, drawn at random. Default: all.")
    ] = None,
    seed: Annotated[int, typer.Option(help="For the drawing and the order.")] = 0,
    concurrency: Annotated[
        int, typer.Option(min=1, max=1000, help="Runs at once; 1 measures latency undisturbed.")
    ] = 4,
    repeat: Annotated[int, typer.Option(min=1, help="How often each agent gets each question.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", file_okay=False, help="Where results go; started again with the same, it goes on."),
    ] = None,
    scorer: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="What is right: paper, exact, contains, number, number:0.01 (within), judge."
        ),
    ] = "paper",
    judge: Annotated[bool, typer.Option("--judge", help="Have a model judge the answers.")] = False,
    judge_model: Annotated[
        str | None, typer.Option(metavar="PROVIDER:MODEL", help="The judge. Default: the agents' model.")
    ] = None,
    prices: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What models cost, in JSON; else as genai-prices knows.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that a run may take.")] = 300.0,
    instruction: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="What every agent is told about the form of answers; empty for nothing."),
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Make failed runs again.")] = False,
    timeline: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The question whose course in time is drawn. Default: a typical one."),
    ] = None,
) -> None:
    """Compare agents on a dataset: accuracy, latency and cost. It can be interrupted, and goes on where it stopped."""
    load_dotenv(".env")
    os.environ.pop("DEMO_LATENCY", None)  # what is measured is not simulated # demo
    names = list(dict.fromkeys(name.strip() for name in agents.split(",") if name.strip()))
    if not names:
        raise WrongUsageError(f"--agents names none. There are {AGENTS}.")
    if not math.isfinite(timeout):
        raise WrongUsageError(f"--timeout is {timeout}, and should be a number of seconds.")
    from apps.evaluation.scoring import check_scorer

    try:
        judge = judge or check_scorer(scorer) == "judge"
    except ValueError as error:
        raise WrongUsageError(str(error)) from None
    from rich.console import Console

    console = Console(highlight=False)
    with console.status("Starting"):
        from agent.models import default_model
        from apps.evaluation.agents import find_subject
        from apps.evaluation.runner import Spec
        from apps.runs.graphs import served_name

    graph = graph or served_name()
    find_subject(graph)  # which makes its models known, too
    model = model or default_model()
    spec = Spec(
        dataset=dataset,
        out=out or Path("evaluation") / _slug(f"{dataset.stem}-{graph}-{model}"),
        agents=names,
        graph=graph,
        model=model,
        n=n,
        seed=seed,
        concurrency=concurrency,
        repeat=repeat,
        scorer=scorer,
        judge=(judge_model or model) if judge or judge_model else None,
        timeout=timeout,
        retry_failed=retry_failed,
        shown=timeline,
        prices=prices,
    )
    if instruction is not None:
        spec = replace(spec, instruction=instruction)
    if not asyncio.run(_evaluate(spec, console)):
        raise typer.Exit(INTERRUPTED)


async def _evaluate(spec: "Spec", console: "Console") -> bool:
    """Evaluate, and show and write what came of it.

    Returns:
        Whether all runs have been made.
    """
    from apps.evaluation.evaluation import evaluate
    from apps.evaluation.output import write
    from apps.evaluation.table import table_of

    evaluation = await evaluate(spec, console, stop)
    # Here and not after asyncio.run, which waits for tools that were timed out but still block their threads.
    notes = write(evaluation)
    console.print()
    console.print(table_of(evaluation.figures(), judged=evaluation.judge is not None, baseline=evaluation.baseline))
    for note in notes:
        say(f"\n{note}")
    say(f"\nReport: {spec.out / 'report.html'}")
    if not evaluation.complete:
        say("Stopped; the same command goes on from here.")
    return evaluation.complete


def _slug(text: str) -> str:
    """The text as the name of a folder."""
    return re.sub(r"[^\w.]+", "-", text).strip("-.")
