"""A rack: all configurations with their rows, and the rows that they share."""

import pyomo.environ as pyo

from .accelerator_power import add_accelerator_power
from .accelerators import add_accelerators, add_clock_shares
from .budgets import add_budgets
from .common_batch import add_common_batch
from .compute import add_compute
from .hbm_bandwidth import add_hbm_bandwidth
from .hbm_capacity import add_hbm_capacity
from .interconnect import add_interconnect
from .lpu_compute import add_lpu_compute
from .lpu_link import add_lpu_link
from .lpu_units import add_lpu_units
from .min_batch import add_min_batch
from .min_speed import add_min_speed
from .offload import add_offload
from .power_cap import add_power_cap
from .quantities import BatchPoint, ConfigurationData, RackData
from .replica import declare_replica
from .sram_bandwidth import add_sram_bandwidth
from .sram_capacity import add_sram_capacity
from .step_time import add_step_time
from .throughput import add_throughput
from .uniform import add_uniform


def declare_configuration(block: pyo.Block, configuration: ConfigurationData) -> None:
    """Declare one configuration: integer ``replicas``, and a sub-block per clock."""
    block.replicas = pyo.Var(
        within=pyo.NonNegativeIntegers, bounds=(0, None), doc="running copies [1]"
    )
    block.clock = pyo.Block(range(len(configuration.clocks)))
    point = configuration.batches if isinstance(configuration.batches, BatchPoint) else None
    for index, replica in enumerate(configuration.clocks):
        clock = block.clock[index]
        declare_replica(clock, replica, point)
        add_hbm_capacity(clock, replica)
        add_hbm_bandwidth(clock, replica)
        add_compute(clock, replica)
        add_interconnect(clock, replica)
        add_step_time(clock, replica)
        add_sram_capacity(clock, replica)
        add_sram_bandwidth(clock, replica)
        add_lpu_compute(clock, replica)
        add_lpu_link(clock, replica)
        add_accelerator_power(clock, replica)
        add_min_speed(clock, replica)
        add_min_batch(clock, configuration.batches)
        add_offload(clock, replica, configuration.batches)
    add_clock_shares(block)
    if point is not None:
        add_common_batch(block, point)


def declare_rack(
    block: pyo.Block,
    rack: RackData,
    configurations: list[ConfigurationData],
    *,
    uniform: bool,
    racks_at_most: float = 1.0,
) -> None:
    """Declare a rack on `block`; it sets no objective.

    Parameters
    ----------
    block
        An empty Pyomo block or model.
    rack, configurations
        The numbers, as floats or as Pyomo parameters.
    uniform
        Whether at most one configuration may run.
    racks_at_most
        The largest value of ``rack.racks``, where that is a variable.
    """
    block.configuration = pyo.Block(range(len(configurations)))
    for index, configuration in enumerate(configurations):
        declare_configuration(block.configuration[index], configuration)
    add_throughput(block)
    add_accelerators(block, rack, configurations)
    add_lpu_units(block, rack, configurations)
    add_power_cap(block, rack, configurations)
    add_budgets(block, rack, configurations)
    if uniform:
        add_uniform(block, rack, configurations, racks_at_most)
