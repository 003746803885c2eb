"""Budgets that a user declares: cooling flow, host CPU, network, licences, anything linear.

    fixed + sum_k (per_replica_k R_k + per_step_k z_k + per_sequence_step_k v_k) <= capacity n

for n racks, the fixed part n times as well. Steps and sequence-steps count per second here, in the
user's own unit.
"""

import pyomo.core as pyo

from .quantities import PER_SECOND, ConfigurationData, RackData


def add_budgets(block: pyo.Block, rack: RackData, configurations: list[ConfigurationData]) -> None:
    """Add ``budget`` by position of the declared budgets, divided by each capacity."""
    pairs = list(zip(configurations, block.configuration.values(), strict=True))

    def used(position: int) -> object:
        return rack.budgets[position].fixed * rack.racks + sum(
            data.budgets[position].per_replica * column.replicas
            + PER_SECOND
            * sum(
                data.budgets[position].per_step * clock.steps
                + data.budgets[position].per_sequence_step * clock.sequences
                for clock in column.clock.values()
            )
            for data, column in pairs
        )

    block.budget_used = pyo.Expression(
        range(len(rack.budgets)), rule=lambda _, position: used(position)
    )

    @block.Constraint(range(len(rack.budgets)), doc="A declared budget holds [racks]")
    def budget(block: pyo.Block, position: int) -> object:
        return block.budget_used[position] / rack.budgets[position].capacity <= rack.racks
