"""What a rack and a token cost, against the arithmetic of a spreadsheet."""

import pytest

from builders import INSTANCES
from hbmopt.errors import InputError
from hbmopt.instance import cost_rate, load, provisioned_kw, rack_kw, recovery, unpriced

H200 = INSTANCES / "h200.yaml"
PLAIN = {
    "rack.price": "876000 USD",
    "economics.life": "5 years",
    "economics.discount_rate": 0.0,
    "economics.site": "8760 USD/kW",
    "economics.site_life": "10 years",
    "economics.operations_share": 0.1,
    "economics.power_price": "0.1 USD/kWh",
    "limits.pue": 1.5,
}
"""Terms that are easily divided by the 8,760 hours of a year."""


def terms(**changes):
    return PLAIN | {key.replace("__", "."): value for key, value in changes.items()}


def test_a_loan_is_paid_back_in_equal_parts():
    assert recovery(0.0, 5.0) == pytest.approx(0.2)
    # 1 USD lent at 10 % for two years: x / 1.1 + x / 1.21 = 1.
    each = recovery(0.1, 2.0)
    assert each / 1.1 + each / 1.21 == pytest.approx(1.0)
    assert recovery(1e-9, 5.0) == pytest.approx(0.2, rel=1e-6)


def test_an_hour_costs_what_a_spreadsheet_says():
    rate = cost_rate(load(H200, terms(limits__power="10 kW")))
    assert rate is not None
    assert rate.capital.usd == 876_000
    # 876,000 USD / 5 years / 8,760 h; 15 kW x 8,760 USD / 10 years / 8,760 h; a tenth a year.
    assert rate.capital_usd_per_hour == pytest.approx(20.0)
    assert rate.provisioned_kw == pytest.approx(15.0)
    assert rate.site_usd_per_hour == pytest.approx(1.5)
    assert rate.operations_usd_per_hour == pytest.approx(10.0)
    assert rate.usd_per_kwh == pytest.approx(0.15)
    assert rate.usd_per_hour(8.0) == pytest.approx(20.0 + 1.5 + 10.0 + 1.2)


def test_operations_may_be_given_in_usd_a_year():
    rate = cost_rate(load(H200, terms(economics__operations="17520 USD/year")))
    assert rate is not None
    assert rate.operations_usd_per_hour == pytest.approx(2.0)


def test_capital_is_that_of_the_accelerators_where_no_rack_is_priced():
    instance = load("h100", {"rack.price": None, "rack.accelerator.price": "32 kUSD"})
    rate = cost_rate(instance)
    assert rate is not None
    assert rate.capital.usd == 8 * 32_000
    assert "accelerators alone" in rate.capital.basis


@pytest.mark.parametrize(
    ("name", "missing"), [("rubin_ultra", "rack.price"), ("rubin_nvl72_lpx", "rack.offload.price")]
)
def test_without_a_price_there_is_no_cost_and_the_key_is_named(name, missing):
    instance = load(name)
    assert cost_rate(instance) is None
    assert unpriced(instance) == missing
    known = load(name, {"rack.price": "4 MUSD"} | {missing: "1 MUSD"})
    rate = cost_rate(known)
    assert rate is not None
    assert rate.capital.usd == (5e6 if "offload" in missing else 1e6)
    assert unpriced(known) == ""


def test_provisioned_power_is_the_limit_in_any_scope_and_never_more_than_can_be_drawn():
    def provisioned(**changes):
        keys = {key.replace("__", "."): value for key, value in changes.items()}
        return provisioned_kw(load(H200, {"limits.pue": 1.25} | keys))

    # 4.6 kW of the server and 8 x 0.7 kW of its accelerators.
    assert provisioned() == pytest.approx(1.25 * 10.2)
    assert provisioned(limits__power="1 MW") == pytest.approx(1.25 * 10.2)
    assert provisioned(limits__power_capped=False) == pytest.approx(1.25 * 10.2)
    assert provisioned(limits__power="8 kW") == pytest.approx(1.25 * 8)
    facility = provisioned(limits__power="10 kW", limits__power_scope="facility")
    assert facility == pytest.approx(10)
    chips = provisioned(limits__power="4 kW", limits__power_scope="accelerators")
    assert chips == pytest.approx(1.25 * 8.6)


def test_power_of_the_rack_is_known_in_every_scope():
    scopes = {"accelerators": 4.0, "rack": 8.6, "facility": 8.6 * 1.25}
    for scope, drawn in scopes.items():
        instance = load(H200, {"limits.power_scope": scope, "limits.pue": 1.25})
        assert rack_kw(instance, drawn) == pytest.approx(8.6)


def test_hours_of_one_load_are_looked_at_once():
    shares = [0.2] * 8 + [1.0] * 10 + [0.5] * 6
    stretches = load(H200, {"economics.load": shares}).economics.stretches
    assert [(one.share, one.weight) for one in stretches] == [(1.0, 10), (0.5, 6), (0.2, 8)]
    flat = load(H200, {"economics.utilisation": 0.4}).economics.stretches
    assert [(one.share, one.weight) for one in flat] == [(0.4, 1.0)]
    assert load(H200).economics.stretches == ()


@pytest.mark.parametrize(
    ("economics", "said"),
    [
        ({"load": [1.0] * 23}, r"economics\.load: 23 shares are not a day: give 24"),
        ({"load": []}, r"economics\.load: an empty load"),
        ({"load": [0] * 24}, r"economics: `load` is 0 at all times"),
        ({"load": [1.5] * 24}, r"economics\.load\.0\.share: .* less than or equal to 1"),
        ({"load": [{"share": 1, "wieght": 2}]}, r"unknown key 'wieght'; did you mean 'weight'"),
        ({"load": [{"share": 1, "weight": 0}]}, r"economics\.load\.0\.weight: .* greater than 0"),
        ({"load": [True] * 24}, r"economics\.load\.0: expected"),
        ({"load": 0.4}, r"economics\.load: .* list"),
        ({"utilisation": 0}, r"economics\.utilisation: 0 must be more than 0"),
        ({"utilisation": 0.5, "load": [1] * 24}, r"economics: give `utilisation` or `load`"),
        ({"utilization": 0.5}, r"unknown key 'utilization'; did you mean 'utilisation'"),
        ({"power_price": 0.08}, r"has no unit; write a price of energy such as \"0.08 USD/kWh\""),
        ({"power_price": "8 USD/kW"}, r"economics\.power_price: .* it measures cost per power"),
        ({"life": "0 years"}, r"economics\.life: '0 years' must be more than 0"),
        ({"discount_rate": 1.5}, r"economics\.discount_rate: 1.5 must be at most 1"),
    ],
)
def test_bad_terms_are_one_line(economics, said):
    with pytest.raises(InputError, match=said) as caught:
        load(H200, {"economics": economics})
    assert "\n" not in str(caught.value)
