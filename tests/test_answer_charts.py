"""Charts of answers: what `--plot` draws, with the same options, safe to show in a notebook."""

import re
import sys

import altair as alt
import pytest

import hbmopt
from commands import invoke
from fleets import SMALL
from hbmopt.errors import InputError
from hbmopt.report import charts
from hbmopt.report.charts import fleet_cost_chart, fleet_power_chart, fleet_token_chart
from hbmopt.report.notebook import answer_chart

ONE = "closed_form"
WHOLE = "choices.whole_sequences=true"
FLOORS = "limits.min_speed=10 tok/s/user,20 tok/s/user"
HOSTILE = '</script><script>alert("&")</script><!--\u202e\x1b[2J'


@pytest.fixture(scope="module")
def drawn():
    return hbmopt.frontier(ONE, WHOLE)


@pytest.fixture(scope="module")
def fleet():
    return hbmopt.solve_fleet(SMALL)


@pytest.mark.parametrize(
    ("command", "call"),
    [
        (("frontier", ONE, "--set", WHOLE), lambda drawn: drawn.chart()),
        (
            ("frontier", ONE, "--set", WHOLE, "--per", "accelerator"),
            lambda drawn: drawn.chart(per="accelerator"),
        ),
        (
            ("frontier", ONE, "--set", WHOLE, "--chart", "steps"),
            lambda drawn: drawn.chart(kind="steps"),
        ),
        (("sweep", ONE, "--vary", FLOORS), lambda _: hbmopt.sweep(ONE, FLOORS).chart()),
        (("compare", "h?00"), lambda _: hbmopt.compare(["h?00"]).chart()),
        (("compare", ONE, "h100"), lambda _: hbmopt.compare([ONE, "h100"]).chart()),
        (
            ("sensitivity", ONE, "--no-resolve"),
            lambda _: hbmopt.sensitivity(ONE, resolve=False).chart(),
        ),
    ],
    ids=["frontier", "per", "steps", "sweep", "law", "no law", "sensitivity"],
)
def test_a_chart_is_the_one_that_the_command_draws(command, call, drawn, tmp_path, monkeypatch):
    plotted = []
    monkeypatch.setattr(charts, "write_chart", lambda chart, _: plotted.append(chart))
    assert invoke(*command, "--plot", tmp_path / "chart.svg").exit_code == 0
    (chart,) = plotted
    assert call(drawn).to_dict() == chart.to_dict()


def test_frontiers_are_drawn_beside_each_other(drawn):
    other = hbmopt.frontier(ONE, [WHOLE, "name=other"])
    both = drawn.chart(other)
    assert isinstance(both, alt.LayerChart)
    styles = {
        tuple(one["encoding"]["strokeDash"]["scale"]["domain"])
        for one in both.to_dict()["layer"]
        if "strokeDash" in one["encoding"]
    }
    assert styles == {(ONE, "other")}


def test_a_fleet_is_drawn_by_kind(fleet):
    made = {"power": fleet_power_chart, "tokens": fleet_token_chart, "cost": fleet_cost_chart}
    for kind, draw in made.items():
        assert fleet.chart(kind).to_dict() == draw(fleet).to_dict()
    assert fleet.chart().to_dict() == fleet.chart("power").to_dict()


def test_what_cannot_be_drawn_is_told_in_one_line(drawn, fleet):
    none = hbmopt.solve_fleet(SMALL, {"classes.chat.throughput": "1M tok/s"})
    assert not none.feasible
    nothing = hbmopt.frontier(ONE, [WHOLE, "limits.min_speed=1000000 tok/s/user"])
    for call, message in (
        (lambda: drawn.chart("mw"), "chart: 'mw' is no frontier; .* such as per='mw'"),
        (lambda: drawn.chart(kind="step"), "chart: kind='step' is none of them; .*'steps'"),
        (lambda: drawn.chart(per="kw"), "chart: per='kw' is none of them; .*mw"),
        (lambda: drawn.chart(drawn, kind="steps"), "kind='steps' draws one frontier"),
        (lambda: drawn.chart(per="usd"), "--per usd: "),
        (lambda: fleet.chart("racks"), "chart: kind='racks' is none of them; valid: cost, power"),
        (none.chart, "small: no plan serves it"),
        (nothing.chart, f"{ONE}: nothing can be served"),
    ):
        with pytest.raises(InputError, match=message) as told:
            call()
        assert "\n" not in str(told.value)
    with pytest.raises(TypeError, match="int has no chart"):
        answer_chart(3)


def test_without_the_packages_a_chart_says_what_to_install(drawn, fleet, monkeypatch):
    monkeypatch.setitem(sys.modules, "altair", None)
    for one in (drawn, fleet, hbmopt.compare([ONE])):
        with pytest.raises(InputError, match=re.escape("pip install 'hbmopt[charts]'")):
            one.chart()


def test_texts_of_users_end_no_script_of_a_notebook_and_no_process():
    chart = hbmopt.frontier(ONE, {"choices.whole_sequences": True, "rack.title": HOSTILE}).chart()
    for renderer in ("default", "mimetype", "png"):
        with alt.renderers.enable(renderer):
            shown = str(chart._repr_mimebundle_())
        assert not any(sign in shown for sign in ("</script><script", "<!--", "\u202e", "\x1b"))
    assert "< /script><script>alert" in chart.to_json()
