import pytest

from builders import (
    CLOCK,
    configuration,
    declared,
    expression_text,
    golden_rack,
    rack,
    replica,
    resolved_with_more,
    solve,
)


def test_expression_equals_the_golden_file(assert_golden):
    assert_golden("throughput", expression_text(golden_rack().throughput))


def model():
    """Two configurations of which one gains two tokens per step, and one accelerator each."""
    double = configuration(replica(tokens_per_sequence_step=2.0))
    single = configuration(replica(accelerators=2.0))
    return declared(rack(accelerators=3.0), double, single)


def test_tokens_of_all_configurations_add_up():
    both = model()
    both.find_component("configuration[0].replicas").fix(1)
    both.find_component("configuration[1].replicas").fix(1)
    # v = 5 each: 2 x 5 + 1 x 5.
    solved = solve(both)
    assert solved.value("throughput") == pytest.approx(15.0)
    assert solved.objective == pytest.approx(15.0)
    # Room for one more sequence-step/ms in the row of the batch: 10 of them per 1/ms, two
    # tokens each.
    assert solved.price(f"{CLOCK}.highest_batch") == pytest.approx(20.0)
    assert solved.price("configuration[1].clock[0].highest_batch") == pytest.approx(10.0)
    more = resolved_with_more(both, f"{CLOCK}.highest_batch", 0.01)
    assert more == pytest.approx(15.0 + 20.0 * 0.01)


def test_the_objective_prefers_what_makes_more_tokens():
    # Three replicas of one accelerator and 10 tokens/ms each.
    solved = solve(model(), integers=True)
    assert solved.value("configuration[0].replicas") == pytest.approx(3.0)
    assert solved.objective == pytest.approx(30.0)
