"""A repertoire of behaviours for a body that its policy no longer moves, practised before the life.

A behaviour (:mod:`slrl.learning.behaviours`) is a pattern of actions, with the policy's own action behind it
or not. It is played in the world where the prior comes from, in *plights* in which the policy does not get on
by itself: poses into which the body was set down at random, some of each cluster and some of these weakened,
and places where it got stuck with weakened actuators. Then the policy acts again. MAP-Elites (Mouret and
Clune, 2015; by pyribs) keeps the best behaviours for each plight, hold and length, in two layers: by reward,
how much closer a play came to postures in which the policy gets on, and whether it got on; and by reward
alone, of plays after which it does not. Trial and error then chooses among them in the life:
:mod:`slrl.adapters.repertoire`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from slrl.envs.poses import Pose, Poses
from slrl.errors import BadInput
from slrl.learning.behaviours import LENGTHS, Behaviour, Genes
from slrl.learning.feeling import Feeling, Turns, beginning, windows
from slrl.learning.regression import Regression
from slrl.learning.regression import Settings as RegressionSettings
from slrl.learning.state import nest, substate
from slrl.plugins import at_least, positive, require, share
from slrl.priors import Prior
from slrl.types import F32, Metrics, State

HOLDS = 5  # different ones, of the behaviours
SETTLE_S = 4.0  # that a body is left alone for after it was set down
TRIES = 6  # times as many weakened actuators as plights of that kind are wanted
CLOSER = 1.0  # weight of coming closer to postures in which the policy gets on, beside reward
KNOWN = 500  # rows of the prior among these
LOOK_EVERY = 5  # steps of a play: can the policy get on?
DOUBT = 0.1  # share of the plays after which the policy acts although it seemingly cannot
LEAST_SHARE = 0.1  # of the behaviours that are tried from a plight, however rare its like
ENOUGH_WAYS, EASY = 20, 0.2  # plays out of a plight after which it is tried less, and how much less
LAYERS = 2  # of the archive: what comes closer to getting on, and what is rewarded though it is no way out
WEAK_SHARE = 0.3  # of all plights: those with weakened actuators
ALL_WEAK, ALL_STRENGTH = 0.4, (0.25, 0.6)  # of these: share with all actuators, and how strong they are
RIVALS = 3  # parents among which the best is taken
BRACES, BRACED = 24, 12  # constant actions, and poses from which each is tried
LIKE = 3  # other poses of a plight in which the best are tried once more,
FINALISTS = 2  # of so many times the behaviours that are kept
BEHIND, BEHIND_UP = 0.1, 0.5  # share of new behaviours with the policy behind them, of a body that is up
WAY = 3.0  # what getting on after a play is worth beyond it, in (usual - low)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The ``[adapter.practice]`` table."""

    poses: int = 4  # plights: one of each cluster of the poses in which the policy is stuck,
    drawn: int = 200  # of so many random ones,
    weak: int = 4  # and so many in which it is stuck with weakened actuators: all of them, or one or two
    strength: tuple[float, ...] = (0.0, 0.3)  # of one of these strengths
    evaluations: int = 3600  # behaviours that are tried
    fresh: float = 0.05  # share of these that are drawn anew and are no mutants, after the first eighth
    elites: int = 40  # that are kept
    recovery_steps: int = 500  # gradient steps of the classifier that says where the policy gets on
    play_s: float = 2.5  # of a behaviour, but
    fewest_steps: int = 50
    most_steps: int = 100
    # the policy's, after a play, as a share of the play: what a behaviour leads to counts
    after: float = 0.5
    window_s: float = 1.0  # over which rewards are averaged,
    window_steps: int = 20  # but at least, and three times as many at most
    alarm: float = 0.02  # quantile of the prior's windows: with less reward the body does not get on

    def __post_init__(self) -> None:
        at_least(self, 1, "poses", "drawn", "evaluations", "elites", "recovery_steps")
        at_least(self, 1, "fewest_steps", "window_steps")
        at_least(self, 0, "weak")
        fine = bool(self.strength) and all(0 <= one <= 1 for one in self.strength)
        require(fine, "strength must list one or more numbers between 0 and 1")
        at_least(self, self.fewest_steps, "most_steps")
        require(self.drawn >= self.poses, "drawn must be as many as poses, or more")
        positive(self, "play_s", "window_s")
        share(self, "after")
        share(self, "fresh")
        require(0 <= self.alarm < 0.5, "alarm must be 0 or more and less than 0.5")


@dataclass(frozen=True)
class Rhythm:
    """Numbers of steps, for a world whose step takes ``dt_s`` seconds."""

    play: int
    after: int
    window: int
    holds: tuple[int, ...]

    @classmethod
    def of(cls, settings: Settings, dt_s: float) -> "Rhythm":
        """From the settings' seconds, within their bounds."""
        play = int(np.clip(round(settings.play_s / dt_s), settings.fewest_steps, settings.most_steps))
        least = settings.window_steps
        window = int(np.clip(round(settings.window_s / dt_s), least, 3 * least))
        after = max(window, round(settings.after * play))
        holds = np.unique(np.linspace(play / 25, play / 8, HOLDS).round().clip(1).astype(int))
        return cls(play, after, window, tuple(holds.tolist()))


class Place(NamedTuple):
    """A pose, and the strength (A,) of each actuator there."""

    pose: Pose
    strength: F32


@dataclass(frozen=True)
class Plight:
    """Where the policy does not get on: a place, others like it, and what the policy does in the first."""

    places: tuple[Place, ...]
    idle: float  # mean reward of the policy alone, for as long as a play and what follows take
    share: float  # of all poses that were seen, those like it


class Play(NamedTuple):
    """What became of one play."""

    reward: float  # mean, with that of the policy after it
    closer: float  # share of its distance from safe postures that it came; 1 if the policy then got on
    fell: bool  # a body that was up


class Base(Protocol):
    """A policy that keeps no memory.

    Attributes:
        turns: what it sees of how the body is turned.
        episodes: the rows of the prior that it has learned from.
    """

    turns: Turns

    @property
    def episodes(self) -> list[slice]: ...

    def act(self, obs: F32) -> F32:
        """The action (A,) for an observation (O,)."""
        ...


class Practice:
    """What a body can do where its policy does not get on: learned in the world where its prior comes from.

    Attributes:
        elites: the behaviours that were kept.
        outcomes: (N, M) mean reward of each behaviour's play, and of what followed, in each plight.
        ways, falls: (N, M) shares of these plays after which the policy got on, and in which a body fell.
        noise: standard deviation of that between poses of one plight.
        brace: (A,) the action after which fallen bodies lie most alike.
        felt: (M, O) what is felt in each plight.
        idle: (M,) mean reward of the policy alone there, for as long.
        low: with a lower mean reward over a window the body does not get on.
        usual: the median of the prior's windows.
        begin: steps that the policy is given to get on, from rest.
    """

    def __init__(
        self,
        settings: Settings,
        prior: Prior,
        base: Base,
        world: Callable[[], gym.Env[Any, Any]],
        rhythm: Rhythm,
        seed: int,
    ) -> None:
        self.settings, self.rhythm = settings, rhythm
        self._prior, self._base, self._world, self._seed = prior, base, world, seed
        self.genes = Genes(rhythm.holds, prior.action.shape[1])
        good = base.episodes
        means = windows(prior, good, rhythm.window)
        if not means:
            raise BadInput(
                f"prior {prior.name} has no episode of {rhythm.window} steps among those with the most "
                "reward, over which it is averaged to tell whether a body gets on."
            )
        self.low, self.usual = (float(np.quantile(np.concatenate(means), q)) for q in (settings.alarm, 0.5))
        self.begin = beginning(prior, good, rhythm.window, self.low)
        self._rows = np.concatenate([np.arange(own.start, own.stop) for own in good])
        self.feeling = Feeling(prior, base.turns)
        plights = settings.poses + settings.weak
        self.solutions = np.zeros((settings.elites, self.genes.size))
        self.outcomes = np.zeros((settings.elites, plights), np.float32)
        self.ways, self.falls = (np.zeros((settings.elites, plights), np.float32) for _ in range(2))
        self.felt = np.zeros((plights, prior.obs.shape[1]), np.float32)
        self.idle = np.zeros(plights, np.float32)
        self.brace = np.zeros(self.genes.actions, np.float32)
        self.noise = 0.0
        self.count = self.plights = 0
        self._ends: list[tuple[F32, bool]] = []  # observations, and whether the policy then got on
        self.enough = (
            self.low
        )  # mean reward over a window that shows, soon after a play, that the policy gets on
        self._safe = np.zeros((0, 0), np.float32)
        none = np.zeros((2, prior.obs.shape[1]), np.float32)
        self._recovery = self._classifier(none, np.zeros((2, 1), np.float32))

    @property
    def steps(self) -> int:
        """Behaviours that are tried."""
        return self.settings.evaluations

    @property
    def elites(self) -> list[Behaviour]:
        """The behaviours that were kept."""
        return [self.genes.behaviour(one) for one in self.solutions[: self.count]]

    def act(self, obs: F32) -> F32:
        """The policy's action (A,) for an observation (O,)."""
        return self._base.act(obs)

    def recovery(self, obs: F32) -> float:
        """From -1 to 1: does the policy get on from this observation (O,)?"""
        return float(self._recovery.act(self.feeling.posture(obs))[0])

    @property
    def worth(self) -> float:
        """Reward that getting on after a play is worth, which outlasts it."""
        return WAY * max(self.usual - self.low, 1e-6)

    # -- practising ------------------------------------------------------------------------------------------

    def learn(self) -> Iterator[Metrics]:
        """Find plights, and try behaviours in each; yields after each behaviour."""
        try:
            from ribs.archives import GridArchive
        except ModuleNotFoundError as error:
            raise BadInput(
                "a repertoire needs the package ribs; install it with: pip install 'slrl[repertoire]'."
            ) from error
        rng = np.random.default_rng(self._seed)
        env = self._world()
        try:
            body = Poses(env, rng)
            plights = [*self._poses(body, rng), *self._weakened(body, rng)]
            self.plights = len(plights)
            self.felt[: self.plights] = self.feeling(np.stack([one.places[0].pose.obs for one in plights]))
            self.idle[: self.plights] = [one.idle for one in plights]
            self._learn_recovery()
            dims = (len(plights), LAYERS, len(self.genes.holds), 3)
            archive = GridArchive(
                solution_dim=self.genes.size,
                dims=dims,
                ranges=[(0.0, float(size)) for size in dims],
                seed=self._seed % 2**31,
            )
            shares = np.array([one.share for one in plights])
            up = [self.recovery(one.places[0].pose.obs) > 0 for one in plights]
            ways = np.zeros(len(plights))  # plays out of each plight
            for number in range(self.steps):
                weights = shares * np.where(ways < ENOUGH_WAYS, 1.0, EASY)
                which = int(rng.choice(len(plights), p=weights / weights.sum()))
                early, out = number < self.steps // 8, ways[which] > 0
                behind = BEHIND_UP if up[which] else BEHIND
                one = self._offspring(archive, which, rng, new=early, way=out, behind=behind)
                plight = plights[which]
                tries = self._try(body, plight, self.genes.behaviour(one), rng)
                way = tries[0].closer == 1
                ways[which] += way * np.mean([one.closer == 1 for one in tries])
                scores = self._scores(tries, plight)
                for layer, score in enumerate(scores[:1] if way else scores):
                    archive.add_single(one, score, self._cell(which, layer, one))
                if number in (self.steps // 8, self.steps // 4, self.steps // 2):
                    self._learn_recovery()
                yield {"pretrain/outcome": tries[0].reward}
            self._keep(body, plights, archive, rng)
            self._learn_recovery()
        finally:
            env.close()

    def _poses(self, body: Poses, rng: np.random.Generator) -> list[Plight]:
        """One of each cluster of those random poses in which the policy does not get on."""
        count, whole = self.settings.poses, np.ones(self.genes.actions, np.float32)
        drawn = [body.random(max(20, round(SETTLE_S / body.dt_s))) for _ in range(self.settings.drawn)]
        self.feeling.learn(np.stack([pose.obs for pose in drawn]))
        late = np.array([self._alone(body, Place(pose, whole))[1] for pose in drawn])
        stuck = np.flatnonzero(late < self.low)
        if len(stuck) < count:
            stuck = np.argsort(late)[:count]
        # After a play the policy has little time: half of the way to ``low`` shows that it gets on.
        self.enough = (self.low + float(np.median(late[stuck]))) / 2
        known = [
            self._prior.obs[i] for i in rng.choice(self._rows, min(KNOWN, len(self._rows)), replace=False)
        ]
        fine = [pose.obs for pose, one in zip(drawn, late, strict=True) if one >= self.low]
        self._safe = self.feeling.posture(np.stack([*known, *fine]))
        self._find_brace(body, [drawn[i] for i in stuck], rng)
        poses = [self._braced(body, Place(drawn[i], whole), self.brace) for i in stuck]
        felt = self.feeling(np.stack([pose.obs for pose in poses]))
        clusters = KMeans(count, n_init=3, random_state=self._seed % 2**31).fit(felt)
        found = []
        for label in np.unique(clusters.labels_):
            like = np.flatnonzero(clusters.labels_ == label)
            # The most usual one: what works there should work for its like.
            order = like[((felt[like] - np.median(felt[like], 0)) ** 2).sum(1).argsort()]
            places = [Place(poses[order[0]], whole)]
            for i in rng.permutation(order[1:])[:LIKE]:  # every other one is weakened
                strength = self._weak(rng) if len(places) % 2 else whole
                place = Place(drawn[stuck[i]], strength)
                places.append(Place(self._braced(body, place, self.brace), strength))
            share = max(LEAST_SHARE, len(like) / len(stuck))
            found.append(Plight(tuple(places), self._alone(body, places[0])[0], share))
        return found

    def _find_brace(self, body: Poses, poses: list[Pose], rng: np.random.Generator) -> None:
        """The constant action after which these bodies lie most alike: what works for one works for all."""
        whole = np.ones(self.genes.actions, np.float32)
        some = [poses[i] for i in rng.choice(len(poses), min(BRACED, len(poses)), replace=False)]
        tried = [self.brace, *rng.choice([-1.0, 0.0, 1.0], (BRACES, len(self.brace))).astype(np.float32)]
        apart = []
        for action in tried:
            lying = self.feeling(
                np.stack([self._braced(body, Place(pose, whole), action).obs for pose in some])
            )
            between = ((lying[:, None] - lying[None]) ** 2).mean(2)
            np.fill_diagonal(between, np.inf)
            apart.append(between.min(1).mean() if len(some) > 1 else 0.0)
        self.brace = tried[int(np.argmin(apart))]

    def _braced(self, body: Poses, place: Place, action: F32) -> Pose:
        obs = body.set(place.pose)
        for _ in range(self.rhythm.window):
            obs, *_ = body.env.step(place.strength * action)
        return body.here(np.copy(obs))

    def _weakened(self, body: Poses, rng: np.random.Generator) -> list[Plight]:
        """Where the policy, begun as usual, is stuck with weakened actuators."""
        found: list[Plight] = []
        for _ in range(TRIES * self.settings.weak):
            if len(found) == self.settings.weak:
                break
            strength = self._weak(rng)
            obs, _ = body.env.reset(seed=int(rng.integers(2**31)))
            rewards: list[float] = []
            for _ in range(6 * self.rhythm.play):
                obs, reward, *_ = body.env.step(strength * self.act(obs))
                rewards.append(float(reward))
                recent = rewards[-self.rhythm.window :]
                if len(rewards) > 2 * self.rhythm.window and np.mean(recent) < self.enough:
                    place = Place(body.here(np.copy(obs)), strength)
                    idle, late = self._alone(body, place)
                    if late < self.enough:
                        found.append(Plight((place,), idle, WEAK_SHARE / self.settings.weak))
                    break
        return found

    def _weak(self, rng: np.random.Generator) -> F32:
        """Strengths (A,) of actuators, of which one or two are weakened, or all, as under a load."""
        strength = np.ones(self.genes.actions, np.float32)
        if rng.random() < ALL_WEAK:
            strength[:] = rng.uniform(*ALL_STRENGTH)
        else:
            weak = rng.choice(len(strength), min(len(strength), int(rng.integers(1, 3))), replace=False)
            strength[weak] = rng.choice(self.settings.strength)
        return strength

    def _offspring(
        self, archive: Any, which: int, rng: np.random.Generator, *, new: bool, way: bool, behind: float
    ) -> NDArray[np.float64]:
        """A new behaviour, or the best of some from the cells of a plight, mutated."""
        group = archive.data("index") // (archive.cells // (archive.dims[0] * LAYERS)) if len(archive) else []
        # What is rewarded as it is leads astray where no way out is known yet.
        layers = range(LAYERS) if way else [0]
        parents = np.flatnonzero(np.isin(group, [which * LAYERS + layer for layer in layers]))
        if new or not len(parents) or rng.random() < self.settings.fresh:
            return self.genes.new(rng, behind)
        rivals = rng.choice(parents, RIVALS)
        best = rivals[np.argmax(archive.data("objective")[rivals])]
        return self.genes.mutated(archive.data("solution")[best], rng)

    def _cell(self, which: int, layer: int, genes: NDArray[np.float64]) -> list[float]:
        """The middle of the archive's cell in which a behaviour belongs."""
        third = min(2, int((genes[1] - LENGTHS[0]) * 3 / (LENGTHS[1] - LENGTHS[0] + 1)))
        return [which + 0.5, layer + 0.5, genes[0] + 0.5, third + 0.5]

    def _alone(self, body: Poses, place: Place) -> tuple[float, float]:
        """Mean reward of the policy for as long as a play and what follows take, and of the last window."""
        (pose, strength), rewards = place, []
        obs = body.set(pose)
        for _ in range(self.rhythm.play + self.rhythm.after):
            obs, reward, *_ = body.env.step(strength * self.act(obs))
            rewards.append(float(reward))
        late = float(np.mean(rewards[-self.rhythm.window :]))
        if (strength == 1).all():
            self._ends.append((pose.obs, late >= self.low))
        return float(np.mean(rewards)), late

    def _try(self, body: Poses, plight: Plight, behaviour: Behaviour, rng: np.random.Generator) -> list[Play]:
        """A play in one place of a plight; if it is a way out there, in the others too."""
        places = list(plight.places)
        first = places.pop(int(rng.integers(len(places))))
        tries = [self._play(body, first, behaviour, rng)]
        if tries[0].closer == 1:
            tries += [self._play(body, place, behaviour, rng) for place in places]
        return tries

    def _scores(self, tries: list[Play], plight: Plight) -> tuple[float, float]:
        """Of plays in a plight: what counts in either layer of the archive."""
        unit = max(self.usual - self.low, 1e-6)
        gain = float(np.mean([one.reward for one in tries]) - plight.idle) / unit
        gain -= WAY * float(np.mean([one.fell for one in tries]))
        return gain + float(np.mean([CLOSER * one.closer + WAY * (one.closer == 1) for one in tries])), gain

    def _play(self, body: Poses, place: Place, behaviour: Behaviour, rng: np.random.Generator) -> Play:
        """A play, until the policy can get on, and the policy then."""
        (pose, strength), rewards, fine = place, [], False
        obs = body.set(pose)
        fallen = self.recovery(obs) < 0
        away = nearest = self._away(obs) if fallen else 1.0
        for step in range(self.rhythm.play):
            action = behaviour.act(step, partial(self.act, obs))
            obs, reward, *_ = body.env.step(strength * action)
            rewards.append(float(reward))
            if fallen and step % LOOK_EVERY == LOOK_EVERY - 1:
                nearest = min(nearest, self._away(obs))
                fine = self.recovery(obs) > 0
                if fine:
                    break
        played, well = len(rewards), False
        if fine or not fallen or rng.random() < DOUBT:
            end = np.copy(obs)
            for _ in range(self.rhythm.after):
                obs, reward, *_ = body.env.step(strength * self.act(obs))
                rewards.append(float(reward))
            well = bool(np.mean(rewards[-self.rhythm.window :]) >= self.enough)
            if (strength == 1).all():
                self._ends.append((end, well))
        closer = 1.0 if well else 1 - nearest / max(away, 1e-6)
        reward = float(np.mean(rewards if fine or not fallen else rewards[:played]))
        return Play(reward, closer, not fallen and self.recovery(obs) < 0)

    def _keep(self, body: Poses, plights: list[Plight], archive: Any, rng: np.random.Generator) -> None:
        """The best behaviours of each plight and layer in turn; each is tried in all plights.

        More than can be kept are tried in other poses of their plight, too: the best of very many in one pose
        may be good in no other.
        """
        data = archive.data(return_type="dict")
        group = data["index"] // (archive.cells // (len(plights) * LAYERS))
        most = -(-FINALISTS * self.settings.elites // (len(plights) * LAYERS))
        ranked: list[list[int]] = []
        spreads: list[float] = []
        for k in range(len(plights) * LAYERS):
            plight, own = plights[k // LAYERS], np.flatnonzero(group == k)
            own = own[np.argsort(-data["objective"][own])][:most]
            score = []
            for i in own:
                behaviour = self.genes.behaviour(data["solution"][i])
                tries = [self._play(body, place, behaviour, rng) for place in plight.places]
                score.append(self._scores(tries, plight)[k % LAYERS])
                if len(tries) > 1:
                    spreads.append(float(np.var([one.reward for one in tries], ddof=1)))
            ranked.append([int(i) for i in own[np.argsort(-np.array(score))]])
        kept: dict[bytes, NDArray[np.float64]] = {}
        for rank in range(max(map(len, ranked))):
            for best in ranked:
                if rank < len(best) and len(kept) < self.settings.elites:
                    one = data["solution"][best[rank]]
                    kept.setdefault(one.tobytes(), one)
        self.count = len(kept)
        self.solutions[: self.count] = list(kept.values())
        for number, one in enumerate(self.elites):
            for k, it in enumerate(plights):
                tries = [self._play(body, place, one, rng) for place in it.places]
                self.outcomes[number, k] = np.mean([play.reward for play in tries])
                self.ways[number, k] = np.mean([play.closer == 1 for play in tries])
                self.falls[number, k] = np.mean([play.fell for play in tries])
        self.noise = float(np.sqrt(np.mean(spreads))) if spreads else 0.0

    def _away(self, obs: F32) -> float:
        """Distance of a posture from the nearest one in which the policy gets on."""
        return float(np.sqrt(((self._safe - self.feeling.posture(obs)) ** 2).mean(1).min()))

    def _learn_recovery(self) -> None:
        """From the ends of plays and rows of the prior: does the policy get on from here?"""
        rng = np.random.default_rng(self._seed)
        rows = rng.choice(self._rows, min(len(self._rows), len(self._ends)), replace=False)
        obs = np.concatenate([np.stack([obs for obs, _ in self._ends]), self._prior.obs[rows]])
        label = np.array([*(fine for _, fine in self._ends), *(True for _ in rows)])
        felt = self.feeling.posture(obs)
        self._recovery = self._classifier(felt, (2 * label - 1).astype(np.float32)[:, None])
        for _ in self._recovery.learn():
            pass

    def _classifier(self, felt: F32, label: F32) -> Regression:
        settings = RegressionSettings(hidden=(64, 64), steps=self.settings.recovery_steps)
        return Regression(settings, felt, label, self._seed, torch.device("cpu"))

    def state_dict(self) -> State:
        """Behaviours, outcomes, what is felt in the plights, the policy's outcomes, and the classifier."""
        own = {
            "solutions": torch.from_numpy(self.solutions),
            "outcomes": torch.from_numpy(self.outcomes),
            "ways": torch.from_numpy(self.ways),
            "falls": torch.from_numpy(self.falls),
            "felt": torch.from_numpy(self.felt),
            "idle": torch.from_numpy(self.idle),
            "brace": torch.from_numpy(self.brace),
            "numbers": torch.tensor([self.enough, self.noise], dtype=torch.float64),
            "counts": torch.tensor([self.count, self.plights]),
            "standing": torch.from_numpy(self.feeling.standing),
        }
        return nest(practice=own, recovery=self._recovery.state_dict())

    def load_state_dict(self, state: State) -> None:
        """Load what :meth:`state_dict` gave."""
        own = substate(state, "practice")
        for name in ("solutions", "outcomes", "ways", "falls", "felt", "idle", "brace"):
            getattr(self, name)[...] = own[name].numpy()
        self.enough, self.noise = own["numbers"].tolist()
        self.count, self.plights = own["counts"].tolist()
        self.feeling.standing[:] = own["standing"].numpy()
        self._recovery.load_state_dict(substate(state, "recovery"))
