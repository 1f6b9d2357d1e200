"""A planner chooses among named skills, several ahead, and replans after each (VLM-PC: Chen et al., 2024).

The skills are the prior's behaviours, or clusters of its latent skills. A language model is asked, if there
is one; without an answer its last plan continues, then the pretrained values choose, then a bandit that
avoids skills without progress.
"""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
import torch
from tqdm import tqdm

from slrl.adapters import skills as skill_space
from slrl.adapters.planner import chat
from slrl.adapters.planner.chat import Chat
from slrl.adapters.planner.choice import Attempt, NamedSkill, Question, Step, by_bandit, by_values, failing
from slrl.adapters.select import Behaviours, artefacts_of, behaviours_of
from slrl.adapters.setup import Plan, Setup
from slrl.errors import BadInput
from slrl.learning import joint_critics
from slrl.learning import skills as learned_skills
from slrl.learning.agents.sac import Sac
from slrl.learning.cache import Artefact
from slrl.learning.joint_critics import behaviours
from slrl.learning.skills import REACH, SkillModel
from slrl.learning.state import nest, of_rng, of_text, set_rng, substate, text_of
from slrl.plugins import AdapterPlugin, at_least, require
from slrl.priors import Prior
from slrl.types import F32, Image, Metrics, State, Transition

CHOOSERS = ("model", "plan", "values", "bandit")
SHOWN_ENTRIES = 12  # of an observation that has no named entries


class Skills(Protocol):
    """What a planner can choose among."""

    named: list[NamedSkill]

    def values(self, obs: F32) -> F32 | None:
        """(K,) standardised values of the skills in ``obs`` (O,); None where the state is unknown to all."""
        ...

    def act(self, skill: int, obs: F32) -> F32:
        """The action (A,) of a skill for ``obs`` (O,)."""
        ...

    def observe(self, skill: int, transition: Transition) -> Metrics:
        """Pass on one step that the skill acted in; returns its metrics."""
        ...

    def learn(self, skill: int) -> Metrics:
        """Update what acted, if it learns; returns its metrics."""
        ...

    def state_dict(self) -> State:
        """All that acting and learning have changed."""
        ...

    def load_state_dict(self, state: State) -> None:
        """Continue from :meth:`state_dict`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Settings(joint_critics.Settings):
    """The ``[adapter]`` table."""

    inner: AdapterPlugin  # for behaviours: acts and learns, once for each
    # for codes
    skills: learned_skills.Settings = field(default_factory=learned_skills.Settings)
    among: Literal["auto", "behaviours", "codes"] = "auto"  # auto: behaviours, if the prior has several
    codes: int = 8  # how many latent skills are offered
    names: tuple[str, ...] = ()  # of the skills, in their order; () for those of the priors, or numbers
    meanings: tuple[str, ...] = ()  # of each, for the planner; () for what it did in the prior
    entries: dict[str, Any] = field(default_factory=dict)  # named entries of the observation: {"x (m)": 0}
    durations: tuple[int, ...] = (20, 50, 100)  # steps that a skill may be held for
    memory: int = 20  # length of the history in a question
    least_progress: float = 0.05  # a skill below it twice is failing, until any skill reaches it
    temperature: float = 1.0  # of the softmax over values, where no planner answers
    exploration: float = 1.0  # of the bandit

    def __post_init__(self) -> None:
        super().__post_init__()
        fine = bool(self.durations) and min(self.durations) >= 1
        require(fine, "durations must list one or more numbers of steps, each 1 or more")
        at_least(self, 2, "codes", "memory")
        fine = self.temperature > 0 and self.exploration >= 0
        require(fine, "temperature must be more than 0, exploration 0 or more")

    def offers_behaviours(self, prior: Prior) -> bool:
        """Whether the planner chooses among behaviours, or else among codes of latent skills."""
        several = joint_critics.behaviour_count(prior) > 1
        return self.among == "behaviours" or (self.among == "auto" and several)


class Planner:
    """Holds a skill for the planned steps, records its progress, and lets the planner choose again."""

    def __init__(
        self, settings: Settings, setup: Setup, agent: Sac, skills: Skills, entries: dict[str, int]
    ) -> None:
        self.chat = Chat(setup.planner or chat.Settings())
        self.chat.check()
        self._settings, self._entries, self.skills = settings, entries, skills
        prior = setup.prior
        self._watch_value(agent, prior)
        self._life_steps, self._rng = setup.life_steps, setup.rng
        self._durations = tuple(sorted(settings.durations))
        self._view: Callable[[], Image] | None = None
        self.history: list[Attempt] = []
        self.rest: list[Step] = []  # of the last plan
        self.log: list[dict[str, Any]] = []  # every choice with its exchanges
        self.now, self.chosen_by = Step(0, 0), 0
        self.lived = self.left = 0
        self.began, self.earned = np.zeros(prior.obs.shape[1], np.float32), 0.0
        self.before: Image | None = None  # picture of the last choice

    def _watch_value(self, agent: Sac, prior: Prior) -> None:
        """Set up the measure of progress: pretrained value, and mean reward unless rewards are constant."""
        self._value, self._device = agent.frozen_value(), agent.device
        at = np.linspace(0, len(prior) - 1, min(len(prior), 4096)).astype(int)
        with torch.no_grad():
            values = self._value.v(torch.tensor(prior.obs[at], device=agent.device)).cpu().numpy()
        self._known = np.sort(values)
        self._spread = max(float(values.std()), 1e-6)
        self._usual_reward = float(np.abs(prior.reward).mean()) if prior.reward.std() > 0 else np.inf

    def watch(self, view: Callable[[], Image] | None) -> None:
        """Look at the world through ``view`` from now on.

        Raises:
            BadInput: if pictures are wanted and there is no view.
        """
        if view is None and self.chat.pictures:
            raise BadInput(
                "the planner looks at pictures, and this world draws none: make it with "
                'render_mode="rgb_array", or set planner.pictures=0.'
            )
        self._view = view

    def act(self, obs: F32) -> F32:
        """The present skill's action (A,); at the end of a skill it asks the planner first."""
        if self.left == 0:
            self._choose(obs)
        return self.skills.act(self.now.skill, obs)

    def observe(self, transition: Transition) -> Metrics:
        """Pass the step to the present skill, and record its progress when it ends.

        Metrics: skill, who chose it (index into ``CHOOSERS``), calls, unanswered questions, progress of the
        last skill.
        """
        metrics = self.skills.observe(self.now.skill, transition)
        self.lived, self.left, self.earned = self.lived + 1, self.left - 1, self.earned + transition.reward
        if self.left == 0:
            self.history = [*self.history, self._done(transition.next_obs)][-self._settings.memory :]
        own: dict[str, float] = {"skill": self.now.skill, "chosen_by": self.chosen_by}
        own |= {"calls": self.chat.calls, "unanswered": self.chat.unanswered}
        if self.history:
            own["skill_progress"] = self.history[-1].progress
        return {**metrics, **{f"adapter/{key}": float(value) for key, value in own.items()}}

    def learn(self) -> Metrics:
        """Update the behaviour that acted; codes do not learn."""
        return self.skills.learn(self.now.skill)

    def _choose(self, obs: F32) -> None:
        question = self._question(obs)
        answer = self.chat.plan(question, self._look())
        if answer.plan:
            self.now, *self.rest = answer.plan
            self.chosen_by = CHOOSERS.index("model")
            if self.history:
                self.history[-1] = replace(self.history[-1], judged=answer.nearer)
        else:
            self.now, self.chosen_by = self._without_model(question)
        self.left, self.began, self.earned = self.now.steps, obs.copy(), 0.0
        name = self.skills.named[self.now.skill].name
        self.log.append(
            {
                "lived": self.lived,
                "skill": name,
                "steps": self.now.steps,
                "chosen_by": CHOOSERS[self.chosen_by],
                "then": [[self.skills.named[step.skill].name, step.steps] for step in self.rest],
                "obs": [float(x) for x in obs],
                "exchanges": list(answer.exchanges),
            }
        )

    def _without_model(self, question: Question) -> tuple[Step, int]:
        """The next step without an answer, and the index of who chose it in ``CHOOSERS``."""
        if self.rest and self.rest[0].skill not in question.failing:
            return self.rest.pop(0), CHOOSERS.index("plan")
        self.rest = []
        if (step := by_values(question, self._settings.temperature, self._rng)) is not None:
            return step, CHOOSERS.index("values")
        return by_bandit(question, self._settings.exploration), CHOOSERS.index("bandit")

    def _question(self, obs: F32) -> Question:
        return Question(
            lived=self.lived,
            life_steps=self._life_steps,
            skills=self.skills.named,
            durations=self._durations,
            history=self.history,
            failing=failing(self.history, self._settings.least_progress),
            values=self.skills.values(obs),
            obs=obs,
            state=self._in_words(obs),
            entries=list(self._entries),
        )

    def _in_words(self, obs: F32) -> str:
        rank = 100 * float(np.searchsorted(self._known, self._v(obs))) / len(self._known)
        words = [f"{name} {obs[i]:.3g}" for name, i in self._entries.items()]
        if not words and len(obs) <= SHOWN_ENTRIES:
            words = [f"observation [{', '.join(f'{x:.3g}' for x in obs)}]"]
        return "; ".join([*words, f"worth more than {rank:.0f} % of the states in the demonstrations"])

    @torch.no_grad()
    def _v(self, obs: F32) -> float:
        return float(self._value.v(torch.from_numpy(obs).to(self._device).unsqueeze(0))[0])

    def _done(self, obs: F32) -> Attempt:
        gained = (self._v(obs) - self._v(self.began)) / self._spread + self.earned / (
            self.now.steps * self._usual_reward
        )
        moved = tuple(float(obs[i] - self.began[i]) for i in self._entries.values())
        return Attempt(self.lived - self.now.steps, self.now.skill, self.now.steps, gained, moved)

    def _look(self) -> list[Image]:
        """Pictures of the last choice and of now; fewer, or none, if not wanted or not available."""
        if not self.chat.pictures or self._view is None:
            return []
        try:
            seen = self._view()
        except BadInput as error:
            if self.lived == 0:
                raise
            tqdm.write(f"slrl: the planner goes on without pictures: {error}", sys.stderr)
            self._view = None
            return []
        frames = [seen] if self.before is None else [self.before, seen]
        self.before = seen
        return frames

    def files(self) -> dict[str, str]:
        """``planner.jsonl``: every choice with its exchanges, which ``planner.replay`` can answer from."""
        return {"planner.jsonl": "".join(json.dumps(row) + "\n" for row in self.log)}

    def state_dict(self) -> State:
        """The skills, the row generator, and the plan: history, log, present skill, and the last picture."""
        own = {
            "history": [asdict(item) for item in self.history],
            "rest": [asdict(step) for step in self.rest],
            "log": self.log,
            "now": asdict(self.now),
            "chosen_by": self.chosen_by,
            "lived": self.lived,
            "left": self.left,
            "earned": self.earned,
            "chat": self.chat.state(),
        }
        seen = {} if self.before is None else {"before": torch.from_numpy(self.before.copy())}
        return nest(
            skills=self.skills.state_dict(),
            rows=of_rng(self._rng),
            plan={"own": of_text(json.dumps(own)), "began": torch.from_numpy(self.began.copy()), **seen},
        )

    def load_state_dict(self, state: State) -> None:
        """Continue from :meth:`state_dict` of an adapter with the same settings and prior."""
        self.skills.load_state_dict(substate(state, "skills"))
        set_rng(self._rng, substate(state, "rows"))
        mine = substate(state, "plan")
        own = json.loads(text_of(mine["own"]))
        self.history = [Attempt(**{**item, "moved": tuple(item["moved"])}) for item in own["history"]]
        self.rest, self.log, self.now = [Step(**step) for step in own["rest"]], own["log"], Step(**own["now"])
        self.chosen_by, self.lived, self.left, self.earned = (
            own[key] for key in ("chosen_by", "lived", "left", "earned")
        )
        self.chat.set_state(own["chat"])
        self.began = mine["began"].numpy().copy()
        self.before = mine["before"].numpy().copy() if "before" in mine else None


class BehaviourSkills:
    """The prior's behaviours as skills, each with its own agent."""

    def __init__(
        self, settings: "Settings", prior: Prior, who: Behaviours, entries: Mapping[str, int]
    ) -> None:
        self._behaviours = who
        parts = behaviours(prior)
        joined = list(prior.parts or (prior.name,))  # of several priors, each of which is one behaviour
        usual = (
            joined if len(joined) == len(parts) else [str(part.name.rpartition(", ")[2]) for part in parts]
        )
        about = [
            _meaning(part.obs[part.starts], part.next_obs[part.ends], entries, "an episode") for part in parts
        ]
        self.named = _named(settings, usual, about, f"prior {prior.name} has {len(parts)} behaviours")

    def values(self, obs: F32) -> F32 | None:
        """(K,) standardised V of each behaviour; None where no behaviour knows the state."""
        found, unknown = self._behaviours.values(obs)
        values: F32 = found.cpu().numpy()
        return None if unknown else values

    def act(self, skill: int, obs: F32) -> F32:
        """The action (A,) of the behaviour's inner adapter."""
        return self._behaviours.inner[skill].act(obs)

    def observe(self, skill: int, transition: Transition) -> Metrics:
        """Pass the step to the behaviour's inner adapter."""
        return self._behaviours.inner[skill].observe(transition)

    def learn(self, skill: int) -> Metrics:
        """Update the behaviour that acted."""
        return self._behaviours.inner[skill].learn()

    def state_dict(self) -> State:
        """The state of each behaviour's inner adapter."""
        return self._behaviours.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Load each inner adapter, in place."""
        self._behaviours.load_state_dict(state)


class CodeSkills:
    """Frozen latent skills: means of k-means clusters, by the change of the named entries."""

    def __init__(
        self,
        settings: "Settings",
        model: SkillModel,
        high: Prior,
        agent: Sac,
        seed: int,
        entries: Mapping[str, int],
    ) -> None:
        from scipy.cluster.vq import kmeans2

        self.model, self._agent, self._device = model, agent, model.device
        codes = settings.codes
        _, cluster = kmeans2(_effects(high, entries), codes, minit="++", rng=np.random.default_rng(seed))
        order = [
            int(code)
            for code in np.argsort(-np.bincount(cluster, minlength=codes), kind="stable")
            if (cluster == code).any()
        ]
        centres = np.stack([high.action[cluster == code].mean(0) for code in order])
        self.codes = torch.tensor(centres, dtype=torch.float32, device=self._device)  # (K, Z) in [-1, 1]
        about = [
            _meaning(
                high.obs[cluster == code],
                high.next_obs[cluster == code],
                entries,
                f"{self.model.horizon} steps",
            )
            for code in order
        ]
        usual = [f"skill {i}" for i in range(len(order))]
        self.named = _named(settings, usual, about, f"there are {len(order)} codes")

    @torch.no_grad()
    def values(self, obs: F32) -> F32 | None:
        """(K,) Q of each code in ``obs`` (O,), standardised over the codes."""
        x = self._agent.normaliser(torch.from_numpy(obs).to(self._device).expand(len(self.codes), -1))
        found = self._agent.q(self._agent.critic, x, self.codes).mean(0)
        values: F32 = ((found - found.mean()) / found.std().clamp(min=1e-6)).cpu().numpy()
        return values

    @torch.inference_mode()
    def act(self, skill: int, obs: F32) -> F32:
        """The action (A,) that the decoder gives for the code."""
        row = torch.from_numpy(obs).to(self._device).unsqueeze(0)
        action: F32 = self.model.decode(row, REACH * self.codes[skill : skill + 1])[0].cpu().numpy()
        return action

    def observe(self, skill: int, transition: Transition) -> Metrics:
        """Nothing is stored; no metrics."""
        return {}

    def learn(self, skill: int) -> Metrics:
        """Nothing is updated; no metrics."""
        return {}

    def state_dict(self) -> State:
        """The skill model; the codes follow from it."""
        return nest(model=self.model.state_dict())

    def load_state_dict(self, state: State) -> None:
        """Load the skill model, in place."""
        self.model.load_state_dict(substate(state, "model"))


def _effects(high: Prior, entries: Mapping[str, int]) -> np.ndarray:
    """Features (N, D) to cluster skills by: changes of the named entries, or the skills themselves."""
    found = high.next_obs - high.obs
    changing = [i for i in entries.values() if found[:, i].std() > 0]
    chosen = found[:, changing] / found[:, changing].std(0) if changing else high.action
    return chosen.astype(np.float64)


def _named(settings: "Settings", usual: list[str], about: list[str], there_are: str) -> list[NamedSkill]:
    """Names and meanings from the settings; the default ones where none are given."""
    names, meanings = settings.names, settings.meanings
    for what, given in (("names", names), ("meanings", meanings)):
        if given and len(given) != len(usual):
            raise BadInput(f"adapter.{what} lists {len(given)}, but {there_are}; give as many, or none.")
    if len({name.casefold() for name in names}) < len(names):
        raise BadInput("adapter.names must all be different: a planner chooses by them.")
    return [
        NamedSkill(name, meaning) for name, meaning in zip(names or usual, meanings or about, strict=True)
    ]


def _meaning(before: F32, after: F32, entries: Mapping[str, int], time: str) -> str:
    """A skill in words: the mean change of each named entry in the prior."""
    if not entries:
        return "a behaviour from the demonstrations"
    moved = ", ".join(
        f"{name} {float((after[:, i] - before[:, i]).mean()):+.2g}" for name, i in entries.items()
    )
    return f"in the demonstrations, within {time}: {moved}"


def _entries(table: Mapping[str, Any], prior: Prior) -> dict[str, int]:
    """Names of entries of the observation."""
    size = prior.obs.shape[1]
    for name, index in table.items():
        if type(index) is not int or not 0 <= index < size:
            raise BadInput(
                f"adapter.entries names {name!r} = {index!r}; it must be an index from 0 to {size - 1}."
            )
    return dict(table)


ASKS_PLANNER = True


def artefacts(settings: Settings, plan: Plan) -> list[Artefact[Any]]:
    """The method's agent, and what behaviours or codes need."""
    _entries(settings.entries, plan.root)  # what does not fit is refused before anything is learned
    if settings.offers_behaviours(plan.root):
        return [plan.agent(), *artefacts_of(settings, settings.inner, plan)]
    return [plan.agent(), *skill_space.dependencies(settings.skills, plan)]


def make(settings: Settings, setup: Setup) -> Planner:
    """From what was learned.

    Raises:
        BadInput: for names or entries that do not fit the prior, or a server that does not answer.
    """
    plan, prior = setup.plan, setup.prior
    entries = _entries(settings.entries, prior)
    offered: Skills
    if settings.offers_behaviours(plan.root):
        who = behaviours_of(settings, settings.inner, setup)
        offered = BehaviourSkills(settings, prior, who, entries)
    else:
        model, high, agent = skill_space.dependencies(settings.skills, plan)
        offered = CodeSkills(
            settings, setup.get(model), setup.get(high), setup.agent(agent), plan.seeds.planner, entries
        )
    return Planner(settings, setup, setup.agent(), offered, entries)
