"""Live the lives of a suite, and go on where it was stopped: the folders of the lives are all that is kept."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import tomli_w
from tqdm import tqdm

from slrl import plugins
from slrl.errors import BadInput
from slrl.evaluation.engines import Ended, Engine, folder_of
from slrl.evaluation.suites import Suite
from slrl.files import made_folder
from slrl.lives.results import ERROR
from slrl.lives.settings import LifeSettings
from slrl.recording.recipes import load_prior


@dataclass
class Report:
    """What an evaluation found and did."""

    outcomes: Counter[str] = field(default_factory=Counter)  # of all lives of the suite that are there now
    lived: int = 0  # this time
    errors: dict[str, str] = field(default_factory=dict)  # folder: sentence


def evaluate(
    suite: Suite,
    runs: Path,
    *,
    jobs: int = 2,
    retry: bool = False,
    engine: str = "local",
    options: Mapping[str, Any] = MappingProxyType({}),
    quiet: bool = False,
) -> Report:
    """Live what is missing under ``runs``. Ctrl-C stops at once; what was lived until then stays.

    Args:
        suite: the lives.
        runs: their folder.
        jobs: lives at a time.
        retry: whether to live again those that crashed before.
        engine: where: a file in slrl/engines.
        options: of the engine.
        quiet: whether to hide the progress bar.

    Raises:
        BadInput: before anything is lived.
    """
    if jobs < 1:
        raise BadInput(f"jobs must be 1 or more, not {jobs}.")
    run: Engine = plugins.factory(plugins.ENGINES, engine)
    runs = runs.absolute()
    made_folder(runs)
    priors = {
        spec: load_prior(spec, quiet=quiet).sha256
        for spec in dict.fromkeys(life.prior for life in suite.lives)
    }
    report, todo = Report(), []
    for life in suite.lives:
        there = _there(runs, life, priors[life.prior])
        if there is None or (there.outcome == "error" and retry):
            todo.append(life)
            continue
        report.outcomes[there.outcome] += 1
        if there.outcome == "error":
            report.errors[str(folder_of(runs, life))] = there.sentence
    total = len(suite.lives)
    with tqdm(
        total=total, initial=total - len(todo), desc=suite.name, unit="life", disable=quiet, smoothing=0
    ) as bar:
        _show(bar, report)
        for life, ended in run(todo, runs, jobs, options):
            report.lived += 1
            report.outcomes[ended.outcome] += 1
            if ended.outcome == "error":
                report.errors[str(folder_of(runs, life))] = ended.sentence
            bar.update()
            _show(bar, report)
    return report


def _show(bar: "tqdm[Any]", report: Report) -> None:
    others = {name: count for name, count in sorted(report.outcomes.items()) if name != "success"}
    bar.set_postfix({"success": report.outcomes["success"], **others})


def _there(runs: Path, life: LifeSettings, sha256: str) -> Ended | None:
    """How this very life ended, if it was lived, or crashed, and its folder is whole."""
    folder = folder_of(runs, life)
    try:
        if (folder / "settings.toml").read_text(encoding="utf-8") != tomli_w.dumps(life.table(sha256)):
            return None
        if (folder / ERROR).is_file() and not (folder / "result.json").is_file():
            return Ended(
                "error", 0, (folder / ERROR).read_text(encoding="utf-8").rstrip().rpartition("\n")[2]
            )
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        ended = Ended(str(result["outcome"]), int(result["steps"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not there, or damaged: lived again
    return None if ended.outcome == "interrupted" else ended
