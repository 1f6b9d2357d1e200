"""Metrics of lives as TensorBoard's event files, for those who look at everything there."""

import csv
from collections.abc import Sequence
from pathlib import Path

from slrl.errors import BadInput
from slrl.files import made_folder


def export(runs: Path, folders: Sequence[str], out: Path) -> list[str]:
    """Write the ``metrics.csv`` of each life in ``runs`` to the same folder under ``out``; what could not be read is told.

    Raises:
        BadInput: without the package, or where nothing can be written.
    """
    try:
        from tensorboardX import SummaryWriter
    except ModuleNotFoundError:
        raise BadInput("event files need the package tensorboardX; install it with: pip install 'slrl[tensorboard]'.") from None
    problems = []
    for folder in folders:
        try:
            with (runs / folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
                rows = [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]
            steps = [int(row.pop("life/step")) for row in rows]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            problems.append(f"{folder} has no metrics.csv that can be read.")
            continue
        writer = SummaryWriter(str(made_folder(out / folder)))
        for step, row in zip(steps, rows, strict=True):
            for key, value in row.items():
                writer.add_scalar(key, value, step)
        writer.close()
    return problems
