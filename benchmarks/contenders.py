"""What `benchmarks/speed.py` times: each function builds one contender and returns a step to repeat."""

import math
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.spaces import Box
from torch import nn

from slrl import adapters, envs, scenarios
from slrl.adapters import graph, replay
from slrl.learning import regression
from slrl.learning.agents.sac import Sac
from slrl.learning.agents.sac import Settings as SacSettings
from slrl.learning.buffer import Buffer
from slrl.learning.guidance import q_weighted
from slrl.learning.guidance.gail import Gail
from slrl.lives import run
from slrl.plugins import GuidancePlugin
from slrl.priors import Prior, formats
from slrl.recording.recipes import load_prior
from slrl.scenarios import World
from slrl.types import Batch, Transition

Step = Callable[[], object]
CPU = torch.device("cpu")
HALF_CHEETAH, POINTMASS = (17, 6), (6, 2)
BATCH, HIDDEN = 256, (256, 256)
SMALL_BATCH, SMALL = 128, (64, 64)


def random_prior(sizes: tuple[int, int], rows: int = 50_000) -> Prior:
    """Rows of noise: the arithmetic costs the same."""
    rng, (o, a) = np.random.default_rng(0), sizes
    ends = np.arange(rows) % 1000 == 999
    data = formats.Rows(
        "noise",
        rng.standard_normal((rows, o), np.float32),
        rng.uniform(-1, 1, (rows, a)).astype(np.float32),
        rng.standard_normal(rows).astype(np.float32),
        rng.standard_normal((rows, o), np.float32),
        np.zeros(rows, np.bool_),
        ends,
        (np.arange(rows) // 1000).astype(np.int32),
    )
    spaces = {"observation_space": Box(-np.inf, np.inf, (o,)), "action_space": Box(-1, 1, (a,))}
    return Prior(name="noise", **spaces, **data._asdict())


def sac(prior: Prior, **settings: Any) -> Sac:
    """Ours, with the sizes of the comparison."""
    chosen = SacSettings(**{"hidden": HIDDEN, **settings})
    return Sac(chosen, prior, torch.Generator().manual_seed(0), CPU)


def qwale(prior: Prior, agent: Sac, rng: np.random.Generator) -> Gail:
    """The discriminator with its weights."""
    settings = q_weighted.Settings()
    return q_weighted.make(settings, prior, agent, CPU, rng=rng, generator=torch.Generator().manual_seed(0))


def slrl_update(**settings: Any) -> Step:
    """Sample a batch and update critics, actor, temperature and targets."""
    prior = random_prior(HALF_CHEETAH)
    agent, buffer = sac(prior, **settings), Buffer(prior, 1, np.random.default_rng(0), CPU)
    return lambda: agent.update(buffer.sample(BATCH))


def slrl_bf16() -> Step:
    """The same with matrix products in bfloat16."""
    return slrl_update(precision="bfloat16")


def slrl_compiled() -> Step:
    """The same, the whole update compiled."""
    return slrl_update(compile=True)


def slrl_small_update(**settings: Any) -> Step:
    """An update of the sizes of adapters/qwale.toml: 64 x 64, batches of 128."""
    prior = random_prior(POINTMASS)
    agent, buffer = sac(prior, hidden=SMALL, **settings), Buffer(prior, 1, np.random.default_rng(0), CPU)
    return lambda: agent.update(buffer.sample(SMALL_BATCH))


def slrl_small_compiled() -> Step:
    """The same, compiled."""
    return slrl_small_update(compile=True)


def slrl_compiled_bf16() -> Step:
    """Both."""
    return slrl_update(compile=True, precision="bfloat16")


def slrl_life(
    life_rows: int = 100_000, lived: int = 0, *, hidden: tuple[int, ...] = HIDDEN, batch_size: int = BATCH
) -> Step:
    """One step of a life with QWALE: act, environment, store, discriminator, reward, update."""
    prior = random_prior(POINTMASS)
    agent, rng = sac(prior, hidden=hidden), np.random.default_rng(0)
    settings = replay.Settings(
        guidance=GuidancePlugin.parse({"name": "q_weighted"}, "[adapter.guidance]"),
        batch_size=batch_size,
        guidance_batch_size=batch_size,
        warm_up_steps=0,
    )
    adapter = replay.Replay(
        settings, agent, qwale(prior, agent, rng), Buffer(prior, life_rows, rng, CPU), rng
    )
    env = envs.make_world(World(env="slrl/Pointmass-v0"))
    state = {"obs": env.reset(seed=0)[0]}
    for number in range(
        lived
    ):  # a long life, quickly: the rows must really be written, or memory that was never touched looks fast
        adapter.buffer.append(
            Transition(prior.obs[number % 50_000], prior.action[0], 0.0, prior.obs[0], False, False),
            bootstrap=True,
        )

    def step() -> None:
        obs = state["obs"]
        action = adapter.act(obs)
        state["obs"], reward, terminated, truncated, _ = env.step(action)
        adapter.observe(Transition(obs, action, float(reward), state["obs"], terminated, truncated))
        adapter.learn()

    return step


def slrl_small_life() -> Step:
    """The same with the sizes of adapters/qwale.toml, which suit a point mass."""
    return slrl_life(hidden=SMALL, batch_size=SMALL_BATCH)


def slrl_early_step() -> Step:
    """A step of a life of a million, after 10,000 of them."""
    return slrl_life(1_100_000, 10_000, hidden=SMALL, batch_size=SMALL_BATCH)


def slrl_late_step() -> Step:
    """A step of a life of a million, after 1,000,000 of them."""
    return slrl_life(1_100_000, 1_000_000, hidden=SMALL, batch_size=SMALL_BATCH)


def slrl_discriminator() -> Step:
    """One step of the QWALE discriminator: 256 + 256 rows, mixup, weights."""
    prior = random_prior(POINTMASS)
    agent, rng = sac(prior), np.random.default_rng(0)
    guidance = qwale(prior, agent, rng)
    buffer = Buffer(prior, 1, rng, CPU)
    one, two = buffer.sample(BATCH), buffer.sample(BATCH)
    return lambda: guidance.update(one, two, one.obs[0])


def slrl_act() -> Step:
    """One action for one observation."""
    prior = random_prior(HALF_CHEETAH)
    agent = sac(prior)
    return lambda: agent.act(prior.obs[0])


def control_step(
    name: str, quick: dict[str, int], prior: Prior | None = None, world: str = "windy_pointmass"
) -> Step:
    """Act and observe, without a gradient step, on the prior's own rows."""
    prior = random_prior(POINTMASS) if prior is None else prior
    scenario = scenarios.load(world)
    adapter = run.load_adapter(
        adapters.load(name, list(quick.items())), prior, scenario, life_steps=100_000, quiet=True
    )
    state, last = {"row": 0}, int(prior.ends[0])

    def step() -> None:
        row = state["row"] = (state["row"] + 1) % last  # within one episode
        action = adapter.act(prior.obs[row])
        adapter.observe(Transition(prior.obs[row], action, 0.0, prior.next_obs[row], False, False))
        adapter.learn()

    return step


def slrl_rma_step() -> Step:
    """A step of adapters/rma.toml."""
    return control_step("rma", {"pretrain.steps": 1, "adapter.extrinsics.steps": 1})


def slrl_levels_step() -> Step:
    """A step of the default where its latent policy acts and its graph watches."""
    low = {"adapter.low.pretrain.steps": 1, "adapter.low.adapter.extrinsics.steps": 1}
    quick = {**low, "adapter.graph.adapter.regression.steps": 1}
    return control_step("levels", quick, load_prior("pointmass"))


def slrl_frames_step() -> Step:
    """A step of the default where it sees relations: fifteen members."""
    quick = {"adapter.frames.adapter.regression.steps": 1}
    return control_step("levels", quick, load_prior("tabletop"), "tabletop_displaced")


def slrl_plan() -> Step:
    """The shortest ways over the moves between the cells of the maze's prior."""
    settings = graph.Settings(regression=regression.Settings(steps=1))
    cells = graph.Cells(settings, load_prior("maze"), 0)
    for _ in cells.learn():
        pass
    return graph.Moves(cells, settings.failure_weight).plan


def slrl_switch_step() -> Step:
    """A step of adapters/switch.toml while its low level acts."""
    low = {"adapter.low.pretrain.steps": 1, "adapter.low.adapter.extrinsics.steps": 1}
    high = {"adapter.high.pretrain.steps": 1, "adapter.high.adapter.skills.steps": 1}
    own = {"pretrain.steps": 1, "adapter.monitor.steps": 1, "adapter.monitor.latent_steps": 1}
    return control_step("switch", {**own, **low, **high})


def _sb3(env: "gym.Env[Any, Any]", hidden: tuple[int, ...] = HIDDEN) -> Any:
    from stable_baselines3 import SAC
    from stable_baselines3.common.logger import configure

    model = SAC(
        "MlpPolicy",
        env,
        learning_starts=0,
        buffer_size=100_000,
        policy_kwargs={"net_arch": list(hidden)},
        device="cpu",
        seed=0,
    )
    model.set_logger(configure(None, []))
    return model


def sb3_update(
    sizes: tuple[int, int] = HALF_CHEETAH, hidden: tuple[int, ...] = HIDDEN, batch: int = BATCH
) -> Step:
    """Stable-Baselines3's SAC, one gradient step from its replay buffer."""
    prior = random_prior(sizes)
    model = _sb3(_Noise(prior), hidden)
    for row in range(5_000):
        model.replay_buffer.add(
            prior.obs[row],
            prior.next_obs[row],
            prior.action[row],
            prior.reward[row : row + 1],
            np.zeros(1, bool),
            [{}],
        )
    return lambda: model.train(gradient_steps=1, batch_size=batch)


def sb3_small_update() -> Step:
    """The same of our small sizes."""
    return sb3_update(POINTMASS, SMALL, SMALL_BATCH)


def sb3_life() -> Step:
    """Ten steps of Stable-Baselines3's learn loop with plain SAC on the point mass."""
    model = _sb3(gym.make("slrl/Pointmass-v0", max_episode_steps=1000))
    model.learn(10)
    return lambda: model.learn(10, reset_num_timesteps=False)


class _Noise(gym.Env[Any, Any]):
    """Spaces without a world."""

    def __init__(self, prior: Prior) -> None:
        self.observation_space, self.action_space = prior.observation_space, prior.action_space


def textbook_update() -> Step:
    """SAC as a tutorial writes it: two critics as modules, three torch optimisers, losses with backward()."""
    prior = random_prior(HALF_CHEETAH)
    o, a = HALF_CHEETAH

    def network(inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(inputs, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, outputs)
        )

    actor, critics, targets = (
        network(o, 2 * a),
        [network(o + a, 1) for _ in range(2)],
        [network(o + a, 1) for _ in range(2)],
    )
    log_alpha = torch.zeros(1, requires_grad=True)
    actor_optimiser = torch.optim.Adam(actor.parameters(), 3e-4)
    critic_optimiser = torch.optim.Adam([p for critic in critics for p in critic.parameters()], 3e-4)
    alpha_optimiser = torch.optim.Adam([log_alpha], 3e-4)
    buffer = Buffer(prior, 1, np.random.default_rng(0), CPU)

    def policy(obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, log_std = actor(obs).chunk(2, -1)
        normal = torch.distributions.Normal(mean, log_std.clamp(-20, 2).exp())
        u = normal.rsample()
        log_prob = normal.log_prob(u) - 2 * (math.log(2) - u - nn.functional.softplus(-2 * u))
        return torch.tanh(u), log_prob.sum(-1, keepdim=True)

    def step() -> None:
        batch: Batch = buffer.sample(BATCH)
        alpha = log_alpha.exp().detach()
        with torch.no_grad():
            next_action, next_log_prob = policy(batch.next_obs)
            x = torch.cat([batch.next_obs, next_action], -1)
            next_q = torch.min(*(target(x) for target in targets)) - alpha * next_log_prob
            y = batch.reward.unsqueeze(-1) + 0.99 * batch.bootstrap.unsqueeze(-1) * next_q
        x = torch.cat([batch.obs, batch.action], -1)
        critic_loss = sum(nn.functional.mse_loss(critic(x), y) for critic in critics)
        critic_optimiser.zero_grad()
        critic_loss.backward()  # type: ignore[union-attr]
        critic_optimiser.step()
        action, log_prob = policy(batch.obs)
        x = torch.cat([batch.obs, action], -1)
        actor_loss = (alpha * log_prob - torch.min(*(critic(x) for critic in critics))).mean()
        actor_optimiser.zero_grad()
        actor_loss.backward()
        actor_optimiser.step()
        alpha_loss = -(log_alpha * (log_prob.detach() - a)).mean()
        alpha_optimiser.zero_grad()
        alpha_loss.backward()
        alpha_optimiser.step()
        with torch.no_grad():
            for critic, target in zip(critics, targets, strict=True):
                for p, q in zip(critic.parameters(), target.parameters(), strict=True):
                    q.lerp_(p, 0.005)

    return step
