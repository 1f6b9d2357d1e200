"""This machine: each life in a process of its own with one thread, forked from one that has imported slrl.

A life that crashes or is killed does not affect the others. Workers end when the evaluation is killed.
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
from slrl.evaluation.engines import Ending, live, record_error
from slrl.lives.settings import LifeSettings

# The fork server imports these once, so that lives do not.
PRELOADED = ("matplotlib.figure", "matplotlib.backends.backend_agg", "safetensors.torch")


def run(
    todo: Sequence[LifeSettings], runs: Path, jobs: int, options: Mapping[str, Any]
) -> Iterator[tuple[LifeSettings, Ending]]:
    """Yield each life with its ending, as they finish.

    Raises:
        BadInput: if there are options; this engine has none.
    """
    if options:
        raise BadInput(f"the engine local has no options, and not {next(iter(options))!r}.")
    context: Any = _context()  # a start method, whose Process has its own type
    waiting, running = list(reversed(todo)), dict[Connection, tuple[LifeSettings, BaseProcess]]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                life = waiting.pop()
                ours, theirs = context.Pipe()
                process = context.Process(target=_live, args=(theirs, life, runs))
                process.start()
                theirs.close()
                running[ours] = (life, process)
            for pipe in wait(list(running)):
                assert isinstance(pipe, Connection)
                life, process = running.pop(pipe)
                try:
                    ending: Ending = pipe.recv()
                except EOFError:  # the process died before it reported
                    process.join()
                    ending = record_error(
                        runs, life, f"the process of the life died (exit code {process.exitcode})."
                    )
                process.join()
                pipe.close()
                yield life, ending
    finally:
        for _, process in running.values():
            process.kill()


def _context() -> BaseContext:
    """Where possible, fork from a server that has imported slrl and has no threads for a fork to lose."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["slrl.evaluation.engines.local", *PRELOADED])
    return context


def _live(pipe: Connection, life: LifeSettings, runs: Path) -> None:
    """Entry point of a worker process: live one life and send its ending."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C belongs to the parent, which kills its workers
    threading.Thread(target=_die_with_parent, args=(pipe,), daemon=True).start()
    pipe.send(live(life, runs))


def _die_with_parent(pipe: Connection) -> None:
    """Exit at the end of the pipe: the parent never sends, and its death closes the pipe."""
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()
    os._exit(1)
