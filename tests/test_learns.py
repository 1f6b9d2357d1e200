"""Every adapter that ships learns, in a corridor that takes seconds; with its learning off it does not.

The prior is walks to the right in still air. In the life the wind blows to the left: who acts at random, or
as the prior does, is carried to the wall; who learns to walk at full speed is home in some thirty steps.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from slrl import adapters, files
from slrl.adapters.setup import Plan, assemble
from slrl.adapters.switch import SKILL, WEIGHTS
from slrl.envs import OneLife
from slrl.learning.cache import LearnedCache
from slrl.learning.skills import REACH
from slrl.lives.life import Life, live
from slrl.priors import Prior, join
from slrl.types import DrawnEpisode, Transition

from .conftest import prior_of, rows_of

CPU = torch.device("cpu")
END = 10.0  # the goal is here, the wall at -END
Table = dict[str, Any]


class Corridor(gym.Env[Any, Any]):
    """Observes (place / END, noise); moves by the action and the wind; ends at the goal."""

    def __init__(self, wind: float = 0.0, start: float = 0.0) -> None:
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
        self.wind, self.start, self.place = wind, start, start

    def reset(self, *, seed: int | None = None, options: Table | None = None) -> tuple[Any, Table]:
        super().reset(seed=seed)
        self.place = self.start
        return self._observed(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, Table]:
        moved = self.place + float(np.clip(action[0], -1, 1)) + self.wind
        self.place = float(np.clip(moved, -END, END))
        home = self.place >= END
        return self._observed(), float(home), home, False, {"success": home}

    def _observed(self) -> Any:
        return np.array([self.place / END, 0.01 * self.np_random.normal()], np.float32)


def walks(
    episodes: int,
    seed: int = 0,
    *,
    winds: tuple[float, ...] = (0.0,),
    mean: float = 0.4,
    places: tuple[float, float] = (-1.0, 0.8),
    hold: int = 1,
) -> Prior:
    """Walks at a speed of ``mean`` ± 0.4, for 40 steps or to the goal, each in one of the winds.

    With ``hold`` a walk keeps one of two speeds for so many steps, ``mean`` ± 0.7.
    """
    rng = np.random.default_rng(seed)
    columns: dict[str, list[Any]] = {key: [] for key in ("obs", "action", "reward", "next_obs", "end", "cut")}
    episode, params, speed = [], [], mean
    for number in range(episodes):
        env = Corridor(winds[number % len(winds)], END * rng.uniform(*places))
        obs, _ = env.reset(seed=int(rng.integers(2**31)))
        for step in range(40):
            if hold > 1 and step % hold == 0:
                speed = mean + rng.choice([-0.7, 0.7])
            drawn = rng.normal(mean, 0.4, 1) if hold == 1 else rng.normal(speed, 0.1, 1)
            action = np.clip(drawn, -1, 1).astype(np.float32)
            next_obs, reward, end, _, _ = env.step(action)
            row = (obs, action, reward, next_obs, end, step == 39 and not end)
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)
            episode.append(number)
            params.append([env.wind])
            obs = next_obs
            if end:
                break
    found = [np.array(column) for column in columns.values()]
    rows = rows_of([1], obs_dim=2, action_dim=1)._replace(
        obs=found[0],
        action=found[1],
        reward=found[2].astype(np.float32),
        next_obs=found[3],
        terminated=found[4],
        truncated=found[5],
        episode=np.array(episode, np.int32),
        env_params=np.array(params, np.float32) if len(winds) > 1 else None,
    )
    return prior_of(rows)


PRIOR = walks(60)
WINDS = (-0.6, -0.3, 0.0, 0.3)
SMALL: Table = {
    "agent.hidden": [32, 32],
    "agent.discount": 0.95,
    "agent.actor_lr": 3e-3,
    "agent.critic_lr": 3e-3,
    "agent.temperature_lr": 3e-3,
    "pretrain.steps": 1,
    "pretrain.batch_size": 64,
    "adapter.batch_size": 64,
    "adapter.guidance_batch_size": 64,
    "adapter.guidance.hidden": [16],
    "adapter.warm_up_steps": 20,
    "adapter.warm_start_updates": 200,
    "adapter.inner.batch_size": 64,
    "adapter.inner.guidance_batch_size": 64,
    "adapter.inner.guidance.hidden": [16],
    "adapter.inner.warm_up_steps": 20,
    "adapter.inner.warm_start_updates": 200,
    "adapter.extrinsics.size": 2,
    "adapter.extrinsics.history": 20,
    "adapter.extrinsics.steps": 1,
    "adapter.extrinsics.hidden": [32],
    "adapter.student_steps": 0,
    "adapter.skills.size": 2,
    "adapter.skills.horizon": 4,
    "adapter.skills.steps": 1,
    "adapter.skills.hidden": 32,
    "adapter.regularisation_steps": 0,
    "adapter.model_steps": 1,
    "adapter.hidden": [32],
}

IDLE: Table = {"adapter.updates_per_step": 0, "adapter.warm_start_updates": 0}  # the guidance learns alone
HASTY: Table = {"adapter.guidance.lr": 3e-3}  # of a discriminator whose reward is all that is learned from


def method_of(name: str, **settings: Any) -> adapters.Method:
    """An adapter as it ships, but for its sizes and these settings; nothing is learned before its life."""
    known = adapters.load(name).table()
    return adapters.load(
        name, list(({key: v for key, v in SMALL.items() if has(known, key)} | settings).items())
    )


def made(method: adapters.Method, prior: Prior, seed: int = 1, **world: Any) -> Any:
    """The method's adapter, ready for a life."""
    plan = Plan.of(method, prior, life_seed=seed, device=CPU, **world)
    return assemble(method, plan, LearnedCache(), 1000, np.random.SeedSequence(seed))


def has(table: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(table, dict) or part not in table:
            return False
        table = table[part]
    return True


def lived(adapter: Any, steps: int, wind: float = -0.4, start: float = 0.0) -> Life:
    return live(OneLife(Corridor(wind, start), steps), adapter, 1)


# -- who learns its weights in the life ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("cal_ql", {}),
        ("finetune", {}),
        ("gail_s", {}),
        ("gail_s_paper", HASTY),
        ("gail_sa", {}),
        ("gail_sa_paper", HASTY),
        ("qwale", {}),
        ("qwale_paper", HASTY),
        ("rnd", {"adapter.guidance.scale": 0.01}),  # more than that pays for never arriving
        ("rlpd", {}),
        ("rma_qwale", {"adapter.extrinsics.steps": 100}),
        ("skills", {"adapter.skills.steps": 300}),
    ],
)
def test_who_learns_comes_home_against_the_wind_and_who_does_not_never_does(
    name: str, settings: Table
) -> None:
    inner = "inner." if name in ("rma_qwale", "skills") else ""
    prior = {"rma_qwale": walks(60, winds=WINDS), "skills": walks(60, hold=4, mean=0.0)}.get(name, PRIOR)
    updates = 4 if name == "skills" else 1  # of a skill, which is held for four steps
    found = {}
    for count in (updates, 0):
        learning = {f"adapter.{inner}updates_per_step": count}
        found[count] = lived(made(method_of(name, **settings, **learning), prior), 800)
    assert (found[updates].outcome, found[0].outcome) == ("success", "timeout")


@pytest.mark.parametrize("name", ["gail_s", "gail_sa", "qwale"])
def test_a_discriminator_tells_the_life_from_the_prior(name: str) -> None:
    """At the wall little is as in the prior. Its cross-entropy: log 2 = 0.69 for who knows nothing."""
    losses = []
    for count in (1, 0):
        learning = {"adapter.guidance_updates_per_step": count} | HASTY
        adapter = made(method_of(name, **IDLE, **learning), PRIOR)
        lived(adapter, 200, wind=-0.9)
        buffer, guidance, known = adapter.buffer, adapter.guidance, len(PRIOR)
        prior, life = buffer.rows(np.arange(known)), buffer.rows(np.arange(known, known + 200))
        with torch.no_grad():
            missed = softplus(-guidance.logit(prior)).mean() + softplus(guidance.logit(life)).mean()
        losses.append(float(missed) / 2)
    assert losses[0] < 0.35
    assert losses[1] > 0.5


def test_rnd_is_no_longer_surprised_where_the_life_has_been() -> None:
    errors = []
    for count in (1, 0):
        learning = {"adapter.guidance_updates_per_step": count, "adapter.guidance.lr": 1e-3}
        adapter = made(method_of("rnd", **IDLE, **learning), PRIOR)
        lived(adapter, 200)
        life = adapter.buffer.rows(np.arange(len(PRIOR), len(PRIOR) + 200))
        errors.append(float(adapter.guidance.error(life.next_obs).detach().mean()))
    assert errors[0] < 0.3 * errors[1]


# -- who learns before the life ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["frozen", "rma", "rma_fixed", "robust"])
def test_a_policy_that_was_pretrained_walks_to_the_goal(name: str) -> None:
    latents = {} if name == "frozen" else {"adapter.extrinsics.steps": 200, "agent.initial_temperature": 0.05}
    prior = PRIOR if name == "frozen" else walks(60, winds=WINDS)
    found = [
        lived(made(method_of(name, **latents, **{"pretrain.steps": steps}), prior), 100, start=-3.0)
        for steps in (300, 1)
    ]
    assert [life.outcome for life in found] == ["success", "timeout"]
    assert found[0].steps < 50


class Winds:
    """The corridor with a wind that is drawn anew for every episode, as a source world can be randomised."""

    about: Table = {"world": "corridor"}  # noqa: RUF012
    episode_steps = 40

    def __init__(self) -> None:
        self._rng = np.random.default_rng(5)

    def open(self) -> "Winds":
        return self

    def draw(self) -> DrawnEpisode:
        wind = np.float32(self._rng.uniform(min(WINDS), max(WINDS)))
        env = Corridor(float(wind), END * self._rng.uniform(-1.0, 0.5))
        return DrawnEpisode(env, int(self._rng.integers(2**31)), np.array([wind], np.float32))

    def close(self) -> None:
        pass


def test_a_student_of_rma_infers_the_wind_of_a_life_from_its_steps() -> None:
    """z of new winds, by its error as a share of that of the mean wind's z."""
    prior = walks(60, winds=WINDS)
    shares = []
    for steps, student in ((300, 100), (1, 0)):
        sizes = {
            "adapter.rollout_episodes": 20,
            "adapter.rollout_steps": 40,
            "adapter.student_steps": student,
        }
        method = method_of("rma", **{"adapter.extrinsics.steps": steps, **sizes})
        missed = missed_by_the_mean = 0.0
        for wind in (-0.5, -0.1, 0.2):
            adapter = made(method, prior, world=Winds())
            lived(adapter, 18, wind)
            with torch.no_grad():
                at = torch.tensor([[wind], [np.mean(WINDS)]], dtype=torch.float32)
                true, mean = adapter.extrinsics.encode(at)
                missed += float((adapter.history.inferred() - true).square().sum())
                missed_by_the_mean += float((mean - true).square().sum())
        shares.append(missed / missed_by_the_mean)
    assert shares[0] < 0.25
    assert shares[1] > 0.75


def test_skills_say_what_the_prior_did() -> None:
    """Speeds of ±0.7 for four steps, which the state does not tell: without skills an error of 0.5."""
    prior, errors = walks(60, hold=4, mean=0.0), []
    for steps in (300, 1):
        model = made(method_of("skills", **{"adapter.skills.steps": steps}), prior).model
        obs, action, mask = model.courses(np.arange(0, len(prior), 7))
        with torch.no_grad():
            mean, _ = model.encode(obs, action, mask)
            skill = (REACH * torch.tanh(mean)).unsqueeze(1).expand(-1, model.horizon, -1)
            errors.append(float((model.decode(obs, skill) - action).square()[mask].mean()))
    assert errors[0] < 0.2
    assert errors[1] > 0.4


def test_the_values_of_roam_know_whose_states_they_are() -> None:
    """One was about the middle, one on both sides of it: who acts is who was there."""
    three = join([walks(10, seed=i, places=(x, x), mean=0.0) for i, x in enumerate((-0.7, 0.0, 0.7))])
    assert three.behaviour is not None
    prior, found = replace(three, behaviour=(three.behaviour == 1).astype(np.int32)), []
    for steps in (300, 0):
        settings = {"adapter.regularisation_steps": steps, "adapter.classification_weight": 0.5}
        adapter = made(method_of("roam", **settings), prior)
        rows, own = range(0, len(prior), 25), 0
        for row in rows:
            adapter.present = -1
            adapter.act(prior.obs[row])
            own += adapter.present == int(three.behaviour[row] == 1)
        found.append(own / len(rows))
    assert found[0] > 0.85
    assert found[1] < 0.75


# -- who learns something else in the life -------------------------------------------------------------------


def test_a_model_learns_the_prior_and_its_correction_the_wind() -> None:
    """Mean errors in still air, and in a wind without and with the correction, after it had twenty steps."""
    errors = {}
    for steps in (300, 1):
        for wind in (0.0, -0.4):
            adapter = made(method_of("model", **{"adapter.model_steps": steps}), PRIOR)
            env, rng, rows = Corridor(wind), np.random.default_rng(0), []
            obs, _ = env.reset(seed=0)
            for _ in range(60):
                action = np.clip(rng.normal(-wind, 0.4, 1), -1, 1).astype(np.float32)
                next_obs, reward, _, _, _ = env.step(action)
                told = adapter.observe(Transition(obs, action, reward, next_obs, False, False))
                rows.append([float(told[f"adapter/{key}"]) for key in ("model_error", "corrected_error")])
                obs = next_obs
            errors[steps, wind] = np.mean(rows[20:], axis=0)
    assert errors[300, 0.0][0] < 0.4 * errors[1, 0.0][0]  # what was learned before the life
    assert errors[300, -0.4][1] < 0.5 * errors[300, -0.4][0]  # and in it


def test_a_planner_without_a_model_takes_the_skill_that_pays() -> None:
    """The bandit, where values say nothing; one that only explores takes both alike."""
    left = replace(walks(30, seed=2, places=(-0.8, 0.6), mean=-0.4), name="left")
    right = replace(walks(30, seed=1, places=(-0.8, 0.6)), name="right")
    shares = []
    for exploration in (1.0, 1e9):
        settings = {"pretrain.steps": 300, "adapter.exploration": exploration, "adapter.durations": [4]}
        adapter = made(method_of("vlm_pc", **settings), join([left, right]))
        adapter.skills.values = lambda obs: None
        lived(adapter, 200, start=-7.0)
        assert {row["chosen_by"] for row in adapter.log} == {"bandit"}
        shares.append(np.mean([row["skill"] == "right" for row in adapter.log]))
    assert shares[0] > 0.75
    assert shares[1] < 0.65


def test_a_switch_notices_that_nothing_moves_and_trains_its_weights_at_last() -> None:
    """Its low level learns as soon as neither it nor the high level has got any further."""
    sizes = {key: value for key, value in SMALL.items() if has(adapters.load("finetune").table(), key)}
    levels = {"adapter.low": "finetune", "adapter.high": "frozen", "adapter.high.pretrain.steps": 1}
    levels |= {f"adapter.low.{key}": value for key, value in sizes.items()}
    watch = {"steps": 200, "window": 8, "held_out": 0.5}
    short = {"stall_steps": 5, "hold_steps": 5} | {f"monitor.{key}": value for key, value in watch.items()}
    common = {"pretrain.steps": 300, **levels, **{f"adapter.{key}": value for key, value in short.items()}}
    found = {}
    for patience in (30, 10_000):
        adapter = made(method_of("switch", **common, **{"adapter.patience_steps": patience}), PRIOR)
        life = lived(adapter, 1000)
        modes = [row["adapter/mode"] for row in life.metrics if "adapter/changed" in row]
        found[patience] = (life.outcome, modes)
    assert found == {30: ("success", [SKILL, WEIGHTS]), 10_000: ("timeout", [SKILL])}


def test_every_adapter_that_ships_is_among_these() -> None:
    text = (
        Path(__file__).read_text() + '"frames", "modes", "graph", "levels", "rma_arriving", "repertoire"'
    )  # these learn in test_frames.py, and the last in test_repertoire.py
    assert [name for name in files.names("adapters") if f'"{name}"' not in text] == []
