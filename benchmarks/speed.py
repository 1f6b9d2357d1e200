"""How fast slrl is beside what a user would pick instead, in one run: `make bench`.

Each contender runs in a process of its own, pinned to one core, with one thread. They are warmed up and then
given a window of a second or two in turn, many rounds. Printed are the median of all rounds, the 10th and
90th percentile, and the ratio to the yardstick in the same round: ratios survive a noisy machine, absolute
times do not.
"""

import argparse
import importlib.util
import multiprocessing
import os
import time
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

TABLES = {
    "SAC update, batch 256, 2 critics of 2 x 256, HalfCheetah size": (
        "sb3_update",
        ["sb3_update", "textbook_update", "slrl_update", "slrl_bf16"],
    ),
    "SAC update, batch 128, 2 critics of 2 x 64, point mass size": (
        "sb3_small_update",
        ["sb3_small_update", "slrl_small_update"],
    ),
    "life step on the point mass, batch 256, 2 x 256 (slrl with QWALE, SB3 plain SAC)": (
        "sb3_life",
        ["sb3_life", "slrl_life", "slrl_small_life"],
    ),
    "a step after 1,000,000 steps beside one after 10,000": (
        "slrl_early_step",
        ["slrl_early_step", "slrl_late_step"],
    ),
    "parts": (
        "slrl_discriminator",
        [
            "slrl_discriminator",
            "slrl_act",
            "slrl_rma_step",
            "slrl_switch_step",
            "slrl_levels_step",
            "slrl_frames_step",
            "slrl_plan",
        ],
    ),
}
COMPILED = {
    "slrl_update": ["slrl_compiled", "slrl_compiled_bf16"],
    "slrl_small_update": ["slrl_small_compiled"],
}
STEPS_PER_CALL = {"sb3_life": 10}
TARGETS = [  # name, contender, its yardstick, target
    ("SAC update, fp32, eager ÷ SB3", "slrl_update", "sb3_update", 1.45),
    ("SAC update, fp32, compiled ÷ SB3", "slrl_compiled", "sb3_update", 1.6),
    ("SAC update, 64 x 64, fp32, compiled ÷ SB3", "slrl_small_compiled", "sb3_small_update", 4.0),
    ("SAC update, bf16 ÷ SB3", "slrl_bf16", "sb3_update", 2.0),
    ("SAC update, bf16, compiled ÷ SB3", "slrl_compiled_bf16", "sb3_update", 2.5),
    ("life step with QWALE ÷ SB3's plain SAC", "slrl_life", "sb3_life", 1.3),
]


def main() -> None:
    """Time everything and print it beside the targets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--window", type=float, default=1.5, help="seconds")
    parser.add_argument(
        "--compile", action="store_true", help="also the compiled update (a minute of compiling)"
    )
    arguments = parser.parse_args()
    found: dict[str, np.ndarray] = {}
    for title, (yardstick, names) in TABLES.items():
        if arguments.compile:
            names = names + [one for name in names for one in COMPILED.get(name, [])]
        if importlib.util.find_spec("stable_baselines3") is None:
            names = [name for name in names if not name.startswith("sb3")]
        rates = interleaved(names, arguments.rounds, arguments.window)
        found |= rates
        print(f"\n{title}")
        print(f"{'':22}{'per second':>12}{'10 %':>10}{'90 %':>10}{'ratio':>8}{'10 %':>8}{'90 %':>8}")
        for name in names:
            low, middle, high = np.quantile(rates[name], (0.1, 0.5, 0.9))
            line = f"{name:22}{middle:12,.0f}{low:10,.0f}{high:10,.0f}"
            if yardstick in rates:
                ratio = np.quantile(rates[name] / rates[yardstick], (0.1, 0.5, 0.9))
                line += f"{ratio[1]:8.2f}{ratio[0]:8.2f}{ratio[2]:8.2f}"
            print(line)
    print_targets(found, two_processes(arguments.rounds, arguments.window))


def print_targets(found: dict[str, np.ndarray], two: float) -> None:
    """Each figure beside what it should be."""
    from contenders import HALF_CHEETAH, random_prior

    from slrl.learning.buffer import Buffer

    print("\ntargets")
    rows: list[tuple[str, float, str, bool]] = []
    for title, name, yardstick, target in TARGETS:
        if name in found and yardstick in found:
            ratio = float(np.median(found[name] / found[yardstick]))
            rows.append((title, ratio, f">= {target}", ratio >= target))
    rate = float(np.median(found["slrl_discriminator"]))
    rows.append(("discriminator steps per second", rate, ">= 1200", rate >= 1200))
    micros = 1e6 / float(np.median(found["slrl_act"]))
    rows.append(("act, batch 1, microseconds", micros, "<= 150", micros <= 150))
    for title, name, most in (
        ("a step of rma", "slrl_rma_step", 1000),
        ("a step of switch", "slrl_switch_step", 2000),
        ("a step of the default with a latent", "slrl_levels_step", 2000),
        ("a step of the default with relations", "slrl_frames_step", 2000),
        ("planning anew", "slrl_plan", 1000),
    ):
        micros = 1e6 / float(np.median(found[name]))
        rows.append((f"{title}, microseconds", micros, f"<= {most}", micros <= most))
    slower = float(np.median(found["slrl_early_step"] / found["slrl_late_step"]))
    rows.append(("cost of a step at 1,000,000 ÷ at 10,000", slower, "<= 1.05", slower <= 1.05))
    o, a = HALF_CHEETAH
    bytes_per_row = Buffer(
        random_prior(HALF_CHEETAH, 1000), 0, np.random.default_rng(0), _cpu()
    ).bytes_per_row
    memory = bytes_per_row / (4 * (2 * o + a + 2))
    rows.append(("memory per transition ÷ raw floats", memory, "<= 1.2", memory <= 1.2))
    rows.append(("two processes ÷ one", two, ">= 1.8", two >= 1.8))
    for title, value, target, held in rows:
        print(f"{title:50}{value:10.2f}   {target:9} {'held' if held else 'MISSED'}")


def interleaved(
    names: list[str], rounds: int, window: float, cores: list[int] | None = None
) -> dict[str, np.ndarray]:
    """(rounds,) rates per contender, each window in turn."""
    workers = {name: start(name, core) for name, core in zip(names, cores or [0] * len(names), strict=True)}
    rates: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, (_, pipe) in workers.items():
            pipe.send(window)
            rates[name].append(pipe.recv())
    for process, pipe in workers.values():
        pipe.send(None)
        process.join()
    return {name: np.array(values) for name, values in rates.items()}


def two_processes(rounds: int, window: float) -> float:
    """Updates of two processes on two cores at once ÷ those of one, alternating."""
    if (os.cpu_count() or 1) < 2:
        return float("nan")
    workers = [start("slrl_update", core) for core in (0, 1)]
    ratios = []
    for _ in range(rounds):
        workers[0][1].send(window)
        one = workers[0][1].recv()
        for _, pipe in workers:
            pipe.send(window)
        ratios.append(sum(pipe.recv() for _, pipe in workers) / one)
    for process, pipe in workers:
        pipe.send(None)
        process.join()
    return float(np.median(ratios))


def start(name: str, core: int) -> tuple[Any, Connection]:
    """A contender in its own process, built and warmed up."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(name, core, theirs))
    process.start()
    ours.recv()
    return process, ours


def work(name: str, core: int, pipe: Connection) -> None:
    """In the contender's process: steps per second for each window that is asked for."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    import torch

    torch.set_num_threads(1)
    import contenders

    step, each = getattr(contenders, name)(), STEPS_PER_CALL.get(name, 1)
    for _ in range(20):
        step()
    pipe.send("ready")
    while (window := pipe.recv()) is not None:
        count, began = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - began) < window:
            step()
            count += each
        pipe.send(count / elapsed)


def _cpu() -> Any:
    import torch

    return torch.device("cpu")


if __name__ == "__main__":
    main()
