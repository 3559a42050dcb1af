"""Rows on Ray: on this machine, on a simulated cluster of two machines with a worker killed, and without Ray."""

import contextlib
import os
import re
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.tools.experiments import small
from tests.tools.experiments.test_running import contents
from tinylab.course import results
from tinylab.support.errors import InvalidInputError
from tinylab.tools import experiments
from tinylab.tools.experiments import worker

pytestmark = pytest.mark.xdist_group("cluster")  # one process makes what they share


@pytest.fixture(scope="module")
def two_machines(prepared):
    """A Ray cluster of two nodes with a processor each, all on this machine; its address."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in small.surroundings(prepared).items():  # the workers have those of the nodes
            patch.setenv(name, value)
        patch.setenv("RAY_worker_register_timeout_seconds", str(small.PATIENCE))
        cluster = _started()
        yield cluster.address
        cluster.shutdown()


def _started(attempts=3):
    """Ray gives its processes 15 seconds to say which ports they took, few on a busy machine: they are told most.

    Another process may take a port between asking for it and using it; then all begins again.
    """
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        for _ in range(2):
            names = (
                "metrics_agent_port",
                "metrics_export_port",
                "runtime_env_agent_port",
                "dashboard_agent_listen_port",
            )
            ports = dict(zip(names, _free_ports(len(names)), strict=True))
            fewer = {"include_dashboard": False, "no_monitor": True, "include_log_monitor": False}  # processes to start
            cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20, **fewer, **ports)
        cluster.wait_for_nodes(timeout=small.PATIENCE)
    except Exception:
        cluster.shutdown()
        if attempts == 1:
            raise
        return _started(attempts - 1)
    return cluster


def _free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def test_local_ray_leaves_the_same_records(tmp_path, two_machines, monkeypatch):
    """ "local" is what Ray is asked for; it gets a cluster that runs already, which starts quicker than a new one."""
    import ray

    init, asked = ray.init, []

    def joined(address, include_dashboard=True, _node_ip_address=None, **options):
        asked.append((address, include_dashboard, _node_ip_address))
        return init(address=two_machines, **options)

    monkeypatch.setattr(ray, "init", joined)
    chosen = small.plan(epochs=2, axes="learning_rate = [0.001, 1e30]", top="weights = [1]")
    said = []
    assert experiments.run(chosen, tmp_path / "ray", address="local", say=said.append) == experiments.Report(1, 1, 0)
    assert asked == [("local", False, "127.0.0.1")]
    assert "2 to do, on Ray at 'local'" in said[0]
    assert [worker.work(job) for job in small.jobs(chosen, tmp_path / "here")] == ["done", "failed"]
    assert contents(tmp_path / "ray") == contents(tmp_path / "here")


def test_a_worker_killed_mid_run_is_replaced_and_the_row_goes_on(tmp_path, two_machines):
    chosen = small.plan(epochs=30, seeds="[0, 1]", axes="l2 = [0.0]")
    victim = chosen.rows[0]
    folder = tmp_path / "ray" / "rows" / victim.identifier

    def kill():
        """A worker of Ray, as soon as it has an epoch of the first row behind it."""
        small.wait_for(lambda: (folder / "clocks.json").exists(), "a first epoch")
        process = re.findall(r"process (\d+) on", (folder / "log.txt").read_text())[-1]
        os.kill(int(process), signal.SIGKILL)

    with ThreadPoolExecutor(1) as pool:
        killed = pool.submit(kill)
        report = experiments.run(chosen, tmp_path / "ray", address=two_machines, say=lambda line: None)
        killed.result()
    assert report == experiments.Report(2, 0, 0)
    assert results.load(victim.name, tmp_path / "ray").clocks.slices >= 2  # a second process went on
    assert [worker.work(job) for job in small.jobs(chosen, tmp_path / "here")] == ["done"] * 2
    assert contents(tmp_path / "ray") == contents(tmp_path / "here")


def test_without_ray_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    with pytest.raises(InvalidInputError, match=r"Ray is not installed. .*pip install 'ray>=2\.40'") as caught:
        experiments.run(small.plan(), tmp_path, address="local", say=lambda line: None)
    assert "\n" not in str(caught.value)


def test_no_cluster_at_that_address(tmp_path, monkeypatch):
    import ray

    monkeypatch.setattr(ray, "init", _refusing)  # Ray itself goes on asking for a minute
    with pytest.raises(InvalidInputError, match=r"no Ray cluster at 'here:1' \(no answer second line\)") as caught:
        experiments.run(small.plan(), tmp_path, address="here:1", say=lambda line: None)
    assert "\n" not in str(caught.value)


def _refusing(**options):
    raise ConnectionError("no answer\nsecond line")
