"""Every kind of chart in a browser: as wide as the window, in the dark, and no text on another."""

import re

import pytest

import hbmopt
from browser import running
from builders import INSTANCES
from hbmopt.report.charts import chart_files as files
from hbmopt.report.charts import style
from hbmopt.report.charts.fleet import fleet_curve
from hbmopt.report.charts.sweep import name_bars
from hbmopt.report.html import picture, specified, text_width
from hbmopt.report.html.dark import DARK, NIGHT
from test_charts import CELLS, GENERATIONS, LABELS, POWER

NAMES = ("a_rack_with_a_long_name_of_its_own", "short", "another_rack_with_a_long_name")
DRAWN = "return document.querySelectorAll('svg.marks').length === 1"
TOUCHING = """
const frame = document.querySelector("svg.marks").getBoundingClientRect();
const texts = [...document.querySelectorAll("svg.marks text")].filter((one) =>
  one.textContent.trim() && one.getAttribute("visibility") !== "hidden" &&
  one.getAttribute("opacity") !== "0" && !(one.getAttribute("transform") ?? "").includes("rotate"));
const boxes = texts.map((one) => [one.textContent, one.getBoundingClientRect()]);
const found = [];
boxes.forEach(([text, box], place) => {
  if (box.left < frame.left - 1 || box.right > frame.right + 1) { found.push(`cut: ${text}`); }
  for (const [other, beside] of boxes.slice(place + 1)) {
    const across = Math.min(box.right, beside.right) - Math.max(box.left, beside.left);
    const down = Math.min(box.bottom, beside.bottom) - Math.max(box.top, beside.top);
    if (across > 1 && down > 4) { found.push(`${text} on ${other}`); }
  }
});
return found;
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with running(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def h200():
    return hbmopt.frontier(INSTANCES / "h200.yaml")


@pytest.fixture(scope="module")
def answer():
    return hbmopt.solve(INSTANCES / "h200.yaml")


@pytest.fixture(scope="module")
def charts(h200, answer):
    """One chart of every kind, with names and numbers that are close to each other."""
    bars = [
        {"at": name, "throughput_tok_s": made, "limiting_resource": "hbm_capacity"}
        for name, made in zip(NAMES, (1e6, 9.9e5, 2e3), strict=True)
    ]
    close = [
        GENERATIONS[0],
        *(
            row | {"name": f"{row['name']}_{place}"}
            for row in GENERATIONS[2:4]
            for place in ("one", "two", "three")
        ),
    ]
    fleet = [
        {"at": share, "status": "optimal", "objective_amount": 5.0 * share, "racks": 3}
        | {"objective_unit": "USD/h", "racks_a": 3, "power_kw": 90.0, "served": 1.0}
        for share in (0.5, 1.0)
    ]
    return {
        "frontier": files.frontier_chart([h200], answer=answer),
        "frontiers": files.frontier_chart([h200, hbmopt.frontier(INSTANCES / "h100.yaml")]),
        "steps": files.step_breakdown_chart(h200),
        "elasticities": files.elasticity_chart(h200),
        "power": files.power_curve_chart(POWER, answer=answer, cap_kw=100.0),
        "heat": files.heat_map_chart(
            CELLS,
            "limits.power",
            "limits.min_speed",
            "throughput_tok_s",
            value_label="throughput, tok/s",
            **LABELS,
        ),
        "generations": files.generation_chart(close),
        "bars": name_bars(bars, "at", "rack", "Throughput by rack", ""),
        "tornado": files.sensitivity_chart(
            hbmopt.sensitivity(INSTANCES / "h200.yaml", only="calibration.eff*", resolve=False), 3
        ),
        "fleet": fleet_curve(fleet, "at", "demand, times what is asked", "With other demand"),
    }


@pytest.fixture(scope="module")
def pages(charts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("charts")
    for name, chart in charts.items():
        files.write_chart(chart, folder / f"{name}.html")
    return folder


def shown(browser, *, scheme, media="screen"):
    """Show pages as a screen or as paper would."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"media": media, "features": features}
    )


def as_wide(browser, pixels):
    """Wait until the chart is drawn for a width."""
    return browser.until(
        "const one = document.querySelector('svg.marks')?.getBoundingClientRect();"
        "return one && one.width <= arguments[0] && document.documentElement.scrollWidth <= "
        "arguments[0] && one.width",
        pixels,
    )


@pytest.mark.parametrize("width", [400, 900])
def test_charts_follow_the_window_and_none_of_their_texts_touch(browser, charts, pages, width):
    browser.width(width)
    for name in charts:
        browser.open(pages / f"{name}.html")
        browser.until(DRAWN)
        assert as_wide(browser, width) > (0.9 * width if name != "heat" else 200), name
        browser.until("return document.querySelector('#chart').dataset.drawn !== undefined")
        assert browser.run(TOUCHING) == [], name
        assert browser.complaints() == []


def test_a_chart_is_drawn_anew_as_the_window_changes(browser, pages):
    browser.width(900)
    browser.open(pages / "frontier.html")
    browser.until(DRAWN)
    assert as_wide(browser, 900) > 800
    browser.width(420)
    assert as_wide(browser, 420) > 380


COLOURS = """
const colour = (query, property) => getComputedStyle(document.querySelector(query))[property];
return [colour("body", "backgroundColor"), colour("svg.marks", "backgroundColor"),
  colour("svg.marks .role-axis-title text", "fill")];
"""


def test_charts_are_dark_on_dark_screens_and_light_on_paper(browser, pages):
    browser.width(900)
    browser.open(pages / "frontier.html")
    browser.until(DRAWN)
    shown(browser, scheme="dark")
    dark = browser.run(COLOURS)
    shown(browser, scheme="dark", media="print")
    printed = browser.run(COLOURS)
    shown(browser, scheme="light")
    assert dark == ["rgb(23, 24, 27)", "rgba(0, 0, 0, 0)", "rgb(233, 233, 236)"]
    assert printed == ["rgb(255, 255, 255)", "rgb(255, 255, 255)", "rgb(34, 34, 34)"]


def lightness(colour):
    """Return the relative luminance of a colour, as WCAG has it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return sum(one * part for one, part in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def test_every_colour_stands_out_from_the_dark():
    used = {*style.RESOURCE_COLOURS.values(), *style.STEP_COLOURS.values(), *style.PARTS}
    used |= {*style.OTHER_COLOURS, style.INK, style.GREY}
    for colour in used:
        here = lightness(DARK.get(colour, colour))
        assert (here + 0.05) / (lightness(NIGHT) + 0.05) >= 3.0, colour


def test_texts_of_a_picture_take_the_room_they_were_given_in_any_font(charts):
    drawn = picture(specified(charts["tornado"]))
    texts = re.findall(r"<text [^>]*>[^<]+</text>", drawn)
    assert len(texts) > 10
    assert all("textLength=" in one for one in texts)
    assert text_width("iiii", 10) < text_width("WWWW", 10) < text_width("WWWW", 10, bold=True) + 1
    titled = picture(specified(charts["frontier"]))
    lines = re.findall(r"<tspan [^>]*>[^<]+</tspan>", titled)
    assert len(lines) >= 3
    assert all("textLength=" in one for one in lines)
    # What narrow screens get is left out, and what stands in its place is drawn once.
    assert specified(charts["generations"])["layer"][-1]["name"] == "labels_narrow"
    names = re.findall(r">(H100|A100)</text>", picture(specified(charts["generations"])))
    assert len(names) == len(set(names)) == 1


def test_the_answer_is_ringed_with_its_range(charts, answer):
    for name, at, low in (
        (
            "frontier",
            {"speed": answer.speed_tok_s_user, "value": answer.throughput_tok_s},
            {"speed": answer.speed_range_tok_s_user[0], "value": answer.throughput_range_tok_s[0]},
        ),
        (
            "power",
            {"power_kw": answer.power_w / 1e3, "throughput": answer.throughput_tok_s},
            {"power_kw": answer.power_w / 1e3, "throughput": answer.throughput_range_tok_s[0]},
        ),
    ):
        specification = charts[name].to_dict()
        (ring,) = (
            row
            for rows in specification["datasets"].values()
            for row in rows
            if row.get("what") == "the answer"
        )
        assert {key: ring[key] for key in at} == pytest.approx(at)
        assert any(
            set(row) == set(low) and row == pytest.approx(low)
            for rows in specification["datasets"].values()
            for row in rows
        )
        assert "Ring: the answer" in " ".join(specification["title"]["subtitle"])


def test_a_tornado_has_as_many_rows_as_are_asked_for(charts):
    (order,) = {
        tuple(layer["encoding"]["y"]["sort"])
        for layer in charts["tornado"].to_dict()["layer"]
        if "sort" in layer["encoding"].get("y", {})
    }
    assert len(order) == 3
