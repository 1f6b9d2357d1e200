"""Reset-free trial and error: where the policy does not get on, a behaviour is chosen by what it measures.

After Chatzilygeroudis et al. (Reset-free Trial-and-Error Learning for Robot Damage Recovery, 2018) and Cully
et al. (Robots that can adapt like animals, 2015). A policy cloned from the better half of the prior acts.
Where its mean reward over a window falls below nearly all windows of the prior, the body is left alone until
it lies still, and a behaviour of the repertoire that was practised before the life
(:mod:`slrl.learning.repertoire`) is played, until the body is where the policy gets on; then the policy acts
again. Which behaviour, Thompson sampling decides: what each brought in practice, in plights that felt like
this one, is the prior, and what it brought in this life, in like postures, updates it. The policy itself and
doing nothing are among the choices. Only observations and rewards are seen, no scenario and no simulator.
"""

import json
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from slrl import envs, files
from slrl.adapters.setup import Plan, Setup
from slrl.envs.poses import Poses
from slrl.errors import Unsupported
from slrl.learning import repertoire
from slrl.learning.behaviours import Behaviour
from slrl.learning.cache import Artefact, computed_on
from slrl.learning.feeling import good_episodes
from slrl.learning.regression import Regression
from slrl.learning.regression import Settings as RegressionSettings
from slrl.learning.repertoire import Practice, Rhythm
from slrl.learning.state import nest, of_rng, of_text, set_rng, substate, text_of
from slrl.plugins import at_least, positive, table
from slrl.priors import Prior
from slrl.scenarios import World
from slrl.types import F32, Metrics, State, Transition

NEEDS_AGENT = False
BASE, REST, PLAY, AFTER = range(4)
STILL = 0.02  # of its spread in the prior: a posture that changes less in a step is still
ANYWHERE = 1e-3  # least weight of a plight, however differently it felt
KEPT = 2000  # earlier plays that are remembered,
GP_PLAYS = 300  # and that a Gaussian process is fitted to


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[adapter]`` table."""

    regression: RegressionSettings = field(default_factory=RegressionSettings)  # of the policy
    practice: repertoire.Settings = field(default_factory=repertoire.Settings)
    choice: Literal["thompson", "uniform"] = "thompson"
    # how what was measured carries over to like postures and other behaviours
    posterior: Literal["kernel", "gaussian_process"] = "kernel"
    rest_steps: int = 20  # at most, until a fallen body lies still
    confidence: float = 0.7  # plays in this life that the practice is worth
    alike: float = 0.25  # of the median squared distance between plights: what is nearer is much alike

    def __post_init__(self) -> None:
        at_least(self, 0, "rest_steps")
        positive(self, "confidence", "alike")


class Posterior:
    """What each choice is expected to bring here: mean reward of a play and what follows."""

    def __init__(self, settings: Settings, outcomes: F32, felt: F32) -> None:
        """``outcomes`` (K, M) of K choices in M plights, which felt like ``felt`` (M, O)."""
        self._settings, self.outcomes, self._felt = settings, outcomes, felt
        apart = ((felt[:, None] - felt[None]) ** 2).mean(2)[np.triu_indices(len(felt), 1)]
        self._width = settings.alike * max(float(np.median(apart)) if len(apart) else 1.0, 1e-3)
        self.spread = max(float(outcomes.std()), 1e-3)
        self.choices = np.zeros(0, np.int64)  # of earlier plays,
        self.places, self.gains = np.zeros((0, felt.shape[1]), np.float32), np.zeros(0)  # where and what

    def _likeness(self, felt: F32, here: F32) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.exp(-((felt - here) ** 2).mean(1) / self._width).astype(np.float64)
        return found

    def expected(self, here: F32) -> NDArray[np.float64]:
        """(K,): by the practice alone."""
        weights = self._likeness(self._felt, here) + ANYWHERE
        found: NDArray[np.float64] = self.outcomes @ (weights / weights.sum())
        return found

    def of(self, here: F32) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation (K,) of what each choice brings, where it feels like ``here`` (O,).

        Conjugate, of a normal mean with known variance: the practice counts as ``confidence`` plays, an
        earlier play as much as its place was like this one.
        """
        prior, trust = self.expected(here), self._settings.confidence
        if self._settings.posterior == "gaussian_process" and len(self.gains):
            return self._by_process(here, prior)
        weights = self._likeness(self.places, here)
        total = trust + np.bincount(self.choices, weights, len(prior))
        gained = np.bincount(self.choices, weights * self.gains, len(prior))
        return (trust * prior + gained) / total, self.spread / np.sqrt(total)

    def _by_process(
        self, here: F32, prior: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A Gaussian process on what plays brought beyond practice, over places and practised outcomes."""
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel

        recent = slice(-GP_PLAYS, None)
        about = self.outcomes / self.spread / np.sqrt(self.outcomes.shape[1])
        scale = np.sqrt(self._width * self.places.shape[1] / 2)  # RBF is exp(-d² / 2)

        def inputs(places: F32, choices: NDArray[np.int64]) -> NDArray[np.float64]:
            return np.concatenate([places / scale, about[choices]], 1).astype(np.float64)

        every = np.arange(len(prior))
        past, choices = self.places[recent], self.choices[recent]
        before = np.array([self.expected(place)[k] for place, k in zip(past, choices, strict=True)])
        trust = self._settings.confidence
        process = GaussianProcessRegressor(
            ConstantKernel(self.spread**2 / trust) * RBF(1.0), alpha=self.spread**2, optimizer=None
        ).fit(inputs(past, choices), self.gains[recent] - before)
        mean, std = process.predict(inputs(np.tile(here, (len(prior), 1)), every), return_std=True)
        return prior + mean, std

    def credit(self, choice: int, place: F32, gain: float) -> None:
        """A play of ``choice`` where it felt like ``place`` (O,) brought ``gain``."""
        self.choices = np.append(self.choices, choice)[-KEPT:]
        self.places = np.concatenate([self.places, place[None]])[-KEPT:]
        self.gains = np.append(self.gains, gain)[-KEPT:]


class Repertoire:
    """The policy acts; where it does not get on, one behaviour after the other is tried."""

    modes = ("policy", "rest", "play", "after")

    def __init__(self, settings: Settings, practice: Practice, rng: np.random.Generator) -> None:
        self._settings, self.practice, self._rng = settings, practice, rng
        actions = practice.genes.actions
        still = np.zeros((1, actions))
        self.behaviours = [*practice.elites, Behaviour(1, 1.0, still), Behaviour(1, 0.0, still)]
        m = practice.plights
        idle = practice.idle[:m]
        nothing = np.full(m, idle.min(), np.float32)
        outcomes = np.concatenate([practice.outcomes[: practice.count, :m], idle[None], nothing[None]])
        self.posterior = Posterior(settings, outcomes, practice.felt[:m])
        self.mode, self.lived, self.plays = BASE, 0, 0
        self._used = 0  # steps of the present mode
        self._patience = practice.begin  # steps that the policy is given to get on
        self._choice, self._fallen, self._expected = 0, False, 0.0
        self._place = np.zeros(practice.felt.shape[1], np.float32)
        self._rewards: list[float] = []  # of the last window
        self._gained: list[float] = []  # of the present play
        self.log: list[dict[str, Any]] = []  # every play

    def act(self, obs: F32) -> F32:
        """The action (A,) for an observation (O,)."""
        if self.mode == REST:
            return np.zeros(self.practice.genes.actions, np.float32)
        if self.mode == PLAY:
            return self.behaviours[self._choice].act(self._used, lambda: self.practice.act(obs))
        return self.practice.act(obs)

    def observe(self, transition: Transition) -> Metrics:
        """Count the reward, and change what acts. ``adapter/mode`` is the number of what acts next.

        ``adapter/changed`` is 1 where that is another one than before. At the end of a play:
        ``adapter/choice`` and ``adapter/gain``, its mean reward.
        """
        before, obs = self.mode, transition.next_obs
        self.lived, self._used = self.lived + 1, self._used + 1
        window = self.practice.rhythm.window
        self._rewards = [*self._rewards, float(transition.reward)][-window:]
        metrics: dict[str, float] = {}
        if self.mode == BASE:
            if self._used >= self._patience and np.mean(self._rewards) < self.practice.low:
                self._stall(obs)
        elif self.mode == REST:
            feel = self.practice.feeling.posture
            moved = np.abs(feel(obs) - feel(transition.obs)).max()
            if moved < STILL or self._used >= self._settings.rest_steps:
                self._choose(obs)
        else:
            self._gained.append(float(transition.reward))
            if self._ends(obs):
                metrics = {"adapter/choice": float(self._choice), "adapter/gain": self._credit()}
                if self.practice.recovery(obs) < 0 and np.mean(self._rewards) < self.practice.low:
                    self._stall(obs)
                else:  # from rest, the policy needs as long as in the prior; a part of it has passed
                    self._patience = max(0, self.practice.begin - self.practice.rhythm.after)
                    self._to(BASE)
        if self.mode != before:
            metrics["adapter/changed"] = 1.0
        return {**metrics, "adapter/mode": float(self.mode)}

    def _to(self, mode: int) -> None:
        self.mode, self._used = mode, 0

    def _stall(self, obs: F32) -> None:
        """The policy does not get on: a fallen body first comes to rest."""
        self._fallen = self.practice.recovery(obs) < 0
        if self._fallen and self._settings.rest_steps:
            self._to(REST)
        else:
            self._choose(obs)

    def _choose(self, obs: F32) -> None:
        self._fallen = self.practice.recovery(obs) < 0
        self._place = self.practice.feeling(obs)
        mean, std = self.posterior.of(self._place)
        if self._settings.choice == "uniform":
            self._choice = int(self._rng.integers(len(mean)))
        else:
            self._choice = int(np.argmax(self._rng.normal(mean, std)))
        self._expected, self._gained = float(mean[self._choice]), []
        self._to(PLAY)

    def _ends(self, obs: F32) -> bool:
        """Whether the play, and what follows it, is over; the policy follows where it can get on."""
        rhythm = self.practice.rhythm
        if self.mode == AFTER:
            return self._used >= rhythm.after
        over = self._used >= rhythm.play
        fine = not self._fallen
        if self._fallen and (over or self._used % repertoire.LOOK_EVERY == 0):
            fine = self.practice.recovery(obs) > 0
        if fine and (over or self._fallen):
            self._to(AFTER)
            return False
        return over

    def _credit(self) -> float:
        gain = float(np.mean(self._gained))
        self.posterior.credit(self._choice, self._place, gain)
        self.plays += 1
        self.log.append(
            {
                "lived": self.lived,
                "choice": self._choice,
                "fallen": self._fallen,
                "steps": len(self._gained),
                "expected": round(self._expected, 4),
                "gain": round(gain, 4),
            }
        )
        return gain

    def learn(self) -> Metrics:
        """No weights are learned in the life."""
        return {}

    def files(self) -> dict[str, str]:
        """``repertoire.jsonl``: every play, what was expected of it and what it gained."""
        return {"repertoire.jsonl": "".join(json.dumps(row) + "\n" for row in self.log)}

    def state_dict(self) -> State:
        """What acts and since when, the earlier plays, the window of rewards, and the random stream."""
        own = {
            "counts": torch.tensor(
                [
                    self.mode,
                    self._used,
                    self._patience,
                    self._choice,
                    int(self._fallen),
                    self.lived,
                    self.plays,
                ]
            ),
            "expected": torch.tensor(self._expected, dtype=torch.float64),
            "place": torch.from_numpy(self._place.copy()),
            "rewards": torch.tensor(self._rewards, dtype=torch.float64),
            "gained": torch.tensor(self._gained, dtype=torch.float64),
            "choices": torch.from_numpy(self.posterior.choices.copy()),
            "places": torch.from_numpy(self.posterior.places.copy()),
            "gains": torch.from_numpy(self.posterior.gains.copy()),
            "log": of_text(json.dumps(self.log)),
        }
        return nest(own=own, draws=of_rng(self._rng))

    def load_state_dict(self, state: State) -> None:
        """Go on from :meth:`state_dict` of an adapter with the same settings and prior."""
        own = substate(state, "own")
        counts = own["counts"].tolist()
        self.mode, self._used, self._patience, self._choice, fallen, self.lived, self.plays = counts
        self._fallen, self._expected = bool(fallen), float(own["expected"])
        self._place = own["place"].numpy().copy()
        self._rewards, self._gained = own["rewards"].tolist(), own["gained"].tolist()
        for name in ("choices", "places", "gains"):
            setattr(self.posterior, name, own[name].numpy().copy())
        self.log = json.loads(text_of(own["log"]))
        set_rng(self._rng, substate(state, "draws"))


def missing(prior: Prior, source: World | None) -> str:
    """What a repertoire would need and does not have; empty if there is all."""
    if not prior.dense:
        return "a repertoire is chosen by rewards that come at nearly every step; the prior's are sparse"
    if source is None:
        return "a repertoire is practised in the world where the prior comes from, and no scenario names it"
    with closing(envs.make_world(source)) as world:
        return Poses.missing(world)


def policy_artefact(settings: Settings, plan: Plan) -> Artefact[Regression]:
    """The policy: an ensemble cloned from the better half of the prior's episodes."""

    def build(prior: Prior) -> Regression:
        rows = np.concatenate([np.arange(own.start, own.stop) for own in good_episodes(prior)])
        return Regression(settings.regression, prior.obs[rows], prior.action[rows], seed, plan.device)

    seed = plan.seeds.repertoire
    return Artefact(
        name="policy",
        build=build,
        about={"regression": table(settings.regression), "seed": seed, "rows": "better half"}
        | computed_on(plan.device),
        needs=(plan.prior,),
        steps=settings.regression.steps,
        ms_per_step=3.5,
    )


def artefacts(settings: Settings, plan: Plan) -> list[Artefact[Any]]:
    """The policy, and the practice with it in the source world."""
    source = plan.source
    if (why := missing(plan.root, source)) or source is None:
        raise Unsupported(why)
    if plan.own_agent is not None:
        raise Unsupported(
            "a repertoire acts on observations as the world gives them; it cannot be inside another adapter"
        )
    seed, policy = plan.seeds.repertoire, policy_artefact(settings, plan)

    def build(prior: Prior, policy: Regression) -> Practice:
        with closing(envs.make_world(source)) as world:
            bare: Any = world.unwrapped
            rhythm = Rhythm.of(settings.practice, float(bare.dt))
        return Practice(settings.practice, prior, policy, lambda: envs.make_world(source), rhythm, seed)

    practice = Artefact(
        name="practice",
        build=build,
        about={
            "practice": table(settings.practice),
            "seed": seed,
            "source": envs.about(source),
            "versions": {package: files.installed(package) for package in ("scikit-learn", "ribs")},
        },
        needs=(plan.prior, policy),
        steps=settings.practice.evaluations,
        ms_per_step=20.0,
    )
    return [policy, practice]


def make(settings: Settings, setup: Setup) -> Repertoire:
    """Assemble from what was learned."""
    return Repertoire(settings, setup.get(artefacts(settings, setup.plan)[1]), setup.rng)
