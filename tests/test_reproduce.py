"""Whether a suite came out as its reference: what is let pass, and what is not."""

import subprocess
import sys
from pathlib import Path

from .conftest import write_life

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "reproduce.py"


def lived(runs: Path, steps: dict[str, list[int]]) -> Path:
    for adapter, all_steps in steps.items():
        for seed, count in enumerate(all_steps):
            write_life(runs, adapter, seed, count, outcome="success" if count < 1000 else "timeout")
    return runs


def reproduce(*arguments: object) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_what_leaves_its_interval_fails(tmp_path: Path) -> None:
    runs = lived(tmp_path / "runs", {"alike": [100, 100, 100], "never": [1000, 1000, 1000]})
    (tmp_path / "README.md").write_text("before\n<!-- table:quick -->\nold\n<!-- end -->\nafter\n")
    code, out, err = reproduce(runs, "--reference", tmp_path, "--write", "--readme", tmp_path / "README.md")
    assert (code, err) == (0, "")
    text = (tmp_path / "README.md").read_text()
    assert "| windy | 1,000 | 100 | 3 of 3, 100 (100–100) | 0 of 3, 1,000 (1,000–1,000) |" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text

    code, out, err = reproduce(runs, "--reference", tmp_path)
    assert (code, out, err) == (
        0,
        "6 of 6 lives took exactly as many steps as those of the reference.\n"
        "all 2 results are within their reference intervals.\n",
        "",
    )
    near = lived(tmp_path / "near", {"alike": [109, 100, 109], "never": [1000, 1000, 1000]})
    code, out, _ = reproduce(near, "--reference", tmp_path)
    assert code == 0
    assert "4 of 6 lives" in out
    alone = lived(tmp_path / "alone", {"one": [200]})
    assert reproduce(alone, "--reference", tmp_path / "alone", "--write")[0] == 0
    assert reproduce(alone, "--reference", tmp_path / "alone")[0] == 0  # of one life there is no interval
    far = lived(tmp_path / "far", {"alike": [100, 140, 140], "never": [1000, 1000, 1000]})
    code, out, err = reproduce(far, "--reference", tmp_path)
    assert code == 1
    assert "alike in windy: the restricted mean steps is 127, not 90 to 110." in out
    assert "1 of 2 results left their reference interval." in err
    gone = lived(tmp_path / "gone", {"alike": [100, 100, 100]})
    code, out, _ = reproduce(gone, "--reference", tmp_path)
    assert code == 1
    assert "never in windy was not lived." in out
