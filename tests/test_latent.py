"""The latent in a life and in its student's episodes: which z a row carries, and what order φ reads it in."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from slrl.adapters.latent import Latent, Student
from slrl.learning.extrinsics import Extrinsics, Settings
from slrl.plugins import AdapterPlugin
from slrl.priors import Prior
from slrl.types import DrawnEpisode, Metrics, Transition

from .conftest import prior_of, rows_of
from .test_success import Counter

CPU = torch.device("cpu")
PRIOR = prior_of(rows_of([60, 45]))


class Inner:
    """Remembers the observations that it acted on, and the steps that it was told."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []
        self.told: list[Transition] = []

    def act(self, obs: np.ndarray) -> np.ndarray:
        self.seen.append(obs)
        return np.zeros(2, np.float32)

    def observe(self, transition: Transition) -> Metrics:
        self.told.append(transition)
        return {}


def latent_of(prior: Prior = PRIOR, **settings: Any) -> tuple[Latent, Inner]:
    table = {"name": "latent", "inner": {"name": "frozen"}, "extrinsics": {}, **settings}
    inner = Inner()
    found = Extrinsics(Settings(size=3), prior, CPU)
    return Latent(AdapterPlugin.parse(table, "[adapter]").settings, found, inner), inner  # type: ignore[arg-type]


def live(latent: Latent, prior: Prior, steps: int) -> list[np.ndarray]:
    """The first rows of a prior, lived; the z that each step was taken with."""
    acted = []
    for row in range(steps):
        acted.append(latent.z.numpy().copy())
        latent.act(prior.obs[row])
        done = Transition(
            prior.obs[row], prior.action[row], float(prior.reward[row]), prior.next_obs[row], False, False
        )
        latent.observe(done)
    return acted


def test_a_row_has_the_z_that_its_step_was_taken_with_and_arrives_with_the_new_one() -> None:
    latent, inner = latent_of(refresh_every=2)
    acted = live(latent, PRIOR, 8)
    after = [*acted[1:], latent.z.numpy()]
    for step, told in enumerate(inner.told):
        np.testing.assert_array_equal(told.obs, [*PRIOR.obs[step], *acted[step]])
        np.testing.assert_array_equal(told.next_obs, [*PRIOR.next_obs[step], *after[step]])
        np.testing.assert_array_equal(inner.seen[step], told.obs)
    changed = [not np.array_equal(one, other) for one, other in zip(acted, after, strict=True)]
    assert changed == [False, True] * 4, "at every second step, from the first two on"


@pytest.mark.parametrize("history", [10, 50, 51, 53])
def test_the_newest_steps_change_z_and_so_do_the_oldest_up_to_48(history: int) -> None:
    found = Extrinsics(Settings(size=3, history=history), PRIOR, CPU)
    features, mask = found.windows.read(torch.tensor([58]), found.history, torch.tensor([found.shown]))
    with torch.no_grad():
        z = found.infer(features, mask)
        for ago in (1, 2, min(history, 48)):
            other = features.clone()
            other[:, -ago] += 1.0
            assert not torch.equal(found.infer(other, mask), z), f"{ago} steps ago"


@pytest.mark.parametrize("steps", [3, 7, 50, 58])
def test_a_life_is_read_as_the_prior_is(steps: int) -> None:
    """After so many steps of an episode, z is that of the episode's next row: same order, same mask."""
    latent, _ = latent_of(refresh_every=1)
    live(latent, PRIOR, steps)
    with torch.no_grad():
        torch.testing.assert_close(latent.z, latent.extrinsics.before(torch.tensor([steps]))[0])


def test_a_policy_that_is_not_told_gets_the_observation_alone() -> None:
    latent, inner = latent_of(refresh_every=1, condition_policy=False)
    live(latent, PRIOR, 3)
    np.testing.assert_array_equal(inner.seen, PRIOR.obs[:3])
    np.testing.assert_array_equal([told.next_obs for told in inner.told], PRIOR.next_obs[:3])


class Endless(Counter):
    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return *super().step(action)[:3], False, {"success": False}


class Source:
    """A world that is always the same; its one parameter is the number of the episode."""

    about: dict[str, Any] = {}  # noqa: RUF012
    episode_steps = 30

    def __init__(self) -> None:
        self.drawn = 0

    def open(self) -> "Source":
        return self

    def draw(self) -> DrawnEpisode:
        self.drawn += 1
        return DrawnEpisode(Endless(), self.drawn, np.array([self.drawn], np.float32))

    def close(self) -> None:
        pass


def test_a_student_reads_its_steps_in_the_order_of_the_life() -> None:
    """Every z that its policy acts on is φ of the steps before, as windows of its episode are read."""
    prior = prior_of(rows_of([40, 40], obs_dim=2, action_dim=1))
    latents = Extrinsics(Settings(size=3), prior, CPU)
    seen: list[np.ndarray] = []

    def act(obs: np.ndarray, *, sample: bool) -> np.ndarray:
        seen.append(obs)
        return np.array([np.sin(len(seen))], np.float32)

    agent: Any = SimpleNamespace(act=act, action_dim=1)
    settings: Any = SimpleNamespace(rollout_episodes=1, rollout_steps=30, student_steps=1, refresh_every=5)
    student = Student(settings, latents, agent, Source(), seed=0)
    obs, action, next_obs, params = student._episode(Source())
    assert params.tolist() == [1]
    assert obs.shape == (30, 2)
    windows = latents.windows_of(obs, action, next_obs, np.zeros(30, np.int64))
    with torch.no_grad():
        read = [
            student.latents.infer(*windows.read(torch.tensor([row]), latents.history))[0] for row in range(30)
        ]
    zs = [torch.from_numpy(row[2:]) for row in seen]
    changes = [row for row in range(1, 30) if not torch.equal(zs[row], zs[row - 1])]
    assert len(changes) >= 2
    for row in (0, *changes):
        torch.testing.assert_close(zs[row], read[row], rtol=1e-4, atol=1e-6)
