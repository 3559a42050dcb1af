"""Who may use which core: training in a background thread as fast as in the main one, and what is left for others.

Torch's arithmetic on a CPU is done by a team of threads, one for each core, and every Python thread that computes gets
a team of its own, which GNU's runtime keeps for the next time. Once there are more threads than cores, it puts a
waiting thread to sleep at once instead of letting it spin for a moment, and a step has hundreds of such moments.
Measured with a main thread that had computed before: 30 updates of Model 1 in a background thread 10.1 s, 9.0 s after
the main thread had let its team go, in the main thread itself 9.0 s (two cores, batch 32, torch 2.13, medians of 3).
"""

import ctypes
import sys

import torch

from tinylab.support.cores import core_count

_SOFT = 1  # omp_pause_soft, in the OpenMP specification's section on omp_pause_resource_all


def release_team() -> None:
    """Let go of the calling thread's team; its next large operation founds a new one, in well under a millisecond.

    Does nothing inside a parallel region, where the thread has no team, or where the runtime is not GNU's.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        libraries = ctypes.CDLL(None)
        pause = libraries.omp_pause_resource_all
    except (OSError, AttributeError):  # torch was built without OpenMP, or with one older than version 5.0
        return
    if not hasattr(libraries, "__kmpc_fork_call"):  # LLVM's runtime shares one pool among all threads
        pause(_SOFT)


def spare_core(target: torch.device) -> bool:
    """Whether a core of this machine has nothing to do while a network trains on `target`."""
    return target.type != "cpu" or torch.get_num_threads() < core_count()
