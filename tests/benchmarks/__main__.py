"""`make bench`: the race against the ideal and the other agents, and what the machinery itself costs.

QUICK=1 takes a minute instead of a quarter of an hour or more, and changes no file.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks.against import MOST, NoSuchCommitError, against
from tests.benchmarks.cost import cost
from tests.benchmarks.ideal import Speed
from tests.benchmarks.peers import CONTESTANTS, ROOT, Contestant, PeerError, install
from tests.benchmarks.punctuality import punctuality
from tests.benchmarks.race import model_server, race, summaries
from tests.benchmarks.report import report
from tests.benchmarks.tails import tails
from tests.benchmarks.workloads import WORKLOADS

HERE = Path(__file__).parent
MARK = "<!-- results -->\n"
PACKAGES = ("langgraph", "langchain", "langchain-core", "langchain-openai", "openai")

MEASUREMENTS = {
    "overhead": [("10", "20"), ("100", "10"), ("1000", "5")],
    "checkpointers": [("100", "10")],
    "many_runs": [(runs, threshold) for runs in ("1", "10", "100", "1000") for threshold in ("700", "50000", "0")],
    "parser": [("10000", "20"), ("100000", "10"), ("1000000", "3"), ("10000000", "1")],
}


TOO_LONG = ("1000", "10000000")
"""Sizes that a quick run leaves out."""


def main() -> None:
    """Measure, print, and unless it is a quick run write it down."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three workloads, once; no file is changed")
    parser.add_argument(
        "--repeat", type=int, default=5, help="how often each workload is run; in the race only if it is short"
    )
    parser.add_argument("--contestants", default="", help="names, with commas between; all if none")
    parser.add_argument("--workloads", default="", help=f"of {', '.join(WORKLOADS)}; all if none")
    parser.add_argument("--no-machinery", action="store_true", help="the race only")
    parser.add_argument("--against", metavar="COMMIT", help="only compare the CPU of a task with this commit's")
    given = parser.parse_args()
    if given.against:
        sys.exit(_compare(given.against))
    workloads = given.workloads.split(",") if given.workloads else list(WORKLOADS)
    if given.quick:
        workloads, given.repeat = [name for name in workloads if name in ("two", "eight", "diamond")], 1
    names = given.contestants.split(",") if given.contestants else [contestant.name for contestant in CONTESTANTS]
    logs = ROOT / "build" / "benchmarks"
    logs.mkdir(parents=True, exist_ok=True)

    results: dict[str, Any] = {"about": _about(sys.argv[1:])}
    contestants, results["versions"], results["missing"] = _install(
        [contestant for contestant in CONTESTANTS if contestant.name in names]
    )
    results["machinery"] = {} if given.no_machinery else dict(_machinery(quick=given.quick))
    speed, runs = Speed(), []
    results["speed"] = asdict(speed)
    with model_server(speed, logs / "server.log") as (_, address):
        results["punctuality"] = punctuality(address, speed)
    for run in race(contestants, workloads, repeat=given.repeat, speed=speed, logs=logs):
        runs.append(run)
        _say(f"{run.contestant:32} {run.workload:8} {run.seconds:7.2f} s  {run.ratio:6.3f} of the ideal  {run.error}")
    results["race"] = summaries(runs, speed)
    if not given.no_machinery:
        _say("what a question takes of a core …")
        at_work = [name for name in workloads if name in ("eight", "diamond", "fifty")]
        results["cost"] = cost(contestants, at_work, repeat=given.repeat, logs=logs)
        if not given.quick:
            _say("slow tails …")
            results["tails"] = tails(logs)
    results["about"]["load_after"] = os.getloadavg()[0]
    text = report(results)
    _say(f"\n{text}")
    (logs / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    if not given.quick and not given.contestants and not given.workloads and not given.no_machinery:
        (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        readme = HERE / "README.md"
        readme.write_text(readme.read_text("utf-8").partition(MARK)[0] + MARK + text, "utf-8")


def _compare(commit: str) -> int:
    """Say what a task costs beside another commit; the exit code."""
    try:
        ratio = against(commit)
    except NoSuchCommitError as error:
        _say(f"Not compared with {commit}: {error}")
        return 0
    _say(f"A task takes {ratio:.2f} times as much of a core as at {commit} (at most {MOST}).")
    return int(ratio > MOST)


def _install(contestants: list[Contestant]) -> tuple[list[Contestant], dict[str, str], dict[str, str]]:
    """The contestants that are there; the versions of their packages; why others are missing."""
    versions = {name: version(name) for name in PACKAGES}
    there, missing = [], {}
    for contestant in contestants:
        try:
            if number := install(contestant):
                versions[contestant.package] = number
            there.append(contestant)
        except PeerError as error:
            missing[contestant.name] = str(error)
    return there, versions, missing


def _machinery(*, quick: bool) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for name, sizes in MEASUREMENTS.items():
        measured = []
        for arguments in sizes:
            if quick and (arguments[0] in TOO_LONG):
                continue
            command = [sys.executable, "-m", "tests.benchmarks.machinery", name, *arguments]
            ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
            measured.append(json.loads(ran.stdout))
            _say(f"{name} {' '.join(arguments)}: {ran.stdout.strip()}")
        yield name, measured


def _about(arguments: list[str]) -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": " ".join(["python -m tests.benchmarks", *arguments]),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
