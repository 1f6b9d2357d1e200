"""What a folder of lives shows: a page to open in a browser, tables and a figure for papers."""

from collections.abc import Callable
from pathlib import Path

from slrl.errors import BadInput
from slrl.evaluation.report import figure, page, tables
from slrl.evaluation.report.evidence import Evidence, collect
from slrl.files import atomic_write, made_folder

FORMS = ("html", "md", "csv", "png")


def report(
    runs: Path,
    out: Path | None = None,
    *,
    form: str | None = None,
    seed: int = 0,
    animations: bool = True,
    quiet: bool = True,
) -> tuple[str, list[str]]:
    """Write the report of all lives under ``runs`` to ``out``.

    Args:
        runs: folder of lives.
        out: the file; without one, text is only returned.
        form: one of ``html``, ``md``, ``csv`` and ``png``; by default as ``out`` ends.
        seed: of the resampling.
        animations: whether the page shows source and target of each scenario in motion; drawing them takes
            seconds per scenario the first time.
        quiet: whether to hide the progress bar.

    Returns:
        The text (nothing for a figure), and a sentence on everything that was left out or could not be read.

    Raises:
        BadInput: if there is no such folder, or ``out`` cannot be written.
    """
    if out is not None and out.is_dir():
        raise BadInput(f"{out} is a folder; name a file for the report.")
    form = form or (out.suffix.removeprefix(".") if out else "html")
    if form not in FORMS:
        raise BadInput(
            f"{out} must end in .{', .'.join(FORMS)}, or a format must be named: {', '.join(FORMS)}."
        )
    if form == "png" and out is None:
        raise BadInput("a figure needs a file; name one that ends in .png.")
    if out is not None:
        made_folder(out.absolute().parent)
    found = collect(runs, seed)
    make: dict[str, Callable[[Evidence], tuple[str, list[str]]]] = {
        "html": lambda evidence: page.render(evidence, animations=animations, quiet=quiet),
        "md": tables.markdown,
        "csv": tables.comma_separated,
        "png": lambda evidence: ("", []),
    }
    text, problems = make[form](found)
    if out is not None:
        try:
            with atomic_write(out) as temporary:
                figure.draw(temporary, found) if form == "png" else temporary.write_text(
                    text, encoding="utf-8"
                )
        except OSError as error:
            raise BadInput(f"cannot write {out}: {error.strerror}.") from None
    return text, [*found.problems, *problems]
