"""A SLURM cluster, by submitit: each life is a job of an array.

All nodes must share the folder of the lives and the caches.

Options are those of ``submitit.AutoExecutor.update_parameters`` (``slurm_partition``, ``slurm_account``,
``mem_gb``, …), and ``cluster="local"``, which runs the same jobs on this machine.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from slrl.errors import BadInput
from slrl.evaluation.engines import Ending, live, record_error
from slrl.files import made_folder
from slrl.lives.settings import LifeSettings

DEFAULTS = {"timeout_min": 24 * 60, "cpus_per_task": 1, "mem_gb": 4, "name": "slrl"}
TRIES = 2  # of a life whose job was killed, or whose node was lost
POLL_S = 1.0


def run(
    todo: Sequence[LifeSettings], runs: Path, jobs: int, options: Mapping[str, Any]
) -> Iterator[tuple[LifeSettings, Ending]]:
    """Yield each life with its ending, as they finish. Ctrl-C cancels the jobs that are left.

    Raises:
        BadInput: without the package or SLURM, or for options that submitit does not have.
    """
    try:
        import submitit
    except ModuleNotFoundError:
        raise BadInput(
            "the engine slurm needs the package submitit; install it with: pip install 'slrl[slurm]'."
        ) from None
    settings = {**DEFAULTS, "slurm_array_parallelism": jobs, **options}
    cluster = settings.pop("cluster", "slurm")
    try:
        executor = submitit.AutoExecutor(folder=made_folder(runs / ".slurm"), cluster=cluster)
        executor.update_parameters(**settings)
    except (RuntimeError, NameError, TypeError, ValueError) as error:
        raise BadInput(
            f"submitit cannot use the cluster {cluster!r} with these options: {str(error).splitlines()[0]}"
        ) from None
    waiting, tries = [(life, 1) for life in reversed(todo)], dict[Any, tuple[LifeSettings, int]]()
    try:
        while waiting or tries:
            room = jobs - len(tries) if cluster == "local" else len(waiting)  # SLURM counts by itself
            taken = [waiting.pop() for _ in range(min(room, len(waiting)))]
            if taken:
                with executor.batch():
                    submitted = [executor.submit(live, life, runs) for life, _ in taken]
                tries.update(zip(submitted, taken, strict=True))
            for job in [job for job in tries if job.done()]:
                life, attempt = tries.pop(job)
                try:
                    yield life, job.result()
                except (submitit.core.utils.FailedJobError, submitit.core.utils.UncompletedJobError) as error:
                    if attempt < TRIES:
                        waiting.append((life, attempt + 1))
                    else:
                        yield life, record_error(runs, life, f"{error}\nits job died {TRIES} times.")
            time.sleep(POLL_S if tries else 0)
    finally:
        for job in tries:
            job.cancel()
