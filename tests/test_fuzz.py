"""No instance gets a wrong verdict: not a wrong status, a broken limit or a traceback."""

import pytest
from hypothesis import HealthCheck, given, settings

from builders import INSTANCES
from fuzzing import any_instances, verdict
from hbmopt.documents.document import read_document

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@settings(max_examples=25, deadline=None, suppress_health_check=SLOW)
@given(any_instances())
def test_any_instance_gets_a_right_verdict(mapping):
    assert verdict(mapping) in ("optimal", "infeasible", "invalid")


@pytest.mark.parametrize("limits", [{}, {"min_speed": "1000000 tok/s/user"}])
def test_the_checks_of_a_verdict_see_both_statuses(limits):
    mapping = read_document(INSTANCES / "h100.yaml").value | {"name": "h100", "limits": limits}
    assert verdict(mapping) == ("infeasible" if limits else "optimal")
