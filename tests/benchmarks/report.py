"""The results as Markdown, and which targets hold."""

import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

US = "llm-compiler"
BEST = "llm-compiler-direct"
PEERS = ("llmcompiler", "llama-index-agent-llm-compiler")
PUNCTUAL = (
    "The server is on time: the {tokens} tokens of a plan reach a bare socket {median_ms:.1f} ms after they are due in "
    "the median, and {max_ms:.1f} ms at most, counted from the request."
)
PER_MILLION = (0.4, 1.6)
"""Dollars for a million input and output tokens (gpt-4.1-mini, without caching), to weigh one against the other."""

PYTHONS = 700
THRESHOLDS = {PYTHONS: "", 50_000: ", with the servers' threshold", 0: ", without garbage collection"}
"""Of `gc.set_threshold`, and what a target says of them."""


def report(results: dict[str, Any]) -> str:
    """Tables of all that was measured."""
    about, machinery = results["about"], results["machinery"]
    lines = [
        f"{about['date']}, `{about['command']}`, Python {about['python']}, {about['system']}, {about['cores']} cores, "
        f"load {about['load_before']:.1f} before, {about['load_after']:.1f} after",
        "",
        ", ".join(f"{name} {number}" for name, number in results["versions"].items()),
        *(f"\n{name} could not be installed: {why}" for name, why in results["missing"].items()),
    ]
    if results["race"]:
        lines += ["", PUNCTUAL.format(**results["punctuality"])]
        lines += _race(results["race"])
    if results.get("cost"):
        lines += _cost_of_a_question(results["cost"])
    if results.get("tails"):
        lines += _tails(results["tails"])
    if machinery:
        lines += _machinery(machinery)
    targets = list(_targets(results))
    lines += ["", "### Targets", "", *_table(("target", "measured", ""), targets)]
    return "\n".join(lines) + "\n"


def _race(race: Sequence[dict[str, Any]]) -> Iterator[str]:
    workloads = list(dict.fromkeys(row["workload"] for row in race))
    names = list(dict.fromkeys(row["contestant"] for row in race))
    rows = {(row["contestant"], row["workload"]): row for row in race}

    def table(title: str, note: str, cell: Any, first: Any = None) -> Iterator[str]:
        yield from ("", f"### {title}", "", note, "")
        head = ["", *workloads]
        body = [["ideal", *(first(rows[names[0], w]) for w in workloads)]] if first else []
        body += [
            [f"**{n}**" if n == US else n, *(cell(rows[n, w]) if (n, w) in rows else "" for w in workloads)]
            for n in names
        ]
        yield from _table(head, body)

    yield from table(
        "Latency, in multiples of the ideal",
        "Median of the runs, with the least and the greatest; a ✗ marks a run that went wrong, see below.",
        lambda row: (
            f"{row['ratio']:.3f} ({row['ratios'][0]:.3f}–{row['ratios'][1]:.3f}){' ✗' if row['errors'] else ''}"
        ),
        lambda row: f"{row['ideal']:.2f} s",
    )
    yield from table(
        "Tokens, input + output, and calls of the model",
        "Counted by the server with one approximate tokenizer for all: messages, tool calls, descriptions of tools.",
        lambda row: f"{row['input']:,} + {row['output']:,} in {row['calls']}",
    )
    yield from table(
        f"Cost, in multiples of {US}",
        f"At ${PER_MILLION[0]} and ${PER_MILLION[1]} for a million input and output tokens, without caching.",
        lambda row: f"{_cost(row) / _cost(rows[US, row['workload']]):.2f}" if (US, row["workload"]) in rows else "",
    )
    yield from table(
        "Start of the first tool call",
        "Milliseconds after its closing parenthesis was due to leave the server, or a map's first element; for ReAct, "
        "after it would have been in the paper's syntax. Tool calls of a protocol end in further tokens, such as `]}`, "
        "before which nothing can start: that is in ReAct's figures, too.",
        lambda row: f"{row['first_start'] * 1000:.1f}" if row["first_start"] is not None else "",
    )
    late = max(row["late"] for row in race) * 1000
    yield from ("", f"The server was late by {late:.1f} ms at most, at the first or the last token of a reply.")
    wrong = {f"{row['contestant']} on {row['workload']}: {error}" for row in race for error in row["errors"]}
    yield from ("", *(f"✗ {text}" for text in sorted(wrong)))


def _cost_of_a_question(costs: Sequence[dict[str, Any]]) -> Iterator[str]:
    workloads = list(dict.fromkeys(row["workload"] for row in costs))
    rows = {(row["contestant"], row["workload"], row["streamed"]): row for row in costs}

    def cell(name: str, workload: str, streamed: bool) -> str:
        row = rows.get((name, workload, streamed))
        return f"{row['ms']:.0f}{' ✗' if row['error'] else ''}" if row else ""

    yield from (
        "",
        "### CPU of a question, in ms of a core",
        "",
        "Twenty questions at once over HTTP, tools of 10 ms, a model of 800 tokens a second. Streamed: with what a "
        "user interface reads.",
        "",
    )
    head = ("", *(f"{workload}{how}" for workload in workloads for how in ("", ", streamed")))
    names = dict.fromkeys(row["contestant"] for row in costs)
    yield from _table(head, ((n, *(cell(n, w, s) for w in workloads for s in (False, True))) for n in names))
    wrong = {f"{row['contestant']} on {row['workload']}: {row['error']}" for row in costs if row["error"]}
    yield from ("", *(f"✗ {text}" for text in sorted(wrong)))


def _tails(tails: dict[str, dict[str, float]]) -> Iterator[str]:
    yield from (
        "",
        "### Slow tails, in seconds",
        "",
        "Two hundred questions of eight searches, ten at a time; a search takes 0.3 s, and 3 s once in twenty.",
        "",
    )
    yield from _table(
        ("", "median", "95th percentile"), ((n, f"{t['p50']:.2f}", f"{t['p95']:.2f}") for n, t in tails.items())
    )


def _cost(row: dict[str, Any]) -> float:
    return float(row["input"] * PER_MILLION[0] + row["output"] * PER_MILLION[1])


def _machinery(machinery: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    yield from (
        "",
        "### Cost of a task, in ms of a core",
        "",
        "Tools that take no time, and a model that writes at once.",
        "",
    )
    head = ("tasks", "all", "LangGraph's `@task`", "LangChain's tool call", "ours")
    yield from _table(
        head,
        [
            (f"{row['calls']:,}", *(f"{row[key]:.2f}" for key in ("all_ms", "langgraph_ms", "langchain_ms", "own_ms")))
            for row in machinery["overhead"]
        ],
    )
    yield from ("", "### Cost of a checkpointer, in ms of a core for a run of 100 tasks", "")
    (saved,) = machinery["checkpointers"]
    yield from _table(
        ("none", "in memory", "SQLite"), [[f"{saved[f'{name}_ms']:.0f}" for name in ("none", "memory", "sqlite")]]
    )
    yield from ("", "### Runs at once in one process, of eight calls of 50 ms", "")
    cpu = {(row["runs"], row["threshold"]): f"{row['cpu_ms_per_run']:.1f}" for row in machinery["many_runs"]}
    yield from _table(
        (
            "runs",
            "seconds",
            "tool calls a second",
            "ms of a core per run",
            "… with the servers' `gc.set_threshold`",
            "… without garbage collection",
            "kB per run",
        ),
        [
            (
                f"{row['runs']:,}",
                f"{row['seconds']:.2f}",
                f"{row['calls_per_second']:,.0f}",
                *(cpu[row["runs"], threshold] for threshold in THRESHOLDS),
                f"{row['memory_kb_per_run']:,.0f}" if row["runs"] > 1 else "",
            )
            for row in machinery["many_runs"]
            if row["threshold"] == PYTHONS
        ],
    )
    yield from ("", "### The parser, in MB of plan in a second of a core", "")
    yield from _table(
        ("plan", "in one piece", "as tokens"),
        [
            (f"{row['bytes']:,} bytes", f"{row['whole_mb_s']:.2f}", f"{row['tokens_mb_s']:.2f}")
            for row in machinery["parser"]
        ],
    )


def _targets(results: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    ours = [row for row in results["race"] if row["contestant"] == US]
    machinery = results["machinery"]
    if ours:
        worst = max(ours, key=lambda row: row["ratio"])
        yield _target(
            "every workload within 1.03 of the ideal", worst["ratio"], 1.03, f"{{:.3f}} ({worst['workload']})"
        )
        slowest = max(row["first_start"] for row in ours) * 1000
        yield _target("the first task starts within 5 ms of its parenthesis", slowest, 5, "{:.1f} ms")
    yield from _against_others(results["race"])
    if tails := results.get("tails"):
        ratio = tails[f"{BEST}, hedged"]["p95"] / tails[BEST]["p95"]
        text = "with maps and direct joins, `hedged` at least halves the 95th percentile with slow searches"
        yield _target(text, ratio, 0.5, "{:.2f}")
    if machinery:
        overhead = machinery["overhead"]
        small = max(row["own_ms"] for row in overhead if row["calls"] <= 100)
        yield _target("less than 1 ms of our own per task, up to 100 tasks", small, 1, "{:.2f} ms")
        for row in overhead:
            if row["calls"] == 1000:
                yield _target("less than 2 ms of our own per task, at 1,000", row["own_ms"], 2, "{:.2f} ms")
        slowest = min(row["whole_mb_s"] for row in machinery["parser"])
        yield _target("the parser reads more than 0.5 MB/s", -slowest, -0.5, f"{slowest:.2f} MB/s")
        per_run = {(row["runs"], row["threshold"]): row["cpu_ms_per_run"] for row in machinery["many_runs"]}
        most = max(runs for runs, _ in per_run)
        for threshold, how in THRESHOLDS.items():
            ratio = per_run[most, threshold] / per_run[10, threshold]
            text = f"{most:,} runs at once cost at most 1.3 times as much per run as ten{how}"
            yield _target(text, ratio, 1.3, "{:.2f} times")


def _against_others(race: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """With maps and direct joins, beside the best other of each workload; runs that went wrong don't count."""
    rows = {(row["contestant"], row["workload"]): row for row in race if not row["errors"]}
    latency, tokens = {}, {}
    for workload in dict.fromkeys(row["workload"] for row in race):
        ours = rows.get((BEST, workload))
        others = [row for (name, on), row in rows.items() if on == workload and not name.startswith(US)]
        peers = [row["input"] + row["output"] for row in others if row["contestant"] in PEERS]
        if ours and others:
            latency[workload] = ours["seconds"] / min(row["seconds"] for row in others)
        if ours and peers:
            tokens[workload] = (ours["input"] + ours["output"]) / min(peers)
    if latency:
        middle, worst = statistics.median(latency.values()), max(latency, key=lambda name: latency[name])
        yield _target(
            "with maps and direct joins, at most 0.75 of the best other's latency in the median", middle, 0.75, "{:.2f}"
        )
        yield _target("and never more than the best other's", latency[worst], 1.0, f"{{:.2f}} ({worst})")
    if tokens:
        worst = max(tokens, key=lambda name: tokens[name])
        yield _target(
            "at most 0.6 of the tokens of the best LLMCompiler peer", tokens[worst], 0.6, f"{{:.2f}} ({worst})"
        )
    if (BEST, "eight") in rows and ("react", "eight") in rows:
        times = _cost(rows["react", "eight"]) / _cost(rows[BEST, "eight"])
        yield _target("6.7 times cheaper than ReAct on eight searches", -times, -6.7, f"{times:.1f} times")


def _target(text: str, value: float, most: float, form: str) -> tuple[str, str, str]:
    return text, form.format(value), "holds" if value <= most else "**missed**"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    head = list(head)
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
