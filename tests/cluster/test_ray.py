"""A grid on a Ray cluster of two nodes, one of which is removed at work: the same bytes as here."""

from __future__ import annotations

import random
import threading
import time
import warnings
from collections.abc import Iterator

import pytest

from bench.engine.executors import ray as executor
from bench.engine.life.settings import Settings
from bench.errors import BenchError
from bench.store import lease

from .test_slurm import ends, same_bytes, strays, tasks, undisturbed  # noqa: F401 - fixtures


@pytest.fixture
def two_nodes(monkeypatch) -> Iterator[object]:
    """A cluster of a head with one core; the test may add nodes and remove them.

    A node is half a dozen processes, so there are no more of them, and none that only watch.
    """
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own, about its coming versions
        cluster_utils = pytest.importorskip("ray.cluster_utils", reason="Ray is not installed")
        import ray

        head = {
            "num_cpus": 1,
            "object_store_memory": 10**8,
            "include_dashboard": False,
            "include_log_monitor": False,
            "no_monitor": True,
        }
        state = random.getstate()  # Ray draws from the global generator of the process that uses it
        cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
        try:
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()
            random.setstate(state)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_node_that_goes_changes_no_byte(two_nodes, tmp_path, tasks, undisturbed):  # noqa: F811
    node = two_nodes.add_node(num_cpus=1, object_store_memory=10**8)
    gone = threading.Event()

    def remove() -> None:
        while not any(lease.held(tmp_path / t.spec.id) for t in tasks):
            time.sleep(0.1)
        two_nodes.remove_node(node, allow_graceful=False)
        gone.set()

    threading.Thread(target=remove, daemon=True).start()
    events: list[dict] = []
    executor.Ray(2, two_nodes.address).run(tasks, Settings(results=tmp_path), events.append)
    assert gone.is_set()
    assert ends(events) == {t.spec.id: "done" for t in tasks}
    assert same_bytes(tmp_path, undisturbed, tasks)
    for task in tasks:
        lease.sweep(tmp_path / task.spec.id)
    assert strays(tmp_path) == []


@pytest.mark.parametrize(
    ("device", "there", "gpus"),
    [
        ("auto", {"CPU": 8.0}, 0),
        ("auto", {"GPU": 4.0}, 1),
        ("cuda", {}, 1),
        ("cuda:0", {"GPU": 1.0}, 1),
        ("cpu", {"GPU": 1.0}, 0),
    ],
)
def test_a_worker_asks_for_a_gpu_where_there_are_some_and_it_may_use_one(device, there, gpus):
    assert executor.wanted_gpus(device, there) == gpus


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_that_is_not_there_is_one_sentence(monkeypatch, tmp_path, tasks):  # noqa: F811
    pytest.importorskip("ray", reason="Ray is not installed")
    monkeypatch.setenv("RAY_ADDRESS", "")
    with pytest.raises(BenchError, match="no Ray cluster at 'auto'"):
        executor.Ray(1).run(tasks, Settings(results=tmp_path), lambda event: None)
    assert list(tmp_path.iterdir()) == []
