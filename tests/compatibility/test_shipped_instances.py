"""Every shipped instance has the same optimum, whatever the versions of the packages below."""

import pytest
from throughputs import kept, shipped, solved

SHIPPED = shipped()
KEPT = kept()


def test_the_table_names_every_shipped_instance():
    assert sorted(KEPT) == sorted(SHIPPED)
    assert len(KEPT) >= 25


@pytest.mark.parametrize("name", SHIPPED)
def test_the_optimum_is_the_one_in_the_table(name):
    # A plan is returned only after its certificate and the exact physics agreed with it.
    assert solved(SHIPPED[name]) == pytest.approx(KEPT[name], rel=1e-6)
