"""Child processes that are killed in the middle of their work, and that start together: for tests, and for the soak.

A child is forked, so that it costs milliseconds and the instant falls into the work, not into importing Python
packages. SIGKILL cannot be caught: what the child held open is as a power cut would leave it, except for the disk's
own cache.
"""

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable

from tqdm import tqdm

NOBODY = 65534  # the user and group of nobody, on Linux
PATIENCE = 120.0  # seconds after which a child that hangs fails a test


def killed(work: Callable[[], object], after: float) -> bool:
    """Kill a child `after` so many seconds of `work`; False if it had ended by itself, which has to go well."""
    reading, child = start(work)
    if not select.select([reading], [], [], after)[0]:
        os.kill(child, signal.SIGKILL)
    code = ended(reading, child)
    assert code in (0, -signal.SIGKILL), f"a child ended with {code}"
    return code != 0


def undisturbed(work: Callable[[], object]) -> None:
    """The same child, left alone."""
    assert not killed(work, PATIENCE), f"a child did not end within {PATIENCE:.0f} s"


def together(*works: Callable[[], object]) -> None:
    """A child for each, all released at once; every one has to end well."""
    gate, hold = os.pipe()
    os.set_inheritable(gate, True)

    def after_the_gate(work: Callable[[], object]) -> Callable[[], object]:
        def run() -> object:
            os.close(hold)
            os.read(gate, 1)  # the end of file comes to all of them at the same moment
            return work()

        return run

    children = [start(after_the_gate(work)) for work in works]
    os.close(hold)
    codes = [ended(*child) for child in children]
    os.close(gate)
    assert codes == [0] * len(works), codes


def ended(reading: int, child: int) -> int:
    """The exit code of a child from `start`, negative for a signal; one that hangs is killed."""
    if not select.select([reading], [], [], PATIENCE)[0]:
        os.kill(child, signal.SIGKILL)
    os.close(reading)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def start(work: Callable[[], object]) -> tuple[int, int]:
    """A pipe that reaches its end when the child does, and the child's number."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return reading, child
    code = 1
    with contextlib.suppress(BaseException):
        os.close(reading)
        # tqdm's own lock is shared by all children of a process: one that is killed with it would stop the others
        tqdm.set_lock(threading.RLock())
        try:
            work()
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            import traceback

            traceback.print_exc()
    os._exit(code)


def as_somebody(work: Callable[[], object]) -> Callable[[], object]:
    """The same work without the superuser's rights, for a child: who has them is not stopped by any permission."""

    def run() -> object:
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        return work()

    return run
