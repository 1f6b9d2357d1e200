"""Where the lives of a suite are lived, one file for each place: this machine, a cluster.

An engine is a function ``run(todo, runs, jobs, options)`` that yields each life once, in any order, with its
ending.
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
from slrl.lives.run import adapt_as
from slrl.lives.settings import LifeSettings
from slrl.recording.recipes import load_prior


class Ending(NamedTuple):
    """What an engine reports of a finished life."""

    outcome: str  # of its result, or "error" if it crashed and has no result
    steps: int  # environment steps lived; 0 after an error
    sentence: str = ""  # last line of the error message


class Engine(Protocol):
    """Signature of the ``run`` function of an engine's module."""

    def __call__(
        self, todo: Sequence[LifeSettings], runs: Path, jobs: int, options: Mapping[str, Any]
    ) -> Iterator[tuple[LifeSettings, Ending]]:
        """Live ``todo`` under ``runs``, ``jobs`` at a time; ``options`` come from ``--engine-set``."""


def folder_of(runs: Path, life: LifeSettings) -> Path:
    """``runs/SCENARIO/ADAPTER/seed-N``, or ``ADAPTER-source`` for a life in the source world.

    See :attr:`LifeSettings.place` for lives after another pretraining.
    """
    return runs / life.scenario.name / life.place


def live(life: LifeSettings, runs: Path) -> Ending:
    """Live one life in this process; never raises for what goes wrong in it.

    Its folder then holds a result or ``error.txt``, and ``log.txt`` with what was printed.
    """
    torch.set_num_threads(life.threads)
    with _CapturedOutput() as output:
        try:
            result, _ = adapt_as(life, out=runs, quiet=True)
            ending = Ending(result.outcome, result.steps)
        except BadInput as error:
            ending = record_error(runs, life, str(error))
        except Exception:  # any crash is recorded, and the other lives go on
            ending = record_error(runs, life, traceback.format_exc())
    folder = folder_of(runs, life)
    with contextlib.suppress(OSError):  # a full disk is in the ending already
        if ending.outcome != "error":
            (folder / ERROR).unlink(missing_ok=True)
        if text := output.getvalue():
            write_text(folder / "log.txt", text)
    return ending


class _CapturedOutput(contextlib.AbstractContextManager["_CapturedOutput"]):
    """Redirects file descriptors 1 and 2, so that C libraries do not print into the progress bar either."""

    def __enter__(self) -> "_CapturedOutput":
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
        """All that was printed to stdout and stderr, in one text; known after the block."""
        return self._text


def record_error(runs: Path, life: LifeSettings, text: str) -> Ending:
    """Write ``error.txt`` with ``text`` into the life's folder, beside its settings.

    Returns:
        The ending, with the last line of ``text``, and why it could not be written if so.
    """
    sentence = text.rstrip().rpartition("\n")[2]
    try:
        folder = made_folder(folder_of(runs, life))
        write_text(
            folder / "settings.toml", tomli_w.dumps(life.table(load_prior(life.prior, quiet=True).sha256))
        )
        write_text(folder / ERROR, text.rstrip() + "\n")
    except (OSError, BadInput) as error:
        sentence += f" It could not be written either: {error}"
    return Ending("error", 0, sentence)
