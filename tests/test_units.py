import math
import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbmopt.basics.units import DIMENSIONS, EXAMPLES, INTERNAL_UNITS, parse

UNITS = [(dimension, unit) for dimension, units in DIMENSIONS.items() for unit in units]
AMOUNTS = st.floats(0, 1e12, allow_nan=False) | st.integers(0, 10**12)


@pytest.mark.parametrize(
    ("text", "dimension", "amount"),
    [
        ("288 GB", "data", 288.0),
        ("1 TB", "data", 1000.0),
        ("1 GiB", "data", 2**30 / 1e9),
        ("1 KiB", "data", 1024 / 1e9),
        ("8 B", "data", 8e-9),
        ("22 TB/s", "bandwidth", 22.0),
        ("450GB/s", "bandwidth", 0.45),
        ("800 Gbit/s", "bandwidth", 0.1),
        ("800 Gb/s", "bandwidth", 0.1),
        ("50 PFLOP/s", "compute", 50_000.0),
        ("1 EFLOPS", "compute", 1e6),
        ("989 TFLOPS", "compute", 989.0),
        ("120 kW", "power", 120.0),
        ("700 W", "power", 0.7),
        ("1.5 MW", "power", 1500.0),
        ("4 us", "time", 0.004),
        ("4 µs", "time", 0.004),  # micro sign
        ("4 μs", "time", 0.004),  # Greek mu
        ("2 s", "time", 2000.0),
        ("60 tok/s/user", "speed", 60.0),
        ("60 tok/s", "speed", 60.0),
        ("3 MUSD", "money", 3e6),
        ("1_024 GB", "data", 1024.0),
        ("1,024 GB", "data", 1024.0),
        ("1e3 GB", "data", 1000.0),
        ("1.5e-3 GB", "data", 0.0015),
        (".5 GB", "data", 0.5),
        ("5. GB", "data", 5.0),
        ("+5 GB", "data", 5.0),
        ("0 W", "power", 0.0),
        ("  7   GB  ", "data", 7.0),
    ],
)
def test_quantities_convert_to_the_units_held_inside(text, dimension, amount):
    assert parse(text, dimension) == pytest.approx(amount, rel=1e-15)


@pytest.mark.parametrize(
    ("value", "dimension", "said"),
    [
        (288, "data", 'has no unit; write a data such as "288 GB"'),
        (2.5, "power", 'has no unit; write a power such as "120 kW"'),
        ("288", "data", 'has no unit; write a data such as "288 GB"'),
        ("288 kW", "data", "it measures power"),
        ("22 TB", "bandwidth", "it measures data"),
        ("22 GFLOP", "compute", "did you mean 'GFLOP"),
        ("22 Gb", "data", "did you mean 'GB'?"),
        ("22 parsec", "time", 'write one such as "4 us"'),
        ("GB", "data", 'is not a data; write one such as "288 GB"'),
        ("", "data", 'is not a data; write one such as "288 GB"'),
        ("nan GB", "data", 'is not a data; write one such as "288 GB"'),
        ("inf GB", "data", 'is not a data; write one such as "288 GB"'),
        ("-3 GB", "data", "at least 0"),
        ("1e999 GB", "data", "finite"),
        ("3 GB 4", "data", "is not a unit of data"),
        ("1 2 GB", "data", "is not a unit of data"),
        (True, "data", 'such as "288 GB"'),
        (None, "data", 'such as "288 GB"'),
        (["288 GB"], "data", 'such as "288 GB"'),
        ({"value": "288 GB"}, "data", 'such as "288 GB"'),
    ],
)
def test_what_is_not_a_quantity_is_said_with_an_example(value, dimension, said):
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        parse(value, dimension)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dimension", sorted(DIMENSIONS))
def test_examples_and_internal_units_are_units(dimension):
    assert parse(EXAMPLES[dimension], dimension) > 0
    assert parse(f"1 {INTERNAL_UNITS[dimension]}", dimension) == 1.0


@given(st.sampled_from(UNITS), AMOUNTS)
def test_what_is_written_is_what_is_read(named, amount):
    dimension, unit = named
    expected = float(Fraction(repr(amount)) * DIMENSIONS[dimension][unit])
    assert parse(f"{amount!r} {unit}", dimension) == expected


@given(st.sampled_from(UNITS), st.floats(1e-6, 1e9))
def test_internal_amounts_survive_being_written_in_any_unit(named, amount):
    dimension, unit = named
    text = f"{amount / DIMENSIONS[dimension][unit]!r} {unit}"
    assert math.isclose(parse(text, dimension), amount, rel_tol=1e-15 * 4)


@given(st.integers(0, 10**15))
def test_grouped_digits_are_the_same_number(number):
    plain = parse(f"{number} GB", "data")
    assert parse(f"{number:,} GB", "data") == plain
    assert parse(f"{number:_} GB", "data") == plain


@given(st.sampled_from(sorted(DIMENSIONS)), st.text(max_size=30))
def test_any_text_is_read_or_refused_in_one_line(dimension, text):
    assert read_or_said(text, dimension)


def read_or_said(text, dimension):
    try:
        return parse(text, dimension) >= 0
    except ValueError as error:
        return "\n" not in str(error)
