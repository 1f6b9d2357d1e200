"""Suites: which lives an evaluation consists of. Reads eval/suites/*.toml."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slrl import adapters, files, plugins, scenarios
from slrl.adapters import Method
from slrl.errors import BadInput
from slrl.lives.settings import LifeSettings, WorldName
from slrl.recording import recipes


@dataclass(frozen=True, kw_only=True)
class Block:
    """One ``[[lives]]`` table: every scenario with every adapter and every seed."""

    scenarios: tuple[str, ...] | str  # or "all"
    adapters: tuple[str, ...]
    seeds: tuple[int, ...] | str  # or a range, as "0-9"
    world: WorldName = "target"  # "source": in the prior's own world, with the same success test
    prior: str | tuple[str, ...] | None = None  # instead of the scenario's own
    life_steps: int | None = None  # the budget is this, or the scenario's if that is less
    set: dict[str, Any] | None = None  # settings of the adapters, as of `slrl adapt --set`
    # "life": each life begins with a pretraining of its own, whose seed is the life's; "same": all begin with
    # that of `set`, or 0; a list or a range: every life after each of these. Methods without pretraining are
    # left alone.
    pretrain_seed: tuple[int, ...] | str = "same"
    label: str = ""  # lives of an adapter with other settings need another name: adapter-label


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Lives that belong together, the same seed of all scenarios and adapters before the next seed."""

    name: str
    summary: str
    lives: tuple[LifeSettings, ...]


@dataclass(frozen=True, kw_only=True)
class _File:
    summary: str
    lives: tuple[dict[str, Any], ...]


def load(name: str) -> Suite:
    """Read ``eval/suites/<name>.toml``, or a file if ``name`` ends in ``.toml``.

    Raises:
        BadInput: for anything in it that cannot be lived, before anything is lived.
    """
    where = f"suite {name!r}"
    file = plugins.bind(_File, files.read("suites", name), where=where)
    lives = [
        life
        for table in file.lives
        for life in _lives(plugins.bind(Block, table, where=f"[[lives]] of {where}"), where)
    ]
    if not lives:
        raise BadInput(f"{where} has no lives.")
    places = [(life.scenario.name, life.place) for life in lives]
    if len(set(places)) < len(places):
        one = next(life for life, place in zip(lives, places, strict=True) if places.count(place) > 1)
        twice = f"two lives of {one.adapter_folder} in {one.scenario.name} with seed {one.seed}"
        raise BadInput(f"{where} has {twice}; give one of their blocks a 'label'.")
    # By seed: all adapters start early, and an unfinished suite can be compared.
    lives.sort(key=lambda life: (life.seed, life.pretraining or 0))
    return Suite(name=Path(name).stem, summary=file.summary, lives=tuple(lives))


def _lives(block: Block, where: str) -> list[LifeSettings]:
    if isinstance(block.scenarios, str) and block.scenarios != "all":
        raise BadInput(f"'scenarios' of {where} must be a list, or \"all\", not {block.scenarios!r}.")
    if block.label and not files.is_name(block.label):
        raise BadInput(f"'label' of {where} must be a part of a folder's name, not {block.label!r}.")
    named = files.names("scenarios") if isinstance(block.scenarios, str) else block.scenarios
    seeds = _seeds(block.seeds, f"'seeds' of {where}")
    if block.life_steps is not None and block.life_steps < 1:
        raise BadInput(f"'life_steps' of {where} must be 1 or more, not {block.life_steps}.")
    found = []
    if block.pretrain_seed not in ("same", "life"):
        of = _seeds(block.pretrain_seed, f"'pretrain_seed' of {where}")
        if not of or len(set(of)) < len(of):
            raise BadInput(f"'pretrain_seed' of {where} must name one seed or more, each once.")
    if block.pretrain_seed != "same" and "pretrain.seed" in dict(scenarios.dotted(block.set or {})):
        raise BadInput(f"{where} sets pretrain.seed, and 'pretrain_seed' too; leave one of them out.")
    for scenario in map(scenarios.load, named):
        for name in block.adapters:
            method = adapters.load(
                name, list(scenarios.dotted(block.set or {})), suggested=scenario.overrides()
            )
            method = replace(method, name=f"{method.name}-{block.label}") if block.label else method
            found += [
                LifeSettings(
                    scenario=scenario,
                    method=one,
                    prior=tuple(recipes.specs(block.prior or scenario.prior)),
                    seed=seed,
                    world=block.world,
                    life_steps=min(scenario.life_steps, block.life_steps or scenario.life_steps),
                )
                for seed in seeds
                for one in _pretrained(method, seed, block.pretrain_seed, where)
            ]
    for life in found:
        life.check_budget()
    return found


def _pretrained(
    method: Method, seed: int, pretrain_seed: Sequence[int] | str, where: str
) -> Iterator[Method]:
    """The method after each pretraining that a life with this seed asks for; so do its levels."""
    if method.pretrain is None or pretrain_seed == "same":
        yield method
        return
    of = [seed] if pretrain_seed == "life" else _seeds(pretrain_seed, f"'pretrain_seed' of {where}")
    yield from (replace(method, pretrain=replace(method.pretrain, seed=one)) for one in of)


def _seeds(given: Sequence[int] | str, what: str) -> list[int]:
    if isinstance(given, str):
        first, dash, last = given.partition("-")
        if not (dash and first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
            words = ', "life", "same"' if "pretrain_seed" in what else ""
            raise BadInput(f'{what} must be a list, or a range as "0-9"{words}, not {given!r}.')
        return list(range(int(first), int(last) + 1))
    if any(seed < 0 for seed in given):
        raise BadInput(f"{what} must be 0 or more.")
    return list(given)
