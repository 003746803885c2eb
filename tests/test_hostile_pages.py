"""Pages and pictures of instances whose texts try to be markup: a browser runs none of it."""

import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest

from browser import running
from commands import invoke
from hbmopt.basics.plain_text import hidden
from hbmopt.report.html.markup import data_script, element
from hostile import ESCAPES, MARKUP, hostile

TEXT = MARKUP + ESCAPES
TAGS = "rack.title='</script><script>window.owned=1</script><img src=x onerror=window.owned=1>\\',b"
CHARTS = {
    "frontier": ["frontier"],
    "steps": ["frontier", "--chart", "steps"],
    "elasticities": ["frontier", "--chart", "elasticities"],
    "sensitivity": ["sensitivity", "--top", "4", "--no-resolve"],
    "compare": ["compare"],
    "curve": ["sweep", "--vary", "limits.power=9 kW,12 kW"],
    "bars": ["sweep", "--vary", TAGS],
    "heat map": ["sweep", "--vary", TAGS, "--vary", "limits.power=3 kW,9 kW"],
}
STATE = """
return [document.title, window.owned || null, document.querySelectorAll("img[src=x]").length];
"""
MARK = "return document.querySelector('.mark-symbol path, .mark-rect path')"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with running(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def instance(tmp_path_factory):
    """An instance with markup for every text, its file's name too."""
    name = MARKUP.replace("/", "\\")[:80] + "\x1b[31m\u202e.yaml"
    return hostile(tmp_path_factory.mktemp("instance") / name, TEXT)


def drawn(instance, name, path):
    """Draw a chart of an instance to a file."""
    command, *options = CHARTS[name]
    several = [instance, instance] if command == "compare" else [instance]
    outcome = invoke(command, *several, *options, "--plot", path)
    assert (outcome.exit_code, outcome.stderr) == (0, "")
    return path


class Elements(HTMLParser):
    """Lists the elements of a page, as a browser would find them."""

    def __init__(self, page):
        super().__init__()
        self.tags = []
        self.feed(page)

    def handle_starttag(self, tag, _):
        self.tags.append(tag)


@pytest.mark.parametrize("name", sorted(CHARTS.keys() - {"steps", "elasticities"}))
def test_a_chart_runs_no_text(browser, instance, name, tmp_path):
    path = drawn(instance, name, tmp_path / "chart.html")
    page = path.read_text(encoding="utf-8")
    assert Elements(page).tags == [
        *("html", "head", "meta", "meta", "meta", "link", "title", "style"),
        *("body", "div", "script", "script"),
    ]
    browser.width(1200)
    browser.open(path)
    browser.until("return document.querySelectorAll('svg.marks').length === 1")
    title, owned, images = browser.run(STATE)
    assert (title == "owned", owned, images) == (False, None, 0)
    tip = browser.hover(browser.run(MARK))
    assert tip
    assert browser.run(STATE) == [title, None, 0]
    assert browser.complaints() == []
    assert browser.requests() == []
    texts = browser.run("return document.querySelector('#chart').textContent")
    assert [one for one in texts if hidden(one)] == []


@pytest.mark.parametrize("options", [[], ["--set", "limits.power=5 kW"]])
def test_a_report_runs_no_text(browser, instance, options, tmp_path):
    path = tmp_path / "report.html"
    outcome = invoke("report", instance, "-o", path, *options)
    assert (outcome.exit_code, outcome.stderr) == (int(bool(options)), "")
    browser.open(path)
    browser.until("return document.querySelectorAll('figure:not([data-chart=drawn])').length === 0")
    assert "</script>" in browser.run("return document.querySelector('h1').innerText")
    title, owned, images = browser.run(STATE)
    assert MARKUP in title
    assert (owned, images) == (None, 0)
    assert browser.complaints() == []
    assert browser.requests() == []
    texts = browser.run("return document.body.innerText")
    assert [one for one in texts if hidden(one) and one != "\t"] == []


@pytest.mark.parametrize("name", sorted(CHARTS))
def test_a_picture_holds_no_markup_but_its_own(browser, instance, name, tmp_path):
    path = drawn(instance, name, tmp_path / "chart.svg")
    parts = ET.parse(path).iter()  # what is no XML is an error
    assert {one.tag.partition("}")[2] for one in parts} <= {
        *("svg", "g", "path", "rect", "text", "tspan", "line", "defs", "clipPath"),
        *("linearGradient", "stop"),
    }
    browser.open(path)
    assert browser.run("return window.owned || null") is None
    assert browser.run("return document.documentElement.localName") == "svg"
    assert browser.complaints() == []


def test_a_picture_of_points_is_drawn(instance, tmp_path):
    path = drawn(instance, "frontier", tmp_path / "chart.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_data_in_a_page_cannot_end_its_script():
    script = data_script({"text": TEXT, "items": [MARKUP]})
    inside = script.removeprefix('<script type="application/json">').removesuffix("</script>")
    assert not set("<>&\u2028\u2029") & set(inside)
    assert inside.isascii()


def test_an_element_shows_what_is_hidden():
    assert element("p", "a\u202e\x1b<b>\n", title="\x9b'") == (
        '<p title="\\x9b&#x27;">a\\u202e\\x1b&lt;b&gt;\n</p>'
    )
