"""The list of mutations and the script that applies them: a toy that survives, and what proves nothing."""

import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from .test_tables import script

ROOT = Path(__file__).parents[1]
SUMS = """
def add(one, other):
    return one + other


def double(number):
    return 2 * number
"""
TESTS = """
import os, time
from pathlib import Path
from slrl.sums import add, double


def test_add():
    assert add(2, 2) == 4


def test_double():
    assert double(0) == 0


def test_slow():
    if double(1) != 2:
        Path(os.environ["TOY_PID"]).write_text(str(os.getpid()))
        time.sleep(60)
"""
ADD = {"name": "sums are differences", "old": "one + other", "new": "one - other", "test": "add"}
DOUBLE = {"name": "doubles are triples", "old": "2 * number", "new": "3 * number", "test": "double"}
FILES = "from pathlib import Path\n\n\ndef folder(kind):\n    return Path(__file__).parents[1] / kind\n"


@pytest.fixture
def mutants(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return script("mutants", monkeypatch)


def toy(folder: Path, *mutations: dict[str, str]) -> Path:
    """A package with two functions, its tests, and these mutations of it."""
    tree = folder / "toy"
    rows = [
        f'[[mutation]]\nname = "{one["name"]}"\nfile = "slrl/sums.py"\nold = "{one["old"]}"\n'
        f'new = "{one["new"]}"\ntests = ["tests/test_sums.py::test_{one["test"]}"]\n'
        for one in mutations
    ]
    parts = {
        "slrl/__init__.py": "",
        "slrl/files.py": FILES,
        "slrl/sums.py": SUMS,
        "tests/test_sums.py": TESTS,
        "tests/mutations.toml": "\n".join(rows),
    }
    for name, text in parts.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    (folder / "tmp").mkdir()
    return tree


def command(tree: Path, *arguments: object) -> dict[str, Any]:
    """What starts the script on a toy whose temporary files go to a folder of their own."""
    words = [sys.executable, ROOT / "benchmarks" / "mutants.py", "--root", tree, *arguments]
    own = {"TMPDIR": str(tree.parent / "tmp"), "TOY_PID": str(tree.parent / "pid")}
    return {"args": list(map(str, words)), "env": {**os.environ, **own}, "text": True}


def run(tree: Path, *arguments: object) -> tuple[int, str, str]:
    done = subprocess.run(**command(tree, *arguments), capture_output=True, check=False)
    assert list((tree.parent / "tmp").iterdir()) == []
    assert (tree / "slrl" / "sums.py").read_text() == SUMS
    return done.returncode, done.stdout, done.stderr


def test_one_that_is_noticed_is_killed_and_one_that_is_not_survives(tmp_path: Path) -> None:
    tree = toy(tmp_path, ADD, DOUBLE)
    code, out, err = run(tree)
    assert code == 1
    assert "1 of 2  killed  sums are differences: tests/test_sums.py::test_add (" in out
    assert "2 of 2  survived  doubles are triples (" in out
    assert "1 of 2 mutations are noticed by the quick tests." in out
    assert err == "survived: doubles are triples, which tests/test_sums.py::test_double let pass.\n"
    code, out, err = run(tree, "--only", "Sums")
    assert (code, err) == (0, "")
    assert "1 of 1 mutations are noticed" in out


def test_tests_that_do_not_end_are_killed_and_it_is_said(tmp_path: Path) -> None:
    tree = toy(tmp_path, DOUBLE | {"test": "slow"})
    code, out, _ = run(tree, "--timeout", 6)
    assert code == 0
    assert "killed  doubles are triples: its tests were still running after 6 s" in out
    assert ended(int((tmp_path / "pid").read_text()))


def ended(pid: int) -> bool:
    """Whether the process has ended, or does within some seconds."""
    for _ in range(50):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_who_is_interrupted_leaves_nothing_behind(which: signal.Signals, tmp_path: Path) -> None:
    tree = toy(tmp_path, DOUBLE | {"test": "slow"}, ADD)
    with subprocess.Popen(
        **command(tree, "--jobs", 2), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        began = time.monotonic()
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert time.monotonic() - began < 60
            time.sleep(0.05)
        process.send_signal(which)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "mutants: interrupted.\n")
    assert list((tmp_path / "tmp").iterdir()) == []
    assert ended(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"old": "one * other"}, "'one * other' must occur exactly once in slrl/sums.py, not 0 times"),
        ({"old": "return"}, "'return' must occur exactly once in slrl/sums.py, not 2 times"),
        ({"new": "one + other"}, "it changes nothing"),
        ({"new": "one +"}, "slrl/sums.py is no Python after it"),
        ({"new": "one + other\\n\\nraise OSError"}, "pytest ended with"),
    ],
)
def test_what_cannot_be_judged_is_no_success(changes: dict[str, str], says: str, tmp_path: Path) -> None:
    """A file that cannot be imported fails every test, and says nothing of any."""
    code, out, err = run(toy(tmp_path, ADD | changes))
    assert code == 1
    assert "1 of 1  could not be judged  sums are differences: " in out
    assert says in err


def test_tests_that_fail_anyway_are_refused(tmp_path: Path) -> None:
    tree = toy(tmp_path, ADD)
    (tree / "tests" / "test_sums.py").write_text(TESTS.replace("== 4", "== 5"))
    code, out, err = run(tree)
    assert (code, out) == (2, "")
    assert "tests fail without any mutation, so that they would say nothing of one." in err
    (tree / "tests" / "mutations.toml").write_text(
        (tree / "tests" / "mutations.toml").read_text().replace("test_add", "test_lost")
    )
    assert run(tree)[0] == 2


def test_a_copy_that_imports_something_else_is_refused(tmp_path: Path) -> None:
    """Without a package of its own it finds the one that is installed."""
    tree = toy(tmp_path, ADD)
    (tree / "slrl" / "__init__.py").unlink()
    (tree / "slrl").rename(tree / "docs")  # a folder that is copied too
    done = subprocess.run(**command(tree), capture_output=True, check=False)
    assert done.returncode == 2
    assert "which is not in it: what is mutated would not be tested." in done.stderr


def test_wrong_input_is_one_sentence(tmp_path: Path) -> None:
    tree = toy(tmp_path, ADD, ADD)
    listed = tree / "tests" / "mutations.toml"
    assert "more than one mutation called 'sums are differences'" in run(tree)[2]
    listed.write_text('[[mutation]]\nname = "x"\n')
    assert "must have file, name, new, old, tests, and nothing else." in run(tree)[2]
    assert run(tree, "--list", tmp_path / "lost.toml")[0] == 2
    listed.write_text("")
    assert "there are no mutations" in run(tree)[2]


def test_samples_are_of_their_seed(mutants: Any) -> None:
    listed = mutants.read(ROOT / "tests" / "mutations.toml")
    one, same, other = (mutants.chosen(listed, None, 8, seed) for seed in (1, 1, 2))
    assert one == same != other
    assert len({mutation.name for mutation in one}) == 8
    assert [listed.index(mutation) for mutation in one] == sorted(map(listed.index, one))
    assert mutants.chosen(listed, None, 1000, 0) == listed


def test_every_mutation_can_be_applied_and_its_tests_are_there(mutants: Any) -> None:
    listed = mutants.read(ROOT / "tests" / "mutations.toml")
    assert len(listed) >= 26
    for mutation in listed:
        mutants.mutated(ROOT, mutation)
        for test in mutation.tests:
            path, _, name = test.partition("::")
            assert not name or f"def {name}(" in (ROOT / path).read_text(), test
            assert "reference_lives" not in path  # skipped on other processors


def test_what_a_copy_reads_is_its_own(mutants: Any, tmp_path: Path) -> None:
    copy = mutants.Copy(ROOT, tmp_path / "copy")
    own = (tmp_path / "copy").resolve()
    assert copy.found() == [own / "slrl" / "__init__.py", own / "adapters"]
    assert tomllib.loads((own / "pyproject.toml").read_text())["project"]["name"] == "slrl"


@pytest.mark.slow
def test_every_mutation_is_noticed() -> None:
    words = [sys.executable, ROOT / "benchmarks" / "mutants.py", "--jobs", "2"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
