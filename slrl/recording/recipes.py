"""Recipes: priors that are made here. Reads priors/*.toml, writes Minari datasets for `minari show`."""

import hashlib
import json
import os
import secrets
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, get_type_hints, runtime_checkable

import gymnasium as gym
import numpy as np
from tqdm import tqdm

from slrl import envs, files, plugins, priors
from slrl.envs.rollout import rollout
from slrl.errors import BadInput
from slrl.files import atomic_write, made_folder, write_text
from slrl.plugins import BehaviourPlugin
from slrl.priors import Prior, formats
from slrl.scenarios import World
from slrl.types import F32, DrawnEpisode, Metrics, Transition


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a prior is made: a world, what acts in it, how many rows, and one seed."""

    name: str
    summary: str
    env: str  # a Gymnasium id, or module:Class
    rows: int
    episode_steps: int  # an episode without success is cut here
    seed: int
    licence: str
    behaviour: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)  # of the environment
    shifts: tuple[dict[str, Any], ...] = ()  # of the world, in every episode
    # Shifts with ranges, of which every episode draws its own values.
    randomise: dict[str, Any] | tuple[dict[str, Any], ...] | None = None
    training_steps: int = 0  # for which a behaviour that learns is learning
    # How many of those steps become rows: whole episodes, evenly over the training; other rows come later.
    replay_rows: int = 0
    significant_bits: int = 24  # of each number; 24 keeps all of a float32, fewer make a smaller file
    sha256: str | None = None  # of the rows that it gave on the machine of its authors

    @property
    def dataset_id(self) -> str:
        """The Minari id under which the recipe's data is stored."""
        return f"slrl/{self.name}-v0"


Spec = str | os.PathLike[str]  # of one prior


class Behaviour(Protocol):
    """What acts while a prior is recorded."""

    def reset(self, obs: F32) -> None:
        """Begin an episode."""
        ...

    def act(self, obs: F32) -> F32:
        """The action for an observation."""
        ...


@runtime_checkable
class Learner(Protocol):
    """A behaviour that learns while it is recorded, and stops when its training is over."""

    def learn(self, transition: Transition) -> Metrics:
        """Take in one step."""
        ...

    def finish(self) -> None:
        """From here on nothing is learned, and the finished policy acts."""
        ...


def load_prior(spec: Spec | Sequence[Spec], *, quiet: bool = False) -> Prior:
    """A prior by the name or path of a recipe (built where it is not yet), Minari id, directory or HDF5 file.

    Several of them, as ``("pointmass", "mine.hdf5")``, become one prior in which each is a behaviour.

    Raises:
        BadInput: with one sentence on what is wrong with a file or name, or if the sizes of several differ.
    """
    named = specs(spec)
    if not named:
        raise BadInput("no prior is named; name a recipe, a Minari id, a directory or an HDF5 file.")
    loaded = [_load_one(one, quiet) for one in named]
    return loaded[0] if len(loaded) == 1 else priors.join(loaded)


def specs(spec: Spec | Sequence[Spec]) -> list[str]:
    """What is to be loaded, each by its name or path."""
    if not isinstance(spec, (str, os.PathLike)):
        return [str(one) for one in spec]
    text = str(spec)
    if not text.strip():
        return []
    if " + " in text and not Path(text).expanduser().exists():
        return text.split(" + ")  # how settings files of slrl 0.1 name several priors
    return [text]


def _load_one(text: str, quiet: bool) -> Prior:
    if not (text.endswith(".toml") or text in files.names("priors")):
        return priors.load(text)
    recipe, table = read(text)
    data = priors.minari_root() / recipe.dataset_id
    if not (data / "data" / "metadata.json").is_file():
        return build(text, quiet=quiet)
    about = priors.minari_metadata(data / "data" / "metadata.json")
    if _fingerprint(table) not in str(about.get("description", "")):
        if shipped(text):  # with a newer recipe came a newer file of rows
            return _build(text, record=False, replace_old=True, quiet=quiet, out=None)
        raise BadInput(
            f"{data} was built from another version of the recipe; `slrl prior build {text} --rebuild` "
            "makes it anew."
        )
    return replace(priors.load(data), name=recipe.name, recipe=text)


def shipped(name: str) -> Path | None:
    """The file beside a recipe that holds its rows, where recording them takes too long."""
    path = Path(name).expanduser() if name.endswith(".toml") else files.folder("priors") / f"{name}.toml"
    path = path.with_suffix(".hdf5")
    return path if path.is_file() else None


def read(name: str) -> tuple[Recipe, dict[str, Any]]:
    """A recipe by name or path, and the table it was read from.

    Raises:
        BadInput: for a name, a setting or a value that does not work.
    """
    table = files.read("priors", name)
    short = Path(name).stem if name.endswith(".toml") else name
    where = f"prior {short!r}"
    recipe = plugins.bind(Recipe, {"name": short, **table}, where=where)
    if recipe.rows < 1 or recipe.episode_steps < 1:
        raise BadInput(f"'rows' and 'episode_steps' in {where} must be 1 or more.")
    if not 0 <= recipe.replay_rows <= min(recipe.rows, recipe.training_steps):
        raise BadInput(
            f"'replay_rows' in {where} must be from 0 to the smaller of 'rows' and 'training_steps'."
        )
    if not 1 <= recipe.significant_bits <= 24:
        raise BadInput(f"'significant_bits' in {where} must be from 1 to 24, not {recipe.significant_bits}.")
    if not priors.MINARI_ID.fullmatch(recipe.dataset_id):
        raise BadInput(f"{short!r} cannot name a prior; use letters, digits, - and _.")
    return recipe, table


def build(
    name: str, *, rebuild: bool = False, quiet: bool = False, out: str | os.PathLike[str] | None = None
) -> Prior:
    """Store the rows of a recipe, by name or path, as a Minari dataset, whole or not at all.

    The rows are taken from the file that is shipped beside the recipe, or recorded if there is none or
    ``rebuild`` is set. ``out`` names a compressed HDF5 file in Minari's layout that gets them too: how the
    shipped files are made.
    """
    final = made_folder(priors.minari_root()) / read(name)[0].dataset_id
    if out is not None:  # found before hours of recording
        made_folder(Path(out).expanduser().absolute().parent)
        if Path(out).expanduser().is_dir():
            raise BadInput(f"{out} is a directory; --out needs the name of a file.")
    if final.exists() and not rebuild:
        raise BadInput(f"{final} exists; add --rebuild to make it anew.")
    return _build(name, record=rebuild or shipped(name) is None, replace_old=rebuild, quiet=quiet, out=out)


def _build(
    name: str, *, record: bool, replace_old: bool, quiet: bool, out: str | os.PathLike[str] | None
) -> Prior:
    recipe, table = read(name)
    final = made_folder(priors.minari_root()) / recipe.dataset_id
    file = None if record else shipped(name)
    steps = recipe.rows - recipe.replay_rows + recipe.training_steps
    hidden = True if file is not None or quiet else None
    with tqdm(total=steps, desc=f"recording {recipe.name}", unit="step", disable=hidden) as bar:
        episodes = list(_record(recipe, bar)) if file is None else _unpack(file)
    _store(recipe, episodes, _about(recipe, table), final, replace_old=replace_old)
    if out is not None:
        _compress(final / "data" / "main_data.hdf5", Path(out).expanduser())
    return replace(priors.load(final), name=recipe.name, recipe=name)


class DrawnWorld:
    """A recipe's world, in which every episode draws its shifts (:class:`slrl.types.RandomisedWorld`).

    ``seeds`` is for the episodes' seeds and ``params`` for what the shifts are drawn with.
    """

    def __init__(self, recipe: Recipe, seeds: np.random.SeedSequence, params: np.random.SeedSequence) -> None:
        self.episode_steps, self._randomise = recipe.episode_steps, recipe.randomise
        self.bare = self._env = envs.make_world(
            World(env=recipe.env, settings=recipe.settings, shifts=recipe.shifts)
        )
        self._seeds, self._params = np.random.default_rng(seeds), np.random.default_rng(params)

    def draw(self) -> DrawnEpisode:
        """Undo the shifts of the episode before and draw those of the next one."""
        envs.without_shifts(self._env, self.bare)
        shifts, params = _draw(self._randomise, self._params)
        self._env = envs.with_shifts(self.bare, shifts)
        return DrawnEpisode(self._env, int(self._seeds.integers(2**31)), params)

    def close(self) -> None:
        """Undo the shifts and close the environment."""
        envs.without_shifts(self._env, self.bare)
        self.bare.close()


@dataclass(frozen=True)
class RandomisedRecipe:
    """A recipe whose world's parameters can be drawn (:class:`slrl.types.RandomisedSource`)."""

    recipe: Recipe

    @property
    def about(self) -> dict[str, Any]:
        """All that the world depends on."""
        recipe = self.recipe
        return {
            "env": recipe.env,
            "settings": recipe.settings,
            "shifts": list(recipe.shifts),
            "randomise": recipe.randomise
            if isinstance(recipe.randomise, dict)
            else list(recipe.randomise or ()),
            "episode_steps": recipe.episode_steps,
            "seed": recipe.seed,
            "versions": {package: files.installed(package) for package in ("gymnasium", "mujoco")},
        }

    def open(self) -> DrawnWorld:
        """The world, with parameters from the recipe's seed."""
        return DrawnWorld(self.recipe, *np.random.SeedSequence((self.recipe.seed, 0)).spawn(2))


def world_of(prior: Prior) -> RandomisedRecipe | None:
    """The world of a prior if its parameters can be drawn: of its recipe, or one that gives the same rows."""
    if prior.env_params is None:
        return None
    for name in (prior.recipe,) if prior.recipe is not None else files.names("priors"):
        recipe = read(name)[0]
        if recipe.randomise is not None and (prior.recipe is not None or recipe.sha256 == prior.sha256):
            return RandomisedRecipe(recipe)
    return None


def _store(recipe: Recipe, episodes: list[Any], about: str, final: Path, *, replace_old: bool) -> None:
    """Write a Minari dataset beside its place and move it there."""
    import minari

    made_folder(final.parent)
    temporary = f"slrl/building-{secrets.token_hex(4)}-v0"
    folder = priors.minari_root() / temporary
    world = envs.make_world(World(env=recipe.env, settings=recipe.settings))
    try:
        with warnings.catch_warnings():
            # Minari warns of an unset e-mail address and the like.
            warnings.filterwarnings("ignore", category=UserWarning, module="minari")
            minari.create_dataset_from_buffers(
                temporary,
                episodes,
                env=_spec_of(world),
                observation_space=world.observation_space,
                action_space=world.unwrapped.action_space,
                algorithm_name=str(recipe.behaviour["name"]),
                author="slrl",
                description=about,
            )
        metadata = folder / "data" / "metadata.json"
        write_text(
            metadata, json.dumps({**json.loads(metadata.read_text()), "dataset_id": recipe.dataset_id})
        )
        if final.exists() and replace_old:
            shutil.rmtree(final)
        if not final.exists():  # another process may have built the same in the meantime
            folder.replace(final)
    finally:
        world.close()
        shutil.rmtree(folder, ignore_errors=True)


def _record(recipe: Recipe, bar: "tqdm[Any]") -> Iterator[Any]:
    """Episodes until there are enough rows; the last one is cut to give exactly ``recipe.rows``."""
    world_seed, behaviour_seed, randomise_seed = np.random.SeedSequence(recipe.seed).spawn(3)
    plugin = BehaviourPlugin.parse(recipe.behaviour, f"[behaviour] of prior {recipe.name!r}")
    with closing(DrawnWorld(recipe, world_seed, randomise_seed)) as world:
        behaviour: Behaviour = plugin.make(world.bare, np.random.default_rng(behaviour_seed))
        if recipe.training_steps and not isinstance(behaviour, Learner):
            raise BadInput(
                f"the behaviour {plugin.name!r} of prior {recipe.name!r} does not learn; leave out "
                "'training_steps'."
            )
        number = kept = lived = 0
        while kept < recipe.rows:
            learner = behaviour if lived < recipe.training_steps and isinstance(behaviour, Learner) else None
            most = recipe.training_steps - lived if learner else recipe.rows - kept
            drawn = world.draw()
            episode = _episode(drawn, behaviour, learner, min(recipe.episode_steps, most), bar)
            steps = len(episode["actions"])
            if learner:
                lived += steps
                if lived >= recipe.training_steps:
                    learner.finish()
                # Kept if the share of the replay rows that is kept has fallen behind the share of the
                # training that is over.
                room = recipe.replay_rows - kept
                if not room or kept / recipe.replay_rows >= lived / recipe.training_steps:
                    continue
                episode = _cut(episode, min(steps, room))
                steps = len(episode["actions"])
            episode["actions"] = [_own_units(action, world.bare) for action in episode["actions"]]
            yield _buffer(number, drawn.seed, episode, drawn.params, recipe.significant_bits)
            number, kept = number + 1, kept + steps


def _episode(
    drawn: DrawnEpisode, behaviour: Behaviour, learner: Learner | None, most: int, bar: "tqdm[Any]"
) -> dict[str, list[Any]]:
    """What Minari stores of an episode of at most ``most`` steps, from which ``learner`` learns."""
    steps = rollout(drawn.env, behaviour.act, seed=drawn.seed, max_steps=most)
    behaviour.reset(steps.first_obs)
    episode: dict[str, list[Any]] = {
        "observations": [steps.first_obs],
        "actions": [],
        "rewards": [],
        "terminations": [],
    }
    for step in steps:
        _, action, reward, next_obs, terminated, _ = step.transition
        if learner:
            metrics = learner.learn(step.transition)
            if step.number == most or step.over:
                shown = {"return": sum(episode["rewards"]), **metrics}
                bar.set_postfix({key: f"{float(value):.4g}" for key, value in shown.items()}, refresh=False)
        for key, value in zip(episode, (next_obs, action, reward, terminated), strict=True):
            episode[key].append(value)
        bar.update(1)
    return episode


def _own_units(action: F32, world: gym.Env[Any, Any]) -> F32:
    """An action in [-1, 1] in the world's own bounds, which is how data is stored."""
    space: Any = world.unwrapped.action_space
    if np.all(space.low == -1) and np.all(space.high == 1):
        return action
    own: F32 = (space.low + (action + 1) / 2 * (space.high - space.low)).astype(np.float32)
    return own


def _cut(episode: dict[str, list[Any]], steps: int) -> dict[str, list[Any]]:
    return {key: values[: steps + (key == "observations")] for key, values in episode.items()}


def _buffer(
    number: int, seed: int | None, episode: dict[str, list[Any]], params: F32 | None, bits: int
) -> Any:
    """Minari's record of an episode, its numbers rounded to so many significant bits."""
    from minari.data_collector import EpisodeBuffer

    observations, actions, rewards = (
        rounded(np.array(episode[key], np.float32), bits) for key in ("observations", "actions", "rewards")
    )
    terminations = [bool(value) for value in episode["terminations"]]
    truncations = [False] * (len(actions) - 1) + [not terminations[-1]]
    infos = {} if params is None else {"env_params": np.tile(params, (len(observations), 1))}
    return EpisodeBuffer(
        id=number,
        seed=seed,
        observations=observations,
        actions=actions,
        rewards=rewards.tolist(),
        terminations=terminations,
        truncations=truncations,
        infos=infos,
    )


def rounded(values: F32, bits: int) -> F32:
    """``values`` rounded to so many significant bits of 24; the zeros behind them compress well."""
    if bits >= 24:
        return values
    drop = 24 - bits
    whole = values.view(np.uint32)
    half = np.uint32(1 << (drop - 1))
    result: F32 = ((whole + half) & np.uint32(0xFFFFFFFF << drop & 0xFFFFFFFF)).view(np.float32)
    return result


def _draw(
    randomise: dict[str, Any] | tuple[dict[str, Any], ...] | None, rng: np.random.Generator
) -> tuple[tuple[dict[str, Any], ...], F32 | None]:
    """One episode's shifts: every range in the tables becomes one number, drawn uniformly and recorded."""
    if randomise is None:
        return (), None
    shifts, params = [], []
    for table in (randomise,) if isinstance(randomise, dict) else randomise:
        name = str(table.get("name"))
        types = get_type_hints(
            plugins.settings_type(plugins.factory(plugins.SHIFTS, name), f"shift {name!r}")
        )
        shift = {}
        for key, value in sorted(table.items()):
            if not (
                isinstance(value, list)
                and len(value) == 2
                and all(isinstance(v, (int, float)) for v in value)
            ):
                shift[key] = value
                continue
            params.append(float(rng.uniform(*value)))
            shift[key] = params[-1] if types.get(key) is float else [params[-1], params[-1]]
        shifts.append(shift)
    return tuple(shifts), np.array(params, np.float32)


def _unpack(file: Path) -> list[Any]:
    """The episodes of a shipped file."""
    rows = formats.read(file)
    ends = np.flatnonzero(np.diff(rows.episode, append=rows.episode[-1] + 1)) + 1
    episodes = []
    for number, (start, stop) in enumerate(pairwise([0, *ends.tolist()])):
        at = slice(start, stop)
        episode = {
            "observations": [*rows.obs[at], rows.next_obs[stop - 1]],
            "actions": list(rows.action[at]),
            "rewards": list(rows.reward[at]),
            "terminations": list(rows.terminated[at]),
        }
        params = None if rows.env_params is None else rows.env_params[start]
        episodes.append(_buffer(number, None, episode, params, 24))
    return episodes


def _compress(source: Path, target: Path) -> None:
    """Minari's HDF5 file again, small: what is shipped beside a recipe."""
    import h5py

    with (
        atomic_write(target) as temporary,
        h5py.File(source, "r") as old,
        h5py.File(temporary, "w", libver="latest") as new,
    ):

        def copy(name: str, node: Any) -> None:
            if isinstance(node, h5py.Dataset):
                new.create_dataset(
                    name,
                    data=node[()],
                    chunks=node.shape,
                    compression="gzip",
                    compression_opts=9,
                    shuffle=True,
                    track_times=False,
                )

        old.visititems(copy)


def _spec_of(world: gym.Env[Any, Any]) -> Any:
    """The world for Minari's metadata, which can only describe worlds with an id of Gymnasium."""
    return world if world.spec is not None and world.spec.id in gym.registry else None


def _about(recipe: Recipe, table: dict[str, Any]) -> str:
    return f"{recipe.summary} Licence: {recipe.licence}. Recipe {_fingerprint(table)}"


def _fingerprint(table: dict[str, Any]) -> str:
    """Of what the rows depend on: not of the words about them."""
    made_of = {key: value for key, value in table.items() if key not in ("summary", "licence", "sha256")}
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]
