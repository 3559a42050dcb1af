"""One row of a plan, trained in a process of its own: resumes where it stopped, leaves a record, whole or none.

`work` does it here; `main` is a process that does it for a job on standard input, a line of JSON. That process
ends with its parent: whatever ends the parent closes the pipe, even SIGKILL.

What lies in the sweep's folder:

    <name>.json, <name>.safetensors   the record of a finished (or failed) row, its weights
    rows/<identifier>/                an unfinished row: checkpoint, weights so far, clocks, log
    donors/                           pre-trained networks, which rows have in common
    teachers/<identifier>.pt          networks of finished rows that others learn from
    rows/<identifier>.lock            held while a process is at work on the row; released when it dies
"""

import contextlib
import json
import os
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from tinylab import training
from tinylab.course import results
from tinylab.course.results import Clocks, Record
from tinylab.data.batches import Batches
from tinylab.data.dataset import Dataset
from tinylab.support.device import pick
from tinylab.support.errors import TinylabError, TrainingError
from tinylab.support.files import atomic_write
from tinylab.tools.experiments import material, teaching
from tinylab.tools.experiments.rows import Row
from tinylab.training import checkpoints
from tinylab.training.history import History

DONE, FAILED, PAUSED = "done", "failed", "paused"
EXIT_CODES = {0: DONE, 10: FAILED, 11: PAUSED}  # 1 is Python's own: a process that died of an error of ours


@dataclass(frozen=True)
class Job:
    """A row, and where and how long to work on it."""

    row: Row
    out: Path  # the sweep's folder
    deadline: float | None = None  # time.time() after which no further epoch should end
    device: str | None = None
    started: float | None = None  # time.time() when this process was asked for: its cold clock starts there

    def dumps(self) -> str:
        return json.dumps({**asdict(self), "row": self.row.as_dict(), "out": str(self.out)})

    @classmethod
    def loads(cls, text: str) -> "Job":
        parts = json.loads(text)
        return cls(**{**parts, "row": Row.from_dict(parts["row"]), "out": Path(parts["out"])})


def result(row: Row, out: Path) -> Record | None:
    """The row's record, if it is finished or failed; None if it is still to do.

    Raises TrainingError for a damaged record, or one of another row of that name.
    """
    if not (out / f"{row.name}.json").exists():
        return None
    record = results.load(row.name, out)
    if record.row != row.identifier:
        raise TrainingError(
            f"{out / record.name}.json is of another row: the plan or the data changed. Choose another --out, or "
            "delete that file"
        )
    return record


def work(job: Job, say: Callable[[str], None] = print) -> str:
    """Train the row of `job` to its end or to its deadline: "done", "paused" or "failed".

    What goes wrong in the training is written into the row's record, not raised.
    """
    started = time.time() if job.started is None else job.started
    with _alone(job):
        record = result(job.row, job.out)
        if record is not None and record.finished:
            return DONE
        run: training.Run | None = None
        try:
            device = pick(job.device)
            dataset = material.images(job.row)
            donor = None
            if job.row.donor is not None:
                donor = material.donor(job.row, job.out / "donors", device, job.deadline, say)
                if donor is None:
                    return PAUSED
            teacher = None
            if job.row.teacher is not None:
                path = job.out / teaching.kept(job.row.teacher)
                if not path.exists():
                    raise TrainingError(untaught(job))
                teacher = material.teacher(job.row, dataset, path)
            run = material.start(job.row, dataset, device, _folder(job) / "checkpoint.pt", donor, teacher)
            before = _read_clocks(job)
            clocks = _train(job, run, before, started, say)
            if not run.finished:
                return PAUSED
            record = _record(job.row, run, dataset)
            states = {epoch: _read(_weights(job, epoch)) for epoch in job.row.weights}
            if job.row.teaches:  # before the record: what is finished can teach
                material.keep(run, job.out / teaching.kept(job.row))
            clocks = replace(clocks, cold=before.cold + time.time() - started)
            results.save(replace(record, clocks=clocks), job.out, states)
        except Exception as error:
            traceback.print_exc()  # into the log of the row
            message = str(error) if isinstance(error, TinylabError) else f"{type(error).__name__}: {error}"
            fail(job, message, None if run is None else material.history(job.row, run))
            say(message)
            return FAILED
        shutil.rmtree(_folder(job), ignore_errors=True)
        return DONE


def untaught(job: Job) -> str:
    """Why the row cannot learn from its teacher: that failed, or its network is not there. Empty: it can, or has none.

    The caller's folder decides; another machine's may have an older record. Raises TrainingError for a damaged one.
    """
    teacher = job.row.teacher
    if teacher is None:
        return ""
    record = result(teacher, job.out)
    if record is not None and record.failure:
        return f"its teacher ({teacher}) failed: {record.failure[:250]}. With --retry both are tried again"
    if (job.out / teaching.kept(teacher)).exists():
        return ""
    if record is None:
        return f"its teacher ({teacher}) is not trained yet. Train that row first: `tinylab sweep` does"
    return (
        f"its teacher ({teacher}) is finished, but its network is not in {teaching.kept(teacher).parent}. "
        f"Delete {teacher.name}.json, then with --retry both are trained again"
    )


def fail(job: Job, message: str, history: History | None = None) -> Record:
    """Write the record of a failure, with what was measured until then."""
    row = job.row
    if history is None:
        history = _history_so_far(job) or History(row.recipe, row.network, Path(row.data).stem, row.watch, ())
    history = replace(history, recipe=row.recipe)
    message = message.replace(f"{job.out}{os.sep}", "")  # where that is does not belong into a record
    message = " ".join(message.split())[:500] or "unknown"
    base = Record(row.name, row.plan, row.identifier, row.title, row.network, row.settings, history, 0, {})
    with contextlib.suppress(TinylabError):  # an unknown device is what failed, maybe
        base = replace(base, origin=results.origin(pick(job.device)))
    return results.save(replace(base, clocks=_read_clocks(job), failure=message), job.out)


# ---------------------------------------------------------------- the parts of `work`


def _train(job: Job, run: training.Run, before: Clocks, started: float, say: Callable[[str], None]) -> Clocks:
    """To the end, or until the next epoch would pass the deadline: the checkpoint has all there is."""
    began = time.perf_counter()
    clocks = replace(before, slices=before.slices + 1)
    _keep(job, run, len(run.history.epochs))  # epoch 0; or those of a process killed between checkpoint and weights
    for epoch in material.until(run, job.deadline, say):
        _keep(job, run, epoch.epoch)
        clocks = Clocks(
            training=sum(e.seconds for e in run.history.epochs),
            with_evaluation=before.with_evaluation + time.perf_counter() - began,
            cold=before.cold + time.time() - started,
            slices=before.slices + 1,
        )
        atomic_write(_folder(job) / "clocks.json", json.dumps(asdict(clocks)).encode())
    return clocks


def _record(row: Row, run: training.Run, dataset: Dataset) -> Record:
    splits = [dataset.train, dataset.development, *([dataset.validation] if row.final else [])]
    scores = {}
    for split in splits:
        batches = Batches(split, run.normalisation, batch=training.EVALUATION_BATCH, device=run.device)
        scores[split.name] = training.score(run.model, batches)
        if row.test_flip and split is not dataset.train:
            scores[split.name + results.FLIPPED] = training.score(run.model, batches, flip=True)
    settings = row.settings
    if run.teacher is not None:
        settings["teacher"]["weights"] = run.teacher.digest
    return Record(
        name=row.name,
        plan=row.plan,
        row=row.identifier,
        title=row.title,
        network=row.network,
        settings=settings,
        history=material.history(row, run),
        images=len(dataset.train),
        scores=scores,
        origin=results.origin(run.device),
    )


def _keep(job: Job, run: training.Run, epoch: int) -> None:
    """The weights after this epoch, if the plan wants them and they are not there."""
    from safetensors.torch import save

    path = _weights(job, epoch)
    if epoch in job.row.weights and not path.exists():
        atomic_write(path, save({k: v.contiguous() for k, v in results.kept(run.model).items()}))


def _read(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load

    return load(path.read_bytes())


def _history_so_far(job: Job) -> History | None:
    try:
        return History.from_dict(checkpoints.load(_folder(job) / "checkpoint.pt").history)
    except TinylabError:
        return None


def _read_clocks(job: Job) -> Clocks:
    try:
        return Clocks(**json.loads((_folder(job) / "clocks.json").read_bytes()))
    except (OSError, ValueError, TypeError):
        return Clocks()


def _folder(job: Job) -> Path:
    return job.out / "rows" / job.row.identifier


def _weights(job: Job, epoch: int) -> Path:
    return _folder(job) / f"weights-{epoch}.safetensors"


@contextlib.contextmanager
def _alone(job: Job) -> Iterator[None]:
    """Nobody else is at work on this row: the system releases the lock of a process that dies."""
    from filelock import FileLock

    folder = _folder(job)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_suffix(".lock"))
        lock.acquire()
    except (OSError, NotImplementedError) as error:
        raise TrainingError(f"{folder} cannot be written or locked ({error}). Choose another --out") from None
    try:
        yield
    finally:
        lock.release()


def log(job: Job) -> Path:
    """Where the row's process writes what it says."""
    return _folder(job) / "log.txt"


# ---------------------------------------------------------------- a process of its own


def main() -> int:
    """Work on the job on standard input; the exit code says how it ended."""
    job = Job.loads(sys.stdin.readline())
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or torch.get_num_threads()))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    outcome = work(job, lambda line: print(line, flush=True))
    return next(code for code, name in EXIT_CODES.items() if name == outcome)


def _end_with_parent() -> None:
    """Standard input ends when whoever started this process is gone, however that happened."""
    sys.stdin.read()
    os._exit(12)
