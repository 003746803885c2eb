"""HBM capacity: resident weights plus the KV caches of the batch fit in HBM.

    sum_c M_c (z - y_c) + S v <= g C z            [GB per replica, times steps]

M_c resident bytes of component c with its copies, S bytes held per sequence, g accelerators,
C bytes each that an engine leaves to weights and caches. With b = v/z it reads M + S b <= g C:
b <= (g C - M) / S.
"""

import pyomo.core as pyo

from .limit import ClockFamily, Limit
from .quantities import ReplicaData


def add_hbm_capacity(block: pyo.Block, replica: ReplicaData) -> None:
    """Add ``hbm_capacity``, divided by g C so that its activity is the share of HBM in use."""
    position = {component: index for index, component in enumerate(replica.offloadable)}
    limit = replica.accelerators * replica.hbm_gb
    block.resident = pyo.Expression(
        expr=sum(
            part.resident_gb
            * (
                block.steps - block.offloaded_steps[position[index]]
                if index in position
                else block.steps
            )
            for index, part in enumerate(replica.components)
        )
        + replica.kv_held_gb * block.sequences,
        doc="Bytes resident per replica, times steps [GB/ms]",
    )

    @block.Constraint(doc="Resident weights and KV cache fit in HBM [share of HBM]")
    def hbm_capacity(block: pyo.Block) -> object:
        return block.resident / limit <= block.steps


FAMILY = ClockFamily(
    Limit(
        "hbm_capacity",
        "GB per accelerator",
        lambda replica: replica.hbm_gb,
        against="steps",
    ),
    add_hbm_capacity,
)
