"""A Ray cluster: each life is a task of one CPU. All nodes must share the folder of the lives and the caches.

A life whose worker or node is lost is lived again elsewhere. Options: ``address`` of the cluster
(``"auto"``: the one that this machine belongs to; ``"local"``: start one here and stop it at the end),
``memory_gb`` of a life in GiB, and ``tries`` of a life whose worker is lost. An autoscaler sees as many
tasks as ``--jobs`` allows.
"""

import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from slrl.errors import BadInput, unknown
from slrl.evaluation.engines import Ending, live, record_error
from slrl.lives.settings import LifeSettings

DEFAULTS = {"address": "auto", "memory_gb": 2.0, "tries": 4}
CONNECT_TIMEOUT_S = 5.0
FORWARDED = (
    "SLRL_CACHE",
    "MINARI_DATASETS_PATH",
    "MUJOCO_GL",
)  # environment variables that workers get from here


def run(
    todo: Sequence[LifeSettings], runs: Path, jobs: int, options: Mapping[str, Any]
) -> Iterator[tuple[LifeSettings, Ending]]:
    """Yield each life with its ending, as they finish. Ctrl-C cancels the others.

    Raises:
        BadInput: without the package or a cluster, or for unknown or wrong options.
    """
    settings = _checked(options)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no telemetry
    # Without this, Ray hides the GPUs from tasks that ask for none.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ModuleNotFoundError:
        raise BadInput(
            "the engine ray needs the package ray; install it with: pip install 'slrl[ray]'."
        ) from None
    address = os.environ.get("RAY_ADDRESS", "auto") if settings["address"] == "auto" else settings["address"]
    own: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        _check_reachable(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (OSError, RuntimeError, ValueError) as error:  # also ConnectionError, TimeoutError
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        hint = "`ray start --head` starts one, and address=local needs none"
        raise BadInput(f"there is no Ray cluster at {address!r} ({reason}); {hint}.") from None
    task = ray.remote(_live).options(
        num_cpus=1,
        memory=int(settings["memory_gb"] * 2**30),
        max_retries=settings["tries"] - 1,
        scheduling_strategy="SPREAD",
    )
    about = (
        {key: os.environ[key] for key in FORWARDED if key in os.environ},
        [path for path in sys.path if path],
    )
    waiting, running = list(reversed(todo)), dict[Any, LifeSettings]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                life = waiting.pop()
                running[task.remote(life, runs, *about)] = life
            for done in ray.wait(list(running))[0]:
                life = running.pop(done)
                try:
                    ending: Ending = ray.get(done)
                except ray.exceptions.RayError as error:
                    reason = str(error).strip().partition("\n")[0]
                    ending = record_error(
                        runs, life, f"{error}\nits worker was lost {settings['tries']} times: {reason}"
                    )
                yield life, ending
    finally:
        for left in running:
            ray.cancel(left, force=True)
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Open a connection first: Ray itself tries for minutes.

    Raises:
        OSError, ValueError: if nothing listens there, or the port is no number.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S).close()


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    for key in options:
        if key not in DEFAULTS:
            raise unknown("option of the engine ray:", key, DEFAULTS)
    settings = {**DEFAULTS, **options}
    if not (isinstance(settings["memory_gb"], int | float) and settings["memory_gb"] > 0):
        raise BadInput(
            f"memory_gb of the engine ray must be a number above 0, not {settings['memory_gb']!r}."
        )
    if type(settings["tries"]) is not int or settings["tries"] < 1:
        raise BadInput(f"tries of the engine ray must be 1 or more, not {settings['tries']!r}.")
    if not isinstance(settings["address"], str):
        raise BadInput(f"address of the engine ray must be a text, not {settings['address']!r}.")
    return settings


def _live(life: LifeSettings, runs: Path, environment: dict[str, str], path: list[str]) -> Ending:
    """Live one life in a worker, with this process's import path, so that it finds the user's own worlds."""
    os.environ.update(environment)
    sys.path += [place for place in path if place not in sys.path]
    return live(life, runs)
