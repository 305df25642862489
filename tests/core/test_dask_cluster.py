"""Workers of a Dask cluster on one machine take its GPUs in turn."""

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from stages.core import dask_cluster


def take(told: Connection, cluster: str) -> None:
    told.send(dask_cluster._take_number(cluster))
    told.recv()


class Worker:
    """A process that holds a number until it is killed."""

    def __init__(self, cluster: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=take, args=(there, cluster))
        self._process.start()
        self.number = self._pipe.recv()

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


def test_the_place_of_a_killed_worker_is_taken_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    workers = [Worker("tcp://one:1") for _ in range(3)]
    assert [worker.number for worker in workers] == [0, 1, 2]
    workers[1].kill()
    other = Worker("tcp://other:1")
    assert other.number == 0, "another cluster has numbers of its own"
    workers.append(Worker("tcp://one:1"))
    assert workers[-1].number == 1
    for worker in [*workers, other]:
        worker.kill()
