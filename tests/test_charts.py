"""Charts hold the numbers of what they draw, in colours that mean the same everywhere."""

import json
import math
import re
import sys

import numpy as np
import pytest

import hbmopt
from builders import INSTANCES
from hbmopt.basics.wording import INPUT_NAMES, STEP_NAMES
from hbmopt.errors import InputError
from hbmopt.report.charts.chart_files import (
    elasticity_chart,
    frontier_chart,
    generation_chart,
    heat_map_chart,
    power_curve_chart,
    step_breakdown_chart,
    write_chart,
)
from hbmopt.report.charts.generation import slope_of
from hbmopt.report.charts.labels import Box, Place, placed
from hbmopt.report.charts.style import (
    RESOURCE_COLOURS,
    RESOURCE_SHAPES,
    STEP_COLOURS,
    resource_label,
    resource_scales,
    round_domain,
)

POWER = [
    {"power_kw": 60.0, "throughput_tok_s": None, "price_tok_s_per_kw": None}
    | {"limiting_resource": None, "status": "infeasible"},
    {"power_kw": 90.0, "throughput_tok_s": 79e3, "price_tok_s_per_kw": 6566.0}
    | {"limiting_resource": "power_cap", "status": "optimal"},
    {"power_kw": 150.0, "throughput_tok_s": 276e3, "price_tok_s_per_kw": 0.0}
    | {"limiting_resource": "hbm_bandwidth", "status": "optimal"},
]
GENERATIONS = [
    {"name": name, "year": year, "throughput_tok_s": made, "hbm_size_gb": size}
    | {"hbm_bandwidth_tb_s": bandwidth, "limiting_resource": "hbm_bandwidth"}
    for name, year, made, size, bandwidth in (
        ("A100", 2020, 320.0, 40.0, 1.555),
        ("H100", 2022, 889.0, 80.0, 3.35),
        ("B200", 2025, 2270.0, 180.0, 7.7),
        ("GB200", 2025, 2382.0, 186.0, 8.0),
        ("Rubin", 2026, 5692.0, 288.0, 19.2),
    )
]
CELLS = [
    {"limits.power": power, "limits.min_speed": speed, "throughput_tok_s": made}
    | {"limiting_resource": "latency", "status": "optimal" if made else "infeasible"}
    for power, speed, made in ((60, 20, None), (60, 100, None), (80, 20, 147e3), (80, 100, 129e3))
]
LABELS = {"x_label": "power cap, kW", "y_label": "speed floor, tok/s per user"}


@pytest.fixture(scope="module")
def h200():
    return hbmopt.frontier(hbmopt.load(INSTANCES / "h200.yaml"))


@pytest.fixture(scope="module")
def r1():
    return hbmopt.frontier(hbmopt.load(INSTANCES / "deepseek_r1_h200.yaml"))


def test_a_frontier_lies_in_the_range_of_four_of_five_cases(r1):
    low, high = r1.likely
    accuracy = r1.accuracy
    assert (low < 1.0).all()
    assert (high > 1.0).all()
    assert low.min() == pytest.approx(1.0 / accuracy.step_high)
    (ribbon,) = marked(frontier_chart([r1]).to_dict(), "area")
    rows = ribbon["data"]
    for row in rows:
        # What the best plans make at a speed, were all steps as fast or as slow as that.
        for end, share in (("low", low), ("high", high)):
            reached = r1.speeds * share >= row["speed"]
            made = (r1.throughputs * share)[reached].max(initial=0.0)
            assert row[end] == pytest.approx(made, rel=1e-12)
    assert rows[0]["low"] > 0
    assert rows[-1]["low"] == 0.0 < rows[-1]["high"]


def test_a_curve_shows_the_range_of_its_rows_and_none_where_none_is_known():
    ranged = [
        row
        | {"throughput_low_tok_s": 0.8 * row["throughput_tok_s"]}
        | {"throughput_high_tok_s": 1.3 * row["throughput_tok_s"]}
        if row["throughput_tok_s"]
        else row
        for row in POWER
    ]
    marks = {}
    for name, rows in (("ranged", ranged), ("plain", POWER)):
        chart = json.loads(power_curve_chart(rows).to_json())
        marks[name] = [layer["mark"]["type"] for layer in chart["vconcat"][0]["layer"]]
        assert ("Grey" in json.dumps(chart["title"])) == (name == "ranged")
    assert marks["ranged"].count("area") == 1
    assert "area" not in marks["plain"]


@pytest.fixture(scope="module")
def heat():
    return heat_map_chart(
        CELLS,
        "limits.power",
        "limits.min_speed",
        "throughput_tok_s",
        value_label="throughput, tok/s",
        **LABELS,
    )


@pytest.fixture(scope="module")
def all_charts(h200, r1, heat):
    return {
        "frontier": frontier_chart([h200]),
        "frontiers": frontier_chart([h200, r1]),
        "step": step_breakdown_chart(h200),
        "elasticities": elasticity_chart(h200),
        "power": power_curve_chart(POWER),
        "heat": heat,
        "generations": generation_chart(GENERATIONS),
    }


def layers(specification):
    """Return the layers of a chart, those of its panels too, with their data in place."""
    found = []
    for panel in specification.get("vconcat", [specification]):
        for layer in panel.get("layer", []):
            data = layer.get("data") or panel.get("data") or specification.get("data")
            if "name" in data:
                data = {"values": specification["datasets"][data["name"]]}
            found.append(layer | {"data": data["values"]})
    return found


def marked(specification, mark):
    return [layer for layer in layers(specification) if layer["mark"]["type"] == mark]


def colours(specification):
    """Return the colour of every label of the nominal scales."""
    found = {}
    for layer in layers(specification):
        colour = layer["encoding"].get("color", {})
        if colour.get("type") == "nominal":
            scale = colour["scale"]
            found |= dict(zip(scale["domain"], scale["range"], strict=True))
    return found


def tooltip_fields(layer):
    return {one["field"] for one in layer["encoding"].get("tooltip", [])}


def texts(value):
    """Return all titles of a specification as one text."""
    return json.dumps(value, ensure_ascii=False)


def test_every_chart_is_a_valid_specification(all_charts):
    for chart in all_charts.values():
        specification = chart.to_dict(validate=True)
        json.dumps(specification, allow_nan=False)
        assert specification["title"]["text"]


def test_every_axis_and_legend_has_a_title(all_charts):
    for name, chart in all_charts.items():
        for layer in layers(chart.to_dict()):
            for channel in ("color", "shape", "strokeDash"):
                legend = layer["encoding"].get(channel, {}).get("legend")
                assert legend is None or legend["title"], (name, channel)
    for name, units in {
        "frontier": ("speed, tok/s per user", "throughput of the rack, tok/s"),
        "step": ("speed reached at least, tok/s per user", "time of one decode step, ms"),
        "elasticities": ("elasticity, % of throughput per % of the input",),
        "power": ("power cap, kW", "throughput, tok/s", "price of the cap, tok/s per kW"),
        "heat": ("power cap, kW", "speed floor, tok/s per user", "tok/s"),
        "generations": ("HBM size × HBM bandwidth per accelerator, times that of A100",),
    }.items():
        shown = texts(all_charts[name].to_dict())
        assert [unit for unit in units if unit not in shown] == []


def test_a_resource_has_one_colour_in_all_charts(all_charts):
    known = {INPUT_NAMES[name]: colour for name, colour in RESOURCE_COLOURS.items()}
    for name in ("frontier", "frontiers", "elasticities", "power", "generations"):
        found = colours(all_charts[name].to_dict())
        assert found
        assert found == {label: known[label] for label in found}


def test_every_input_and_every_part_of_a_step_has_a_colour_of_its_own():
    assert set(RESOURCE_COLOURS) == set(INPUT_NAMES)
    assert set(RESOURCE_SHAPES) == set(INPUT_NAMES)
    assert len(set(RESOURCE_COLOURS.values())) == len(INPUT_NAMES)
    assert list(STEP_COLOURS) == list(STEP_NAMES)
    assert len(set(STEP_COLOURS.values())) == len(STEP_NAMES)


def test_declared_budgets_and_nothing_have_colours_too():
    scale, shapes = resource_scales(["latency", "cpu_time", None])
    domain = scale.to_dict()["domain"]
    assert domain == ["latency per layer", "cpu time", "nothing that is priced"]
    assert len(set(scale.to_dict()["range"])) == len(shapes.to_dict()["range"]) == 3


def test_the_line_is_the_frontier_and_changes_colour_at_the_ends_of_segments(h200, all_charts):
    specification = all_charts["frontier"].to_dict()
    (line,) = marked(specification, "line")
    points = dict(zip(h200.speeds.tolist(), h200.throughputs.tolist(), strict=True))
    assert all(points[row["speed"]] == row["throughput"] for row in line["data"])
    begun = 0
    for index, segment in enumerate(h200.segments):
        rows = [row for row in line["data"] if row["segment"] == index]
        assert {row["limit"] for row in rows} == {resource_label(segment.limiting_resource)}
        # The stretch before the first point of a segment is served by that point.
        assert rows[0]["speed"] == h200.speeds[max(begun - 1, 0)]
        begun += segment.points
        assert rows[-1]["speed"] == h200.speeds[begun - 1]
    assert line["mark"]["interpolate"] == "step-before"


def test_a_long_frontier_is_thinned_without_a_visible_step():
    instance = hbmopt.load(INSTANCES / "gb200_nvl72.yaml")
    found = hbmopt.frontier(instance)
    assert len(found) > 700
    (line,) = marked(frontier_chart([found]).to_dict(), "line")
    assert len(line["data"]) <= 600 + 3 * len(found.segments)
    drawn = np.array([[row["speed"], row["throughput"]] for row in line["data"]])
    for speed in np.linspace(found.speeds[0], found.speeds[-1], 200):
        shown = drawn[drawn[:, 0] >= speed * (1 - 1e-12)][:, 1].max()
        assert abs(shown - found.throughput(float(speed))) <= 0.006 * found.throughputs[0]


def test_ends_of_segments_can_be_hovered_with_all_that_they_are(h200, all_charts):
    specification = all_charts["frontier"].to_dict()
    hovered, ends = marked(specification, "point")
    wanted = {"speed", "throughput", "batch", "power_kw", "limit", "price", "configuration"}
    assert wanted <= tooltip_fields(hovered)
    assert wanted <= tooltip_fields(ends)
    assert len(hovered["data"]) >= 10
    row, point = ends["data"][0], h200.segments[0].slowest
    assert row["speed"] == h200.speeds[0]
    assert row["throughput"] == pytest.approx(point.throughput_tok_s)
    assert (row["batch"], row["price"]) == (point.batch, point.price_of_speed)
    assert row["power_kw"] == pytest.approx(point.power_w / 1e3)
    assert row["configuration"].endswith(point.configuration)
    singles = sum(segment.points == 1 for segment in h200.segments)
    assert len(ends["data"]) == 2 * len(h200.segments) - singles


def test_several_frontiers_differ_in_line_style_and_name(h200, all_charts):
    specification = all_charts["frontiers"].to_dict()
    (line,) = marked(specification, "line")
    scale = line["encoding"]["strokeDash"]["scale"]
    assert scale["domain"] == ["h200", "deepseek_r1_h200"]  # one rack, so the files' names
    assert len({tuple(dash) for dash in scale["range"]}) == 2
    assert line["encoding"]["strokeDash"]["legend"]["title"] == "instance"
    same = marked(frontier_chart([h200, h200]).to_dict(), "line")[0]
    assert {row["instance"] for row in same["data"]} == {"h200 (1)", "h200 (2)"}


def test_parts_of_the_step_sum_to_the_step(all_charts):
    specification = all_charts["step"].to_dict()
    (bars,) = marked(specification, "bar")
    floors = list(dict.fromkeys(row["floor"] for row in bars["data"]))
    assert 8 <= len(floors) <= 22
    for floor in floors:
        rows = [row for row in bars["data"] if row["floor"] == floor]
        assert sum(row["ms"] for row in rows) == pytest.approx(rows[0]["total"])
        assert rows[0]["total"] == pytest.approx(1e3 / rows[0]["speed"])  # nothing is drafted
    assert colours(specification)["latency of layers and sequences"] == RESOURCE_COLOURS["latency"]


def test_elasticities_are_those_of_the_segments(h200, all_charts):
    (lines, marks) = (
        marked(all_charts["elasticities"].to_dict(), mark) for mark in ("line", "point")
    )
    assert len(lines) == 2
    rows = marks[0]["data"]
    for index, segment in enumerate(h200.segments):
        for name in ("hbm_bandwidth", "latency"):
            values = [
                row["elasticity"]
                for row in rows
                if row["segment"] == index and row["input"] == name
            ]
            assert values[0] == segment.slowest.elasticities[name]
            assert values[-1] == segment.fastest.elasticities[name]


def test_the_power_curve_shows_throughput_price_and_where_nothing_is_served():
    specification = power_curve_chart(POWER).to_dict()
    upper, lower = specification["vconcat"]
    assert upper["layer"][0]["mark"]["type"] == "rect"
    first, second = (
        next(layer for layer in panel["layer"] if layer["mark"]["type"] == "point")
        for panel in (upper, lower)
    )
    assert first["encoding"]["x"]["scale"] == second["encoding"]["x"]["scale"]
    shown = marked(specification, "point")[0]["data"]
    assert [row["power_kw"] for row in shown] == [90.0, 150.0]
    assert [row["price"] for row in shown] == [6566.0, 0.0]
    assert {"power_kw", "throughput", "price", "limit"} <= tooltip_fields(first)


def test_cells_without_a_plan_are_hatched_and_numbers_grow_upwards(heat):
    specification = heat.to_dict()
    solved, failed = marked(specification, "rect")
    assert {row["value"] for row in solved["data"]} == {147e3, 129e3}
    assert [(row["x"], row["y"]) for row in failed["data"]] == [("60", "20"), ("60", "100")]
    assert solved["encoding"]["y"]["sort"] == ["100", "20"]
    assert "Hatched: nothing can be served." in specification["title"]["subtitle"]
    assert {row["text"] for layer in marked(specification, "text") for row in layer["data"]} == {
        "147k",
        "129k",
    }


def test_a_heat_map_of_names_takes_the_colours_of_the_resources():
    chart = heat_map_chart(
        CELLS,
        "limits.power",
        "limits.min_speed",
        "limiting_resource",
        value_label="limited by",
        **LABELS,
    )
    assert colours(chart.to_dict()) == {"latency per layer": RESOURCE_COLOURS["latency"]}


def test_generations_are_relative_to_the_first_with_a_fit_and_slope_one():
    specification = generation_chart(GENERATIONS).to_dict()
    (points,) = marked(specification, "point")
    assert (points["data"][0]["product"], points["data"][0]["made"]) == (1.0, 1.0)
    last = points["data"][-1]
    assert last["made"] == pytest.approx(5692 / 320)
    assert last["product"] == pytest.approx(288 * 19.2 / (40 * 1.555))
    fitted = slope_of(points["data"])
    slope, logarithm = np.polyfit(
        np.log([row["product"] for row in points["data"]]),
        np.log([row["made"] for row in points["data"]]),
        1,
    )
    assert fitted == pytest.approx((slope, math.exp(logarithm)))
    (lines,) = marked(specification, "line")
    names = {row["line"] for row in lines["data"]}
    assert names == {f"fit: slope {slope:.2f}", "slope 1: proportional"}
    assert points["encoding"]["x"]["scale"]["type"] == "log"
    labels = marked(specification, "text")[0]["data"]
    assert [row["name"] for row in labels] == [row["name"] for row in GENERATIONS]


def test_one_generation_has_no_fit_and_those_without_a_plan_are_named():
    failed = GENERATIONS[1] | {"throughput_tok_s": None}
    specification = generation_chart([GENERATIONS[0], failed]).to_dict()
    assert {row["line"] for row in marked(specification, "line")[0]["data"]} == {
        "slope 1: proportional"
    }
    assert "H100" in texts(specification["title"]["subtitle"])


def test_labels_cover_neither_each_other_nor_leave_a_better_place_unused():
    one = Place(Box(0, 0, 40, 10), "left", 9, 0)
    two = Place(Box(0, 20, 40, 30), "left", 9, 0)
    assert placed([[(one, 0.0), (two, 1.0)], [(one, 0.0), (two, 1.0)]]) in (
        [one, two],
        [two, one],
    )
    assert placed([[(one, 9.0)]], worst=4.0) == [None]
    # No label covers another, even where that leaves one out.
    assert placed([[(one, 0.0)], [(one, 0.0)]]) == [one, None]


@pytest.mark.parametrize(
    ("values", "ends"),
    [((25.0, 114.4), (20.0, 120.0)), ((10.8, 368.0), (0.0, 400.0)), ((5.0, 5.0), (5.0, 5.5))],
)
def test_axes_end_in_round_numbers(values, ends):
    assert round_domain(values) == pytest.approx(ends)


def test_html_stands_alone(all_charts, tmp_path):
    path = tmp_path / "frontier.html"
    write_chart(all_charts["frontier"], path)
    text = path.read_text(encoding="utf-8")
    assert text.lstrip().lower().startswith("<!doctype html>")
    assert re.findall(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", text[:2000]) == []
    assert 'src="http' not in text
    assert "cdn.jsdelivr.net/npm/vega" not in re.sub(r"//# sourceMappingURL.*", "", text)
    assert "<title>The most throughput at every speed per user</title>" in text
    assert "price of speed (tok/s per tok/s/user)" in text


@pytest.mark.parametrize("name", ["frontiers", "step", "elasticities", "power", "generations"])
def test_charts_can_be_drawn(name, all_charts, tmp_path):
    path = tmp_path / "chart.svg"
    write_chart(all_charts[name], path)
    assert path.read_text(encoding="utf-8").startswith("<svg")


def test_a_picture_is_a_png(heat, tmp_path):
    path = tmp_path / "chart.PNG"
    write_chart(heat, path)
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert [one.name for one in tmp_path.iterdir()] == ["chart.PNG"]


@pytest.mark.parametrize("name", ["chart.pdf", "chart", "png"])
def test_another_suffix_is_an_input_error(name, heat, tmp_path):
    with pytest.raises(InputError, match=r"\.html, \.png, \.svg"):
        write_chart(heat, tmp_path / name)


def test_a_folder_that_is_not_there_is_an_input_error(heat, tmp_path):
    with pytest.raises(InputError, match="there is no folder"):
        write_chart(heat, tmp_path / "none" / "chart.png")


@pytest.mark.parametrize("package", ["altair", "vl_convert"])
def test_a_missing_package_is_an_input_error(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=re.escape("pip install 'hbmopt[charts]'")):
        power_curve_chart(POWER)


def test_nothing_to_draw_is_an_input_error():
    empty = hbmopt.frontier(
        hbmopt.load(INSTANCES / "h200.yaml", {"limits.min_speed": "900 tok/s/user"})
    )
    for draw in (step_breakdown_chart, elasticity_chart, lambda one: frontier_chart([one])):
        with pytest.raises(InputError, match="h200: nothing can be served"):
            draw(empty)
    with pytest.raises(InputError, match="needs one at least"):
        frontier_chart([])
    with pytest.raises(InputError, match="curve is empty"):
        power_curve_chart(POWER[:1])
    with pytest.raises(InputError, match="heat map is empty"):
        heat_map_chart(
            CELLS[:2],
            "limits.power",
            "limits.min_speed",
            "throughput_tok_s",
            **LABELS,
            value_label="throughput, tok/s",
        )
    with pytest.raises(InputError, match="generations is empty"):
        generation_chart([GENERATIONS[0] | {"throughput_tok_s": None}])
