"""What each command of `slrl` does. Heavy imports happen inside, so that help and errors come at once."""

import argparse
import signal
import sys
import tomllib
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slrl import files
from slrl.errors import BadInput
from slrl.files import DEFAULT_ADAPTER

if TYPE_CHECKING:
    from slrl.lives.settings import LifeSettings
    from slrl.recording.contracts import Verdict


def adapt(arguments: argparse.Namespace) -> None:
    """Live one life and print its outcome, or its result as JSON; SIGTERM interrupts it, as Ctrl-C does."""
    settings = _life_settings(arguments)
    from slrl.lives.run import adapt_as

    _set_threads(settings.threads)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    result, _ = adapt_as(settings, out=arguments.out, quiet=arguments.quiet, jobs=_jobs(arguments))
    if arguments.json:
        print(result.json())
    else:
        more = {"failure": ": no way back", "timeout": ": not finished"}.get(result.outcome, "")
        steps = f"{result.steps:,} of {result.life_steps:,} steps ({result.steps_per_s:.0f} steps/s)"
        print(f"{result.outcome}{more} after {steps}")
        if result.reason:
            print(result.reason)
        life = f"scenario {result.scenario}, adapter {result.adapter}, seed {result.seed}"
        print(f"{life}: {result.folder}/trace.png")


def _life_settings(arguments: argparse.Namespace) -> "LifeSettings":
    given = ("scenario", "prior", "adapter", "seed", "life_steps", "set", "device", "threads")
    clash = [f"--{key.replace('_', '-')}" for key in given if getattr(arguments, key) not in (None, [])]
    if arguments.settings and clash:
        raise BadInput(f"--from repeats a life exactly and takes no {clash[0]}; leave one of them out.")
    if not arguments.settings and not arguments.scenario:
        raise BadInput(f"--scenario is needed; choose from {', '.join(files.names('scenarios'))}.")
    adapter, overrides = arguments.adapter or DEFAULT_ADAPTER, [parse_setting(text) for text in arguments.set]
    if not arguments.settings:  # names are checked before torch is imported, which takes seconds
        files.read("scenarios", arguments.scenario)
        files.read("adapters", adapter)
    _show_waiting(arguments.quiet)
    from slrl import adapters, scenarios
    from slrl.lives.settings import LifeSettings

    if arguments.settings:
        return LifeSettings.read(Path(arguments.settings))
    scenario = scenarios.load(arguments.scenario)
    return LifeSettings(
        scenario=scenario,
        method=adapters.load(adapter, overrides, suggested=scenario.overrides()),
        prior=tuple(_absolute(prior) for prior in arguments.prior or [scenario.prior]),
        seed=0 if arguments.seed is None else arguments.seed,
        life_steps=scenario.life_steps if arguments.life_steps is None else arguments.life_steps,
        device=arguments.device or "cpu",
        threads=1 if arguments.threads is None else arguments.threads,
    )


def list_names(arguments: argparse.Namespace) -> None:
    """Print the names of one kind, a line each, with their summaries."""
    names = [*files.names(arguments.kind), *files.variants(arguments.kind)]
    if arguments.kind == "scenarios":
        print(_scenario_table(names))
        return
    width = max(map(len, names), default=0)
    for name in names:
        print(f"{name:<{width}}  {files.read(arguments.kind, name).get('summary', '')}")


def _scenario_table(names: Sequence[str]) -> str:
    """World, novelty, budget, optimum and the extra that is needed, a line each."""
    rows = [("scenario", "world", "what is new", "budget", "optimum", "extra")]
    for name in names:
        table = files.read("scenarios", name)
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


def check(arguments: argparse.Namespace) -> None:
    """Test the contracts of a scenario and print a line after each.

    Raises:
        BadInput: if one is broken.
    """
    from slrl.recording import contracts

    if arguments.lives is not None and arguments.lives < 1:
        raise BadInput(f"--lives must be 1 or more, not {arguments.lives}.")
    broken = _printed(contracts.check(arguments.scenario, arguments.prior))
    if arguments.lives is not None:
        broken += _printed(_lived(arguments, sound=not broken))
    if broken:
        raise BadInput(
            f"{arguments.scenario} does not hold {broken} of its contracts; what is broken stands above."
        )


def _printed(verdicts: Iterable["Verdict"]) -> int:
    """Print each verdict when it is there; returns how many contracts are broken."""
    broken = 0
    for verdict in verdicts:
        broken += verdict.outcome == "broken"
        print(f"{verdict.outcome:<8} {verdict.contract:<21} {verdict.sentence}", flush=True)
    return broken


def _lived(arguments: argparse.Namespace, *, sound: bool) -> Iterable["Verdict"]:
    """The contracts that take lives; nothing is lived in a scenario that is not sound."""
    from slrl.lives import novelty
    from slrl.recording.contracts import Verdict

    if sound:
        return novelty.check(arguments.scenario, arguments.prior, arguments.lives, quiet=arguments.quiet)
    sentence = "Nothing was lived, because of what is broken above."
    return [Verdict(contract, "skipped", sentence) for contract in novelty.CONTRACTS.values()]


def render(arguments: argparse.Namespace) -> None:
    """Draw source and target of a scenario into an animation, a still or a video."""
    from slrl.lives import render

    files.read("scenarios", arguments.scenario)
    files.read("adapters", arguments.adapter)
    out = Path(arguments.out or f"{Path(arguments.scenario).stem}.webp").expanduser()
    _show_waiting(arguments.quiet)
    render.animate(
        arguments.scenario,
        out,
        adapter=arguments.adapter,
        seed=arguments.seed,
        steps=arguments.steps,
        frames=arguments.frames,
        quiet=arguments.quiet,
    )
    print(f"{out}: source and target under {arguments.adapter}")


def evaluate(arguments: argparse.Namespace) -> None:
    """Live a suite, print a table of its results and the errors; exit code 1 if a life crashed."""
    files.read("suites", arguments.suite)
    _show_waiting(arguments.quiet)
    from slrl.evaluation import evaluate, suites, verdict

    suite = suites.load(arguments.suite)
    runs = Path(arguments.out or f"runs/{suite.name}").expanduser()
    report = evaluate.evaluate(
        suite,
        runs,
        jobs=arguments.jobs,
        retry=arguments.retry,
        engine=arguments.engine,
        options=dict(parse_setting(text, "--engine-set") for text in arguments.engine_set),
        quiet=arguments.quiet,
    )
    print(verdict.summary(runs))
    print(f"{len(suite.lives):,} lives of suite {suite.name} in {runs}, {report.lived:,} of them lived now")
    print(f"`slrl report {runs}` makes a page of them")
    if report.errors:
        for folder, sentence in report.errors.items():
            print(f"slrl: {folder}: {sentence}", file=sys.stderr)
        print(f"slrl: {len(report.errors)} lives crashed; --retry lives them again.", file=sys.stderr)
        raise SystemExit(1)


def results(arguments: argparse.Namespace) -> None:
    """Print the lives in a folder, write their SQLite index, and export TensorBoard events if asked for."""
    from slrl.evaluation import store

    runs = Path(arguments.runs).expanduser()
    found = store.scan(runs)
    base = store.index(found)
    rows = store.select(base, where=arguments.where, sort=arguments.sort)
    store.write_index(runs, base)
    problems = found.problems
    if arguments.tensorboard:
        from slrl.evaluation import tensorboard

        folders = [row[store.COLUMNS.index("folder")] for row in rows]
        problems = [*problems, *tensorboard.export(runs, folders, Path(arguments.tensorboard).expanduser())]
    print(store.printed(rows, arguments.format))
    for problem in problems:
        print(f"slrl: {problem}", file=sys.stderr)


def compare(arguments: argparse.Namespace) -> None:
    """Print the comparison of adapters by the lives in a folder."""
    from slrl.evaluation import verdict

    names, scenarios = (
        [name for name in text.split(",") if name] for text in (arguments.adapters, arguments.scenarios)
    )
    if arguments.seed < 0:
        raise BadInput(f"--seed must be 0 or more, not {arguments.seed}.")
    for line in verdict.compare(Path(arguments.runs).expanduser(), names, scenarios, arguments.seed):
        print(line)


def report(arguments: argparse.Namespace) -> None:
    """Write a report of the lives in a folder, or print it if it is text and no file is named."""
    out = Path(arguments.out).expanduser() if arguments.out else None
    if out is None and arguments.format in (None, "html", "png"):
        out = Path(f"gallery.{arguments.format or 'html'}")
    if arguments.seed < 0:
        raise BadInput(f"--seed must be 0 or more, not {arguments.seed}.")
    _show_waiting(arguments.quiet)
    from slrl.envs import camera
    from slrl.evaluation.report import report

    camera.headless()
    text, problems = report(
        Path(arguments.runs).expanduser(),
        out,
        form=arguments.format,
        seed=arguments.seed,
        animations=not arguments.no_animations,
        quiet=arguments.quiet,
    )
    print(text.rstrip("\n") if out is None else f"{out}: {out.stat().st_size / 1e6:.1f} MB")
    for problem in problems:
        print(f"slrl: {problem}", file=sys.stderr)


def prior_build(arguments: argparse.Namespace) -> None:
    """Record a recipe's data as a Minari dataset, and print its size and SHA-256."""
    from slrl.priors import minari_root
    from slrl.recording import recipes

    prior = recipes.build(arguments.name, rebuild=arguments.rebuild, quiet=arguments.quiet, out=arguments.out)
    dataset_id = recipes.read(arguments.name)[0].dataset_id
    print(f"{dataset_id}: {len(prior):,} rows in {prior.episodes} episodes, SHA-256 {prior.sha256}")
    print(f"in {minari_root() / dataset_id}")


def prior_show(arguments: argparse.Namespace) -> None:
    """Print what is in a prior, and whether it fits a scenario if one is named."""
    from slrl.recording import describe
    from slrl.recording.recipes import load_prior

    print(describe.describe(load_prior(arguments.spec), arguments.scenario))


def pretrain(arguments: argparse.Namespace) -> None:
    """Learn from a prior before any life; lives with the same settings find it in the cache."""
    overrides = [parse_setting(text) for text in arguments.set]
    _show_waiting(arguments.quiet)
    from slrl import adapters, envs, scenarios
    from slrl.adapters.setup import assemble
    from slrl.learning import seeds
    from slrl.lives.run import learn, learning_plan, torch_device
    from slrl.recording.recipes import load_prior

    scenario = scenarios.load(arguments.scenario)
    method = adapters.load(arguments.adapter, overrides, suggested=scenario.overrides())
    if method.pretrain is None:
        raise BadInput(f"adapter {method.name!r} does not pretrain: its file has no [pretrain].")
    _set_threads(arguments.threads)
    device = torch_device(arguments.device)
    prior = load_prior(tuple(arguments.prior or [scenario.prior]), quiet=arguments.quiet)
    env = envs.make(scenario)
    plan = learning_plan(method, scenario, env, prior, seed=0, device=device)
    env.close()
    learned = learn(method, plan, quiet=arguments.quiet, jobs=_jobs(arguments))
    assemble(
        method, plan, learned, scenario.life_steps, seeds.of_life(0).adapter
    )  # or say what cannot be had
    start = "lives with these settings start from the cache"
    print(f"the agent of {method.name} is pretrained on {prior.name}; {start}")


def cache_list(arguments: argparse.Namespace) -> None:
    """Print every learned part that is kept, the one that was used longest ago first."""
    from slrl.learning import cache

    for entry in cache.entries():
        used = datetime.fromtimestamp(entry.used_s).isoformat(" ", "minutes")
        print(f"{used}  {entry.size_bytes / 1e6:9.1f} MB  {entry.name:<22}  {entry.path.name}")


def cache_size(arguments: argparse.Namespace) -> None:
    """Print how large the cache is, how large it may become, and where it is."""
    from slrl.learning import cache

    found, limit = cache.entries(), cache.limit_bytes()
    total = sum(entry.size_bytes for entry in found)
    print(
        f"{len(found)} parts, {total / 1e6:.1f} of {limit / 1e6:,.0f} MB (SLRL_CACHE_LIMIT_MB), "
        f"in {cache.learned_folder()}"
    )


def cache_clear(arguments: argparse.Namespace) -> None:
    """Remove learned parts."""
    from slrl.learning import cache

    removed = cache.clear(arguments.name)
    print(f"removed {len(removed)} parts, {sum(entry.size_bytes for entry in removed) / 1e6:.1f} MB")


def doctor(arguments: argparse.Namespace) -> None:
    """Print versions, devices, folders and known problems of this installation."""
    from slrl.cli import doctor

    print(doctor.report())


def parse_setting(text: str, option: str = "--set") -> tuple[str, Any]:
    """Split ``agent.hidden=[64, 64]`` into key and TOML value; a value that is no TOML is taken as text.

    Raises:
        BadInput: without a key or an equals sign.
    """
    key, equals, value = text.partition("=")
    if not (equals and key.strip()):
        raise BadInput(f"{option} {text}: write key=value, for example agent.hidden=[64,64].")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except ValueError:  # no TOML, or a number with thousands of digits
        return key.strip(), value.strip()


def _jobs(arguments: argparse.Namespace) -> int:
    """How many parts may be learned at a time."""
    jobs = int(arguments.jobs)
    if jobs < 1:
        raise BadInput(f"--jobs must be 1 or more, not {jobs}.")
    return jobs


def _absolute(spec: str) -> str:
    """A relative path as an absolute one, so that `--from` works in any directory; names stay as they are."""
    return (
        str(Path(spec).expanduser().absolute())
        if Path(spec).expanduser().exists() and spec not in files.names("priors")
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
