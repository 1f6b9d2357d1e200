"""Reset-free trial and error: where the policy does not get on, a behaviour is chosen by what it measures.

After Chatzilygeroudis et al. (Reset-free Trial-and-Error Learning for Robot Damage Recovery, 2018) and Cully
et al. (Robots that can adapt like animals, 2015). A policy cloned from the best of the prior acts. Where its
mean reward over a window falls below nearly all windows of the prior, a fallen body braces until it lies
still, and a behaviour of the repertoire that was practised before the life (:mod:`slrl.learning.repertoire`)
is played, until the body is where the policy gets on; then the policy acts again. Which behaviour, Thompson
sampling decides: the reward, the chance to get on and the chance to fall. What each brought in practice, in
plights that felt like this one, is the prior, and what it brought in this life, in like postures, updates it.
The policy itself and doing nothing are among the choices. Only observations and rewards are seen, no scenario
and no simulator.
"""

import json
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
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
from slrl.learning.clones import Clones
from slrl.learning.regression import Settings as RegressionSettings
from slrl.learning.repertoire import Practice, Rhythm
from slrl.learning.state import nest, of_rng, of_text, set_rng, substate, text_of
from slrl.plugins import positive, require, table
from slrl.priors import Prior
from slrl.scenarios import World
from slrl.types import F32, Metrics, State, Transition

NEEDS_AGENT = False
BASE, REST, PLAY, AFTER = range(4)
STILL = 0.02  # of its spread in the prior: a posture that changes less in a step is still
ANYWHERE = 1e-3  # least weight of a plight, however differently it felt
SOME = 0.2  # of either, of a chance of which nothing is known
DOUBTS = 4  # plays that the noise of practice, and its promises, count as
RECENT = 40  # plays that tell how noisy they are
KEPT = 2000  # earlier plays that are remembered,
GP_PLAYS = 300  # and that a Gaussian process is fitted to


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[adapter]`` table."""

    regression: RegressionSettings = field(default_factory=RegressionSettings)  # of the policy
    shares: tuple[float, ...] = (0.5, 0.25)  # of the prior's rows; what is cloned from one of them acts
    practice: repertoire.Settings = field(default_factory=repertoire.Settings)
    choice: Literal["thompson", "uniform"] = "thompson"
    # how what was measured carries over to like postures and other behaviours
    posterior: Literal["kernel", "gaussian_process"] = "kernel"
    rest: bool = True  # until a fallen body lies still, as it did when practice began
    confidence: float = 0.7  # plays in this life that the practice is worth
    alike: float = 0.25  # of the median squared distance between plights: what is nearer is much alike

    def __post_init__(self) -> None:
        positive(self, "confidence", "alike")
        fine = bool(self.shares) and all(0 < one <= 1 for one in self.shares)
        require(fine, "shares must list one or more numbers above 0 and up to 1")


class Posterior:
    """What each choice is expected to bring here: reward while it is played, and a chance to get on after it.

    Both conjugate: a normal mean with its variance, and a Bernoulli chance. The practice counts as
    ``confidence`` plays, an earlier play as much as its place was like this one. The reward that practice
    promised beyond the policy's is scaled by what became of such promises here.
    """

    def __init__(
        self,
        settings: Settings,
        outcomes: F32,
        chances: tuple[F32, F32],
        felt: F32,
        *,
        noise: float,
        worth: float,
    ) -> None:
        """Of K choices in M plights, which felt like ``felt`` (M, O); the last choice but one is the policy.

        ``outcomes`` (K, M) are rewards and ``noise`` their standard deviation, ``chances`` (K, M) the shares
        of plays after which the policy got on, and in which a body that was up fell. ``worth`` is how much
        reward the one is worth and the other costs.
        """
        self._settings, self.outcomes, self._felt = settings, outcomes, felt
        self._chances = chances
        apart = ((felt[:, None] - felt[None]) ** 2).mean(2)[np.triu_indices(len(felt), 1)]
        self._width = settings.alike * max(float(np.median(apart)) if len(apart) else 1.0, 1e-3)
        self._noise, self.worth = max(noise, 1e-3), worth
        self._spread = max(float(outcomes.std()), 1e-3)
        self.choices = np.zeros(0, np.int64)  # of earlier plays,
        self.places, self.gains = np.zeros((0, felt.shape[1]), np.float32), np.zeros(0)  # where, what,
        self.came = np.zeros((0, 2))  # and whether the policy got on, and the body fell
        self.promised = np.zeros((0, 2))  # what practice had the choice, and the policy, bring there
        self.missed = np.zeros(0)  # by how much it was another, squared

    def _likeness(self, felt: F32, here: F32) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.exp(-((felt - here) ** 2).mean(1) / self._width).astype(np.float64)
        return found

    @property
    def noise(self) -> float:
        """Standard deviation of a play's reward: as in practice at first, then as in this life."""
        missed = self.missed[-RECENT:]
        return float(np.sqrt((DOUBTS * self._noise**2 + missed.sum()) / (DOUBTS + len(missed))))

    def expected(self, here: F32, table: F32 | None = None) -> NDArray[np.float64]:
        """(K,): reward, or what else ``table`` (K, M) has, by the practice alone."""
        weights = self._likeness(self._felt, here) + ANYWHERE
        found: NDArray[np.float64] = (self.outcomes if table is None else table) @ (weights / weights.sum())
        return found

    def kept(self, here: F32) -> float:
        """Which share of the reward that practice promised beyond the policy's was kept in like places."""
        more = self.expected(here)
        usual = float(((more - more[-2]) ** 2).mean()) * DOUBTS
        weights = self._likeness(self.places, here)
        promise, got = self.promised[:, 0] - self.promised[:, 1], self.gains - self.promised[:, 1]
        kept, whole = usual + float(weights @ (promise * got)), usual + float(weights @ promise**2)
        return float(np.clip(kept / max(whole, 1e-9), 0, 1))

    def of(self, here: F32) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation (K,) of each choice's reward, where it feels like ``here`` (O,)."""
        prior, trust = self.expected(here), self._settings.confidence
        if self._settings.posterior == "gaussian_process" and len(self.gains):
            return self._by_process(here, prior)
        prior = prior[-2] + self.kept(here) * (prior - prior[-2])
        weights = self._likeness(self.places, here)
        total = trust + np.bincount(self.choices, weights, len(prior))
        gained = np.bincount(self.choices, weights * self.gains, len(prior))
        return (trust * prior + gained) / total, self.noise / np.sqrt(total)

    def chance(self, here: F32, of: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The two numbers (K,) of the beta distribution of the chance to get on (0), or to fall (1)."""
        share, trust = self.expected(here, self._chances[of]), self._settings.confidence
        weights = self._likeness(self.places, here)
        yes = np.bincount(self.choices, weights * self.came[:, of], len(share))
        no = np.bincount(self.choices, weights * (1 - self.came[:, of]), len(share))
        return SOME + trust * share + yes, SOME + trust * (1 - share) + no

    def draw(self, here: F32, rng: np.random.Generator, *, fallen: bool) -> NDArray[np.float64]:
        """(K,): what each choice is worth here, drawn from what is believed."""
        worth: NDArray[np.float64] = rng.normal(*self.of(here)) + self.worth * rng.beta(*self.chance(here, 0))
        return worth if fallen else worth - self.worth * rng.beta(*self.chance(here, 1))

    def _by_process(
        self, here: F32, prior: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A Gaussian process on what plays brought beyond practice, over places and practised outcomes."""
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel

        recent = slice(-GP_PLAYS, None)
        about = self.outcomes / self._spread / np.sqrt(self.outcomes.shape[1])
        scale = np.sqrt(self._width * self.places.shape[1] / 2)  # RBF is exp(-d² / 2)

        def inputs(places: F32, choices: NDArray[np.int64]) -> NDArray[np.float64]:
            return np.concatenate([places / scale, about[choices]], 1).astype(np.float64)

        every = np.arange(len(prior))
        past, choices = self.places[recent], self.choices[recent]
        before = np.array([self.expected(place)[k] for place, k in zip(past, choices, strict=True)])
        trust = self._settings.confidence
        process = GaussianProcessRegressor(
            ConstantKernel(self._spread**2 / trust) * RBF(1.0), alpha=self.noise**2, optimizer=None
        ).fit(inputs(past, choices), self.gains[recent] - before)
        mean, std = process.predict(inputs(np.tile(here, (len(prior), 1)), every), return_std=True)
        return prior + mean, std

    def credit(self, choice: int, place: F32, gain: float, *, on: bool, fell: bool) -> None:
        """A play of ``choice`` where it felt like ``place`` (O,) brought ``gain``.

        Did the policy get on, and did a body that was up fall?
        """
        mean, std = self.of(place)
        plays = (self.noise / std[choice]) ** 2
        missed = plays / (plays + 1) * (gain - mean[choice]) ** 2
        promised = self.expected(place)[[choice, -2]]
        self.choices = np.append(self.choices, choice)[-KEPT:]
        self.places = np.concatenate([self.places, place[None]])[-KEPT:]
        self.gains = np.append(self.gains, gain)[-KEPT:]
        self.came = np.concatenate([self.came, [[float(on), float(fell)]]])[-KEPT:]
        self.promised = np.concatenate([self.promised, promised[None]])[-KEPT:]
        self.missed = np.append(self.missed, missed)[-KEPT:]


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
        none = np.zeros((2, m), np.float32)
        ways, falls = (
            np.concatenate([one[: practice.count, :m], none]) for one in (practice.ways, practice.falls)
        )
        self.posterior = Posterior(
            settings, outcomes, (ways, falls), practice.felt[:m], noise=practice.noise, worth=practice.worth
        )
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
            return self.practice.brace
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
            if moved < STILL or self._used >= self.practice.rhythm.window:
                self._choose(obs)
        else:
            self._gained.append(float(transition.reward))
            if self._ends(obs):
                metrics = {"adapter/choice": float(self._choice), "adapter/gain": self._credit(obs)}
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
        if self._fallen and self._settings.rest:
            self._to(REST)
        else:
            self._choose(obs)

    def _choose(self, obs: F32) -> None:
        self._fallen = self.practice.recovery(obs) < 0
        self._place = self.practice.feeling(obs)
        if self._settings.choice == "uniform":
            self._choice = int(self._rng.integers(len(self.behaviours)))
        else:
            self._choice = int(np.argmax(self.posterior.draw(self._place, self._rng, fallen=self._fallen)))
        self._expected = float(self.posterior.of(self._place)[0][self._choice])
        self._gained = []
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

    def _credit(self, obs: F32) -> float:
        on = self.mode == AFTER and bool(np.mean(self._rewards) >= self.practice.enough)
        gain = float(np.mean(self._gained))
        fell = not self._fallen and self.practice.recovery(obs) < 0
        self.posterior.credit(self._choice, self._place, gain, on=on, fell=fell)
        self.plays += 1
        self.log.append(
            {
                "lived": self.lived,
                "choice": self._choice,
                "fallen": self._fallen,
                "steps": len(self._gained),
                "expected": round(self._expected, 4),
                "gain": round(gain, 4),
                "got_on": on,
                "fell": fell,
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
            "came": torch.from_numpy(self.posterior.came.copy()),
            "promised": torch.from_numpy(self.posterior.promised.copy()),
            "missed": torch.from_numpy(self.posterior.missed.copy()),
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
        for name in ("choices", "places", "gains", "came", "promised", "missed"):
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


def artefacts(settings: Settings, plan: Plan) -> list[Artefact[Any]]:
    """The policy, and the practice with it, in the source world."""
    source = plan.source
    if (why := missing(plan.root, source)) or source is None:
        raise Unsupported(why)
    if plan.own_agent is not None:
        raise Unsupported(
            "a repertoire acts on observations as the world gives them; it cannot be inside another adapter"
        )
    seed, world = plan.seeds.repertoire, partial(envs.make_world, source)

    def clone(prior: Prior) -> Clones:
        return Clones(settings.regression, settings.shares, prior, world, seed, plan.device)

    policy = Artefact(
        name="policy",
        build=clone,
        about={
            "regression": table(settings.regression),
            "shares": list(settings.shares),
            "seed": seed,
            "source": envs.about(source),
        }
        | computed_on(plan.device),
        needs=(plan.prior,),
        version=2,
        steps=settings.regression.steps * len(settings.shares),
        ms_per_step=3.5,
    )

    def practise(prior: Prior, policy: Clones) -> Practice:
        with closing(world()) as env:
            bare: Any = env.unwrapped
            rhythm = Rhythm.of(settings.practice, float(bare.dt))
        return Practice(settings.practice, prior, policy, world, rhythm, seed)

    practice = Artefact(
        name="practice",
        build=practise,
        about={
            "practice": table(settings.practice),
            "seed": seed,
            "source": envs.about(source),
            "versions": {package: files.installed(package) for package in ("scikit-learn", "ribs")},
        },
        needs=(plan.prior, policy),
        version=2,
        steps=settings.practice.evaluations,
        ms_per_step=20.0,
    )
    return [policy, practice]


def make(settings: Settings, setup: Setup) -> Repertoire:
    """Assemble from what was learned."""
    return Repertoire(settings, setup.get(artefacts(settings, setup.plan)[1]), setup.rng)
