"""Drawing off the training thread: the newest frame only, at a bounded rate, quickly after somebody did something.

Where a core is spare, training and drawing go on side by side. Where all cores train, a picture drawn beside them costs
more than its own time: the team waits at every layer for the thread whose core is shared, and for the interpreter while
its holder waits for a core. There it has the machine to itself: between two batches `give_way` stands still until what
is due is drawn, and in between nothing is begun. (benchmarks/live_lab.py, two cores, Model 1, medians of 5: training
slowed by 6.5 % with pictures beside it, by 3.7 % like this.)
"""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Frame = TypeVar("Frame")

EVERY = 0.5  # seconds between two pictures, at least
STUCK = 2.0  # seconds that a training gives way, at most
SELDOM = 10.0  # seconds, at most: on a slow machine, too, one wants to see that it trains
# of the time, at most, that goes into drawing, (with, without) a core to spare: just after a change, and otherwise
LIVELY, CALM = (0.2, 0.1), (0.1, 0.02)
ATTENTION = 4.0  # seconds for which a change of a knob counts as just now


class Drawer(Generic[Frame]):
    """A thread that draws what it is given, as often as it may."""

    def __init__(
        self, draw: Callable[[Frame], None], fail: Callable[[BaseException], None], *, spare: bool = True
    ) -> None:
        """spare: whether there is a core that does not train."""
        self._draw, self._fail, self._spare = draw, fail, spare
        self._lively, self._calm = (share[0 if spare else 1] for share in (LIVELY, CALM))
        self._gate = threading.Condition()  # guards what follows; never held while something is drawn
        self._pending: Frame | None = None
        self._urgent, self._closed, self._busy = False, False, False
        self._held = False  # a batch trains on all cores
        self._last, self._cost, self._looked = 0.0, 0.0, 0.0  # when drawn, what it took, when somebody did something
        self._thread = threading.Thread(target=self._serve, name="tinylab drawing", daemon=True)
        self._thread.start()

    def wants(self) -> bool:
        """Whether a frame put now would be drawn now; making one costs something, too."""
        with self._gate:
            return self._pending is None and not self._busy and self._wait() <= 0

    def put(self, frame: Frame, urgent: bool = False) -> None:
        """Draw this in place of any that still waits. `urgent`: somebody waits for it."""
        with self._gate:
            if self._closed:
                return
            self._pending, self._urgent = frame, self._urgent or urgent
            if urgent:
                self._looked = time.monotonic()
            self._gate.notify_all()

    def give_way(self, going: bool) -> None:
        """Between two batches: let what is due be drawn first, where no core is spare. `going`: a batch follows."""
        if self._spare:
            return
        with self._gate:
            self._held = False
            self._gate.notify_all()
            self._gate.wait_for(lambda: not self._busy and (self._pending is None or self._wait() > 0), STUCK)
            self._held = going

    def settle(self, timeout: float) -> bool:
        """Wait until nothing waits to be drawn; False if that took too long."""
        with self._gate:
            return self._gate.wait_for(lambda: self._pending is None and not self._busy, timeout)

    def close(self, timeout: float | None = None) -> None:
        """Draw what still waits, then end."""
        with self._gate:
            self._closed = True
            self._gate.notify_all()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _wait(self) -> float:
        """Seconds until the next picture may be drawn."""
        now = time.monotonic()
        share = 1.0 if self._urgent else self._lively if now - self._looked < ATTENTION else self._calm
        return self._last + min(max(EVERY, self._cost / share), SELDOM) - now

    def _ready(self) -> bool:
        return self._closed or (self._pending is not None and not self._held and self._wait() <= 0)

    def _serve(self) -> None:
        while True:
            with self._gate:
                while not self._ready():
                    waits = self._pending is not None and not self._held
                    self._gate.wait(self._wait() if waits else None)
                frame, self._pending, self._urgent, self._busy = self._pending, None, False, True
            try:
                if frame is not None:
                    started = time.thread_time()  # not the clock: a picture that had to wait took nothing from others
                    self._draw(frame)
                    self._cost, self._last = time.thread_time() - started, time.monotonic()
            except BaseException as error:
                self._fail(error)
            with self._gate:
                self._busy = False
                self._gate.notify_all()
                if self._closed and self._pending is None:
                    return
