"""Kernels of their own for notebooks that run without anyone watching.

Each is this very Python, whatever kernels the user has installed, with its share of the cores, and knows that nobody
is there to move a slider.
"""

import os
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

from tinylab.support.cores import core_count
from tinylab.support.errors import check_int

_STARTUP = 300  # seconds until a kernel answers: a machine may be busy


def environment(jobs: int = 1) -> dict[str, str]:
    """The environment of a kernel that runs beside `jobs` - 1 others: a fair share of the cores each."""
    check_int("jobs", jobs, 1)
    # torch listens to both, and to MKL's first: whoever has set one of them means both
    given = os.environ.get("MKL_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS") or str(max(1, core_count() // jobs))
    return {
        **os.environ,
        "OMP_NUM_THREADS": given,
        "MKL_NUM_THREADS": given,
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "TINYLAB_HEADLESS": "1",  # the laboratory's controls train at once instead of in a thread
    }


def client(notebook: NotebookNode, folder: Path, timeout: float, **hooks: Any) -> NotebookClient:
    """nbclient's own runner, with a kernel of this Python that works in `folder`; `timeout` in seconds for a cell."""
    ours = KernelSpecManager(kernel_dirs=[])  # where it finds none, "python3" is ipykernel's own: the Python that runs
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=ours)
    place = {"metadata": {"path": str(folder)}}
    return NotebookClient(
        notebook, km=manager, timeout=round(timeout), startup_timeout=_STARTUP, resources=place, **hooks
    )
