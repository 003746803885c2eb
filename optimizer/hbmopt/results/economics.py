"""What the tokens of a plan cost: at full utilisation, and of the load that is asked for.

Capacity is bought for the peak and power is paid for the hour: over a load every hour costs the
same capital, and the power of the least that serves its share (`at_shares`).
"""

from collections.abc import Sequence

from hbmopt.basics import show
from hbmopt.instance import CostRate, Instance, cost_rate, rack_kw, usd_per_million
from hbmopt.plan import at_shares
from hbmopt.program import RackPlan
from hbmopt.results.solution import (
    ConfigurationResult,
    LoadResult,
    RackEconomics,
    TokenCost,
)


def rack_economics(
    instance: Instance, plan: RackPlan, configurations: Sequence[ConfigurationResult]
) -> RackEconomics | None:
    """Return what the tokens of a plan cost, None where no price of the rack is known."""
    rate = cost_rate(instance)
    if rate is None:
        return None
    drawn = rack_kw(instance, plan.power_kw)
    prompts = prompt_share(configurations)
    read = instance.workload.prefilled_per_output
    made = plan.throughput
    hours, load, utilisation = tuple[LoadResult, ...](), None, None
    stretches = instance.economics.stretches
    if stretches:
        time = sum(one.weight for one in stretches)
        found = at_shares(instance, plan, [one.share for one in stretches])
        powers = [rack_kw(instance, one.power_kw) for one in found]
        pairs = list(zip(stretches, powers, strict=True))
        utilisation = sum(one.share * one.weight for one in stretches) / time
        mean = sum(power * one.weight for one, power in pairs) / time
        load = token_cost(rate, utilisation * made, mean, prompts, read)
        hours = tuple(
            LoadResult(
                share=one.share,
                time=one.weight / time,
                throughput_tok_s=one.share * made,
                rack_power_w=power * 1e3,
                replicas=point.replicas,
                usd_per_hour=rate.usd_per_hour(power),
                usd_per_million=(
                    usd_per_million(rate.usd_per_hour(power), one.share * made)
                    if one.share > 0
                    else None
                ),
            )
            for (one, power), point in zip(pairs, found, strict=True)
        )
    return RackEconomics(
        capital_usd=rate.capital.usd,
        capital_basis=rate.capital.basis,
        provisioned_w=rate.provisioned_kw * 1e3,
        capital_usd_per_hour=rate.capital_usd_per_hour,
        site_usd_per_hour=rate.site_usd_per_hour,
        operations_usd_per_hour=rate.operations_usd_per_hour,
        usd_per_kwh=rate.usd_per_kwh,
        rack_power_w=drawn * 1e3,
        usd_per_hour=rate.usd_per_hour(drawn),
        full_utilisation=token_cost(rate, made, drawn, prompts, read),
        utilisation=utilisation,
        load=load,
        hours=hours,
        statement=_terms(instance, rate),
    )


def _terms(instance: Instance, rate: CostRate) -> str:
    """Say in words what a cost rests on."""
    terms, pue = instance.economics, float(instance.limits.pue)
    operations = f"{show(100 * float(terms.operations_share))} % of the price a year"
    if terms.operations is not None:
        operations = f"{show(float(terms.operations), 7)} USD a year"
    return (
        f"{show(rate.capital.usd, 9)} USD, the {rate.capital.basis}, over "
        f"{show(float(terms.life))} years at {show(100 * float(terms.discount_rate))} % a year; "
        f"{show(rate.provisioned_kw)} kW of site at {show(float(terms.site), 7)} USD/kW over "
        f"{show(float(terms.site_life))} years; operations {operations}; "
        f"{show(float(terms.power_price))} USD/kWh at a PUE of {show(pue)}"
    )


def full_usd_per_million(instance: Instance, made: float, scoped_kw: float) -> float | None:
    """Return USD per million output tokens at full utilisation, None where no price is known.

    `made` in tok/s on the power that is drawn in the scope of the instance's power limit.
    """
    rate = cost_rate(instance)
    if rate is None or made <= 0:
        return None
    return float(usd_per_million(rate.usd_per_hour(rack_kw(instance, scoped_kw)), made))


def token_cost(
    rate: CostRate, made: float, drawn_kw: float, prompts: float = 0.0, read: float = 0.0
) -> TokenCost:
    """Return what a million output tokens cost where `made` tok/s take `drawn_kw` of the rack.

    `read` prompt tokens are computed for each output token, in the share `prompts` of the time.
    """

    def each(usd_per_hour: float) -> float:
        return usd_per_million(float(usd_per_hour), float(made))

    whole = each(rate.usd_per_hour(drawn_kw))
    return TokenCost(
        usd_per_million=whole,
        capital=each(rate.capital_usd_per_hour),
        site=each(rate.site_usd_per_hour),
        operations=each(rate.operations_usd_per_hour),
        energy=each(rate.usd_per_kwh * drawn_kw),
        input_usd_per_million=whole * prompts / read if read > 0 else None,
        output_usd_per_million=whole * (1.0 - prompts) if read > 0 else None,
    )


def prompt_share(configurations: Sequence[ConfigurationResult]) -> float:
    """Return the share of the busy time that accelerators spend on prompts."""
    prompts = busy = 0.0
    for one in configurations:
        held = one.replicas * one.accelerators / one.step_ms
        parts = one.step_breakdown_ms
        prompts += held * parts.get("prefill", 0.0)
        busy += held * sum(spent for name, spent in parts.items() if name != "waiting")
    return float(prompts / busy) if busy > 0 else 0.0
