import pytest

from builders import (
    CLOCK,
    efficiency,
    golden_rack,
    one,
    replica,
    resolved_with_more,
    rows_text,
    solve,
)


def test_rows_equal_the_golden_file(assert_golden):
    assert_golden("interconnect", rows_text(golden_rack(), "interconnect"))


def model(tb_per_s=1.0):
    return one(
        replica(
            accelerators=2.0,
            link_tb_per_s=tb_per_s,
            link_gb_per_sequence=0.05,
            fixed_latency_ms=0.25,
            efficiency=efficiency(link=0.5),
        ),
        accelerators=2.0,
    )


def test_rates_and_price_follow_from_the_bytes_sent():
    # 0.05 v <= 0.5 x 2 x 1 TB/s: v = 20.
    solved = solve(model())
    assert solved.objective == pytest.approx(20.0)
    assert solved.value(f"{CLOCK}.link_traffic") == pytest.approx(1.0)
    # 0.05 v / 1 <= 1 + e: v = 20 + 20 e.
    assert solved.price(f"{CLOCK}.interconnect") == pytest.approx(20.0)
    more = resolved_with_more(solved.model, f"{CLOCK}.interconnect", 0.01)
    assert more == pytest.approx(20.0 + 20.0 * 0.01)


def test_one_percent_faster_links_are_worth_the_price():
    assert solve(model(1.01)).objective == pytest.approx(20.0 + 20.0 * 0.01)
