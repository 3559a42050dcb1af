"""A plan's rows on this machine: each in a process of its own, as many at a time as there are devices."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

from tinylab.support.cores import core_count
from tinylab.support.device import Device
from tinylab.support.errors import TrainingError, whole
from tinylab.tools.experiments import worker
from tinylab.tools.experiments.teaching import Turns
from tinylab.tools.experiments.worker import FAILED, PAUSED, Job

# not "-m …worker": the package imports that module, and Python would warn of it in every row's log
COMMAND = [sys.executable, "-c", "import sys; from tinylab.tools.experiments.worker import main; sys.exit(main())"]
Settled = Callable[[Job, str], None]  # called with "done", "failed" or "paused" as each row ends


def slots(device: Device, jobs: int | None) -> int:
    """How many rows to train at a time: `jobs`, else one a GPU, else one."""
    if jobs is not None:
        whole("jobs", jobs, 1)
        return jobs
    return _gpus(device) or 1


def run(jobs: Sequence[Job], device: Device, at_a_time: int, settled: Settled) -> None:
    """Work on all jobs; none begins after its deadline, or once another had to pause for it, or before its teacher."""
    free: queue.Queue[int] = queue.Queue()
    for slot in range(at_a_time):
        free.put(slot)
    over, begun, ending = threading.Event(), threading.Event(), threading.Event()
    running, lock = set[subprocess.Popen[str]](), threading.Lock()

    def one(job: Job) -> None:
        late = job.deadline is not None and time.time() >= job.deadline
        if over.is_set() or (late and begun.is_set()):  # one row always begins: slices of any length get on
            settled(job, PAUSED)
            return
        if why := worker.untaught(job):
            worker.fail(job, why)
            settled(job, FAILED)
            return
        begun.set()
        slot = free.get()
        try:
            code = _process(replace(job, started=time.time()), _environment(device, slot, at_a_time), running, lock)
        finally:
            free.put(slot)
        outcome = worker.EXIT_CODES.get(code)
        if ending.is_set():
            return
        if outcome is None:
            worker.fail(job, _death(code, worker.log(job)))
            outcome = FAILED
        if outcome == PAUSED:
            over.set()
        settled(job, outcome)

    turns, at_work = Turns(jobs), dict[Future[None], Job]()
    with ThreadPoolExecutor(at_a_time) as pool:
        try:
            while True:
                while len(at_work) < at_a_time and (job := turns.next()) is not None:
                    at_work[pool.submit(one, job)] = job
                if not at_work:
                    break
                for future in wait(at_work, return_when=FIRST_COMPLETED).done:
                    turns.ended(at_work.pop(future))  # if it paused, so will its students
                    future.result()
        except BaseException:  # Ctrl-C, or a defect: nothing goes on unseen
            over.set()
            ending.set()
            with lock:
                for process in running:
                    process.terminate()
            raise


def _process(job: Job, environment: dict[str, str], running: set[subprocess.Popen[str]], lock: threading.Lock) -> int:
    """Work on the job in a process of its own, to its end; returns the exit code."""
    path = worker.log(job)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        log = open(path, "a", encoding="utf-8")  # noqa: SIM115, closed below
    except OSError as error:
        raise TrainingError(f"{path} cannot be written ({error.strerror}). Choose another --out") from None
    with (
        log,
        subprocess.Popen(
            COMMAND, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, text=True, env=environment
        ) as process,
    ):
        with lock:
            running.add(process)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # then it is gone already, and its exit code says more
            process.stdin.write(job.dumps() + "\n")  # and left open: it lasts as long as we do
            process.stdin.flush()
        code = process.wait()
        with lock:
            running.discard(process)
        return code


def _environment(device: Device, slot: int, at_a_time: int) -> dict[str, str]:
    """One device a process. Several GPUs: untried."""
    environment = dict(os.environ)
    if gpus := _gpus(device):
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        names = visible if len(visible) == gpus else [str(number) for number in range(gpus)]
        environment["CUDA_VISIBLE_DEVICES"] = names[slot % gpus]
    else:
        environment.setdefault("OMP_NUM_THREADS", str(max(1, core_count() // at_a_time)))
    return environment


def _gpus(device: Device) -> int:
    import torch

    return torch.cuda.device_count() if device.target.type == "cuda" else 0


def _death(code: int, log: Path) -> str:
    """Why a process ended without a record."""
    if code == -getattr(signal, "SIGKILL", 9):
        return "its process was killed (signal 9): out of memory, most likely. Use a smaller batch, or fewer --jobs"
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    said = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    last = next((line for line in reversed(said) if line.strip()), "nothing")
    return f"its process ended {how}; the last that it said: {last}"
