"""A plan's rows on several machines, through Ray: one task a row, one GPU a task where there are GPUs.

Ray decides what runs where, and runs a row again whose worker died; it is handed a student once its teacher has ended.
Records, weights and the networks of teachers come back to the caller as bytes, and such a network goes with its
students to where they are trained: no shared folder is needed for them. Checkpoints stay in the sweep's folder as the
worker's machine sees it: where that folder is shared (NFS), a row whose machine died goes on elsewhere from its last
epoch; where it is not, it goes on if it lands on the same machine and begins anew elsewhere. Each machine needs tinylab
and the prepared data.
"""

import logging
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tinylab.support.errors import InvalidInputError
from tinylab.support.files import atomic_write
from tinylab.tools.experiments import teaching, worker
from tinylab.tools.experiments.local import Settled
from tinylab.tools.experiments.teaching import Turns
from tinylab.tools.experiments.worker import FAILED, PAUSED, Job

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
        turns, waiting = Turns(jobs), dict[Any, Job]()
        while True:
            while (job := turns.next()) is not None:
                if why := worker.untaught(job):
                    worker.fail(job, why)
                    turns.ended(job)
                    settled(job, FAILED)
                else:
                    waiting[task.remote(job.dumps(), _teacher(job))] = job
            if not waiting:
                break
            for reference in ray.wait(list(waiting))[0]:
                job = waiting.pop(reference)
                try:
                    outcome, files = ray.get(reference)
                    for name, content in files.items():
                        atomic_write(job.out / name, content)
                except ray.exceptions.RayError as error:
                    worker.fail(job, f"{type(error).__name__}: {str(error).strip().splitlines()[0]}")
                    outcome = FAILED
                if outcome != PAUSED:
                    turns.ended(job)
                settled(job, outcome)
        for job in turns.left:  # their teachers paused
            settled(job, PAUSED)
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


def _teacher(job: Job) -> bytes | None:
    """The network that teaches the row, as it lies in the caller's folder."""
    return None if job.row.teacher is None else (job.out / teaching.kept(job.row.teacher)).read_bytes()


def _task(text: str, teacher: bytes | None) -> tuple[str, dict[str, bytes]]:
    """One row, in a worker of Ray: how it ended, and its files by name, in the order in which to write them."""
    job = replace(Job.loads(text), started=time.time())
    if job.deadline is not None and time.time() >= job.deadline:
        return PAUSED, {}
    if job.row.teacher is not None and teacher is not None:
        path = job.out / teaching.kept(job.row.teacher)
        if not path.exists() or path.read_bytes() != teacher:
            atomic_write(path, teacher)
    with open(_opened(job), "a", encoding="utf-8") as log:
        print(f"process {os.getpid()} on {socket.gethostname()}", file=log, flush=True)
        outcome = worker.work(job, lambda line: print(line, file=log, flush=True))
    if outcome == PAUSED:
        return PAUSED, {}
    names = [str(teaching.kept(job.row))] if job.row.teaches else []
    names += [f"{job.row.name}{ending}" for ending in (".safetensors", ".json")]  # the record last: then all is there
    return outcome, {name: (job.out / name).read_bytes() for name in names if (job.out / name).exists()}


def _opened(job: Job) -> Any:
    path = worker.log(job)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInputError(f"{path.parent} cannot be written ({error.strerror}). Choose another --out") from None
    return path
