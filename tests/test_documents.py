"""Documents against truth: tables are those of the committed lives, and commands that are named exist."""

import argparse
import csv
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slrl.cli import _parser
from slrl.errors import BadInput

from .test_tables import REFERENCE, script

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TABLE = re.compile(r"<!-- table:(\w+) -->\n(.*?)\n<!-- end -->", re.DOTALL)
HEADING = re.compile(r"^#+ .*$", re.MULTILINE)
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
MAKE = re.compile(r"`make ([^`]*)`")
SLRL = re.compile(r"`slrl( [^`]*)`")
SCRIPT = re.compile(r"(?:benchmarks|examples|tests)/(?:\w+/)*\w+\.py")
Place = tuple[Path, str, str, str]  # a document, the name of a table, its text, and the section around it


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def places() -> list[Place]:
    """Every table that a script fills in, with the text between the headings before and after it."""
    found = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        edges = [0, *(heading.start() for heading in HEADING.finditer(FENCE.sub(_blank, text))), len(text)]
        for match in TABLE.finditer(text):
            start = max(edge for edge in edges if edge <= match.start())
            end = min(edge for edge in edges if edge >= match.end())
            around = TABLE.sub("", text[start:end])
            found.append((path, match[1], match[2], around))
    return found


def _blank(match: re.Match[str]) -> str:
    """As many characters without a heading among them."""
    return " " * len(match[0])


def rendered(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], str]:
    """The text of each table as the scripts write it from the CSVs, by document and name."""
    tables: Any = script("tables", monkeypatch)
    found = {}
    for record in tables.RECORDS.values():
        for one in record.tables:
            place = one.document or record.document, one.marker
            found[place] = one.text(tables.read_csv(REFERENCE / record.csv))
    found["docs/adapters.md", "quick"] = tables.figures(list(_rows(REFERENCE / "quick.csv")))
    alarms: Any = script("false_alarms", monkeypatch)
    found["docs/adapters/switch.md", "false_alarms"] = alarms.table(
        alarms.read_csv(REFERENCE / "false_alarms.csv")
    )
    found["docs/adapters/vlm_pc.md", "planner"] = tables.table(tables.read_csv(REFERENCE / "planner.csv"))
    return found


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def test_every_table_is_that_of_the_committed_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = rendered(monkeypatch)
    printed = {(name_of(path), name): text for path, name, text, _ in places()}
    assert expected.keys() == printed.keys()
    for place, text in expected.items():
        assert printed[place] == text, f"{place}: the table is not that of the CSV"


@pytest.mark.parametrize("place", places(), ids=lambda place: f"{name_of(place[0])}-{place[1]}")
def test_every_table_names_its_command(place: Place) -> None:
    path, name, _, around = place
    commands = [*MAKE.findall(around), *SLRL.findall(around), *SCRIPT.findall(around)]
    assert commands, f"the text around table:{name} in {name_of(path)} names no command that makes it"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_command_that_is_named_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    blocks = [line for block in FENCE.findall(text) for line in block.splitlines()]
    targets = set(re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = [*MAKE.findall(text), *(line.split()[1] for line in blocks if line.startswith("make "))]
    words = [word for goals in named for word in goals.split() if "=" not in word]  # but not EXTRAS=dev
    assert [word for word in words if word not in targets] == []
    assert [name for name in SCRIPT.findall(text) if not (ROOT / name).is_file()] == []
    for line in blocks:
        if line.startswith("slrl "):
            parsed(line)
    for inside in SLRL.findall(text):
        known(inside.split())


def parsed(line: str) -> None:
    """A whole command as it stands in a block, with or without a comment."""
    try:
        _parser().parse_args(shlex.split(line, comments=True)[1:])
    except BadInput as error:
        pytest.fail(f"{line}: {error}")
    except SystemExit as end:
        if end.code != 0:
            pytest.fail(line)


def known(words: list[str]) -> None:
    """A command as it stands in a sentence, perhaps in parts: its sub-command and its options are there."""
    parser: argparse.ArgumentParser = _parser()
    for word in words:
        if word.startswith("--"):
            assert word.partition("=")[0] in parser._option_string_actions, f"{' '.join(words)}: no {word}"
            continue
        subs = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        if subs and word.islower() and word.isalpha():
            assert word in subs[0].choices, f"slrl has no {' '.join(words)}"
            parser = subs[0].choices[word]


def test_options_of_scripts_that_are_named_are_theirs() -> None:
    call = re.compile(r"`(?:python )?(benchmarks/\w+\.py)([^`]*)`")
    named = [match for path in DOCUMENTS for match in call.findall(path.read_text(encoding="utf-8"))]
    assert named
    for name, rest in named:
        source = (ROOT / name).read_text(encoding="utf-8")
        for option in re.findall(r"--[\w-]+", rest):
            assert f'"{option}"' in source, f"{name} has no {option}"


def test_the_test_itself_sees_what_is_not_there() -> None:
    for words in (["adpat"], ["check", "--lifes", "3"], ["cache", "sise"]):
        with pytest.raises(AssertionError):
            known(words)
    with pytest.raises(pytest.fail.Exception):
        parsed("slrl adapt --lifes 3  # a comment")
