"""Sweeps that run at once in threads of one process leave each other alone."""

from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from threading import Barrier

from builders import INSTANCES
from hbmopt.instance.schema import load_document
from hbmopt.instance.variation import parse_variation, points
from hbmopt.points import PointSearch
from hbmopt.studies.sweep import workers as sweep_workers
from hbmopt.studies.sweep.sweeping import sweep
from hbmopt.studies.sweep.workers import Problem

CAPS = "limits.power=4 kW:9 kW:0.25 kW"
FLOORS = "limits.min_speed=0 tok/s/user:120 tok/s/user:8 tok/s/user"
SWEEPS = (
    (INSTANCES / "h100.yaml", CAPS),
    (INSTANCES / "h200.yaml", FLOORS),
    (INSTANCES / "cpu_budget.yaml", FLOORS),
)


def test_two_sweeps_in_two_threads_give_the_rows_of_one_after_the_other(monkeypatch):
    monkeypatch.setattr(sweep_workers, "MOST_TOGETHER", 2)  # so that they take turns often
    expected = [sweep(*one).contents("csv") for one in SWEEPS]
    together = Barrier(len(SWEEPS))

    def swept(one):
        together.wait()
        return sweep(*one).contents("csv")

    with ThreadPoolExecutor(len(SWEEPS)) as threads:
        assert list(threads.map(swept, SWEEPS)) == expected


def test_what_one_sweep_knows_is_not_undone_by_another(monkeypatch):
    begun = []

    class Counted(PointSearch):
        def __init__(self, instance):
            begun.append(instance.name)
            super().__init__(instance)

    monkeypatch.setattr("hbmopt.studies.sweep.point.PointSearch", Counted)
    monkeypatch.setattr(sweep_workers, "MOST_TOGETHER", 1)
    runs = []
    for path, text in SWEEPS:
        varied = parse_variation(text)
        problem = Problem(load_document(path), (varied.path,))
        runs.append(sweep_workers.in_this_process(problem, points([varied])[:4]))
    taken = list(zip_longest(*runs))
    assert len(taken) == 4
    # What shares a declared budget is solved point by point.
    assert sorted(begun) == ["h100", "h200"]


def test_the_chunks_of_a_worker_share_what_they_have_in_common(monkeypatch):
    begun = []

    class Counted(PointSearch):
        def __init__(self, instance):
            begun.append(instance.name)
            super().__init__(instance)

    monkeypatch.setattr("hbmopt.studies.sweep.point.PointSearch", Counted)
    problem = Problem(load_document(INSTANCES / "h100.yaml"), ("limits.power",))
    grid = points([parse_variation(CAPS)])
    with ThreadPoolExecutor(1) as worker:
        for begin in range(0, 6, 2):
            chunk = list(grid[begin : begin + 2])
            assert len(worker.submit(sweep_workers.answers, problem, chunk).result()) == 2
    assert begun == ["h100"]
