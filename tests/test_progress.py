"""How far a command is: what is foretold of its end, and the line on a terminal."""

import subprocess
import sys

import pytest

from builders import ROOT
from hbmopt.basics import Remaining, duration
from hbmopt.cli.progress import counter, stages


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self):
        return self.now


def told(parts, most):
    """Return the seconds that are said to be left, and those that are, as each part is done."""
    clock = Clock()
    remaining, end = Remaining(clock), parts[-1]
    found = []
    for done, clock.now in enumerate(parts, start=1):
        remaining.tell(done, most)
        found.append((remaining.seconds(), end - clock.now))
    return found


def test_even_work_foretells_its_end_after_a_second_whatever_came_before():
    started = 7.0  # a start-up that is no part of the pace
    found = told([started + 0.1 * part for part in range(1000)], 1000)
    for said, true in found[10:-1]:
        assert said == pytest.approx(true, rel=1e-6)
    assert found[2][0] is None, "after a fifth of a second nothing is known"


def test_noise_is_told_within_a_third():
    times = [0.0]
    for part in range(400):
        times.append(times[-1] + (0.05 if part % 3 else 0.2))
    known = [(said, true) for said, true in told(times, len(times))[25:-5] if said is not None]
    assert len(known) > 350
    assert all(said == pytest.approx(true, rel=0.3, abs=0.3) for said, true in known)


BURSTS = [
    *((15.2, 0), (20.9, 5), (21.0, 10), (21.1, 15), (21.7, 20), (21.8, 25), (21.9, 30)),
    *((21.95, 35), (25.1, 40), (26.7, 45), (31.3, 50), (32.0, 55), (33.4, 60), (35.0, 65)),
]
"""Seconds after which numbers of a sensitivity were done; all 70 were after 36.6."""


def test_of_parts_that_come_in_bursts_no_wrong_end_is_foretold():
    clock = Clock()
    remaining = Remaining(clock)
    for clock.now, done in BURSTS:
        remaining.tell(done, 70)
        said = remaining.seconds()
        assert said is None or said == pytest.approx(36.6 - clock.now, rel=0.35, abs=0.5)
    assert told([9.0, 9.0, 9.0, 9.0], 1000)[-1][0] is None, "at one go there is no pace"


def test_an_end_that_passes_is_known_no_more():
    clock = Clock()
    remaining = Remaining(clock)
    for part in range(20):
        clock.now = 0.1 * part
        remaining.tell(part, 30)
    assert remaining.seconds() == pytest.approx(1.1)
    clock.now += 0.5
    assert remaining.seconds() == pytest.approx(0.6)
    clock.now += 10.0
    assert remaining.seconds() is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (59.4, "59 s"), (125, "2:05 min"), (3725, "1:02:05 h")]
)
def test_durations_are_read_at_a_glance(seconds, text):
    assert duration(seconds) == text


def test_nothing_is_shown_off_a_terminal(capsys):
    with counter("points") as progress, stages("reading") as doing:
        assert progress is None
        assert doing is None
    assert capsys.readouterr() == ("", "")


SHOWS = """
import time
from hbmopt.cli.progress import counter, stages
with stages("reading") as told:
    time.sleep(0.2)
    told("load curves: 3 of 9 drawn")
    time.sleep(0.4)
try:
    with counter("points") as progress:
        for done in range(40):
            time.sleep(0.05)
            progress(done, 100)
        raise KeyboardInterrupt
except KeyboardInterrupt:
    print("interrupted")
"""


def test_the_line_is_taken_away_at_the_end_and_by_ctrl_c():
    outcome = subprocess.run(
        [sys.executable, "-c", f"import pty; pty.spawn([{sys.executable!r}, '-c', {SHOWS!r}])"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=True,
        env={"PYTHONPATH": str(ROOT / "optimizer"), "COLUMNS": "60"},
    )
    drawn = [one for one in outcome.stdout.replace("\n", "\r").split("\r") if one]
    assert drawn[0] == "reading"
    assert "load curves: 3 of 9 drawn" in drawn
    assert any("of 100 points, about" in one for one in drawn)
    assert all(len(one) < 60 for one in drawn)
    # What was drawn last is overwritten by as many spaces, and then comes what is said.
    assert drawn[-1] == "interrupted"
    assert drawn[-2].isspace()
    assert len(drawn[-2]) >= len(drawn[-3].rstrip())
