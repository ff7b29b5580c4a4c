"""The folder of an evaluation: every run is saved as it ends, so that nothing is paid for twice.

config.json     what the runs have in common
results.jsonl   a line for each run
verdicts.jsonl  a line for each judgement
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, BinaryIO, Self

from apps.evaluation.results import Key, Result

CHANGED = """\
{out} holds the results of another configuration: {changes}. Results of both would not compare: choose another --out, \
or go back to what it was."""
BROKEN = "{path}, line {line}: is no result ({error}). Mend or remove the line, or choose another --out."
IN_USE = "Another evaluation is writing to {out}. Wait until it has ended, or choose another --out."
NOT_A_FOLDER = "{out} can't be written to: {error}."


class StoreError(RuntimeError):
    """The folder can't be used; the message says why and what to do."""


class Lines:
    """A file of JSON lines to which whole lines are added, each on the disk before the next."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._adding = Lock()

    @property
    def is_open(self) -> bool:
        """Whether lines can be added."""
        return self._file is not None

    def open(self) -> None:
        """Ready the file for writing: a line that was torn when the machine stopped is cut off."""
        file = self.path.open("a+b")
        try:
            _lock(file)
        except OSError:
            file.close()
            raise StoreError(IN_USE.format(out=self.path.parent)) from None
        file.seek(0)
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
        self._file = file

    def append(self, values: Mapping[str, Any]) -> None:
        """Add a line; it is on the disk when this returns. Any thread may."""
        line = json.dumps(values, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        with self._adding:
            assert self._file, "the file is open"
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())

    def read(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The values of each whole line, with its number.

        Raises:
            StoreError: A line is not a JSON object.
        """
        content = self.path.read_bytes() if self.path.exists() else b""
        for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), 1):
            if not line.strip():
                continue
            try:
                values = json.loads(line)
            except ValueError as error:
                raise StoreError(BROKEN.format(path=self.path, line=number, error=error)) from error
            if not isinstance(values, dict):
                raise StoreError(BROKEN.format(path=self.path, line=number, error="no JSON object"))
            yield number, values

    def close(self) -> None:
        """Give the file free."""
        with self._adding:
            if self._file:
                self._file.close()
                self._file = None


class Store:
    """The folder, open for an evaluation; a context manager."""

    def __init__(self, out: Path, config: Mapping[str, Any]) -> None:
        """
        Args:
            out: The folder; made if it isn't there.
            config: What all its runs must have in common, as JSON values.

        Raises:
            StoreError: The folder has the results of another configuration, or can't be used.
        """
        self.out = out
        self._results = Lines(out / "results.jsonl")
        self._verdicts = Lines(out / "verdicts.jsonl")
        try:
            out.mkdir(parents=True, exist_ok=True)
            self._results.open()
            self._check(config)
        except OSError as error:
            self._close()
            raise StoreError(NOT_A_FOLDER.format(out=out, error=error.strerror)) from error
        except StoreError:
            self._close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._close()

    def add(self, result: Result) -> None:
        """Save a run."""
        self._results.append(result.to_json())

    def add_verdict(self, key: Key, judge: str, verdict: Mapping[str, Any]) -> None:
        """Save a judgement of a run."""
        if not self._verdicts.is_open:
            self._verdicts.open()
        self._verdicts.append({**key._asdict(), "judge": judge, **verdict})

    def results(self) -> dict[Key, Result]:
        """The saved runs; of two with the same key, the later.

        Raises:
            StoreError: A line of the file can't be read.
        """
        found = {}
        for number, values in self._results.read():
            try:
                result = Result.from_json(values)
            except (TypeError, KeyError, ValueError) as error:
                raise StoreError(BROKEN.format(path=self._results.path, line=number, error=error)) from error
            found[result.key] = result
        return found

    def verdicts(self, judge: str) -> dict[tuple[Key, str], bool]:
        """What a judge has said, by the run and its answer."""
        return {
            (Key(*(values[name] for name in Key._fields)), values["answer"]): values["correct"]
            for _, values in self._verdicts.read()
            if values.get("judge") == judge
        }

    def _check(self, config: Mapping[str, Any]) -> None:
        path = self.out / "config.json"
        if not path.exists() or not path.read_bytes().strip():
            path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", "utf-8")
            return
        try:
            before = json.loads(path.read_text("utf-8"))
        except ValueError as error:
            raise StoreError(BROKEN.format(path=path, line=1, error=error)) from error
        changes = [
            f"{name} was {_short(before.get(name))} and is now {_short(config.get(name))}"
            for name in sorted({*before, *config})
            if before.get(name) != config.get(name)
        ]
        if changes:
            raise StoreError(CHANGED.format(out=self.out, changes="; ".join(changes)))

    def _close(self) -> None:
        self._results.close()
        self._verdicts.close()


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:79] + "…"


def _lock(file: BinaryIO) -> None:
    """Take the file for this process alone.

    Raises:
        OSError: Another process has it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
