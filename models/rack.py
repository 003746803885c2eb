"""A rack: all configurations with their rows, and the rows that they share."""

import pyomo.core as pyo

from . import (
    accelerator_power,
    compute,
    hbm_bandwidth,
    hbm_capacity,
    interconnect,
    lpu_compute,
    lpu_link,
    max_batch,
    min_speed,
    scale_out,
    sram_bandwidth,
    sram_capacity,
    step_time,
)
from .accelerators import add_accelerators, add_clock_shares
from .budgets import add_budgets
from .common_batch import add_common_batch
from .kernel_time import add_kernel_time
from .lpu_units import add_lpu_units
from .min_batch import add_min_batch
from .min_throughput import add_min_throughput
from .offload import add_offload
from .power_cap import add_power_cap
from .quantities import BatchPoint, ConfigurationData, RackData
from .replica import declare_replica
from .throughput import add_throughput
from .uniform import add_uniform

CLOCK_FAMILIES = (
    hbm_capacity.FAMILY,
    hbm_bandwidth.FAMILY,
    compute.FAMILY,
    interconnect.FAMILY,
    scale_out.FAMILY,
    max_batch.FAMILY,
    sram_capacity.FAMILY,
    sram_bandwidth.FAMILY,
    lpu_compute.FAMILY,
    lpu_link.FAMILY,
    step_time.FAMILY,
)
"""Limits of a replica at every clock, in the order in which they are listed."""

CONFIGURATION_FAMILIES = (accelerator_power.FAMILY, min_speed.FAMILY)
"""Limits of a replica over its clocks, in the order in which they are listed after those."""


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
        add_kernel_time(clock, replica)
        for family in CLOCK_FAMILIES:
            family.declare(clock, replica)
        add_min_batch(clock, configuration.batches)
        add_offload(clock, replica, configuration.batches)
    add_clock_shares(block)
    for whole in CONFIGURATION_FAMILIES:
        whole.declare(block, configuration)
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
    add_min_throughput(block, rack)
    add_budgets(block, rack, configurations)
    if uniform:
        add_uniform(block, rack, configurations, racks_at_most)
