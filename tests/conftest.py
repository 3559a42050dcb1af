"""What tests of several rooms begin with."""

import pytest

from tinylab import cli


@pytest.fixture
def call(capsys):
    """Runs the command in this process; gives exit code, standard output and standard error."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return run
