"""Live the lives of a suite in parallel processes, and go on where it was stopped.

Every life has a process of its own with one thread, forked from one that has imported everything: a life that crashes, or is
killed, takes nothing else with it. The folders of the lives are all that is kept, so that what is there is not lived again.
"""

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w
import torch
from tqdm import tqdm

from slrl.errors import BadInput
from slrl.files import made_folder, write_text
from slrl.recipes import load_prior
from slrl.results import check_folder
from slrl.run import Settings, adapt_as
from slrl.suites import Suite

PRELOADED = ("matplotlib.figure", "matplotlib.backends.backend_agg", "safetensors.torch")  # else every life imports them anew
ERROR = "error.txt"  # in the folder of a life that crashed: its settings are beside it, and no result


class Ended(NamedTuple):
    """How the process of a life ended."""

    outcome: str  # of the life, or "error"
    steps: int
    sentence: str = ""  # of an error


@dataclass
class Report:
    """What an evaluation found and did."""

    outcomes: Counter[str] = field(default_factory=Counter)  # of all lives of the suite that are there now
    lived: int = 0  # this time
    errors: dict[str, str] = field(default_factory=dict)  # folder: sentence


def evaluate(suite: Suite, runs: Path, *, jobs: int = 2, retry: bool = False, quiet: bool = False) -> Report:
    """Live what is missing under ``runs``. Ctrl-C stops at once; what was lived until then stays.

    Args:
        suite: the lives.
        runs: their folder.
        jobs: processes.
        retry: whether to live again those that crashed before.
        quiet: whether to hide the progress bar.

    Raises:
        BadInput: before anything is lived.
    """
    if jobs < 1:
        raise BadInput(f"jobs must be 1 or more, not {jobs}.")
    runs = runs.absolute()
    check_folder(runs)
    priors = {spec: load_prior(spec, quiet=quiet).sha256 for spec in dict.fromkeys(life.prior for life in suite.lives)}
    report, todo = Report(), []
    for life in suite.lives:
        there = _there(runs, life, priors[life.prior])
        if there is None or (there.outcome == "error" and retry):
            todo.append(life)
            continue
        report.outcomes[there.outcome] += 1
        if there.outcome == "error":
            report.errors[str(_folder(runs, life))] = there.sentence
    total = len(suite.lives)
    with tqdm(total=total, initial=total - len(todo), desc=suite.name, unit="life", disable=quiet, smoothing=0) as bar:
        _show(bar, report)
        for life, ended in _in_processes(todo, runs, jobs):
            report.lived += 1
            report.outcomes[ended.outcome] += 1
            if ended.outcome == "error":
                report.errors[str(_folder(runs, life))] = ended.sentence
            bar.update()
            _show(bar, report)
    return report


def _show(bar: "tqdm[Any]", report: Report) -> None:
    others = {name: count for name, count in sorted(report.outcomes.items()) if name != "success"}
    bar.set_postfix({"success": report.outcomes["success"], **others})


def _folder(runs: Path, life: Settings) -> Path:
    return runs / life.scenario.name / life.method.name / f"seed-{life.seed}"


def _there(runs: Path, life: Settings, sha256: str) -> Ended | None:
    """How this very life ended, if it was lived, or crashed, and its folder is whole."""
    folder = _folder(runs, life)
    try:
        if (folder / "settings.toml").read_text(encoding="utf-8") != tomli_w.dumps(life.table(sha256)):
            return None
        if (folder / ERROR).is_file() and not (folder / "result.json").is_file():
            return Ended("error", 0, (folder / ERROR).read_text(encoding="utf-8").rstrip().rpartition("\n")[2])
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        ended = Ended(str(result["outcome"]), int(result["steps"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not there, or damaged: lived again
    return None if ended.outcome == "interrupted" else ended


# --- processes ---------------------------------------------------------------------------------------------------------------


def _in_processes(todo: Sequence[Settings], runs: Path, jobs: int) -> Iterator[tuple[Settings, Ended]]:
    """Each life and how it ended, as they end."""
    context = _context()
    waiting, running = list(reversed(todo)), dict[Connection, tuple[Settings, BaseProcess]]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                life = waiting.pop()
                ours, theirs = context.Pipe()
                process = context.Process(target=_live, args=(theirs, life, runs))  # type: ignore[attr-defined]
                process.start()
                theirs.close()
                running[ours] = (life, process)
            for pipe in wait(list(running)):
                assert isinstance(pipe, Connection)
                life, process = running.pop(pipe)
                try:
                    ended: Ended = pipe.recv()
                except EOFError:  # it is gone without a word
                    process.join()
                    ended = _record_error(runs, life, f"the process of the life died (exit code {process.exitcode}).")
                process.join()
                pipe.close()
                yield life, ended
    finally:
        for _, process in running.values():
            process.kill()


def _context() -> BaseContext:
    """Processes forked from a server that has imported slrl, where there are such; it has no threads that a fork would lose."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["slrl.evaluate", *PRELOADED])
    return context


def _live(pipe: Connection, life: Settings, runs: Path) -> None:
    """One life, in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who is asked to stop is the one who started us, and he ends us
    threading.Thread(target=_die_with_parent, args=(pipe,), daemon=True).start()
    torch.set_num_threads(life.threads)
    with _said() as said:
        try:
            result, _ = adapt_as(life, out=runs, quiet=True)
            ended = Ended(result.outcome, result.steps)
        except BadInput as error:
            ended = _record_error(runs, life, str(error))
        except Exception:  # whatever a life dies of is written down, and the others go on
            ended = _record_error(runs, life, traceback.format_exc())
    folder = _folder(runs, life)
    with contextlib.suppress(OSError):  # a full disk has been told of already
        (folder / ERROR).unlink(missing_ok=True) if ended.outcome != "error" else None
        if text := said.getvalue():
            write_text(folder / "log.txt", text)
    pipe.send(ended)


def _die_with_parent(pipe: Connection) -> None:
    """Nobody sends anything: the end of the pipe is the end of those at its other end, even if they were killed."""
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()
    os._exit(1)


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


def _record_error(runs: Path, life: Settings, text: str) -> Ended:
    """``error.txt`` in the life's folder, with the settings that led to it."""
    sentence = text.rstrip().rpartition("\n")[2]
    try:
        folder = made_folder(_folder(runs, life))
        write_text(folder / "settings.toml", tomli_w.dumps(life.table(load_prior(life.prior, quiet=True).sha256)))
        write_text(folder / ERROR, text.rstrip() + "\n")
    except (OSError, BadInput) as error:
        sentence += f" It could not be written down either: {error}"
    return Ended("error", 0, sentence)
