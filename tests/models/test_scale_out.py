import pytest

from builders import (
    CLOCK,
    golden_rack,
    one,
    overlap,
    replica,
    resolved_with_more,
    rows_text,
    solve,
)
from hbmopt.models.quantities import ScaleOutData


def test_rows_equal_the_golden_file(assert_golden):
    assert_golden("scale_out", rows_text(golden_rack(), "scale_out"))


def model(tb_per_s=0.05, **changes):
    """Two accelerators that send 4 MB per sequence to another domain."""
    return one(
        replica(
            accelerators=2.0,
            scale_out=ScaleOutData(tb_per_s, 0.8, 0.004),
            **({"fixed_latency_ms": 0.25} | changes),
        ),
        accelerators=2.0,
    )


def test_rates_and_price_follow_from_the_bytes_sent():
    # 0.004 v <= 0.8 x 2 x 0.05 TB/s: v = 20.
    solved = solve(model())
    assert solved.objective == pytest.approx(20.0)
    assert solved.value(f"{CLOCK}.scale_out_traffic") == pytest.approx(0.08)
    # 0.05 v <= 1 + e: v = 20 + 20 e.
    assert solved.price(f"{CLOCK}.scale_out") == pytest.approx(20.0)
    more = resolved_with_more(solved.model, f"{CLOCK}.scale_out", 0.01)
    assert more == pytest.approx(20.0 + 20.0 * 0.01)


def test_one_percent_more_network_is_worth_the_price():
    assert solve(model(0.0505)).objective == pytest.approx(20.0 + 20.0 * 0.01)


def test_links_and_network_take_their_times_one_after_the_other():
    # Per sequence 0.05 / (2 x 1) over links and 0.004 / (0.8 x 2 x 0.05) over the network are
    # 0.025 + 0.05 ms; with 10 sequences and 0.25 ms of latency a step takes 1 ms.
    shared = model(link_tb_per_s=1.0, link_gb_per_sequence=0.05, overlap=overlap(link=0.0))
    solved = solve(shared)
    assert solved.value(f"{CLOCK}.steps") == pytest.approx(1.0)
    assert solved.value(f"{CLOCK}.time_link") == pytest.approx(0.25)
    assert solved.value(f"{CLOCK}.time_scale_out") == pytest.approx(0.5)
    assert solved.price(f"{CLOCK}.step_time") == pytest.approx(10.0)


def test_a_replica_inside_a_domain_has_no_row():
    assert solve(one(replica())).model.find_component(f"{CLOCK}.scale_out") is None
