"""What tests of several rooms begin with."""

import os
import signal

import pytest

from tinylab.support.device import PRECISION_VARIABLE
from tinylab.tools import cli

# Everywhere the same arithmetic, also where the processor has bf16: the tests of that ask for it. In the environment,
# since kernels and workers inherit it.
os.environ[PRECISION_VARIABLE] = "float32"

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # as a shell starts what runs in the background; tests press Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def call(capsys):
    """Runs the command in this process; gives exit code, standard output and standard error."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return run
