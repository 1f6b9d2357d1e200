"""The commands of `slrl`, their options and help; what they do is in :mod:`slrl.cli.commands`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from slrl import __version__
from slrl.cli import commands
from slrl.errors import BadInput
from slrl.files import DEFAULT_ADAPTER


class Parser(argparse.ArgumentParser):
    """Reports wrong arguments as :class:`BadInput`, one sentence, instead of printing the usage."""

    def error(self, message: str) -> NoReturn:
        """Called by argparse for arguments that it cannot parse.

        Raises:
            BadInput: always.
        """
        raise BadInput(f"{message}; `{self.prog} --help` shows what is possible.")


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `slrl`.

    Exit codes: 0, also for a life that did not succeed; 1 if a life of a suite crashed; 2 for bad input; 130
    for an interruption outside of a life.
    """
    sys.path.append(str(Path.cwd()))  # where the user's own worlds and success tests are, as module:Class
    try:
        arguments = _parser().parse_args(argv)
        arguments.run(arguments)
    except BadInput as error:
        print(f"slrl: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("slrl: interrupted; nothing half-written is left.", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:  # the reader of our output has gone, as in `slrl list adapters | head -1`
        sys.stdout = None
        raise SystemExit(1) from None


def _parser() -> Parser:
    parser = Parser(
        prog="slrl",
        description="Single-life adaptation: a prior, a changed world, one life to finish the task.",
    )
    parser.add_argument("--version", action="version", version=f"slrl {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_adapt(subparsers)
    _add_list(subparsers)
    _add_prior(subparsers)
    _add_pretrain(subparsers)
    _add_cache(subparsers)
    _add_check(subparsers)
    _add_render(subparsers)
    _add_eval(subparsers)
    _add_results(subparsers)
    _add_compare(subparsers)
    _add_report(subparsers)
    doctor = subparsers.add_parser("doctor", help="versions, known-bad combinations, devices, folders")
    doctor.set_defaults(run=commands.doctor)
    return parser


def _add_adapt(subparsers: Any) -> None:
    adapt = subparsers.add_parser(
        "adapt", help="live one life", description="Live one life and score it by its steps-to-completion."
    )
    adapt.add_argument("--scenario", metavar="S", help="name or .toml file (see `slrl list scenarios`)")
    adapt.add_argument(
        "--prior",
        metavar="P",
        action="append",
        help="recipe, Minari id, Minari directory or HDF5 file (default: the scenario's own); "
        "once for each of several behaviours",
    )
    adapt.add_argument(
        "--adapter",
        metavar="A",
        help=f"name or .toml file (default: {DEFAULT_ADAPTER}; see `slrl list adapters`)",
    )
    adapt.add_argument("--seed", metavar="N", type=int, help="the life's only seed (default: 0)")
    adapt.add_argument(
        "--life-steps", metavar="N", type=int, help="budget in environment steps (default: the scenario's)"
    )
    adapt.add_argument(
        "--set",
        metavar="KEY=VALUE",
        nargs="+",
        action="extend",
        default=[],
        help="adapter settings, as agent.hidden=[64,64]",
    )
    adapt.add_argument(
        "--from", metavar="FILE", dest="settings", help="repeat the life of a settings.toml exactly"
    )
    adapt.add_argument("--out", metavar="DIR", default="runs", help="folder for runs (default: runs)")
    adapt.add_argument("--device", metavar="D", help="cpu or cuda (default: cpu)")
    adapt.add_argument(
        "--threads",
        metavar="N",
        type=int,
        help="threads of torch (default: 1, which is fastest for small networks)",
    )
    _add_jobs(adapt)
    adapt.add_argument("--quiet", action="store_true", help="no progress bars")
    adapt.add_argument("--json", action="store_true", help="print the result as one JSON line")
    adapt.set_defaults(run=commands.adapt)


def _add_jobs(parser: argparse.ArgumentParser) -> None:
    cores = os.cpu_count() or 1
    text = "parts of the method that are learned at a time before the life (default: one per core)"
    parser.add_argument("--jobs", metavar="N", type=int, default=cores, help=text)


def _add_cache(subparsers: Any) -> None:
    text = "what was learned before lives and is kept: list it, or clear it"
    cache = subparsers.add_parser(
        "cache", help=text, description="What was learned before lives, the oldest first."
    )
    what = cache.add_subparsers(metavar="list|size|clear", required=True)
    listing = what.add_parser("list", help="every learned part: its kind, its size and when it was last used")
    listing.set_defaults(run=commands.cache_list)
    size = what.add_parser("size", help="how large the cache is, how large it may become, and where it is")
    size.set_defaults(run=commands.cache_size)
    clear = what.add_parser("clear", help="remove learned parts; they are learned again when they are needed")
    clear.add_argument("--name", metavar="KIND", help="only parts of this kind, as latents (default: all)")
    clear.set_defaults(run=commands.cache_clear)


def _add_list(subparsers: Any) -> None:
    listing = subparsers.add_parser("list", help="what can be named: scenarios, adapters, priors, suites")
    listing.add_argument("kind", choices=("scenarios", "adapters", "priors", "suites"))
    listing.set_defaults(run=commands.list_names)


def _add_prior(subparsers: Any) -> None:
    prior = subparsers.add_parser("prior", help="build or look at prior data").add_subparsers(
        metavar="build|show", required=True
    )
    build = prior.add_parser("build", help="record a recipe's data as a Minari dataset")
    build.add_argument("name", help="recipe name or .toml file (see `slrl list priors`)")
    build.add_argument("--rebuild", action="store_true", help="replace what was built before")
    build.add_argument(
        "--out", metavar="FILE", help="also write a small HDF5 file, as those shipped beside recipes"
    )
    build.add_argument("--quiet", action="store_true", help="no progress bar")
    build.set_defaults(run=commands.prior_build)
    show = prior.add_parser("show", help="what is in a recipe, Minari dataset or HDF5 file")
    show.add_argument("spec", help="recipe, Minari id, Minari directory or HDF5 file")
    show.add_argument("--scenario", metavar="S", help="also say whether it fits this scenario")
    show.set_defaults(run=commands.prior_show)


def _add_pretrain(subparsers: Any) -> None:
    pretrain = subparsers.add_parser(
        "pretrain", help="learn from a prior before the life, and keep the agent in the cache"
    )
    pretrain.add_argument("--scenario", metavar="S", required=True, help="name or .toml file")
    pretrain.add_argument(
        "--prior", metavar="P", action="append", help="as for adapt (default: the scenario's own)"
    )
    pretrain.add_argument(
        "--adapter", metavar="A", default=DEFAULT_ADAPTER, help=f"whose agent (default: {DEFAULT_ADAPTER})"
    )
    pretrain.add_argument(
        "--set", metavar="KEY=VALUE", nargs="+", action="extend", default=[], help="adapter settings"
    )
    pretrain.add_argument("--device", metavar="D", default="cpu", help="cpu or cuda (default: cpu)")
    pretrain.add_argument("--threads", metavar="N", type=int, default=1, help="threads of torch (default: 1)")
    _add_jobs(pretrain)
    pretrain.add_argument("--quiet", action="store_true", help="no progress bar")
    pretrain.set_defaults(run=commands.pretrain)


def _add_check(subparsers: Any) -> None:
    check = subparsers.add_parser(
        "check",
        help="test a scenario before living in it",
        description="Test the contracts of a scenario: spaces, seeds, rewards, end, shift, optimum.",
    )
    check.add_argument("scenario", help="name or .toml file (see `slrl list scenarios`)")
    check.add_argument("--prior", metavar="P", help="as for adapt (default: the scenario's own)")
    check.add_argument(
        "--lives",
        metavar="N",
        type=int,
        help="also live N lives of frozen in source and target, which takes minutes: of 20, at least 17 must "
        "succeed in the source and at most 1 in the target",
    )
    check.add_argument("--quiet", action="store_true", help="no progress bars")
    check.set_defaults(run=commands.check)


def _add_render(subparsers: Any) -> None:
    render = subparsers.add_parser(
        "render",
        help="draw source and target side by side",
        description="Draw source and target side by side under one policy; needs no screen.",
    )
    render.add_argument("scenario", help="name or .toml file")
    render.add_argument(
        "--adapter", metavar="A", default="frozen", help="who acts in both worlds (default: frozen)"
    )
    render.add_argument(
        "-o", "--out", metavar="FILE", help=".webp (animation), .png (still) or .mp4 (default: SCENARIO.webp)"
    )
    render.add_argument("--seed", metavar="N", type=int, default=0, help="of both lives (default: 0)")
    render.add_argument(
        "--steps", metavar="N", type=int, default=400, help="steps of each life at most (default: 400)"
    )
    render.add_argument(
        "--frames", metavar="N", type=int, default=60, help="frames of the animation (default: 60)"
    )
    render.add_argument("--quiet", action="store_true", help="no progress bars")
    render.set_defaults(run=commands.render)


def _add_eval(subparsers: Any) -> None:
    evaluation = subparsers.add_parser(
        "eval",
        help="live the lives of a suite in parallel; continues where it was stopped",
        description="Live the lives of a suite in parallel processes, but for those that were lived before.",
    )
    evaluation.add_argument("suite", help="name or .toml file (see `slrl list suites`)")
    evaluation.add_argument("--out", metavar="DIR", help="folder of the lives (default: runs/SUITE)")
    evaluation.add_argument(
        "--jobs",
        metavar="N",
        type=int,
        default=os.cpu_count() or 1,
        help="lives at a time (default: one per core)",
    )
    evaluation.add_argument(
        "--engine", metavar="E", default="local", help="where: local (default), ray or slurm"
    )
    evaluation.add_argument(
        "--engine-set",
        metavar="KEY=VALUE",
        nargs="+",
        action="extend",
        default=[],
        help="its options, as address=auto or slurm_partition=cpu",
    )
    evaluation.add_argument("--retry", action="store_true", help="live again the lives that crashed before")
    evaluation.add_argument("--quiet", action="store_true", help="no progress bar")
    evaluation.set_defaults(run=commands.evaluate)


def _add_results(subparsers: Any) -> None:
    results = subparsers.add_parser(
        "results",
        help="list the lives in a folder",
        description="List the lives in a folder, and keep an SQLite index of them there.",
    )
    results.add_argument("runs", metavar="RUNS", help="folder of lives, as `slrl adapt --out` writes it")
    results.add_argument(
        "--where", metavar="SQL", default="", help="""a condition, as "adapter = 'qwale' and steps < 500\""""
    )
    results.add_argument(
        "--sort", metavar="SQL", default="scenario, adapter, seed", help='an order, as "steps desc"'
    )
    results.add_argument(
        "--format", choices=("table", "csv", "json"), default="table", help="how to print (default: table)"
    )
    results.add_argument(
        "--tensorboard",
        metavar="DIR",
        help="also write the metrics of these lives as TensorBoard's event files",
    )
    results.set_defaults(run=commands.results)


def _add_compare(subparsers: Any) -> None:
    compare = subparsers.add_parser(
        "compare",
        help="which adapter is faster, and how sure that is",
        description="Compare adapters by lives with the same scenarios and seeds: intervals and tests for "
        "censored times.",
    )
    compare.add_argument("runs", metavar="RUNS", help="folder of lives")
    compare.add_argument(
        "--adapters", metavar="A,B", default="", help="two or more (default: all in the folder)"
    )
    compare.add_argument(
        "--scenarios", metavar="S,T", default="", help="those to count (default: all in the folder)"
    )
    compare.add_argument("--seed", metavar="N", type=int, default=0, help="of the resampling (default: 0)")
    compare.set_defaults(run=commands.compare)


def _add_report(subparsers: Any) -> None:
    report = subparsers.add_parser(
        "report",
        help="all lives of a folder as one page, or as tables and a figure for papers",
        description="All lives of a folder as one HTML page, or as a table or figure for papers.",
    )
    report.add_argument("runs", metavar="RUNS", help="folder of lives")
    report.add_argument(
        "-o",
        "--out",
        metavar="FILE",
        help="where to write it (default: gallery.html or gallery.png; md and csv are printed)",
    )
    report.add_argument(
        "--format",
        choices=("html", "md", "csv", "png"),
        help="a page, tables, or survival curves (default: as FILE ends, or html)",
    )
    report.add_argument(
        "--no-animations", action="store_true", help="do not draw source and target of each scenario"
    )
    report.add_argument("--seed", metavar="N", type=int, default=0, help="of the resampling (default: 0)")
    report.add_argument("--quiet", action="store_true", help="no progress bar")
    report.set_defaults(run=commands.report)
