"""Learning before the life: all artefacts of a method, in order, or in parallel processes."""

import contextlib
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

import torch
from tqdm import tqdm

from slrl.errors import BadInput
from slrl.learning.cache import Artefact, LearnedCache, is_learned, limit_bytes, trim
from slrl.types import Metrics

WORTH_A_PROCESS_S = 15.0  # of learning; starting a process takes three seconds

Rebuild = Callable[[], Sequence[Artefact[Any]]]  # picklable, for a spawned process


def missing(artefacts: Iterable[Artefact[Any]]) -> list[Artefact[Any]]:
    """The artefacts to learn, each once, in order. One that needs a missing artefact is missing too."""
    found: dict[str, Artefact[Any]] = {}
    for artefact in artefacts:
        for one in artefact.everything():
            if one.stored and (not is_learned(one) or any(need.key in found for need in one.stored_needs())):
                found[one.key] = one
    return list(found.values())


def prepare(
    artefacts: Sequence[Artefact[Any]], *, quiet: bool = True, jobs: int = 1, rebuild: Rebuild | None = None
) -> dict[str, BadInput]:
    """Learn what is missing. Returns what could not be learned: key to message.

    Args:
        artefacts: those that a life needs.
        quiet: whether to hide the progress bar.
        jobs: how many may be learned at a time. More than one needs ``rebuild``.
        rebuild: gives the same artefacts in another process.
    """
    limit_bytes()  # reject a bad limit before the work
    todo = missing(artefacts)
    if not todo:
        return {}
    seconds = sum(_cost(artefact) for artefact in todo) / 1000
    with _Bar(todo, quiet) as bar:
        if jobs > 1 and rebuild is not None and len(todo) > 1 and seconds > WORTH_A_PROCESS_S:
            failures = _Processes(todo, bar, jobs, rebuild).run()
        else:
            failures = _learn_here(todo, bar)
    trim(keep=[one.file for artefact in artefacts for one in artefact.everything() if one.stored])
    return failures


def _learn_here(todo: Sequence[Artefact[Any]], bar: "_Bar") -> dict[str, BadInput]:
    cache = LearnedCache(progress=bar.show)
    for artefact in todo:
        if not any(need.key in cache.failures for need in artefact.everything()):
            try:
                cache.get(artefact)
            except BadInput as error:
                cache.failures[artefact.key] = error
        bar.finish(artefact)
    return cache.failures


def _cost(artefact: Artefact[Any]) -> float:
    return artefact.steps * artefact.ms_per_step


class _Bar:
    """One progress bar for all artefacts: total progress, those being learned, and the time left."""

    def __init__(self, todo: Sequence[Artefact[Any]], quiet: bool) -> None:
        self._number = {artefact.key: number for number, artefact in enumerate(todo, 1)}
        self._done = dict.fromkeys(self._number, 0.0)
        self._running: dict[str, Artefact[Any]] = {}
        shape = "{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left{postfix}"
        total = sum(map(_cost, todo))
        self._bar = tqdm(total=total, bar_format=shape, disable=quiet, mininterval=1, smoothing=0.05)

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def show(self, artefact: Artefact[Any], step: int, metrics: Metrics) -> None:
        """Progress of an artefact: steps made, and its latest metrics."""
        if artefact.key not in self._running:
            self._running[artefact.key] = artefact
            self._describe()
        self._move(artefact, step * artefact.ms_per_step)
        alone = len(self._running) == 1  # of several, nobody would know whose figures these are
        shown = metrics if alone else {}
        figures = {key.rpartition("/")[2]: f"{float(value):.3g}" for key, value in shown.items()}
        self._bar.set_postfix(figures, refresh=False)

    def finish(self, artefact: Artefact[Any]) -> None:
        """An artefact is done, here or by another process."""
        self._running.pop(artefact.key, None)
        self._move(artefact, _cost(artefact))
        self._describe()

    def _describe(self) -> None:
        if self._running:
            running = sorted(self._running.values(), key=lambda artefact: self._number[artefact.key])
            numbers = " and ".join(str(self._number[artefact.key]) for artefact in running)
            what = ", ".join(artefact.name for artefact in running)
            self._bar.set_description_str(f"pretraining {numbers} of {len(self._number)}: {what}")

    def _move(self, artefact: Artefact[Any], done: float) -> None:
        self._bar.update(done - self._done[artefact.key])
        self._done[artefact.key] = done


@dataclass
class _Processes:
    """One process per artefact, at most ``jobs`` at a time; each starts when its needs are learned."""

    todo: Sequence[Artefact[Any]]
    bar: _Bar
    jobs: int
    rebuild: Rebuild
    failures: dict[str, BadInput] = field(default_factory=dict)
    running: dict[Connection, tuple[Artefact[Any], Any]] = field(default_factory=dict)

    def run(self) -> dict[str, BadInput]:
        """Learn everything; on Ctrl-C the processes end too."""
        waiting = list(self.todo)
        try:
            while waiting or self.running:
                self._begin(waiting)
                # None is left where all that waited needed something that failed.
                for connection in wait(list(self.running)) if self.running else ():
                    assert isinstance(connection, Connection)
                    self._receive(connection)
        finally:
            for _, process in self.running.values():
                process.terminate()
                process.join()
        return self.failures

    def _begin(self, waiting: list[Artefact[Any]]) -> None:
        undone = {artefact.key for artefact in waiting} | {
            artefact.key for artefact, _ in self.running.values()
        }
        # The artefact with the longest chain behind it goes first.
        for artefact in sorted(waiting, key=lambda one: -self._behind(one)):
            needs = {need.key for need in artefact.everything()} - {artefact.key}
            if needs & self.failures.keys():
                waiting.remove(artefact)
                self.bar.finish(artefact)
            elif len(self.running) < self.jobs and not needs & undone:
                waiting.remove(artefact)
                self._start(artefact)
        if waiting and not self.running:
            names = ", ".join(artefact.name for artefact in waiting)
            raise RuntimeError(f"nothing is left that could be learned before {names}")

    def _behind(self, artefact: Artefact[Any]) -> float:
        after = [one for one in self.todo if artefact.key in {need.key for need in one.everything()}]
        return sum(map(_cost, after))

    def _start(self, artefact: Artefact[Any]) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        self.running[ours] = artefact, process
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it died; _receive finds out
            # Through the pipe and not as arguments: those are written while this process holds the reading
            # end too, and would wait for ever for a reader that has died.
            ours.send((self.rebuild, artefact.key, torch.get_num_threads()))

    def _receive(self, connection: Connection) -> None:
        artefact, process = self.running[connection]
        try:
            message = connection.recv()
        except (EOFError, ConnectionResetError):
            name = artefact.name
            message = BadInput(
                f"the process that learned the {name} ended before it was through; was it killed?"
            )
        if isinstance(message, tuple):
            self.bar.show(artefact, *message)
            return
        if message is not None:
            self.failures[artefact.key] = message
        process.join()
        connection.close()
        del self.running[connection]
        self.bar.finish(artefact)


def _work(connection: Connection) -> None:
    """Learn one artefact in this process. Sends (step, metrics) as progress, then None or an error."""
    try:
        rebuild, key, threads = connection.recv()
        torch.set_num_threads(threads)
        connection.send(_learned(connection, rebuild, key))
    except (KeyboardInterrupt, BrokenPipeError, EOFError):  # the parent terminates it, or has exited
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 (hides the traceback at exit)


def _learned(connection: Connection, rebuild: Rebuild, key: str) -> BadInput | None:
    """Why the artefact could not be learned; None if it was."""
    said = time.monotonic()

    def progress(artefact: Artefact[Any], step: int, metrics: Metrics) -> None:
        nonlocal said
        if artefact.key == key and (time.monotonic() - said > 0.5 or step == artefact.steps):
            said = time.monotonic()
            connection.send((step, {name: float(value) for name, value in metrics.items()}))

    try:
        artefact = next(one for part in rebuild() for one in part.everything() if one.key == key)
        LearnedCache(progress=progress).get(artefact)
    except BadInput as error:
        return type(error)(str(error))
    except BrokenPipeError:
        raise
    except Exception as error:  # the parent cannot see the traceback of another process
        traceback.print_exc()
        return BadInput(f"learning failed with {type(error).__name__}: {error}; its traceback stands above.")
    return None
