"""`python -m tests.torture`: prints what it broke, and ends with code 1 if that did any harm."""

import argparse
import gc
import multiprocessing
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.torture.kills import Report, torture
from tests.torture.stops import stop

TOO_BAD = 20
"""Cases that have gone wrong; nobody needs more of them."""


def main() -> None:
    """Run cases until there have been so many kills, and so many runs resumed with another plan."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--kills", type=int, default=60, help="how many kills there shall be")
    parser.add_argument("--changed", type=int, default=0, help="how many resumed runs shall have another plan")
    parser.add_argument("--stops", type=int, default=0, help="how many turns shall be stopped, in each way")
    parser.add_argument("--database", help="where the stopped turns' threads are; SQLite files by default")
    parser.add_argument("--seed", type=int, default=1, help="other cases with another seed")
    parser.add_argument("--jobs", type=int, default=4, help="how many runs go on at once")
    options = parser.parse_args()
    began = time.monotonic()
    reports = list(run(options.kills, options.changed, options.seed, options.jobs))
    with _workers(options.jobs) as pool:
        cases = [pool.submit(stop, seed, options.database) for seed in range(options.stops)]
        reports += [case.result() for case in cases]
    for report in reports:
        for problem in report.problems:
            print(f"seed {report.seed}: {problem}", flush=True)  # noqa: T201 — a command
    bad = sum(bool(report.problems) for report in reports)
    print(  # noqa: T201
        f"{len(reports)} runs of {len({report.shape for report in reports})} shapes, "
        f"{sum(report.kills for report in reports)} kills, {sum(report.replanned for report in reports)} resumed with "
        f"another plan, {options.stops} turns stopped, {bad} gone wrong, {time.monotonic() - began:.0f} s"
    )
    sys.exit(1 if bad else 0)


def run(kills: int, changed: int, seed: int, jobs: int) -> Iterator[Report]:
    """Cases, some at once, until there have been so many kills and changed plans, or too much has gone wrong."""
    bad = 0
    with _workers(jobs) as pool:
        while (kills > 0 or changed > 0) and bad < TOO_BAD:
            wanted = kills // 2 if kills > 0 else changed
            count = min(100, max(jobs, wanted))
            cases = [pool.submit(torture, seed * 1_000_000 + number, kills <= 0) for number in range(count)]
            seed += 1
            for case in as_completed(cases):
                report = case.result()
                kills -= report.kills
                changed -= report.replanned
                bad += bool(report.problems)
                yield report


def _workers(jobs: int) -> ProcessPoolExecutor:
    gc.collect()
    gc.freeze()  # or each child's collections would copy all that was imported
    return ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("fork"))


if __name__ == "__main__":
    main()
