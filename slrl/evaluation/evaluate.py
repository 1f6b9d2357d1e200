"""Live the lives of a suite. Their folders are the only state, so it can be stopped and started again."""

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
from slrl.evaluation.engines import Ending, Engine, folder_of
from slrl.evaluation.suites import Suite
from slrl.files import made_folder
from slrl.lives.results import ERROR
from slrl.lives.settings import LifeSettings
from slrl.recording.recipes import load_prior


@dataclass
class Report:
    """Outcomes of a suite's lives after an evaluation."""

    outcomes: Counter[str] = field(default_factory=Counter)  # of all lives of the suite, earlier ones too
    lived: int = 0  # by this evaluation
    errors: dict[str, str] = field(
        default_factory=dict
    )  # folder of a life that crashed: last line of its error


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
        engine: where: a file in slrl/evaluation/engines.
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
        earlier = _ending_of(runs, life, priors[life.prior])
        if earlier is None or (earlier.outcome == "error" and retry):
            todo.append(life)
            continue
        report.outcomes[earlier.outcome] += 1
        if earlier.outcome == "error":
            report.errors[str(folder_of(runs, life))] = earlier.sentence
    total = len(suite.lives)
    with tqdm(
        total=total, initial=total - len(todo), desc=suite.name, unit="life", disable=quiet, smoothing=0
    ) as bar:
        _show(bar, report)
        for life, ending in run(todo, runs, jobs, options):
            report.lived += 1
            report.outcomes[ending.outcome] += 1
            if ending.outcome == "error":
                report.errors[str(folder_of(runs, life))] = ending.sentence
            bar.update()
            _show(bar, report)
    return report


def _show(bar: "tqdm[Any]", report: Report) -> None:
    others = {name: count for name, count in sorted(report.outcomes.items()) if name != "success"}
    bar.set_postfix({"success": report.outcomes["success"], **others})


def _ending_of(runs: Path, life: LifeSettings, sha256: str) -> Ending | None:
    """The ending of a life that has these settings and a whole folder; None if it must be lived (again)."""
    folder = folder_of(runs, life)
    try:
        if (folder / "settings.toml").read_text(encoding="utf-8") != tomli_w.dumps(life.table(sha256)):
            return None
        if (folder / ERROR).is_file() and not (folder / "result.json").is_file():
            return Ending(
                "error", 0, (folder / ERROR).read_text(encoding="utf-8").rstrip().rpartition("\n")[2]
            )
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        ending = Ending(str(result["outcome"]), int(result["steps"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # missing or damaged
    return None if ending.outcome == "interrupted" else ending
