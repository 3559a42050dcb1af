"""What surrounds the course: another user's files, umasks, odd folders, networks, settings, processes."""

import os
import re
import signal
import ssl
import stat
import subprocess
import sys
import threading
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import requests

from tests.data.crafted import craft, write_folder, write_zip
from tests.faults import kills
from tinylab import figures, training
from tinylab.data import download as downloads
from tinylab.data import fetch, info, load, prepare
from tinylab.data.folders import cannot_write
from tinylab.support.errors import DataError
from tinylab.tools import cli

LINE = "conv3-4 - max pool - max pool - max pool - max pool - softmax"


def said(*arguments: object, **options) -> tuple[int, str]:
    """Exit code and standard error of the command in a process of its own."""
    command = [sys.executable, "-m", "tinylab", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False, **options)
    return done.returncode, done.stderr.decode(errors="replace")


# ---- errors of the environment


@pytest.mark.parametrize("arguments", [["run", "01"], ["data", "info"], ["train", "model_1", "--out", "x"]])
def test_a_long_path_is_one_line(tmp_path, call, monkeypatch, arguments):
    """errors of the environment: 300 letters, wherever a path may be given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYLAB_CACHE", "x" * 300)
    code, _, error = call(*arguments)
    assert code == 2, error
    assert error.count("\n") == 1
    assert "defect" not in error


@pytest.mark.parametrize(
    "arguments",
    [
        ["data", "prepare", "--from", "x" * 300],
        ["train", "model_1", "--out", "x" * 300],
        ["train", "model_1", "--data", "./" + "x" * 300, "--out", "y"],
        ["predict", "x" * 300, "--images", ".", "--out", "y"],
        ["predict", "checkpoint.pt", "--images", ".", "--out", "x" * 300],
        ["run", "x" * 300 + ".ipynb"],
        ["data", "fetch", "--to", "x" * 300],
    ],
)
def test_a_long_path_in_an_option_is_one_line(tmp_path, root, call, monkeypatch, arguments):
    """errors of the environment: the path, shortened, and what to do."""
    monkeypatch.chdir(tmp_path)
    code, _, error = call(*arguments)
    assert code == 2, error
    assert error.count("\n") == 1
    assert "File name too long" in error
    assert "defect" not in error
    assert list(tmp_path.iterdir()) in ([], [root])


@pytest.mark.parametrize("content", [b"", "{}".encode("utf-16"), b"\xff"])
def test_a_notebook_that_is_none(tmp_path, call, content):
    """errors of the environment: an empty notebook, one in another encoding; the file is named, nothing is written."""
    (tmp_path / "01_data.ipynb").write_bytes(content)
    code, _, error = call("student", tmp_path / "out", tmp_path / "01_data.ipynb")
    assert code == 2
    assert f"{tmp_path / '01_data.ipynb'} is no readable notebook" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_working_folder_that_is_gone(tmp_path):
    """errors of the environment: somebody deleted the folder that the terminal stands in."""
    gone = tmp_path / "gone"
    gone.mkdir()
    script = "import os, sys; os.rmdir(os.getcwd()); from tinylab.tools.cli import main; main(sys.argv[1:])"
    for arguments in (["run", "01"], ["train", "model_1", "--out", "x"], ["data", "prepare", "--from", "x.zip"]):
        gone.mkdir(exist_ok=True)
        command = [sys.executable, "-P", "-c", script, *arguments]
        environment = os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[3])}
        done = subprocess.run(command, cwd=gone, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 2, done.stderr
        assert "the folder that this was started in is gone. Change into another folder" in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_folder_in_latin_1(tmp_path, root):
    """errors of the environment: a name whose bytes are no UTF-8: of the folder it is none, in it it is named."""
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/Bl\xfcten")
    write_folder(Path(folder), craft())
    data = load(folder, development=0)
    assert len(data.train) == 36
    code, error = said("data", "prepare", "--from", folder, "--name", "bloom")
    assert (code, error) == (0, "")
    code, error = said("train", LINE, "--data", folder, "--epochs", "1", "--out", tmp_path / "run")
    assert code == 0, error
    write_folder(Path(folder), {os.fsdecode(b"train/n01/images/K\xe4se.JPEG"): b""})
    with pytest.raises(DataError, match=r"K\\udce4se\.JPEG' in .* has a name that is not in UTF-8; rename it"):
        load(folder)


def test_a_cache_that_only_another_user_may_read(public, monkeypatch):
    """errors of the environment: path and remedy, by name, by path, in the list; nobody calls it a defect."""
    cache = public / "cache"
    monkeypatch.setenv("TINYLAB_CACHE", str(cache))
    path = write_zip(public / "tiny.zip", craft())
    path.chmod(0o644)
    prepare(path, "tiny", progress=False)
    (cache / "prepared" / "tiny").chmod(0o700)

    def second() -> None:
        assert "not readable" in str(info())
        with pytest.raises(DataError, match=r"cannot read .*tiny \(Permission denied\); ask its owner.*chmod -R a\+rX"):
            load("tiny")

    def closed() -> None:
        with pytest.raises(DataError, match=r"cannot read .*prepared \(Permission denied\); ask its owner"):
            info()

    if os.getuid() == 0:  # or there is no second user
        kills.undisturbed(kills.as_somebody(second))
        (cache / "prepared").chmod(0o700)
        kills.undisturbed(kills.as_somebody(closed))


@pytest.mark.parametrize("mode", [0o2777, 0o775, 0o755, 0o700])
def test_a_class_shares_what_the_first_prepared(public, monkeypatch, mode):
    """errors of the environment: whoever may read the cache folder may read all in it, whatever the umask."""
    cache = public / "cache"
    cache.mkdir()
    cache.chmod(mode)
    monkeypatch.setenv("TINYLAB_CACHE", str(cache))
    path = write_zip(public / "tiny.zip", craft())
    path.chmod(0o644)
    before = os.umask(0o077)
    try:
        prepare(path, "tiny", progress=False)
    finally:
        os.umask(before)
    for folder, _, files in os.walk(cache / "prepared"):
        assert stat.S_IMODE(os.stat(folder).st_mode) & 0o777 == mode & 0o777
        for file in files:
            assert stat.S_IMODE(os.stat(os.path.join(folder, file)).st_mode) == mode & 0o666, file

    def second() -> None:
        assert len(load("tiny").train) == 33
        if mode & 0o002:
            prepare(path, "tiny", progress=False, rebuild=True)

    if mode & 0o004:
        kills.undisturbed(kills.as_somebody(second))


# ---- false causes


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"REQUESTS_CA_BUNDLE": "/no/such/bundle.pem"},
            "no trusted certificate: .*/no/such/bundle.pem.*REQUESTS_CA_BUNDLE",
        ),
        ({"ALL_PROXY": "http://127.0.0.1:9"}, "the proxy does not answer: .*Check HTTP_PROXY"),
    ],
)
def test_the_network_s_own_words(tmp_path, monkeypatch, variables, words):
    """false causes: a bundle that is not there, a dead proxy; never a full disk, and what to do about it."""
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DataError, match=words) as caught:
        fetch(tmp_path / "a.zip", ["https://tinylab.invalid/a.zip"], progress=False, size=1)
    assert "disk" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            requests.exceptions.SSLError(ssl.SSLCertVerificationError("self-signed certificate")),
            "self-signed certificate",
        ),
        (requests.exceptions.InvalidSchema("Missing dependencies for SOCKS support."), r"SOCKS support\. Install that"),
        (requests.exceptions.InvalidSchema("No connection adapters were found"), "received, No connection adapters"),
        (OSError("something without a number\nand more"), "received, something without a number$"),
    ],
)
def test_a_library_s_own_words(tmp_path, monkeypatch, error, words):
    """false causes: what no server on this machine can bring about."""

    def fails(*arguments: object) -> None:
        raise error

    monkeypatch.setattr("pooch.HTTPDownloader.__call__", fails)
    with pytest.raises(DataError, match=words) as caught:
        downloads._download("https://tinylab.invalid/a.zip", tmp_path, "0" * 32, 1, False)
    assert "disk" not in str(caught.value)


def test_an_error_without_a_number_is_no_full_disk(tmp_path):
    """false causes: nor anywhere else."""
    assert "not enough disk" not in str(cannot_write(tmp_path, OSError("odd"), 1000))
    assert "not enough disk" in str(cannot_write(tmp_path, OSError(28, "No space left on device"), 1000))


# ---- the user's own matplotlib settings


SETTINGS = {"text.usetex": True, "font.size": 30, "axes.grid": True, "axes.facecolor": "black", "lines.linewidth": 9}


def test_pictures_are_drawn_with_settings_of_their_own():
    """the user's own matplotlib settings: LaTeX, huge letters, black panels; the same picture, bit for bit."""
    matrices = {"as it should be": np.eye(3, dtype=int)}
    plain = figures.signatures(matrices).png()
    with matplotlib.rc_context(SETTINGS):
        assert figures.signatures(matrices).png() == plain
        assert matplotlib.rcParams["text.usetex"]
        assert matplotlib.rcParams["font.size"] == 30


def test_every_picture_is():
    """the user's own matplotlib settings: no function that makes a picture is left out."""
    for path in Path(figures.__file__).parent.glob("*.py"):
        for function in re.findall(r"(?:^@.*\n)*^def .*\n(?:^(?:[ )].*)?\n)*", path.read_text(), re.MULTILINE):
            assert ("Picture(" not in function) or "@drawn" in function, function[:80]


def test_threads_that_draw_leave_the_settings_as_they_were():
    """the user's own matplotlib settings: the laboratory draws in a thread of its own."""
    matrices = {"as it should be": np.eye(3, dtype=int)}
    with matplotlib.rc_context({"font.size": 30}):
        threads = [threading.Thread(target=lambda: figures.signatures(matrices).png()) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert matplotlib.rcParams["font.size"] == 30


def test_a_picture_that_cannot_be_drawn_fails_no_training(tmp_path, root, call, monkeypatch):
    """the user's own matplotlib settings: whatever happens to the picture, the training is finished and says so."""
    path = write_zip(tmp_path / "tiny.zip", craft())

    def fails(*arguments: object) -> None:
        raise RuntimeError("no LaTeX here")

    monkeypatch.setattr(figures, "curves", fails)
    code, out, error = call("train", LINE, "--data", path, "--epochs", "1", "--out", tmp_path / "run")
    assert code == 0
    assert "written to" in out
    assert "curves.png" not in out
    assert error == "tinylab: curves.png is missing (no LaTeX here)\n"


# ---- two trainings, one folder


def test_the_second_of_two_trainings_is_refused(tmp_path, root, call):
    """two trainings, one folder: the second is told at once; the lock of one that is killed is released."""
    path, out = write_zip(tmp_path / "tiny.zip", craft()), tmp_path / "run"
    load(path)
    ready, telling = os.pipe()

    def slow(*arguments: object, **options: object) -> None:
        os.write(telling, b".")
        signal.pause()

    def first() -> None:
        training.train = slow
        cli.main(["train", LINE, "--data", str(path), "--epochs", "1", "--out", str(out)])

    child = kills.start(first)
    os.read(ready, 1)
    code, _, error = call("train", LINE, "--data", path, "--epochs", "1", "--out", out)
    assert code == 2
    assert error == f"tinylab: another `tinylab train` is at work in {out}. Wait for it, or choose another --out\n"
    os.kill(child[1], signal.SIGKILL)
    assert kills.ended(*child) == -signal.SIGKILL
    assert call("train", LINE, "--data", path, "--epochs", "1", "--out", out)[0] == 0
