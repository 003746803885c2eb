"""The report and the chart files, looked at in a browser: what is drawn, hovered and asked for."""

import re
from collections import Counter
from html.parser import HTMLParser

import pytest

import hbmopt
from browser import running
from builders import INSTANCES
from commands import invoke
from hbmopt.basics.wording import INPUT_NAMES, made
from hbmopt.report.page.power_curve import power_caps
from hbmopt.studies.sensitivity.upgrades import upgrades

H200, CLOSED_FORM = str(INSTANCES / "h200.yaml"), str(INSTANCES / "closed_form.yaml")
HOSTILE = '</script><script>alert("x")</script><img src=x onerror=alert(1)> & "quotes"'
SECTIONS = ["answer", "cost", "frontier", "limits", "power", "step", "buy"]
SECTIONS += ["assumptions", "alternatives", "certificate"]
DRAWN = "return document.querySelectorAll('figure[data-chart=drawn]').length === arguments[0]"
SIZES = """
return [...document.querySelectorAll("figure")].map((figure) => {
  const box = figure.querySelector(".chart svg.marks").getBoundingClientRect();
  return [box.width, box.height];
});
"""
MARKS = """
return [...document.querySelectorAll(arguments[0] + " .mark-symbol path")].filter(
  (one) => one.getBoundingClientRect().width > 4);
"""
HOVERED = ("batch", "speed", "power", "limited by", "configuration")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with running(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of an instance whose texts try to be markup."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    outcome = invoke("report", H200, "-o", str(path), "--set", f"description={HOSTILE!r}")
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (0, "", "")
    return path


@pytest.fixture(scope="module")
def instance():
    return hbmopt.load(INSTANCES / "h200.yaml")


class Reader(HTMLParser):
    """Takes a page apart: headings, sections, links, and whether all elements are closed."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self, page):
        super().__init__()
        self.open, self.sections, self.loaded, self.unbalanced = [], [], [], []
        self.words, self.tags = [], Counter()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags[tag] += 1
        if tag == "section":
            self.sections.append(found["id"])
        self.loaded += [
            value for name, value in attrs if name == "src" and not value.startswith("data:")
        ]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def test_the_report_draws_all_its_charts_and_asks_for_nothing(browser, report):
    browser.width(1200)
    browser.open(report)
    browser.until(DRAWN, 3)
    for width, height in browser.run(SIZES):
        assert 600 < width < 1200
        assert 300 < height < 800
    assert browser.complaints() == []
    assert browser.requests() == []
    assert browser.run("return document.documentElement.scrollWidth") <= 1200
    assert browser.run("return document.querySelector('h1').innerText") == HOSTILE


@pytest.mark.parametrize("section", ["frontier", "power"])
def test_points_of_the_report_can_be_hovered(browser, report, section):
    browser.width(1200)
    browser.open(report)
    browser.until(DRAWN, 3)
    text = browser.hover(browser.run(MARKS, f"#{section}")[0])
    assert [part for part in HOVERED if part not in text] == []
    assert browser.complaints() == []


def test_parts_of_the_step_can_be_hovered(browser, report):
    browser.width(1200)
    browser.open(report)
    browser.until(DRAWN, 3)
    bar = browser.run("return document.querySelector('#step .mark-rect path')")
    assert "share of the step" in browser.hover(bar)


def test_the_report_fits_a_phone(browser, report):
    browser.width(390)
    browser.open(report)
    browser.until(DRAWN, 3)
    assert browser.run("return document.documentElement.scrollWidth") <= 390
    for width, height in browser.run(SIZES)[:2]:
        assert 280 < width <= 390
        assert height > 250
    assert browser.complaints() == []


def test_print_folds_nothing_away(browser, report):
    browser.open(report)
    opened = "return [...document.querySelectorAll('main details')].map((one) => one.open)"
    told = "dispatchEvent(new Event(arguments[0]))"
    before = browser.run(opened)
    assert len(before) >= 3
    assert not any(before)
    browser.run(told, "beforeprint")
    assert all(browser.run(opened))
    browser.run(told, "afterprint")
    assert browser.run(opened) == before


def test_a_chart_file_can_be_hovered_and_asks_for_nothing(browser, tmp_path):
    path = tmp_path / "frontier.html"
    assert invoke("frontier", H200, "--plot", str(path)).exit_code == 0
    browser.width(1200)
    browser.open(path)
    browser.until("return document.querySelectorAll('svg.marks').length === 1")
    width, height = browser.run(
        "const box = document.querySelector('svg.marks').getBoundingClientRect();"
        "return [box.width, box.height]"
    )
    assert 600 < width <= 1200
    assert height > 300
    text = browser.hover(browser.run(MARKS, "body")[0])
    assert [part for part in HOVERED if part not in text] == []
    assert browser.complaints() == []
    assert browser.requests() == []


def test_an_infeasible_instance_has_a_page_too(browser, tmp_path):
    path = tmp_path / "report.html"
    changes = ("--set", "limits.min_speed=900 tok/s/user")
    changes += ("--set", "choices.replica_accelerators=[4, 8]")
    outcome = invoke("report", H200, "-o", str(path), *changes)
    assert (outcome.exit_code, outcome.stderr) == (1, "")
    browser.open(path)
    shown = browser.run("return document.querySelector('#answer').innerText")
    assert "Nothing can be served" in shown
    assert "900 tok/s/user" in shown
    assert "Limits that exclude each other: time of a step, speed floor." in shown
    cured = browser.run("return document.querySelector('#cures').innerText")
    found = re.search(r'--set limits.min_speed="([^"]+)"', cured)
    assert hbmopt.solve(hbmopt.load(H200, {"limits.min_speed": found[1]})).feasible
    links = browser.run("return [...document.querySelectorAll('nav a')].map((one) => one.hash)")
    assert links == ["#answer", "#cures", "#alternatives", "#assumptions", "#certificate"]
    assert browser.complaints() == []
    assert browser.requests() == []
    assert Reader(path.read_text(encoding="utf-8")).sections == [
        "answer",
        "cures",
        "alternatives",
        "assumptions",
        "certificate",
    ]


def test_the_page_is_whole_and_holds_vega_once(report):
    page = report.read_text(encoding="utf-8")
    found = Reader(page)
    assert found.sections == SECTIONS
    assert (found.open, found.unbalanced, found.loaded) == ([], [], [])
    assert 800_000 < len(page) < 2_000_000
    # No text of the instance is markup: one script for all charts, their data and pictures, and
    # one script for print.
    assert (found.tags["script"], found.tags["img"], found.tags["figure"]) == (5, 3, 3)
    assert "onerror=alert" in found.text


def test_the_page_says_what_solve_says(report, instance):
    solution = hbmopt.solve(instance)
    text = Reader(report.read_text(encoding="utf-8")).text
    assert f"{made(solution.throughput_tok_s, banded=True)} tok/s" in text
    for one in solution.inputs:
        assert INPUT_NAMES[one.name] in text
        assert f"{one.elasticity:+.3f}" in text or abs(one.elasticity) < 5e-4
    for one in solution.provenance:
        assert one.input in text
        assert one.note in text
    assert "proven optimal" in text.lower()
    assert solution.economics.statement in text
    assert f"{solution.economics.full_utilisation.usd_per_million:.3f} USD" in text


def test_what_to_buy_is_solved_anew(instance):
    solution = hbmopt.solve(instance)
    for one in upgrades(instance, solution):
        # The local price says nearly the same where the tenth is small beside the basis.
        local = one.change * one.input.elasticity
        assert one.gain == pytest.approx(local, abs=0.03)
        assert one.gain >= -1e-9
    bandwidth = ("rack", "accelerator", "hbm_bandwidth")
    found = next(one for one in upgrades(instance, solution) if one.input.name == bandwidth[-1])
    bought = hbmopt.solve(instance.scaled(bandwidth, 1.1))
    assert found.amount == pytest.approx(bought.throughput_tok_s, rel=1e-9)


def test_a_budget_is_bought_like_an_input():
    instance = hbmopt.load(INSTANCES / "cpu_budget.yaml")
    found = next(
        one for one in upgrades(instance, hbmopt.solve(instance)) if one.input.name == "host_cpu"
    )
    more = hbmopt.load(INSTANCES / "cpu_budget.yaml", {"limits.budgets.0.capacity": 1.1 * 112})
    assert found.amount == pytest.approx(hbmopt.solve(more).throughput_tok_s, rel=1e-9)
    assert found.gain > 0.001


def test_caps_go_from_parked_to_more_than_is_used(instance):
    caps = power_caps(instance)
    assert instance.power_cap_kw in caps
    assert caps == sorted(caps)
    assert 8 <= len(caps) <= 30
    assert caps[-1] >= hbmopt.solve(instance).power_w / 1e3
    assert power_caps(hbmopt.load(CLOSED_FORM)) == []


def test_a_page_of_what_has_no_frontier_of_its_own():
    seen = []
    page = hbmopt.report_page(
        hbmopt.load(CLOSED_FORM), progress=lambda done, most: seen.append((done, most))
    )
    found = Reader(page.html)
    assert page.feasible
    assert "3,200 tok/s" in found.text
    assert "The rack draws no power" in found.text
    assert "whole sequences, unlike the answer above" in found.text
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert all(done < most for done, most in seen[:-1])
    assert seen[-1][0] == seen[-1][1]


def test_a_page_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    outcome = invoke("report", H200, "-o", str(tmp_path / "none" / "report.html"))
    assert outcome.exit_code == 2
    assert re.fullmatch(r"hbmopt: .*there is no folder .*\n", outcome.stderr)
