"""The command line: adapt, list, prior, pretrain, check, render, doctor. Heavy imports happen inside the commands."""

import argparse
import os
import signal
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from slrl import __version__, content
from slrl.content import DEFAULT_ADAPTER
from slrl.errors import BadInput

if TYPE_CHECKING:
    from slrl.run import Settings


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence instead of printing the usage."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; `{self.prog} --help` shows what is possible.")


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point: exit code 0 for a life that was lived (however it ended), 2 for bad input, 130 if interrupted outside one."""
    sys.path.append(str(Path.cwd()))  # worlds and success tests of the user's, as module:Class
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
    parser = Parser(prog="slrl", description="Single-life adaptation: a prior, a changed world, one life to finish the task.")
    parser.add_argument("--version", action="version", version=f"slrl {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_adapt(commands)
    _add_list(commands)
    _add_prior(commands)
    _add_pretrain(commands)
    _add_check(commands)
    _add_render(commands)
    _add_eval(commands)
    _add_results(commands)
    _add_compare(commands)
    doctor = commands.add_parser("doctor", help="versions, known-bad combinations, devices, folders")
    doctor.set_defaults(run=_doctor)
    return parser


def _add_adapt(commands: Any) -> None:
    adapt = commands.add_parser(
        "adapt", help="live one life", description="Live one life and score it by its steps-to-completion."
    )
    adapt.add_argument("--scenario", metavar="S", help="name or .toml file (see `slrl list scenarios`)")
    adapt.add_argument(
        "--prior", metavar="P", action="append",
        help="recipe, Minari id, Minari directory or HDF5 file (default: the scenario's own); again for each further behaviour",
    )  # fmt: skip
    adapt.add_argument(
        "--adapter", metavar="A", help=f"name or .toml file (default: {DEFAULT_ADAPTER}; see `slrl list adapters`)"
    )
    adapt.add_argument("--seed", metavar="N", type=int, help="the life's only seed (default: 0)")
    adapt.add_argument("--life-steps", metavar="N", type=int, help="budget in environment steps (default: the scenario's)")
    adapt.add_argument(
        "--set", metavar="KEY=VALUE", nargs="+", action="extend", default=[], help="adapter settings, as agent.hidden=[64,64]"
    )
    adapt.add_argument("--from", metavar="FILE", dest="settings", help="repeat the life of a settings.toml exactly")
    adapt.add_argument("--out", metavar="DIR", default="runs", help="folder for runs (default: runs)")
    adapt.add_argument("--device", metavar="D", help="cpu or cuda (default: cpu)")
    adapt.add_argument(
        "--threads", metavar="N", type=int, help="threads of torch (default: 1, which is fastest for small networks)"
    )
    adapt.add_argument("--quiet", action="store_true", help="no progress bars")
    adapt.add_argument("--json", action="store_true", help="print the result as one JSON line")
    adapt.set_defaults(run=_adapt)


def _add_list(commands: Any) -> None:
    listing = commands.add_parser("list", help="what can be named: scenarios, adapters, priors, suites")
    listing.add_argument("kind", choices=("scenarios", "adapters", "priors", "suites"))
    listing.set_defaults(run=_list)


def _add_prior(commands: Any) -> None:
    prior = commands.add_parser("prior", help="build or look at prior data").add_subparsers(metavar="build|show", required=True)
    build = prior.add_parser("build", help="record a recipe's data as a Minari dataset")
    build.add_argument("name", help="recipe name or .toml file (see `slrl list priors`)")
    build.add_argument("--rebuild", action="store_true", help="replace what was built before")
    build.add_argument("--out", metavar="FILE", help="also write a small HDF5 file, as those shipped beside recipes")
    build.add_argument("--quiet", action="store_true", help="no progress bar")
    build.set_defaults(run=_prior_build)
    show = prior.add_parser("show", help="what is in a recipe, Minari dataset or HDF5 file")
    show.add_argument("spec", help="recipe, Minari id, Minari directory or HDF5 file")
    show.add_argument("--scenario", metavar="S", help="also say whether it fits this scenario")
    show.set_defaults(run=_prior_show)


def _add_pretrain(commands: Any) -> None:
    pretrain = commands.add_parser("pretrain", help="learn from a prior before the life, and keep the agent in the cache")
    pretrain.add_argument("--scenario", metavar="S", required=True, help="name or .toml file")
    pretrain.add_argument("--prior", metavar="P", action="append", help="as for adapt (default: the scenario's own)")
    pretrain.add_argument("--adapter", metavar="A", default=DEFAULT_ADAPTER, help=f"whose agent (default: {DEFAULT_ADAPTER})")
    pretrain.add_argument("--set", metavar="KEY=VALUE", nargs="+", action="extend", default=[], help="adapter settings")
    pretrain.add_argument("--device", metavar="D", default="cpu", help="cpu or cuda (default: cpu)")
    pretrain.add_argument("--threads", metavar="N", type=int, default=1, help="threads of torch (default: 1)")
    pretrain.add_argument("--quiet", action="store_true", help="no progress bar")
    pretrain.set_defaults(run=_pretrain)


def _add_check(commands: Any) -> None:
    check = commands.add_parser(
        "check",
        help="test a scenario before living in it",
        description="Test the contract of a scenario: spaces, seeds, rewards, its end, its shift, its optimum.",
    )
    check.add_argument("scenario", help="name or .toml file (see `slrl list scenarios`)")
    check.add_argument("--prior", metavar="P", help="as for adapt (default: the scenario's own)")
    check.set_defaults(run=_check)


def _add_render(commands: Any) -> None:
    render = commands.add_parser(
        "render",
        help="draw source and target side by side",
        description="Draw source and target side by side under one policy, also on a machine without a screen.",
    )
    render.add_argument("scenario", help="name or .toml file")
    render.add_argument("--adapter", metavar="A", default="frozen", help="who acts in both worlds (default: frozen)")
    render.add_argument("-o", "--out", metavar="FILE", help=".webp (animation), .png (still) or .mp4 (default: SCENARIO.webp)")
    render.add_argument("--seed", metavar="N", type=int, default=0, help="of both lives (default: 0)")
    render.add_argument("--steps", metavar="N", type=int, default=400, help="the longest that is shown (default: 400)")
    render.add_argument("--frames", metavar="N", type=int, default=60, help="how many of the steps are drawn (default: 60)")
    render.add_argument("--quiet", action="store_true", help="no progress bars")
    render.set_defaults(run=_render)


def _add_eval(commands: Any) -> None:
    evaluation = commands.add_parser(
        "eval",
        help="live the lives of a suite in parallel, and go on where it was stopped",
        description="Live the lives of a suite in parallel processes. What is there already is not lived again.",
    )
    evaluation.add_argument("suite", help="name or .toml file (see `slrl list suites`)")
    evaluation.add_argument("--out", metavar="DIR", help="folder of the lives (default: runs/SUITE)")
    evaluation.add_argument(
        "--jobs", metavar="N", type=int, default=os.cpu_count() or 1, help="lives at a time (default: one per core)"
    )
    evaluation.add_argument("--engine", metavar="E", default="local", help="where: local (default) or slurm")
    evaluation.add_argument(
        "--engine-set", metavar="KEY=VALUE", nargs="+", action="extend", default=[], help="its options, as slurm_partition=cpu"
    )
    evaluation.add_argument("--retry", action="store_true", help="live again what crashed before")
    evaluation.add_argument("--quiet", action="store_true", help="no progress bar")
    evaluation.set_defaults(run=_eval)


def _add_results(commands: Any) -> None:
    results = commands.add_parser(
        "results",
        help="list the lives in a folder",
        description="List the lives in a folder, and keep an SQLite index of them there.",
    )
    results.add_argument("runs", metavar="RUNS", help="folder of lives, as `slrl adapt --out` writes it")
    results.add_argument("--where", metavar="SQL", default="", help="""a condition, as "adapter = 'qwale' and steps < 500\"""")
    results.add_argument("--sort", metavar="SQL", default="scenario, adapter, seed", help='an order, as "steps desc"')
    results.add_argument("--format", choices=("table", "csv", "json"), default="table", help="how to print (default: table)")
    results.add_argument(
        "--tensorboard", metavar="DIR", help="also write the metrics of these lives as TensorBoard's event files"
    )
    results.set_defaults(run=_results)


def _add_compare(commands: Any) -> None:
    compare = commands.add_parser(
        "compare",
        help="which adapter is faster, and how sure that is",
        description="Compare adapters by their lives with the same scenarios and seeds: intervals and tests for censored times.",
    )
    compare.add_argument("runs", metavar="RUNS", help="folder of lives")
    compare.add_argument("--adapters", metavar="A,B", default="", help="two or more (default: all that are there)")
    compare.add_argument("--scenarios", metavar="S,T", default="", help="those to count (default: all that are there)")
    compare.add_argument("--seed", metavar="N", type=int, default=0, help="of the resampling (default: 0)")
    compare.set_defaults(run=_compare)


def _adapt(arguments: argparse.Namespace) -> None:
    settings = _life_settings(arguments)
    from slrl.run import adapt_as

    _set_threads(settings.threads)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's polite end is an interruption too
    result, _ = adapt_as(settings, out=arguments.out, quiet=arguments.quiet)
    if arguments.json:
        print(result.json())
    else:
        told = {
            "success": "success",
            "failure": "failure: no way back",
            "timeout": "timeout: not finished",
            "interrupted": "interrupted",
        }
        print(f"{told[result.outcome]} after {result.steps:,} of {result.life_steps:,} steps ({result.steps_per_s:.0f} steps/s)")
        print(f"scenario {result.scenario}, adapter {result.adapter}, seed {result.seed}: {result.folder}/trace.png")


def _life_settings(arguments: argparse.Namespace) -> "Settings":
    given = ("scenario", "prior", "adapter", "seed", "life_steps", "set", "device", "threads")
    clash = [f"--{key.replace('_', '-')}" for key in given if getattr(arguments, key) not in (None, [])]
    if arguments.settings and clash:
        raise BadInput(f"--from repeats a life exactly and takes no {clash[0]}; leave one of them out.")
    if not arguments.settings and not arguments.scenario:
        raise BadInput(f"--scenario is needed; choose from {', '.join(content.names('scenarios'))}.")
    adapter, overrides = arguments.adapter or DEFAULT_ADAPTER, [parse_setting(text) for text in arguments.set]
    if not arguments.settings:  # names are checked before torch is imported, which takes seconds
        content.read("scenarios", arguments.scenario)
        content.read("adapters", adapter)
    _show_waiting(arguments.quiet)
    from slrl import adapters, scenarios
    from slrl.run import Settings

    if arguments.settings:
        return Settings.read(Path(arguments.settings))
    scenario = scenarios.load(arguments.scenario)
    return Settings(
        scenario=scenario,
        method=adapters.load(adapter, overrides, suggested=scenario.overrides()),
        prior=" + ".join(_absolute(prior) for prior in arguments.prior or [scenario.prior]),
        seed=0 if arguments.seed is None else arguments.seed,
        life_steps=scenario.life_steps if arguments.life_steps is None else arguments.life_steps,
        device=arguments.device or "cpu",
        threads=1 if arguments.threads is None else arguments.threads,
    )


def _list(arguments: argparse.Namespace) -> None:
    names = content.names(arguments.kind)
    if arguments.kind == "scenarios":
        print(_scenario_table(names))
        return
    width = max(map(len, names), default=0)
    for name in names:
        print(f"{name:<{width}}  {content.read(arguments.kind, name).get('summary', '')}")


def _scenario_table(names: Sequence[str]) -> str:
    """World, novelty, budget, optimum and the extra that is needed, a line each."""
    rows = [("scenario", "world", "what is new", "budget", "optimum", "extra")]
    for name in names:
        table = content.read("scenarios", name)
        optimum = table.get("optimum_steps")
        world = str(table["target"]["env"]).partition(":")[2] or str(table["target"]["env"])
        rows.append(
            (
                name,
                world,
                table.get("novelty", ""),
                f"{table['life_steps']:,}",
                f"{optimum:,}" if optimum else "",
                table.get("extra", ""),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    return "\n".join(
        "  ".join(
            f"{cell:>{w}}" if column in (3, 4) else f"{cell:<{w}}"
            for column, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def _check(arguments: argparse.Namespace) -> None:
    from slrl import contracts

    broken = 0
    for verdict in contracts.check(arguments.scenario, arguments.prior):
        broken += verdict.outcome == "broken"
        print(f"{verdict.outcome:<8} {verdict.contract:<21} {verdict.sentence}", flush=True)
    if broken:
        raise BadInput(f"{arguments.scenario} does not hold {broken} of its contracts; what is broken stands above.")


def _render(arguments: argparse.Namespace) -> None:
    from slrl import render

    content.read("scenarios", arguments.scenario)
    content.read("adapters", arguments.adapter)
    out = Path(arguments.out or f"{Path(arguments.scenario).stem}.webp").expanduser()
    _show_waiting(arguments.quiet)
    render.animate(
        arguments.scenario, out, adapter=arguments.adapter, seed=arguments.seed, steps=arguments.steps, frames=arguments.frames,
        quiet=arguments.quiet,
    )  # fmt: skip
    print(f"{out}: source and target under {arguments.adapter}")


def _eval(arguments: argparse.Namespace) -> None:
    content.read("suites", arguments.suite)
    _show_waiting(arguments.quiet)
    from slrl import evaluate, suites, verdict

    suite = suites.load(arguments.suite)
    runs = Path(arguments.out or f"runs/{suite.name}").expanduser()
    report = evaluate.evaluate(
        suite, runs, jobs=arguments.jobs, retry=arguments.retry, engine=arguments.engine,
        options=dict(parse_setting(text, "--engine-set") for text in arguments.engine_set), quiet=arguments.quiet,
    )  # fmt: skip
    print(verdict.summary(runs))
    print(f"{len(suite.lives):,} lives of suite {suite.name} in {runs}, {report.lived:,} of them lived now")
    if report.errors:
        for folder, sentence in report.errors.items():
            print(f"slrl: {folder}: {sentence}", file=sys.stderr)
        print(f"slrl: {len(report.errors)} lives crashed; --retry lives them again.", file=sys.stderr)
        raise SystemExit(1)


def _results(arguments: argparse.Namespace) -> None:
    from slrl import store

    runs = Path(arguments.runs).expanduser()
    found = store.scan(runs)
    base = store.index(found)
    rows = store.select(base, where=arguments.where, sort=arguments.sort)
    store.write_index(runs, base)
    problems = found.problems
    if arguments.tensorboard:
        from slrl import tensorboard

        folders = [row[store.COLUMNS.index("folder")] for row in rows]
        problems = [*problems, *tensorboard.export(runs, folders, Path(arguments.tensorboard).expanduser())]
    print(store.printed(rows, arguments.format))
    for problem in problems:
        print(f"slrl: {problem}", file=sys.stderr)


def _compare(arguments: argparse.Namespace) -> None:
    from slrl import verdict

    names, scenarios = ([name for name in text.split(",") if name] for text in (arguments.adapters, arguments.scenarios))
    if arguments.seed < 0:
        raise BadInput(f"--seed must be 0 or more, not {arguments.seed}.")
    for line in verdict.compare(Path(arguments.runs).expanduser(), names, scenarios, arguments.seed):
        print(line)


def _prior_build(arguments: argparse.Namespace) -> None:
    from slrl import recipes
    from slrl.priors import minari_root

    prior = recipes.build(arguments.name, rebuild=arguments.rebuild, quiet=arguments.quiet, out=arguments.out)
    dataset_id = recipes.read(arguments.name)[0].dataset_id
    print(f"{dataset_id}: {len(prior):,} rows in {prior.episodes} episodes, SHA-256 {prior.sha256}")
    print(f"in {minari_root() / dataset_id}")


def _prior_show(arguments: argparse.Namespace) -> None:
    from slrl import report_prior
    from slrl.recipes import load_prior

    print(report_prior.describe(load_prior(arguments.spec), arguments.scenario))


def _pretrain(arguments: argparse.Namespace) -> None:
    overrides = [parse_setting(text) for text in arguments.set]
    _show_waiting(arguments.quiet)
    from slrl import adapters, scenarios
    from slrl.recipes import load_prior
    from slrl.run import load_adapter, torch_device

    scenario = scenarios.load(arguments.scenario)
    method = adapters.load(arguments.adapter, overrides, suggested=scenario.overrides())
    if method.pretrain is None:
        raise BadInput(f"adapter {method.name!r} does not pretrain: its file has no [pretrain].")
    _set_threads(arguments.threads)
    prior = load_prior(" + ".join(arguments.prior or [scenario.prior]), quiet=arguments.quiet)
    load_adapter(method, prior, scenario, device=torch_device(arguments.device), quiet=arguments.quiet)
    print(f"the agent of {method.name} is pretrained on {prior.name}; lives with these settings start from the cache")


def _doctor(arguments: argparse.Namespace) -> None:
    from slrl import doctor

    print(doctor.report())


def parse_setting(text: str, option: str = "--set") -> tuple[str, Any]:
    """``agent.hidden=[64, 64]`` as key and TOML value; what is no TOML value is a text."""
    key, equals, value = text.partition("=")
    if not (equals and key.strip()):
        raise BadInput(f"{option} {text}: write key=value, for example agent.hidden=[64,64].")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def _absolute(spec: str) -> str:
    """A path given relative to here, such that `--from` finds it from anywhere."""
    return (
        str(Path(spec).expanduser().absolute())
        if Path(spec).expanduser().exists() and spec not in content.names("priors")
        else spec
    )


def _set_threads(threads: int) -> None:
    if threads < 1:
        raise BadInput(f"--threads must be 1 or more, not {threads}.")
    import torch

    torch.set_num_threads(threads)


def _show_waiting(quiet: bool) -> None:
    if not quiet and sys.stderr.isatty():
        print("loading torch …", end="\r", file=sys.stderr, flush=True)
