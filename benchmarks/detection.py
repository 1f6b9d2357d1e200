"""How soon the switch notices a change, and how often it raises a false alarm where nothing is new: part of `make adapters`.

    python benchmarks/detection.py --readme docs/adapters.md

lives in the target of a scenario whose shift begins at some step, and in its source, and looks at the changes of mode.
"""

import argparse
import statistics
from pathlib import Path

import torch
from compare import fill

from slrl import adapters, envs, scenarios
from slrl.lives.life import live
from slrl.lives.run import load_adapter
from slrl.recording.recipes import load_prior


def main() -> None:
    """Live, look, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenario", default="gusty_pointmass")
    parser.add_argument("--prior", default="pointmass_breezy")
    parser.add_argument("--seeds", default=",".join(map(str, range(2000, 2010))))
    parser.add_argument("--source-lives", type=int, default=100, help="lives in the source (default: 100)")
    parser.add_argument("--readme", type=Path, default=None)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    scenario, prior = scenarios.load(arguments.scenario), load_prior(arguments.prior)
    onset = min(int(shift.get("start_step", 0)) for shift in scenario.target.shifts)
    method = adapters.load("switch", suggested=scenario.overrides())

    def changes(seed: int, *, source: bool) -> tuple[list[int], int]:
        """Steps at which the mode changed from nominal, and the length of the life."""
        env = (envs.make_source if source else envs.make)(scenario)
        adapter = load_adapter(method, prior, scenario, seed=seed, life_steps=scenario.life_steps)
        life = live(env, adapter, seed)
        env.close()
        rows = [row for row in life.metrics if "adapter/changed" in row and row["adapter/mode"] > 0]
        return [int(row["life/step"]) for row in rows], life.steps

    delays, early, before = [], 0, 0
    for seed in map(int, arguments.seeds.split(",")):
        found, steps = changes(seed, source=False)
        early, before = early + sum(step <= onset for step in found), before + min(onset, steps)
        later = [step - onset for step in found if step > onset]
        delays.append(later[0] if later else None)
    alarms, quiet = early, before
    for seed in range(3000, 3000 + arguments.source_lives):
        found, steps = changes(seed, source=True)
        alarms, quiet = alarms + len(found), quiet + steps
    noticed = [delay for delay in delays if delay is not None]
    each = ", ".join("never" if delay is None else str(delay) for delay in delays)
    text = "\n".join(
        (
            "| noticed | delay in the median | each life | false alarms per 10,000 steps |",
            "|---|---|---|---|",
            f"| {len(noticed)} of {len(delays)} | {statistics.median(noticed) if noticed else 'none'} steps | {each} | "
            f"{10_000 * alarms / quiet:.1f} ({alarms} in {quiet:,}) |",
        )
    )
    print(text)
    if arguments.readme:
        fill(arguments.readme, "detection", text)


if __name__ == "__main__":
    main()
