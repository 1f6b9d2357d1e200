"""Files of settings that are read, files that come whole or not at all, and locks."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from slrl import files
from slrl.errors import BadInput, unknown


def test_a_toml_file_is_read_whatever_letters_it_has(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes('schema = 1\nunit = "γ · m"\n[inner]\nx = [1, 2.5]\n'.encode())
    assert files.read_toml(path) == {"schema": 1, "unit": "γ · m", "inner": {"x": [1, 2.5]}}
    assert files.read("adapters", str(path)) == {"unit": "γ · m", "inner": {"x": [1, 2.5]}}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"x = \xff\n", "is not a text file; a TOML file in UTF-8 is needed."),
        (b"x = \n", "is not valid TOML: "),
        (b"x = 1\nx = 2\n", "is not valid TOML: "),
        (b"[a]\n[a]\n", "is not valid TOML: "),
        ("x = 1".encode("utf-16"), "is not a text file"),
    ],
)
def test_a_toml_file_that_cannot_be_read_is_one_sentence(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        files.read_toml(path)
    assert str(caught.value).startswith(f"{path} {says}")
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_a_toml_file_that_is_missing_or_a_directory_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"there is no file .*none\.toml\."):
        files.read("scenarios", str(tmp_path / "none.toml"))
    with pytest.raises(BadInput, match=r"is a directory; a \.toml file is needed"):
        files.read_toml(tmp_path)


@pytest.mark.parametrize("schema", [None, 0, 2, "1"])
def test_files_of_another_schema_are_refused(schema: object) -> None:
    table = {"x": 1} if schema is None else {"x": 1, "schema": schema}
    with pytest.raises(BadInput, match=f"w has schema {schema!r}; this version of slrl reads `schema = 1`"):
        files.checked_schema(table, "w")


def test_the_schema_is_taken_out_of_a_copy() -> None:
    table = {"schema": 1, "x": 2}
    assert files.checked_schema(table, "w") == {"x": 2}
    assert table == {"schema": 1, "x": 2}


@pytest.mark.parametrize("kind", ["priors", "adapters", "scenarios", "suites"])
def test_every_kind_has_a_folder_and_names_in_order(kind: files.Kind) -> None:
    names = files.names(kind)
    assert names == sorted(names) != []
    assert all((files.folder(kind) / f"{name}.toml").is_file() for name in names)
    with pytest.raises(BadInput, match=f"unknown {kind[:-1]} 'qqqqqq'; choose from {names[0]}"):
        files.read(kind, "qqqqqq")


def test_an_unknown_name_is_answered_with_the_nearest_or_with_all_in_order() -> None:
    assert str(unknown("fruit", "aple", ["pear", "apple"])) == "unknown fruit 'aple'; did you mean 'apple'?"
    assert str(unknown("fruit", "zzz", ["pear", "apple"])) == "unknown fruit 'zzz'; choose from apple, pear."
    assert str(unknown("fruit", "zzz", [])) == "unknown fruit 'zzz'; choose from none."


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLRL_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert files.cache_folder("k") == tmp_path / "own" / "k"
    monkeypatch.delenv("SLRL_CACHE")
    assert files.cache_folder("k") == tmp_path / "xdg" / "slrl" / "k"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert files.cache_folder("k") == tmp_path / "home" / ".cache" / "slrl" / "k"
    assert (tmp_path / "home" / ".cache" / "slrl" / "k").is_dir()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=r"cannot make the folder .*/file/inner: Not a directory\."):
        files.made_folder(tmp_path / "file" / "inner")
    with pytest.raises(BadInput, match=r"cannot make the folder .*/file: File exists\."):
        files.made_folder(tmp_path / "file")


def test_a_folder_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert files.made_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK | os.X_OK)
    with pytest.raises(BadInput, match=r"cannot write into the folder .*; choose another one"):
        files.made_folder(tmp_path / "a" / "b")


# --- whole or not at all ------------------------------------------------------------------------------------


def test_a_file_that_is_being_written_stands_beside_and_keeps_its_ending(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_text("old")
    with files.atomic_write(path) as temporary:
        temporary.write_text("new")
        assert (temporary.parent, temporary.suffix, temporary.name[0]) == (tmp_path, ".png", ".")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_two_who_write_the_same_file_do_not_share_a_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with files.atomic_write(path) as one, files.atomic_write(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"  # who ends last


def test_who_writes_nothing_leaves_the_old_file_and_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    files.write_text(path, "old · γ")
    with pytest.raises(FileNotFoundError), files.atomic_write(path):
        pass
    assert path.read_bytes() == "old · γ".encode()


def test_a_process_that_is_killed_while_it_writes_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    code = f"""
from pathlib import Path
from slrl.files import atomic_write
with atomic_write(Path({str(path)!r})) as temporary:
    temporary.write_text("half of the n")
    print("now", flush=True)
    input()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "now\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert path.read_text() == "old"


# --- one at a time ------------------------------------------------------------------------------------------


def waiting(name: str) -> subprocess.Popen[str]:
    """Another process, which says when it is there and when it is alone."""
    code = f"""
from slrl.files import file_lock
print("there", flush=True)
with file_lock({name!r}):
    print("alone", flush=True)
"""
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_a_second_process_waits_until_the_first_one_is_done() -> None:
    with files.file_lock("the work"):
        other = waiting("other work")  # another name need not wait
        assert other.communicate(timeout=30)[0] == "there\nalone\n"
        same = waiting("the work")
        assert same.stdout is not None
        assert same.stdout.readline() == "there\n"
        with pytest.raises(subprocess.TimeoutExpired):
            same.wait(0.3)
    assert same.communicate(timeout=30)[0] == "alone\n"


def test_a_lock_is_free_again_after_an_error() -> None:
    def fail() -> None:
        with files.file_lock("failing"):
            raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            fail()
