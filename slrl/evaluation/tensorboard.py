"""Metrics of lives as TensorBoard's event files."""

from collections.abc import Sequence
from pathlib import Path

from slrl.errors import BadInput
from slrl.files import made_folder
from slrl.lives.results import read_metrics


def export(runs: Path, folders: Sequence[str], out: Path) -> list[str]:
    """Write the ``metrics.csv`` of each life in ``runs`` as event files to the same folder under ``out``.

    Returns:
        A sentence on each life whose metrics could not be read.

    Raises:
        BadInput: without the package, or where nothing can be written.
    """
    try:
        from tensorboardX import SummaryWriter
    except ModuleNotFoundError:
        raise BadInput(
            "event files need the package tensorboardX; install it with: pip install 'slrl[tensorboard]'."
        ) from None
    problems = []
    for folder in folders:
        try:
            rows = read_metrics(runs / folder)
        except (OSError, ValueError):
            problems.append(f"{folder} has no metrics.csv that can be read.")
            continue
        writer = SummaryWriter(str(made_folder(out / folder)))
        for row in rows:
            for key, value in row.items():
                if key != "life/step":
                    writer.add_scalar(key, value, int(row["life/step"]))
        writer.close()
    return problems
