"""A plan's rows several at a time, through Ray: one task a row, one GPU a task where there are GPUs.

Ray decides what runs where, and runs a row again whose worker died. Records, weights and answers come back to the
caller as bytes: no shared folder is needed for them. Checkpoints stay in the sweep's folder as the worker's machine
sees it: where that folder is shared (NFS), a row whose machine died goes on elsewhere from its last epoch; where it is
not, it goes on if it lands on the same machine and begins anew elsewhere. Each machine needs tinylab and the data.
"""

import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from tinylab.course import results
from tinylab.support.errors import InvalidInputError
from tinylab.support.files import atomic_write
from tinylab.tools.experiments import worker
from tinylab.tools.experiments.worker import FAILED, PAUSED, Job

Settled = Callable[[Job, str], None]  # called with "done", "failed" or "paused" as each row ends
STARTS = 3  # attempts: Ray gives itself 15 seconds, too few for a cold start on a busy machine
RETRIES = 3  # of a row whose worker died; each goes on from the last checkpoint


def run(jobs: Sequence[Job], address: str, settled: Settled) -> None:
    """Work on all jobs on the cluster at `address` ("local": one of this machine's own, for as long as it takes).

    Raises InvalidInputError if Ray is not installed, or there is no cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # before the import: it reports to its makers otherwise
    try:
        import ray
    except ImportError:
        raise InvalidInputError(
            "Ray is not installed. Install it (pip install 'ray>=2.40'), or leave --ray out"
        ) from None
    _connect(ray, address)
    try:
        gpus = 1 if ray.cluster_resources().get("GPU", 0) else 0
        # max_calls: a fresh process for every row, which frees all its memory. Ray sets CUDA_VISIBLE_DEVICES.
        task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=RETRIES, max_calls=1)(_task)
        left, waiting = list(jobs), dict[Any, Job]()
        while left or waiting:
            open_rows = {job.row.identifier for job in [*left, *waiting.values()]}
            ready = [job for job in left if job.row.continues not in open_rows]
            left = [job for job in left if job not in ready]
            waiting |= {task.remote(job): job for job in ready}
            for reference in ray.wait(list(waiting))[0]:
                job = waiting.pop(reference)
                try:
                    outcome, files = ray.get(reference)
                    for name, content in files.items():
                        atomic_write(job.out / name, content)
                except ray.exceptions.RayError as error:
                    worker.fail(job, f"{type(error).__name__}: {str(error).strip().splitlines()[0]}")
                    outcome = FAILED
                settled(job, outcome)
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    """Join the cluster, or start one of this machine's own that nobody else can reach."""
    own: dict[str, Any] = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"} if address == "local" else {}
    for _ in range(STARTS if own else 1):
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
            return
        except Exception as error:  # Ray's own kinds, and ValueError, ConnectionError, RuntimeError
            ray.shutdown()
            line = " ".join(str(error).split())[:200]
    raise InvalidInputError(f"there is no Ray cluster at {address!r} ({line}). Allowed: 'local', or host:port")


def _task(job: Job) -> tuple[str, dict[str, bytes]]:
    """One row, in a worker of Ray: how it ended, and its files by name, in the order in which to write them."""
    if job.deadline is not None and time.time() >= job.deadline:
        return PAUSED, {}
    outcome = worker.logged(job)
    if outcome == PAUSED:
        return PAUSED, {}
    names = [f"{job.row.name}{ending}" for ending in results.ENDINGS[::-1]]  # the record last: then all is there
    return outcome, {name: (job.out / name).read_bytes() for name in names if (job.out / name).exists()}
