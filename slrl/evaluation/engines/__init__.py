"""Where the lives of a suite are lived, one file for each place: this machine, a cluster.

An engine is a function ``run(todo, runs, jobs, options)`` that gives each life and how it ended, in whatever order, each once.
"""

import contextlib
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import tomli_w
import torch

from slrl.errors import BadInput
from slrl.files import made_folder, write_text
from slrl.lives.results import ERROR
from slrl.lives.run import Settings, adapt_as
from slrl.recording.recipes import load_prior


class Ended(NamedTuple):
    """How a life ended."""

    outcome: str  # of the life, or "error"
    steps: int
    sentence: str = ""  # of an error


class Engine(Protocol):
    """A place to live."""

    def __call__(
        self, todo: Sequence[Settings], runs: Path, jobs: int, options: Mapping[str, Any]
    ) -> Iterator[tuple[Settings, Ended]]: ...


def folder_of(runs: Path, life: Settings) -> Path:
    """Where a life of a suite is kept."""
    return runs / life.scenario.name / life.adapter_folder / f"seed-{life.seed}"


def live(life: Settings, runs: Path) -> Ended:
    """One life, kept in its folder whatever becomes of it; what it prints is in ``log.txt``."""
    torch.set_num_threads(life.threads)
    with _said() as said:
        try:
            result, _ = adapt_as(life, out=runs, quiet=True)
            ended = Ended(result.outcome, result.steps)
        except BadInput as error:
            ended = record_error(runs, life, str(error))
        except Exception:  # whatever a life dies of is written down, and the others go on
            ended = record_error(runs, life, traceback.format_exc())
    folder = folder_of(runs, life)
    with contextlib.suppress(OSError):  # a full disk has been told of already
        if ended.outcome != "error":
            (folder / ERROR).unlink(missing_ok=True)
        if text := said.getvalue():
            write_text(folder / "log.txt", text)
    return ended


class _said(contextlib.AbstractContextManager["_said"]):
    """Keeps what is printed, also by libraries, away from the progress bar."""

    def __enter__(self) -> "_said":
        self._file = tempfile.TemporaryFile()
        self._kept = [os.dup(number) for number in (1, 2)]
        for number in (1, 2):
            os.dup2(self._file.fileno(), number)
        return self

    def __exit__(self, *exception: object) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, kept in zip((1, 2), self._kept, strict=True):
            os.dup2(kept, number)
            os.close(kept)
        self._file.seek(0)
        self._text = self._file.read().decode(errors="replace")
        self._file.close()

    def getvalue(self) -> str:
        """All that was printed."""
        return self._text


def record_error(runs: Path, life: Settings, text: str) -> Ended:
    """``error.txt`` in the life's folder, with the settings that led to it."""
    sentence = text.rstrip().rpartition("\n")[2]
    try:
        folder = made_folder(folder_of(runs, life))
        write_text(
            folder / "settings.toml", tomli_w.dumps(life.table(load_prior(life.prior, quiet=True).sha256))
        )
        write_text(folder / ERROR, text.rstrip() + "\n")
    except (OSError, BadInput) as error:
        sentence += f" It could not be written down either: {error}"
    return Ended("error", 0, sentence)
