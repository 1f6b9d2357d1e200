"""This machine: every life in a process of its own with one thread, forked from one that has imported everything.

A life that crashes, or is killed, takes nothing else with it; and none lives on when the evaluation has been killed.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from slrl.errors import BadInput
from slrl.evaluation.engines import Ended, live, record_error
from slrl.lives.settings import LifeSettings

PRELOADED = (
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "safetensors.torch",
)  # else every life imports them anew


def run(
    todo: Sequence[LifeSettings], runs: Path, jobs: int, options: Mapping[str, Any]
) -> Iterator[tuple[LifeSettings, Ended]]:
    """Each life and how it ended, as they end.

    Raises:
        BadInput: for any option: there are none.
    """
    if options:
        raise BadInput(f"the engine local has no options, and not {next(iter(options))!r}.")
    context = _context()
    waiting, running = list(reversed(todo)), dict[Connection, tuple[LifeSettings, BaseProcess]]()
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
                    ended = record_error(
                        runs, life, f"the process of the life died (exit code {process.exitcode})."
                    )
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
    context.set_forkserver_preload(["slrl.evaluation.engines.local", *PRELOADED])
    return context


def _live(pipe: Connection, life: LifeSettings, runs: Path) -> None:
    """One life, in a process of its own."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # who is asked to stop is the one who started us, and he ends us
    threading.Thread(target=_die_with_parent, args=(pipe,), daemon=True).start()
    pipe.send(live(life, runs))


def _die_with_parent(pipe: Connection) -> None:
    """Nobody sends anything: the end of the pipe is the end of those at its other end, even if they were killed."""
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()
    os._exit(1)
