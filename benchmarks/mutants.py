"""Whether the quick tests notice what breaks: lines of tests/mutations.toml changed one by one in a copy.

Each mutation names its file, a text that is in it exactly once, what stands there instead, and the tests that
should fail. First these tests must pass in a copy that is not changed: tests that fail anyway prove nothing.
The exit code is 1 if a mutation survives or cannot be judged, and 2 for wrong input.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parents[1]
LIST = Path("tests", "mutations.toml")
# What the package and its tests read. A checkout has more, such as .venv and runs.
COPIED = (
    "slrl",
    "tests",
    "adapters",
    "scenarios",
    "priors",
    "eval",
    "benchmarks",
    "examples",
    "docs",
    "pyproject.toml",
)
KILLED, SURVIVED, NOT_JUDGED = "killed", "survived", "could not be judged"
PASSED, FAILED = 0, 1  # pytest's exit codes; others are errors while it collects or starts


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """One change of the core, and who should notice."""

    name: str  # what it breaks
    file: str
    old: str  # occurs exactly once in the file
    new: str
    tests: tuple[str, ...]  # files or node ids of pytest


@dataclass(frozen=True)
class Verdict:
    """What became of a mutation, and why."""

    mutation: Mutation
    outcome: str  # KILLED, SURVIVED or NOT_JUDGED
    why: str  # "" for one that survived
    seconds: float


def refuse(sentence: str) -> NoReturn:
    """One sentence to stderr, and exit code 2."""
    print(f"mutants: {sentence}", file=sys.stderr)
    raise SystemExit(2)


def read(path: Path) -> list[Mutation]:
    """The mutations of a list; one sentence and exit code 2 for a list that is not as it should be."""
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8")).get("mutation", [])
    except (OSError, ValueError) as error:
        refuse(f"{path} cannot be read: {error}.")
    wanted, found = {field.name for field in fields(Mutation)}, []
    for number, row in enumerate(rows, 1):
        if row.keys() != wanted or not row["tests"]:
            refuse(f"mutation {number} of {path} must have {', '.join(sorted(wanted))}, and nothing else.")
        found.append(Mutation(**{**row, "tests": tuple(row["tests"])}))
    names = [one.name for one in found]
    if twice := {name for name in names if names.count(name) > 1}:
        refuse(f"{path} has more than one mutation called {min(twice)!r}.")
    return found


def mutated(root: Path, mutation: Mutation) -> str:
    """The file's text after the mutation.

    Raises:
        ValueError: with one sentence, if it cannot be applied.
    """
    path = root / mutation.file
    if not path.is_file():
        raise ValueError(f"there is no file {mutation.file}")
    text = path.read_text(encoding="utf-8")
    count = text.count(mutation.old)
    if count != 1:
        raise ValueError(f"{mutation.old!r} must occur exactly once in {mutation.file}, not {count} times")
    changed = text.replace(mutation.old, mutation.new)
    if changed == text:
        raise ValueError("it changes nothing")
    try:
        compile(changed, mutation.file, "exec")
    except SyntaxError as error:
        raise ValueError(f"{mutation.file} is no Python after it: {error}") from None
    return changed


def chosen(mutations: list[Mutation], only: str | None, sample: int | None, seed: int) -> list[Mutation]:
    """Those whose name has ``only`` in it, and of these a random sample in the order of the list."""
    found = [one for one in mutations if only is None or only.casefold() in one.name.casefold()]
    if not found:
        refuse("there are no mutations." if only is None else f"no mutation has {only!r} in its name.")
    if sample is None:
        return found
    if sample < 1:
        refuse(f"--sample must be 1 or more, not {sample}.")
    kept = set(random.Random(seed).sample(range(len(found)), min(sample, len(found))))
    return [one for number, one in enumerate(found) if number in kept]


class Copy:
    """A copy of the tree, in which one mutation at a time is applied and tested."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder, self._stamp, self._closed = folder, int(time.time()), False
        self._process: subprocess.Popen[str] | None = None
        folder.mkdir()
        for name in COPIED:
            if (root / name).is_dir():
                shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif (root / name).is_file():
                shutil.copy2(root / name, folder / name)
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")},
            "PYTHONPATH": str(folder),
            "OMP_NUM_THREADS": "1",
        }

    def found(self) -> list[Path]:
        """Where this copy's Python finds slrl, and slrl its files: those of a checkout are not mutated."""
        code = "import slrl; from slrl import files; print(slrl.__file__); print(files.folder('adapters'))"
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            refuse(f"slrl cannot be imported from a copy: {done.stderr.strip().splitlines()[-1]}")
        return [Path(line).resolve() for line in done.stdout.splitlines()]

    def test(self, tests: Sequence[str], timeout_s: float, *, first: bool) -> tuple[int | None, str]:
        """Pytest's exit code, None after a timeout, and its output; ``first``: stop at the first failure."""
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "--tb=line", "--no-header"]
        command += [
            "-p",
            "no:cacheprovider",
            f"--basetemp={self.folder.parent / (self.folder.name + '-tmp')}",
        ]
        process = self._process = subprocess.Popen(
            [*command, *(["-x"] if first else []), *tests],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        if self._closed:  # while it was starting
            _end(process)
        try:
            output, _ = process.communicate(timeout=timeout_s)
            return process.returncode, output
        except subprocess.TimeoutExpired:
            _end(process)
            process.communicate()
            return None, ""

    def close(self) -> None:
        """End the tests that run here, and all that they started, and begin no others."""
        self._closed = True
        if self._process is not None:
            _end(self._process)
            self._process.wait()

    def judge(self, mutation: Mutation, timeout_s: float) -> Verdict:
        """Apply the mutation, run its tests, and take it back."""
        began, path = time.monotonic(), self.folder / mutation.file
        try:
            changed = mutated(self.folder, mutation)
        except ValueError as error:
            return Verdict(mutation, NOT_JUDGED, str(error), 0.0)
        text = path.read_text(encoding="utf-8")
        try:
            self._write(path, changed)
            code, output = self.test(mutation.tests, timeout_s, first=True)
        finally:
            self._write(path, text)
        last = output.strip().splitlines()[-1:] or [""]
        outcome, why = {
            None: (KILLED, f"its tests were still running after {timeout_s:.0f} s"),
            PASSED: (SURVIVED, ""),
            FAILED: (KILLED, _failed(output)),
        }.get(code, (NOT_JUDGED, f"pytest ended with {code}: {last[0]}"))
        return Verdict(mutation, outcome, why, time.monotonic() - began)

    def _write(self, path: Path, text: str) -> None:
        """Write a file with a time of change of its own: Python compiles anew by the second and the size."""
        self._stamp += 2
        path.write_text(text, encoding="utf-8")
        os.utime(path, (self._stamp, self._stamp))


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _failed(output: str) -> str:
    """The test that failed, as pytest's summary names it."""
    for line in output.splitlines():
        if line.startswith(("FAILED ", "ERROR ")):
            return line.split(" ", 1)[1].partition(" - ")[0]
    return "a test failed"


@contextlib.contextmanager
def copies(root: Path, count: int) -> Iterator[list[Copy]]:
    """So many copies in a temporary folder; whatever happens, their tests end and the folder goes."""
    folder = Path(tempfile.mkdtemp(prefix="slrl-mutants-"))
    made: list[Copy] = []
    try:
        for number in range(count):
            made.append(Copy(root, folder / f"copy-{number}"))  # noqa: PERF401 (killed also if one fails)
        yield made
    finally:
        for copy in made:
            copy.close()
        shutil.rmtree(folder, ignore_errors=True)


def check_copy(copy: Copy, todo: Sequence[Mutation], timeout_s: float) -> None:
    """Refuse to go on where the copy is not what is tested, or where its tests fail without a mutation."""
    for path in copy.found():
        if not path.is_relative_to(copy.folder.resolve()):
            refuse(f"{path} is what a copy finds, which is not in it: what is mutated would not be tested.")
    tests = sorted({test for mutation in todo for test in mutation.tests})
    code, output = copy.test(tests, timeout_s * len(tests), first=False)
    if code != PASSED:
        print(output[-3000:], file=sys.stderr)
        refuse("tests fail without any mutation, so that they would say nothing of one.")


def judge_all(
    ready: Sequence[Copy], todo: Sequence[Mutation], timeout_s: float, stop: threading.Event
) -> list[Verdict]:
    """Every mutation in one of the copies, with a line for each as soon as it is known."""
    free, found = list(ready), list[Verdict]()

    def one(mutation: Mutation) -> Verdict | None:
        if stop.is_set():
            return None
        copy = free.pop()
        try:
            return copy.judge(mutation, timeout_s)
        finally:
            free.append(copy)

    with ThreadPoolExecutor(len(ready)) as pool:
        try:
            for future in as_completed([pool.submit(one, mutation) for mutation in todo]):
                if (verdict := future.result()) is not None:
                    found.append(verdict)
                    because = f": {verdict.why}" if verdict.why else ""
                    count, name = f"{len(found)} of {len(todo)}", verdict.mutation.name
                    print(
                        f"{count}  {verdict.outcome}  {name}{because} ({verdict.seconds:.0f} s)", flush=True
                    )
        except BaseException:
            stop.set()
            for copy in ready:
                copy.close()
            raise
    return found


def run(arguments: argparse.Namespace) -> int:
    """Judge the chosen mutations; the exit code."""
    root = arguments.root.resolve()
    listed = read(arguments.list or root / LIST)
    todo = chosen(listed, arguments.only, arguments.sample, arguments.seed)
    if arguments.jobs < 1 or arguments.timeout <= 0:
        refuse("--jobs must be 1 or more, and --timeout more than 0.")
    with copies(root, min(arguments.jobs, len(todo))) as ready:
        check_copy(ready[0], todo, arguments.timeout)
        found = judge_all(ready, todo, arguments.timeout, threading.Event())
    left = [verdict for verdict in found if verdict.outcome != KILLED]
    print(f"{len(found) - len(left)} of {len(found)} mutations are noticed by the quick tests.")
    for verdict in left:
        because = (
            f": {verdict.why}" if verdict.why else f", which {', '.join(verdict.mutation.tests)} let pass"
        )
        print(f"{verdict.outcome}: {verdict.mutation.name}{because}.", file=sys.stderr)
    return 1 if left else 0


def main() -> None:
    """Parse the command line; Ctrl-C and a polite kill leave nothing behind."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sample", type=int, help="so many of them, drawn at random; all if not given")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--only", help="those with this text in their name")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time, each in its own copy")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds after which tests are ended")
    parser.add_argument("--list", type=Path, help=f"another list than {LIST}")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout; by default this script's")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = run(arguments)
    except KeyboardInterrupt:
        print("mutants: interrupted.", file=sys.stderr)
        code = 130
    raise SystemExit(code)


if __name__ == "__main__":
    main()
