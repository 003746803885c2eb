"""The memory of a sweep does not grow with its points, whoever answers them."""

import tracemalloc
from concurrent.futures import Future
from importlib.util import find_spec

import pytest

from builders import INSTANCES
from hbmopt.instance.schema import load_document
from hbmopt.instance.variation import parse_variation, points
from hbmopt.studies.sweep import journal as sweep_journal
from hbmopt.studies.sweep import workers as sweep_workers
from hbmopt.studies.sweep.sweeping import sweep
from hbmopt.studies.sweep.workers import CHUNKS_AHEAD, Problem

H100 = INSTANCES / "h100.yaml"
FEW, MANY = 1_000, 6_000
BYTES_PER_POINT = 20
"""More than the place of a line in the journal takes, and less than anything of a row."""


def cheap(_, answered, *__):
    """Answer points at no cost, by rows of which no two are the same."""
    for point in answered:
        if not point.index:
            tracemalloc.reset_peak()  # reading the instance takes more than all rows
        yield point.index, {"status": "optimal", "throughput_tok_s": point.index / 7}


def peak(count, output):
    """Return the bytes that a sweep takes at most."""
    tracemalloc.start()
    try:
        sweep(H100, f"limits.power=8001 W:{8000 + count} W:1 W", output=output)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["rows.csv", None])
def test_a_point_takes_no_more_than_its_place_in_the_journal(name, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_workers, "_answered", cheap)
    monkeypatch.setattr(sweep_journal, "MOST_IN_MEMORY", 2**16)
    output = tmp_path / name if name is not None else None
    peak(10, output)  # what is imported and kept once
    grown = peak(MANY, output) - peak(FEW, output)
    assert grown / (MANY - FEW) < BYTES_PER_POINT


def grid(count):
    """A problem of points that differ in a field for which workers take few at a time."""
    varied = parse_variation(f"workload.prompt=1:{count}:1")
    return Problem(load_document(H100), (varied.path,)), points([varied])


def test_processes_are_given_no_more_than_they_are_soon_to_answer(monkeypatch):
    given = []

    class Pool(sweep_workers.ProcessPoolExecutor):
        def submit(self, call, *arguments):
            future = Future()
            future.set_result(call(*arguments))
            given.append(len(arguments[1]))
            return future

    monkeypatch.setattr(sweep_workers, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(sweep_workers, "_answered", cheap)
    problem, all_points = grid(2000)
    for taken, _ in enumerate(sweep_workers.in_processes(problem, all_points, 2)):
        assert sum(given) <= taken + 2 * 2 * CHUNKS_AHEAD * problem.chunk
    assert sum(given) == taken + 1 == 2000


@pytest.mark.skipif(find_spec("distributed") is None, reason="dask.distributed is not installed")
def test_a_cluster_is_given_no_more_than_it_is_soon_to_answer(monkeypatch):
    import distributed

    given, plain = [], distributed.Client.submit

    def submit(self, *call, **options):
        *_, chunk = call
        given.append(len(chunk))
        return plain(self, dict.fromkeys, [point.index for point in chunk], **options)

    monkeypatch.setattr(distributed.Client, "submit", submit)
    problem, all_points = grid(700)
    for taken, _ in enumerate(sweep_workers.on_dask(problem, all_points, "local", 1)):
        assert sum(given) <= taken + 2 * CHUNKS_AHEAD * problem.chunk
    assert sum(given) == taken + 1 == 700
