"""Pretraining: the agent learns from the prior before the life. Done once, kept by content hash."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from slrl import plugins
from slrl.errors import BadInput
from slrl.files import atomic_write, cache_folder, file_lock
from slrl.learning.agents.sac import Sac
from slrl.learning.buffer import Buffer
from slrl.learning.offline import Objective
from slrl.learning.seeds import PretrainingSeeds, of_pretraining
from slrl.priors import Prior
from slrl.types import RandomisedWorld, Trainable

_VERSION = 1  # raised when the same settings begin to give other weights


@dataclass(frozen=True, kw_only=True)
class Pretraining:
    """The ``[pretrain]`` table of an adapter."""

    objective: dict[str, Any]  # name and settings of a file in slrl/offline
    steps: int  # gradient steps
    batch_size: int = 256
    look_ahead_steps: int = (
        1  # n-step returns along the prior's own episodes; 1 is the papers' one-step target
    )
    seed: int = 0  # the pretraining's own, not the life's: all lives start from the same agent


def check(pretrain: Mapping[str, Any] | None) -> Pretraining | None:
    """The ``[pretrain]`` table, refused before anything is computed if it cannot work."""
    if pretrain is None:
        return None
    plan = Pretraining(**plugins.bind(Pretraining, pretrain, where="[pretrain]"))
    plugins.resolve("slrl.learning.offline", plan.objective, where="[pretrain.objective]")
    if min(plan.steps, plan.batch_size, plan.look_ahead_steps) < 1 or plan.seed < 0:
        raise BadInput(
            "'steps', 'batch_size' and 'look_ahead_steps' in [pretrain] must be 1 or more, 'seed' 0 or more."
        )
    return plan


@dataclass(frozen=True, kw_only=True)
class School:
    """Where adapters learn before the life (:class:`slrl.adapters.Pretrainer`): everything once, kept by content hash."""

    agent_settings: Mapping[str, Any]
    plan: Mapping[str, Any] | None
    pretraining_seed: int  # every part's seed descends from it
    seed: int  # of the life's agent
    device: torch.device
    open_world: Callable[[], RandomisedWorld | None] = lambda: None
    quiet: bool = False

    @property
    def seeds(self) -> PretrainingSeeds:
        """The seeds of a method's parts."""
        return of_pretraining(self.pretraining_seed)

    def agent(self, prior: Prior, *on: object, **parts: Any) -> Sac:
        """The agent as it stands at the beginning of a life."""
        plan = None if self.plan is None else {**self.plan, "seed": self.pretraining_seed}
        return prepare(
            self.agent_settings,
            plan,
            prior,
            seed=self.seed,
            device=self.device,
            quiet=self.quiet,
            on=on,
            parts=parts,
        )

    def once(self, what: Trainable, name: str, *on: object) -> None:
        """Learn, or load what was learned before with the same ``on``."""
        path = cache_folder("pretrained") / f"{name}-{_digest(name, *on)}.safetensors"
        if _load(what, path):
            return
        with file_lock(path.stem):  # lives that begin together need the same
            if not _load(what, path):
                self._learn(what, name)
                _save(what, path)

    def _learn(self, what: Trainable, name: str) -> None:
        with tqdm(
            total=what.steps, desc=f"pretraining ({name})", unit="step", disable=self.quiet, mininterval=1
        ) as bar:
            for step, metrics in enumerate(what.learn(), 1):
                if step % 200 == 0 or step == what.steps:
                    bar.update(step - bar.n)
                    bar.set_postfix(
                        {key.rpartition("/")[2]: f"{float(value):.3g}" for key, value in metrics.items()}
                    )
        if not all(
            bool(torch.isfinite(t).all()) for t in what.state_dict().values() if t.is_floating_point()
        ):
            raise BadInput(
                f"pretraining of the {name} diverged: weights became infinite; choose a smaller learning rate."
            )

    def of(self, agent: Mapping[str, Any], pretrain: Mapping[str, Any] | None, seed: int) -> "School":
        """The same for another method, pretrained with ``seed`` unless it names its own."""
        return replace(
            self, agent_settings=agent, plan=pretrain, pretraining_seed=(pretrain or {}).get("seed", seed)
        )

    def world(self) -> RandomisedWorld | None:
        """The prior's own world, where there is one whose parameters can be drawn."""
        return self.open_world()


def prepare(
    agent: Mapping[str, Any],
    pretrain: Mapping[str, Any] | None,
    prior: Prior,
    *,
    seed: int,
    device: torch.device,
    quiet: bool = False,
    on: Sequence[object] = (),
    parts: Mapping[str, Any] = MappingProxyType({}),
) -> Sac:
    """An agent as it stands at the beginning of a life: pretrained on the prior, with the randomness of ``seed``.

    Without ``pretrain`` it begins with random weights, which are then drawn from ``seed`` too. ``parts`` are for the objective,
    and ``on`` names what they depend on.
    """
    plan = check(pretrain)
    generator = torch.Generator().manual_seed(seed if plan is None else plan.seed)
    name, settings = plugins.split(agent, "[agent]")
    made: Sac = plugins.make(
        "slrl.learning.agents",
        name,
        settings,
        where="[agent]",
        prior=prior,
        generator=generator,
        device=device,
    )
    if plan is not None:
        path = cache_folder("pretrained") / f"{_key(prior, plan, agent, on)}.safetensors"
        if not _load(made, path):
            with file_lock(path.stem):
                if not _load(made, path):
                    _learn(made, prior, plan, parts, quiet=quiet)
                    _save(made, path)
        made.reseed(seed)
    return made


def _learn(agent: Sac, prior: Prior, plan: Pretraining, parts: Mapping[str, Any], *, quiet: bool) -> None:
    name, settings = plugins.split(plan.objective, "[pretrain.objective]")
    rng = np.random.default_rng(plan.seed)
    objective: Objective = plugins.make(
        "slrl.learning.offline", name, settings, where="[pretrain.objective]", agent=agent, rng=rng, **parts
    )
    buffer = Buffer(prior, 0, rng, agent.device)
    buffer.look_ahead(plan.look_ahead_steps, prior, agent.discount)
    with tqdm(
        total=plan.steps, desc=f"pretraining ({name})", unit="step", disable=quiet, mininterval=1
    ) as bar:
        for step in range(1, plan.steps + 1):
            metrics = objective.update(buffer.sample(plan.batch_size))
            if step % 500 == 0 or step == plan.steps:
                bar.update(step - bar.n)
                bar.set_postfix(
                    {key.removeprefix("pretrain/"): f"{float(value):.3g}" for key, value in metrics.items()}
                )
    agent.reset_optimisers()  # the life has another objective
    with torch.no_grad():  # and begins with the temperature that its settings name
        agent.log_temperature.fill_(float(np.log(agent.initial_temperature)))
    if not all(bool(torch.isfinite(p).all()) for p in (*agent.actor, *agent.critic)):
        raise BadInput(
            f"pretraining with {name} diverged: weights became infinite; choose a smaller learning rate."
        )


def _key(prior: Prior, plan: Pretraining, agent: Mapping[str, Any], on: Sequence[object]) -> str:
    """Names everything that the weights depend on, torch's version included."""
    about = {
        "version": _VERSION,
        "torch": torch.__version__,
        "prior": prior.sha256,
        "plan": asdict(plan),
        "agent": dict(agent),
    }
    if on:
        about["on"] = _digest(*on)
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _digest(*on: object) -> str:
    return hashlib.sha256(json.dumps([_VERSION, torch.__version__, *on], sort_keys=True).encode()).hexdigest()


def _load(what: Sac | Trainable, path: Path) -> bool:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        return False
    try:
        state = load_file(path)
    except (SafetensorError, OSError):
        return False  # damaged: learned anew and replaced
    what.load_state_dict(state)
    return True


def _save(what: Sac | Trainable, path: Path) -> None:
    from safetensors.torch import save_file

    with atomic_write(path) as temporary:
        save_file({key: tensor.cpu().contiguous() for key, tensor in what.state_dict().items()}, temporary)
