"""How much faster two processes live a suite than one, and the overhead per life. Part of `make bench`."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SUITE = """
schema = 1
summary = "Lives that learn, and do not succeed."
[[lives]]
scenarios = ["windy_pointmass"]
adapters = ["qwale"]
seeds = "0-{last}"
life_steps = {steps}
# As hot as this, and without a warm start, no life succeeds: all are equally long.
set = {{ "agent.initial_temperature" = 0.1, "adapter.warm_start_updates" = 0 }}
"""
SHORT = 200  # steps: less than the optimum is refused


def main() -> None:
    """Live the same suite with one process and with two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lives", type=int, default=8, help="default: 8")
    parser.add_argument("--steps", type=int, default=2_500, help="of each (default: 2,500)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "suite.toml").write_text(SUITE.format(last=arguments.lives - 1, steps=arguments.steps))
        (folder / "first.toml").write_text(SUITE.format(last=0, steps=SHORT))
        live(
            folder / "first.toml", folder / "first", 1
        )  # builds the prior and learns from it, if that was not done before
        took = {}
        for jobs in (1, 2):
            took[jobs] = live(folder / "suite.toml", folder / str(jobs), jobs)
            start = live(
                folder / "suite.toml", folder / str(jobs), jobs
            )  # there is nothing left to live: this is what a suite costs
            own = [
                json.loads(path.read_text())["wall_clock_s"]
                for path in (folder / str(jobs)).rglob("result.json")
            ]
            beside = ((took[jobs] - start) * jobs - sum(own)) / len(own)
            mean = sum(own) / len(own)
            each = f"{mean:.1f} s, {beside:.2f} s beside each (at most 1), {start:.1f} s for the suite"
            print(f"{jobs} at a time: {took[jobs]:.1f} s for {len(own)} lives of {each}")
    print(f"two processes are {took[1] / took[2]:.2f} times as fast as one (at least 1.8)")


def live(suite: Path, runs: Path, jobs: int) -> float:
    """Seconds that `slrl eval` takes."""
    command = [
        sys.executable,
        "-m",
        "slrl",
        "eval",
        str(suite),
        "--out",
        str(runs),
        "--jobs",
        str(jobs),
        "--quiet",
    ]
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
