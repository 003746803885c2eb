"""Rack power: what runs, what is parked and what is always on, in a stated scope.

    PUE (P_static n + sum_k P_k + p_parked (N n - sum_k g_k R_k)
         + sum_k P_lpu,k + p_parked,lpu (N_lpu n - sum_k n_k R_k)) <= cap n        [kW]

for n racks.
Scope `accelerators` leaves out P_static and PUE, scope `rack` leaves out PUE (both are set in the
data), scope `facility` counts all. Parked replicas and lower clocks are real ways to meet a cap.
"""

import pyomo.core as pyo

from .quantities import ConfigurationData, RackData


def add_power_cap(
    block: pyo.Block, rack: RackData, configurations: list[ConfigurationData]
) -> None:
    """Add ``power``, and ``power_cap`` divided by the cap where there is one."""
    pairs = list(zip(configurations, block.configuration.values(), strict=True))
    running = sum(
        clock.power + clock.lpu_power for _, column in pairs for clock in column.clock.values()
    )
    accelerators = sum(data.clocks[0].accelerators * column.replicas for data, column in pairs)
    lpus = sum(
        data.clocks[0].lpu.units * column.replicas
        for data, column in pairs
        if data.clocks[0].offloaded
    )
    block.power = pyo.Expression(
        expr=rack.power_overhead
        * (
            rack.static_kw * rack.racks
            + running
            + rack.parked_accelerator_kw * (rack.accelerators * rack.racks - accelerators)
            + rack.parked_lpu_kw * (rack.lpu_units * rack.racks - lpus)
        ),
        doc="Power in the stated scope [kW]",
    )
    if rack.power_cap_kw is None:
        return

    @block.Constraint(doc="Power stays within the cap of each rack [racks]")
    def power_cap(block: pyo.Block) -> object:
        return block.power / rack.power_cap_kw <= rack.racks
