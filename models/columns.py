"""A rack as its columns: whole replicas of configurations at single batches, in the ways they run.

    sum_j q_gj = r_g              replicas of group g run in its ways j
    T <= sum_gj tokens_gj q_gj    [tok/s]
    P = fixed n + sum_g parked_g r_g + sum_gj power_gj q_gj        [kW]

for n racks, with the rows over the rack of `accelerators`, `lpu_units`, `power_cap`,
`min_throughput` and `budgets` summed over columns instead of rates. A column is an operating point
of one replica, so nothing is left of batches and clocks, and any solver of linear programs with
integers can solve it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyomo.core as pyo
from pyomo.core.expr.numvalue import NumericValue

from .quantities import PER_SECOND, RackData
from .uniform import add_uniform

OF_GROUPS = frozenset({"ways", "whole_racks", "only_if_chosen"})
"""Rows of which every group has its own; all others are sums over groups."""


@dataclass(frozen=True)
class GroupData:
    """Replicas of one configuration at one batch.

    `tokens` in tok/s and `power` in kW are those of one replica by way, `parked_kw` what it draws
    more by not being parked. `budgets` are shares of their capacities: anyway, and by way.
    """

    label: str
    replicas_at_most: float
    accelerators: float
    lpu_units: float
    parked_kw: float
    tokens: tuple[float, ...]
    power: tuple[float, ...]
    budgets: tuple[tuple[float, tuple[float, ...]], ...]


def declare_columns(
    block: pyo.Block,
    rack: RackData,
    fixed_kw: float,
    fixed_budgets: Sequence[float],
    groups: Sequence[GroupData],
    *,
    uniform: bool,
    lpus: bool,
    racks_at_most: float,
    throughput: pyo.Var,
    power: pyo.Var,
) -> None:
    """Declare a rack's columns on `block`, and the rows that tie `throughput` and `power` to them.

    ``rack.racks`` is the variable that says how many racks there are; `lpus` whether replicas may
    take any.
    """
    racks = rack.racks
    block.configuration = pyo.Block([one.label for one in groups])
    parts = list(block.configuration.values())
    for part, group in zip(parts, groups, strict=True):
        part.replicas = pyo.Var(within=pyo.NonNegativeIntegers, doc="replicas [1]")
        part.way = pyo.Var(range(len(group.tokens)), within=pyo.NonNegativeReals, doc="replicas")
        part.ways = pyo.Constraint(expr=sum(part.way.values()) == part.replicas)
    block.made = pyo.Expression(
        expr=sum(
            made * part.way[way]
            for part, group in zip(parts, groups, strict=True)
            for way, made in enumerate(group.tokens)
        ),
        doc="Output tokens [tok/s]",
    )
    block.drawn = pyo.Expression(
        expr=fixed_kw * racks
        + sum(
            group.parked_kw * part.replicas
            + sum(drawn * part.way[way] for way, drawn in enumerate(group.power))
            for part, group in zip(parts, groups, strict=True)
        ),
        doc="Power in the stated scope [kW]",
    )
    block.tokens = pyo.Constraint(expr=throughput <= block.made, doc="No more than is made [tok/s]")
    block.power = pyo.Constraint(expr=power == block.drawn, doc="What is drawn [kW]")

    def counted(each: Sequence[float]) -> NumericValue | float:
        return sum(one * part.replicas for one, part in zip(each, parts, strict=True))

    sizes = [one.accelerators for one in groups]
    block.accelerators = pyo.Constraint(expr=counted(sizes) <= rack.accelerators * racks)
    if lpus:
        units = [one.lpu_units for one in groups]
        block.lpu_units = pyo.Constraint(expr=counted(units) <= rack.lpu_units * racks)
    if rack.power_cap_kw is not None:
        block.power_cap = pyo.Constraint(expr=power <= rack.power_cap_kw * racks)
    if rack.min_tokens_per_ms is not None:
        demand = PER_SECOND * rack.min_tokens_per_ms
        block.min_throughput = pyo.Constraint(expr=throughput >= demand * racks)
    block.budget = pyo.ConstraintList()
    for position, fixed in enumerate(fixed_budgets):
        used = sum(
            group.budgets[position][0] * part.replicas
            + sum(step * part.way[way] for way, step in enumerate(group.budgets[position][1]))
            for part, group in zip(parts, groups, strict=True)
        )
        block.budget.add(fixed * racks + used <= racks)
    if uniform:
        add_uniform(block, rack, groups, racks_at_most)
    else:
        block.whole_racks = pyo.Constraint(
            range(len(groups)),
            rule=lambda _, index: parts[index].replicas <= groups[index].replicas_at_most * racks,
        )
