"""What a scenario must show: the policy of its prior succeeds in the source, and fails in the target.

Lives of ``frozen`` in both worlds, which take minutes: `slrl check --lives N` asks for them. With N = 20 they
are those of `make gallery` (docs/decisions/006-what-a-scenario-must-show.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tqdm import tqdm

from slrl import adapters, scenarios
from slrl.lives.run import adapt_as
from slrl.lives.settings import LifeSettings, WorldName
from slrl.recording.contracts import Verdict
from slrl.scenarios import Scenario

FIRST_SEED = 1000  # as in eval/suites/gallery.toml
LONGEST = 10_000  # steps of a life, at most
OF, IN_SOURCE, IN_TARGET = 20, 17, 1  # successes of 20 lives: at least in the source, at most in the target
CONTRACTS: dict[WorldName, str] = {"source": "frozen in the source", "target": "frozen in the target"}


@dataclass(frozen=True)
class Count:
    """How many lives of a world succeeded."""

    succeeded: int
    lives: int

    def verdict(self, world: WorldName, life_steps: int) -> Verdict:
        """Whether that is many enough for the source, or few enough for the target."""
        found = f"{self.succeeded} of {self.lives} lives of {life_steps:,} steps at most succeeded"
        if world == "source":
            bound, holds = f"at least {self.least}", self.succeeded >= self.least
            otherwise = "the prior, or the pretraining on it, is too weak for the scenario to show anything"
        else:
            bound, holds = f"at most {self.most}", self.succeeded <= self.most
            otherwise = "the shift does not hinder the policy of the prior"
        if holds:
            return Verdict(CONTRACTS[world], "ok", f"{found}; {bound} must.")
        return Verdict(CONTRACTS[world], "broken", f"{found}, and {bound} must: {otherwise}.")

    @property
    def least(self) -> int:
        """17 of 20, rounded up for another number of lives."""
        return -(-IN_SOURCE * self.lives // OF)

    @property
    def most(self) -> int:
        """1 of 20, rounded down for another number of lives."""
        return IN_TARGET * self.lives // OF


def check(name: str, prior: str | None, lives: int, *, quiet: bool = True) -> Iterator[Verdict]:
    """The verdict on each world, after ``lives`` lives of ``frozen`` there.

    Raises:
        BadInput: if the prior or the scenario does not allow a life.
    """
    scenario = scenarios.load(name)
    steps = min(scenario.life_steps, LONGEST)
    for world, contract in CONTRACTS.items():
        if world == "target" and scenario.source == scenario.target:
            yield Verdict(
                contract, "skipped", "Source and target are the same world: the scenario is a control."
            )
        else:
            count = _count(scenario, (prior or scenario.prior,), world, range(lives), quiet)
            yield count.verdict(world, steps)


def _count(
    scenario: Scenario, prior: tuple[str, ...], world: WorldName, numbers: range, quiet: bool
) -> Count:
    """Live once for each number in one of the worlds; pretraining is shown, and each life after it."""
    method, steps = adapters.load("frozen", suggested=scenario.overrides()), min(scenario.life_steps, LONGEST)
    succeeded = 0
    with tqdm(numbers, desc=f"frozen in the {world}", unit="life", leave=False, disable=quiet) as bar:
        for number in bar:
            settings = LifeSettings(
                scenario=scenario,
                method=method,
                prior=prior,
                seed=FIRST_SEED + number,
                life_steps=steps,
                world=world,
            )
            result, _ = adapt_as(settings, out=None, quiet=quiet or number > 0)
            succeeded += result.outcome == "success"
            bar.set_postfix(success=succeeded)
    return Count(succeeded, len(numbers))
