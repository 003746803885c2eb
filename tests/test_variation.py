"""What --vary reads, and the points that follow."""

import tracemalloc
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbmopt.errors import InputError
from hbmopt.variation import Variation, parse_variation, points


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("limits.power=60 kW:100 kW:20 kW", ("60 kW", "80 kW", "100 kW")),
        ("limits.power=60 kW:95 kW:20 kW", ("60 kW", "80 kW")),
        ("limits.power = 60kW : 60 kW : 1 kW", ("60 kW",)),
        ("limits.power=100 kW:60 kW:-20 kW", ("100 kW", "80 kW", "60 kW")),
        ("limits.power=800 kW:1 MW:100000 W", ("800 kW", "900 kW", "1000 kW")),
        ("a.b=0.1:0.3:0.1", ("0.1", "0.2", "0.3")),
        ("a.b=0:1:0.3333333333333", ("0", "0.3333333333333", "0.6666666666666", "1")),
        ("a.b=0:1:0.33", ("0", "0.33", "0.66", "0.99")),
        ("a.b=1e-3:2e-3:5e-4", ("0.001", "0.0015", "0.002")),
        ("workload.prompt=1_000:3_000:1_000", ("1000", "2000", "3000")),
        ("llm=deepseek_r1,kimi_k2_5", ("deepseek_r1", "kimi_k2_5")),
        ("choices.kv_formats=[fp8],[bf16, fp8]", ("[fp8]", "[bf16, fp8]")),
        (
            "rack={base: dgx_h100, power: 8 kW},dgx_h200",
            ("{base: dgx_h100, power: 8 kW}", "dgx_h200"),
        ),
        ('description="a, b: c",plain', ('"a, b: c"', "plain")),
        ("limits.power=60 kW:80 kW:20 kW,200 kW", ("60 kW", "80 kW", "200 kW")),
        ("choices.uniform=true,false", ("true", "false")),
        ("limits.power=null,8 kW", ("null", "8 kW")),
    ],
)
def test_a_variation_holds_its_values_as_they_are_written(text, values):
    found = parse_variation(text)
    assert found.path == text.partition("=")[0].strip()
    assert found.values == values


@pytest.mark.parametrize(
    ("text", "header", "cells"),
    [
        ("limits.power=60 kW:100 kW:20 kW", "limits.power [kW]", (60, 80, 100)),
        ("limits.power=60 kW,0.1 MW,500 W", "limits.power [kW]", (60.0, 100.0, 0.5)),
        ("limits.power='60 kW',\"80 kW\"", "limits.power [kW]", (60, 80)),
        ("a=1,2.5", "a", (1.0, 2.5)),
        ("a=1,2", "a", (1, 2)),
        ("llm=x,y", "llm", ("x", "y")),
        ("choices.kv_formats=[fp8],[bf16]", "choices.kv_formats", ("[fp8]", "[bf16]")),
        ("a=1 kW,2 GB", "a", ("1 kW", "2 GB")),
        ("a=true,1", "a", ("true", "1")),
        ("a=3 cores,4 cores", "a", ("3 cores", "4 cores")),
        ("a=1e300,1", "a", ("1e300", "1")),
    ],
)
def test_the_column_is_in_the_unit_of_the_first_value(text, header, cells):
    found = parse_variation(text)
    assert found.header == header
    assert found.cells == cells
    assert [type(cell) for cell in found.cells] == [type(cell) for cell in cells]


@given(
    st.integers(-1000, 1000),
    st.integers(1, 400),
    st.integers(0, 60),
    st.sampled_from([1, 10, 1000]),
)
def test_a_range_of_decimals_holds_its_end(first, step, count, parts):
    texts = [f"{number / parts!r}" for number in (first, first + count * step, step)]
    found = parse_variation(f"a={':'.join(texts)}")
    assert len(found.values) == count + 1
    assert float(found.values[0]) == first / parts
    assert float(found.values[-1]) == (first + count * step) / parts
    assert [float(cell) for cell in found.cells] == [float(text) for text in found.values]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("limits.power", "write it as"),
        ("=1,2", "write it as"),
        ("a..b=1,2", "write it as"),
        ("a=", "a value is missing"),
        ("a=1,,2", "a value is missing"),
        ("a=1:2", "a range is FROM:TO:STEP"),
        ("a=1:2:3:4", "a range is FROM:TO:STEP"),
        ("a=1::2", "a range is FROM:TO:STEP"),
        ("a=1:5:0", "the step is 0"),
        ("a=1:5:-1", "never get from 1 to 5"),
        ("a=5:1:1", "never get from 5 to 1"),
        ("a=low:5:1", "low is not a number"),
        ("a=1:1e250:1", "is not a number"),
        ("a=0:1e9:1", "at most 1,000,000"),
        ("limits.power=60:100 kW:20 kW", "60 has no unit"),
        ("limits.power=60 kW:100:20 kW", "100 has no unit"),
        ("limits.power=60 kW:100 GB:20 kW", "100 GB does not measure the same as 60 kW"),
        ("limits.power=60 kw:100 kw:20 kw", "'kw' is not a unit; did you mean 'kW' or 'KW'?"),
        ("limits.power=60,80 kW", "60 has no unit"),
        ("choices.kv_formats=[fp8,bf16", "is not closed"),
        ("a='b,c", "is not closed"),
        ("a=[1 2: 3: {,b", "is not closed"),
        ("a=[1: [],b", "is not closed"),
    ],
)
def test_what_cannot_be_read_is_one_line_that_names_the_option(text, problem):
    with pytest.raises(InputError) as caught:
        parse_variation(text)
    assert str(caught.value).startswith(f"--vary {text}: ")
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_value_that_is_no_yaml_is_an_error_that_names_the_option():
    with pytest.raises(InputError, match="--vary"):
        parse_variation("a=[1: {2]},b")


def test_in_a_grid_the_last_variation_changes_fastest():
    first, second = Variation("a", ("1", "2")), Variation("b", ("x", "y", "z"))
    grid = points([first, second])
    assert [point.index for point in grid] == list(range(6))
    assert [point.values for point in grid] == [
        ("1", "x"),
        ("1", "y"),
        ("1", "z"),
        ("2", "x"),
        ("2", "y"),
        ("2", "z"),
    ]


def test_zipped_values_go_together():
    first, second = Variation("a", ("1", "2")), Variation("b", ("x", "y"))
    assert [one.values for one in points([first, second], zipped=True)] == [("1", "x"), ("2", "y")]


@pytest.mark.parametrize(
    ("variations", "zipped", "problem"),
    [
        ([], False, "name at least one field"),
        ([Variation("a", ())], False, "has no values"),
        ([Variation("a", ("1", "2")), Variation("b", ("1",))], True, "a has 2, b has 1"),
        ([Variation("a", ("1",)), Variation("a", ("2",))], False, "is varied twice"),
        (
            [Variation("rack.power", ("1 kW",)), Variation("rack", ("x",))],
            False,
            "undoes rack.power",
        ),
        ([Variation(name, ("1",) * 101) for name in "abc"], False, "the grid has 1,030,301 points"),
    ],
)
def test_what_makes_no_points_is_one_line_that_names_the_option(variations, zipped, problem):
    with pytest.raises(InputError, match="--vary") as caught:
        points(variations, zipped=zipped)
    assert problem in str(caught.value)


# Ranges and points are computed when they are asked for.


@given(
    first=st.decimals(-1000, 1000, places=3),
    step=st.decimals(-50, 50, places=3).filter(bool),
    count=st.integers(0, 30),
    beyond=st.fractions(0, Fraction(99, 100)),
)
def test_a_range_holds_every_step_as_it_is_written(first, step, count, beyond):
    last = Fraction(first) + Fraction(step) * (count + beyond)
    found = parse_variation(f"a={first:f} kW:{float(last)!r} kW:{step:f} kW")
    if abs(beyond) > Fraction(1, 1000) or not beyond:
        assert len(found.values) == count + 1
    numbers = [Fraction(first) + Fraction(step) * place for place in range(len(found.values))]
    for text, cell, number in zip(found.values, found.cells, numbers, strict=True):
        assert text.endswith(" kW")
        assert float(text.removesuffix(" kW")) == pytest.approx(float(number))
        assert cell == pytest.approx(float(number))
        assert type(cell) is type(found.cells[0])
    assert (type(found.cells[0]) is int) == all(one.denominator == 1 for one in numbers)


def test_a_range_among_listed_values_stands_where_it_was_written():
    found = parse_variation("limits.power=5 kW,1 MW:3 MW:1 MW,7 kW")
    assert found.values == ("5 kW", "1 MW", "2 MW", "3 MW", "7 kW")
    assert found.cells == (5, 1000, 2000, 3000, 7)
    assert found.header == "limits.power [kW]"


def test_a_million_points_cost_nothing_before_they_are_asked_for():
    tracemalloc.start()
    try:
        grid = points([parse_variation("a=1:1000000:1")])
        assert (len(grid), grid[-1].index, grid[-1].values) == (10**6, 999_999, ("1000000",))
        assert grid.cells[-1] == (1_000_000,)
        square = [parse_variation(f"{name}=0.001 kW:1 kW:0.001 kW") for name in "ab"]
        assert points(square)[123_456].values == ("0.124 kW", "0.457 kW")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 500_000


def test_more_points_than_a_million_are_refused_zipped_as_well():
    listed = parse_variation("a=1:600000:1,1:600000:1")
    with pytest.raises(InputError, match="has 1,200,000 points; at most 1,000,000"):
        points([listed], zipped=True)
