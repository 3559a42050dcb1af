"""The controller of a training that sliders restart: a thread that can be stopped, a run, what it has shown so far.

No widgets and no pictures here: whoever wants to see something passes a function that is called after each batch.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from tinylab.figures import Progress
from tinylab.training import History, Run


class Worker:
    """One job at a time in a background thread, which can be told to stop; what it raises waits for `join`."""

    def __init__(self) -> None:
        self._starting = threading.Lock()  # two presses of a button may arrive on two threads
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._error: BaseException | None = None

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self, job: Callable[[threading.Event], None]) -> None:
        """Stop the present job, wait until it has ended, and run `job(stop)`; it must heed the event often."""
        with self._starting:
            self.stop()
            if self._thread is not None:
                self._thread.join()
            stop = self._stop = threading.Event()
            self._error = None

            def body() -> None:
                try:
                    job(stop)
                except BaseException as error:
                    self._error = error

            self._thread = threading.Thread(target=body, name="tinylab short training", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Ask the present job to end; returns at once."""
        self._stop.set()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the job, at most `timeout` seconds. Raises what the job raised, once."""
        if self._thread is not None:
            self._thread.join(timeout)
        error, self._error = self._error, None
        if error is not None:
            raise error


@dataclass(frozen=True)
class Knobs:
    """What the sliders set; a run takes them over when it starts."""

    learning_rate: float
    dropout: float

    def __str__(self) -> str:
        return f"learning rate {self.learning_rate:.2g}, dropout {self.dropout:.2f}"


class ShortRun:
    """The controller: trains with the knobs as they were at the start, reports after every batch."""

    def __init__(self, build: Callable[[Knobs], Run], report: Callable[["ShortRun", bool], None]) -> None:
        """`build` makes a fresh run; `report(self, due)` is called after each batch, `due` at start and end."""
        self.build, self.report = build, report
        self.knobs: Knobs | None = None
        self.progress = Progress()
        self.earlier: list[History] = []
        self.status = "waiting"

    def __call__(self, knobs: Knobs, stop: threading.Event) -> None:
        """Train to the end, or to the first batch after `stop` is set."""
        if self.progress.history is not None and self.progress.history.epochs:
            self.earlier = [*self.earlier, self.progress.history][-2:]
        self.knobs, self.status = knobs, "running"
        try:
            run = self.build(knobs)
            self.progress = Progress(run.history, steps_per_epoch=len(run.batches))
            self.report(self, True)
            for step in run.steps():
                self.progress.batch_loss.append(step.loss)
                self.progress.batch_accuracy.append(step.accuracy)
                if stop.is_set():
                    break
                self.report(self, False)
            self.status = "finished" if run.finished else "stopped"
        except BaseException:
            self.status = "failed"
            raise
        finally:
            self.report(self, True)
