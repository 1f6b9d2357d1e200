"""Pretraining: the agent learns from the prior before the life. Done once, kept by content hash."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from slrl import plugins
from slrl.agents.sac import Sac
from slrl.buffer import Buffer
from slrl.errors import BadInput
from slrl.files import cache_folder, replacing
from slrl.offline import Objective
from slrl.priors import Prior

_VERSION = 1  # raised when the same settings begin to give other weights


@dataclass(frozen=True, kw_only=True)
class Pretraining:
    """The ``[pretrain]`` table of an adapter."""

    objective: dict[str, Any]  # name and settings of a file in slrl/offline
    steps: int  # gradient steps
    batch_size: int = 256
    look_ahead_steps: int = 1  # n-step returns along the prior's own episodes; 1 is the papers' one-step target
    seed: int = 0  # its own, not the life's: all lives start from the same agent


def check(pretrain: Mapping[str, Any] | None) -> Pretraining | None:
    """The ``[pretrain]`` table, refused before anything is computed if it cannot work."""
    if pretrain is None:
        return None
    plan = Pretraining(**plugins.bind(Pretraining, pretrain, where="[pretrain]"))
    plugins.resolve("slrl.offline", plan.objective, where="[pretrain.objective]")
    if min(plan.steps, plan.batch_size, plan.look_ahead_steps) < 1 or plan.seed < 0:
        raise BadInput("'steps', 'batch_size' and 'look_ahead_steps' in [pretrain] must be 1 or more, 'seed' 0 or more.")
    return plan


def prepare(
    agent: Mapping[str, Any],
    pretrain: Mapping[str, Any] | None,
    prior: Prior,
    *,
    seed: int,
    device: torch.device,
    quiet: bool = False,
) -> Sac:
    """An agent as it stands at the beginning of a life: pretrained on the prior, with the randomness of ``seed``.

    Without ``pretrain`` it begins with random weights, which are then drawn from ``seed`` too.
    """
    plan = check(pretrain)
    generator = torch.Generator().manual_seed(seed if plan is None else plan.seed)
    name, settings = plugins.split(agent, "[agent]")
    made: Sac = plugins.make("slrl.agents", name, settings, where="[agent]", prior=prior, generator=generator, device=device)
    if plan is not None:
        path = cache_folder("pretrained") / f"{_key(prior, plan, agent)}.safetensors"
        if not _load(made, path):
            _learn(made, prior, plan, quiet=quiet)
            _save(made, path)
        made.reseed(seed)
    return made


def _learn(agent: Sac, prior: Prior, plan: Pretraining, *, quiet: bool) -> None:
    name, settings = plugins.split(plan.objective, "[pretrain.objective]")
    objective: Objective = plugins.make("slrl.offline", name, settings, where="[pretrain.objective]", agent=agent)
    buffer = Buffer(prior, 0, np.random.default_rng(plan.seed), agent.device)
    buffer.look_ahead(plan.look_ahead_steps, prior, agent.discount)
    with tqdm(total=plan.steps, desc=f"pretraining ({name})", unit="step", disable=quiet, mininterval=1) as bar:
        for step in range(1, plan.steps + 1):
            metrics = objective.update(buffer.sample(plan.batch_size))
            if step % 500 == 0 or step == plan.steps:
                bar.update(step - bar.n)
                bar.set_postfix({key.removeprefix("pretrain/"): f"{float(value):.3g}" for key, value in metrics.items()})
    agent.reset_optimisers()  # the life has another objective
    with torch.no_grad():  # and begins with the temperature that its settings name
        agent.log_temperature.fill_(float(np.log(agent.initial_temperature)))
    if not all(bool(torch.isfinite(p).all()) for p in (*agent.actor, *agent.critic)):
        raise BadInput(f"pretraining with {name} diverged: weights became infinite; choose a smaller learning rate.")


def _key(prior: Prior, plan: Pretraining, agent: Mapping[str, Any]) -> str:
    """Names everything that the weights depend on, torch's version included."""
    on = {"version": _VERSION, "torch": torch.__version__, "prior": prior.sha256, "plan": asdict(plan), "agent": dict(agent)}
    return hashlib.sha256(json.dumps(on, sort_keys=True).encode()).hexdigest()


def _load(agent: Sac, path: Path) -> bool:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        return False
    try:
        state = load_file(path)
    except (SafetensorError, OSError):
        return False  # damaged: learned anew and replaced
    agent.load_state_dict(state)
    return True


def _save(agent: Sac, path: Path) -> None:
    from safetensors.torch import save_file

    with replacing(path) as temporary:
        save_file({key: tensor.cpu().contiguous() for key, tensor in agent.state_dict().items()}, temporary)
