"""What an hour of a rack costs, linear in its power.

    cost per hour = (capital x recovery(life) + site x recovery(site life) + operations) / 8760 h
                    + price of energy x PUE x power of the rack

The first part is the same whatever the rack does, the second follows its power.
"""

from dataclasses import dataclass

from hbmopt.documents import UNCERTAIN, Figure
from hbmopt.instance.schema import Instance

HOURS_OF_A_YEAR = 8760.0
SECONDS_OF_AN_HOUR = 3600.0


def recovery(rate: float, years: float) -> float:
    """Return the capital recovery factor: the yearly payment for each USD lent, 1/years at 0 %."""
    return rate / (1.0 - (1.0 + rate) ** -years) if rate > 0 else 1.0 / years


@dataclass(frozen=True)
class Capital:
    """The price of a rack with its LPUs in USD, what it is the price of, and what it is worth.

    `status` is the weakest of its parts'.
    """

    usd: float
    basis: str
    status: str


@dataclass(frozen=True)
class CostRate:
    """What a rack costs per hour: linear in the power that it draws itself, in the scope ``rack``.

    The parts are of all hours, whatever the rack does. `capital` is what they rest on;
    `provisioned_kw` is the facility power that the site is built for.
    """

    capital: Capital
    provisioned_kw: float
    capital_usd_per_hour: float
    site_usd_per_hour: float
    operations_usd_per_hour: float
    usd_per_kwh: float

    @property
    def fixed_usd_per_hour(self) -> float:
        """What every hour costs before any power is drawn."""
        return self.capital_usd_per_hour + self.site_usd_per_hour + self.operations_usd_per_hour

    def usd_per_hour(self, rack_kw: float) -> float:
        """Return what an hour costs in which the rack draws so many kW."""
        return self.fixed_usd_per_hour + self.usd_per_kwh * rack_kw


def usd_per_million(usd_per_hour: float, tok_s: float) -> float:
    """Return USD per million tokens, of what an hour costs and the tok/s that are made."""
    return usd_per_hour / (SECONDS_OF_AN_HOUR * tok_s) * 1e6


def capital(instance: Instance) -> Capital | None:
    """Return the price of all nodes with their LPUs, None where a price is missing."""
    rack = instance.rack
    if unpriced(instance):
        return None
    basis, parts = "price of the rack", list[Figure]()
    if rack.price is not None:
        parts.append(rack.price)
    elif rack.accelerator.price is not None:
        parts.append(rack.accelerator.price.scaled(float(rack.accelerators)))
        basis = "price of its accelerators alone, without hosts and network"
    if rack.offload is not None and rack.offload.price is not None:
        parts.append(rack.offload.price)
        basis = f"{basis}, with that of its LPUs"
    weakest = [status for status in UNCERTAIN if any(one.status == status for one in parts)]
    status = weakest[0] if weakest else parts[0].status
    return Capital(float(rack.nodes) * sum(map(float, parts)), basis, status)


def unpriced(instance: Instance) -> str:
    """Return the key of the price that is missing for a cost, "" where none is."""
    rack = instance.rack
    if rack.price is None and rack.accelerator.price is None:
        return "rack.price"
    if rack.offload is not None and rack.offload.price is None:
        return "rack.offload.price"
    return ""


def cost_rate(instance: Instance) -> CostRate | None:
    """Return what the rack costs per hour, None where no price of it is known."""
    paid = capital(instance)
    if paid is None:
        return None
    terms = instance.economics
    rate, provisioned = float(terms.discount_rate), provisioned_kw(instance)
    operations = (
        float(terms.operations)
        if terms.operations is not None
        else float(terms.operations_share) * paid.usd
    )
    site = float(terms.site) * provisioned * recovery(rate, float(terms.site_life))
    return CostRate(
        capital=paid,
        provisioned_kw=provisioned,
        capital_usd_per_hour=paid.usd * recovery(rate, float(terms.life)) / HOURS_OF_A_YEAR,
        site_usd_per_hour=site / HOURS_OF_A_YEAR,
        operations_usd_per_hour=operations / HOURS_OF_A_YEAR,
        usd_per_kwh=float(terms.power_price) * float(instance.limits.pue),
    )


def rack_kw(instance: Instance, scoped_kw: float) -> float:
    """Return the power of the whole rack, from that in the scope of the instance's power limit."""
    limits = instance.limits
    if limits.power_scope == "accelerators":
        return scoped_kw + instance.rack.all_static_kw
    return scoped_kw / float(limits.pue) if limits.power_scope == "facility" else scoped_kw


def provisioned_kw(instance: Instance) -> float:
    """Return the facility power that a site keeps for the rack.

    The power limit, and never more than everything in the rack can draw.
    """
    rack = instance.rack
    most = rack.all_static_kw + rack.all_accelerators * float(instance.accelerator_limit)
    if rack.offload is not None:
        lpus = float(rack.nodes) * float(rack.offload.units)
        most += lpus * float(rack.offload.device.tdp)
    cap = instance.power_cap_kw
    if cap is not None:
        most = min(most, rack_kw(instance, cap))
    return most * float(instance.limits.pue)
