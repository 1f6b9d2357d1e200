"""Are the results of the quick suite those of eval/reference? `make reproduce` lives it anew and calls this.

A result leaves its reference interval if the share of lives that succeeded is outside the reference's, or the
restricted mean is outside the reference's bootstrap interval, widened by a tenth: lives that were all alike
have an interval without width. `--write` makes these lives the reference, and puts their table into a
document: bold as `slrl report --format md` has it, so only over several pretrainings.
"""

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from tables import fill

from slrl.evaluation import store
from slrl.evaluation.report import report
from slrl.files import write_text

REFERENCE = Path("eval/reference")
SLACK = 0.1
Rows = list[dict[str, str]]


def main() -> None:
    """Compare, or write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, help="folder of the lives of a suite")
    parser.add_argument(
        "--name", default="quick", help="of the reference: NAME.csv and NAME_lives.csv (default: quick)"
    )
    parser.add_argument(
        "--reference", type=Path, default=REFERENCE, help=f"its folder (default: {REFERENCE})"
    )
    parser.add_argument("--write", action="store_true", help="make these lives the reference")
    parser.add_argument(
        "--readme", type=Path, default=None, help="with --write: also put the table between its markers there"
    )
    arguments = parser.parse_args()
    figures, lives = (arguments.reference / f"{arguments.name}{ending}.csv" for ending in ("", "_lives"))
    text, problems = report(arguments.runs, form="csv")
    for problem in problems:
        print(problem, file=sys.stderr)
    found = store.in_target(store.scan(arguments.runs))
    own = store.printed(store.select(store.index(store.Scan(found, []))), "csv") + "\n"
    if arguments.write:
        write_text(figures, text)
        write_text(lives, own)
        if arguments.readme:
            fill(arguments.readme, arguments.name, table(arguments.runs))
        print(f"{figures} and {lives}: {len(found)} lives")
        return
    known, now = read(figures.read_text(encoding="utf-8")), read(text)
    equal = same(read(lives.read_text(encoding="utf-8")), read(own))
    print(f"{equal} of {len(found)} lives took exactly as many steps as those of the reference.")
    left = list(compared(known, now))
    for sentence in left:
        print(sentence)
    if left:
        raise SystemExit(f"{len(left)} of {len(known)} results left their reference interval.")
    print(f"all {len(known)} results are within their reference intervals.")


def read(text: str) -> Rows:
    """Rows of a CSV."""
    return list(csv.DictReader(text.splitlines()))


def table(runs: Path) -> str:
    """The matrix of the report in Markdown, without what stands under it."""
    return report(runs, form="md")[0].partition("\n\n")[0]


def same(known: Rows, now: Rows) -> int:
    """How many lives ended alike, step for step."""
    ended = [
        {
            (row["scenario"], row["adapter"], row["seed"], row.get("pretraining")): (
                row["outcome"],
                row["steps"],
            )
            for row in rows
        }
        for rows in (known, now)
    ]
    return sum(ended[1].get(life) == end for life, end in ended[0].items())


def compared(known: Rows, now: Rows) -> Iterator[str]:
    """A sentence on each result that left its interval, or is missing."""
    by_name = {(row["scenario"], row["adapter"]): row for row in now}
    for row in known:
        who = f"{row['adapter']} in {row['scenario']}"
        new = by_name.get((row["scenario"], row["adapter"]))
        if new is None:
            yield f"{who} was not lived."
            continue
        for what, slack, digits in (("success_rate", 0.0, 2), ("restricted_mean_steps", SLACK, 0)):
            # one life has no interval: it is held to what it was
            low, high = (float(row[f"{what}_{end}"] or row[what]) for end in ("low", "high"))
            low, high = low * (1 - slack), high * (1 + slack)
            if not low <= float(new[what]) <= high:
                name, value = what.replace("_", " "), f"{float(new[what]):,.{digits}f}"
                yield f"{who}: the {name} is {value}, not {low:,.{digits}f} to {high:,.{digits}f}."


if __name__ == "__main__":
    main()
