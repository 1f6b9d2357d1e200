"""Recipes: priors that are made here. Reads priors/*.toml, writes Minari datasets that `minari show` reads."""

import hashlib
import json
import os
import secrets
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from slrl import content, envs, plugins, priors
from slrl.errors import BadInput
from slrl.files import made_folder, write_text
from slrl.priors import Prior
from slrl.scenarios import World
from slrl.types import F32


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a prior is made: a world, what acts in it, how many rows, and one seed."""

    name: str
    summary: str
    env: str
    rows: int
    episode_steps: int  # an episode without success is cut here
    seed: int
    licence: str
    behaviour: dict[str, Any]
    randomise: dict[str, Any] | None = None  # a shift with ranges; every episode draws from them

    @property
    def dataset_id(self) -> str:
        """The Minari id under which the recipe's data is stored."""
        return f"slrl/{self.name}-v0"


class Behaviour(Protocol):
    """What acts while a prior is recorded."""

    def reset(self, obs: F32) -> None:
        """Begin an episode."""
        ...

    def act(self, obs: F32) -> F32:
        """The action for an observation."""
        ...


def load_prior(spec: str | os.PathLike[str], *, quiet: bool = False) -> Prior:
    """A prior by recipe name or path (built if it is not there yet), Minari id, Minari directory or HDF5 file.

    Raises:
        BadInput: with one sentence on what is wrong with the file or the name.
    """
    text = str(spec)
    if not (text.endswith(".toml") or text in content.names("priors")):
        return priors.load(text)
    recipe, table = read(text)
    data = priors.minari_root() / recipe.dataset_id
    if not (data / "data" / "metadata.json").is_file():
        return build(text, quiet=quiet)
    if _fingerprint(table) not in json.loads((data / "data" / "metadata.json").read_text()).get("description", ""):
        raise BadInput(f"{data} was built from another version of the recipe; `slrl prior build {text} --rebuild` makes it anew.")
    return replace(priors.load(data), name=recipe.name)


def read(name: str) -> tuple[Recipe, dict[str, Any]]:
    """A recipe and the table it was read from."""
    table = content.read("priors", name)
    short = Path(name).stem if name.endswith(".toml") else name
    where = f"prior {short!r}"
    recipe = Recipe(**plugins.bind(Recipe, {"name": short, **table}, where=where))
    if recipe.rows < 1 or recipe.episode_steps < 1:
        raise BadInput(f"'rows' and 'episode_steps' in {where} must be 1 or more.")
    if not priors.MINARI_ID.fullmatch(recipe.dataset_id):
        raise BadInput(f"{short!r} cannot name a prior; use letters, digits, - and _.")
    return recipe, table


def build(name: str, *, rebuild: bool = False, quiet: bool = False) -> Prior:
    """Record the recipe's rows and store them as a Minari dataset, whole or not at all."""
    import minari

    recipe, table = read(name)
    final = made_folder(priors.minari_root()) / recipe.dataset_id
    if final.exists() and not rebuild:
        raise BadInput(f"{final} exists; add --rebuild to make it anew.")
    with tqdm(total=recipe.rows, desc=f"recording {recipe.name}", unit="row", disable=quiet or None) as bar:
        episodes = list(_record(recipe, bar))
    env = gym.make(recipe.env)
    made_folder(final.parent)
    temporary = f"slrl/building-{secrets.token_hex(4)}-v0"
    folder = priors.minari_root() / temporary
    about = f"{recipe.summary} Licence: {recipe.licence}. Recipe {_fingerprint(table)}"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module="minari")  # an unset e-mail address and the like
            minari.create_dataset_from_buffers(
                temporary, episodes, env=env, algorithm_name=str(recipe.behaviour["name"]), author="slrl", description=about
            )
        metadata = folder / "data" / "metadata.json"
        write_text(metadata, json.dumps({**json.loads(metadata.read_text()), "dataset_id": recipe.dataset_id}))
        if final.exists() and rebuild:
            shutil.rmtree(final)
        if not final.exists():  # another process may have built the same in the meantime
            folder.replace(final)
    finally:
        env.close()
        shutil.rmtree(folder, ignore_errors=True)
    return replace(priors.load(final), name=recipe.name)


def _record(recipe: Recipe, bar: "tqdm[Any]") -> Iterator[Any]:
    """Episodes until there are enough rows; the last one is cut to give exactly ``recipe.rows``."""
    from minari.data_collector import EpisodeBuffer

    world_seed, behaviour_seed, randomise_seed = np.random.SeedSequence(recipe.seed).spawn(3)
    rng, randomiser = np.random.default_rng(behaviour_seed), np.random.default_rng(randomise_seed)
    name, settings = plugins.split(recipe.behaviour, f"[behaviour] of prior {recipe.name!r}")
    behaviour: Behaviour = plugins.make("slrl.behaviours", name, settings, where="[behaviour]", rng=rng)
    seeds = np.random.default_rng(world_seed)
    number = rows = 0
    while rows < recipe.rows:
        shifts, params = _draw(recipe.randomise, randomiser)
        env = envs.make_world(World(env=recipe.env, shifts=shifts))
        seed = int(seeds.integers(2**31))
        obs, _ = env.reset(seed=seed)
        behaviour.reset(obs)
        observations, actions, rewards, terminations = [obs], [], [], []
        for _ in range(min(recipe.episode_steps, recipe.rows - rows)):
            actions.append(behaviour.act(obs))
            obs, reward, terminated, _, _ = env.step(actions[-1])
            observations.append(obs)
            rewards.append(float(reward))
            terminations.append(terminated)
            if terminated:
                break
        env.close()
        truncations = [False] * (len(actions) - 1) + [not terminations[-1]]
        infos = {} if params is None else {"env_params": np.tile(params, (len(observations), 1))}
        yield EpisodeBuffer(
            id=number, seed=seed, observations=np.array(observations), actions=np.array(actions, np.float32), rewards=rewards,
            terminations=terminations, truncations=truncations, infos=infos,
        )  # fmt: skip
        number, rows = number + 1, rows + len(actions)
        bar.update(len(actions))


def _draw(
    randomise: dict[str, Any] | None, rng: np.random.Generator
) -> tuple[tuple[dict[str, Any], ...], NDArray[np.float32] | None]:
    """One episode's shift: every range in the table becomes one number, drawn uniformly and recorded."""
    if randomise is None:
        return (), None
    drawn = {key: float(rng.uniform(*value)) for key, value in sorted(randomise.items()) if key != "name"}
    shift = {"name": randomise["name"], **{key: [value, value] for key, value in drawn.items()}}
    return (shift,), np.array(list(drawn.values()), np.float32)


def _fingerprint(table: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:16]
