"""The folder of an evaluation: every run is saved as it ends, so that nothing is paid for twice.

config.json    what the runs have in common
results.jsonl  a line for each run; of two of the same run, the later counts
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self

from apps.evaluation.results import RESULT, Key, Result

CHANGED = """\
{out} holds the results of another configuration: {changes}. Results of both would not compare: choose another --out, \
or go back to what it was."""
BROKEN = "{path}, line {line}: is no result ({error}). Mend or remove the line, or choose another --out."
IN_USE = "Another evaluation is writing to {out}. Wait until it has ended, or choose another --out."
NOT_A_FOLDER = "{out} can't be written to: {error}."


class StoreError(RuntimeError):
    """The folder can't be used; the message says why and what to do."""


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
        self._path = out / "results.jsonl"
        self._adding = Lock()
        try:
            out.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a+b")
        except OSError as error:
            raise StoreError(NOT_A_FOLDER.format(out=out, error=error.strerror)) from error
        try:
            self._lock()
            self._check(out / "config.json", config)
            self._file.seek(0)
            whole = self._file.read().rfind(b"\n") + 1
            self._file.truncate(whole)  # without a line that was torn when the machine stopped
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        with self._adding:
            self._file.close()

    def add(self, result: Result) -> None:
        """Save a run; it is on the disk when this returns. Any thread may."""
        line = json.dumps(result.to_json(), ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        with self._adding:
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())

    def results(self) -> dict[Key, Result]:
        """The saved runs.

        Raises:
            StoreError: A line of the file can't be read.
        """
        found = {}
        for number, line in enumerate(self._path.read_bytes().splitlines(), 1):
            if not line.strip():
                continue
            try:
                result = RESULT.validate_json(line)
            except ValueError as error:
                reason = " ".join(str(error).split())
                raise StoreError(BROKEN.format(path=self._path, line=number, error=reason[:200])) from error
            found[result.key] = result
        return found

    def _check(self, path: Path, config: Mapping[str, Any]) -> None:
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

    def _lock(self) -> None:
        """Take the file for this process alone."""
        try:
            import fcntl
        except ImportError:  # Windows
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StoreError(IN_USE.format(out=self.out)) from None


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:79] + "…"
