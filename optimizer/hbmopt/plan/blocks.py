"""A rack inside a larger plan: a Pyomo block of its columns.

`rack_block` gives a block for the user's own model, which adds constraints and an objective over
`racks`, `throughput` (tok/s) and `power` (kW). The block holds the operating points that are best
at some price of power, as columns: any solver solves it as it stands, to within a stated gap.
"""

from dataclasses import dataclass, replace

import pyomo.environ as pyo

from hbmopt.basics import verb
from hbmopt.errors import InputError
from hbmopt.instance import Overrides, Source, load
from hbmopt.models.columns import declare_columns
from hbmopt.plan.columns import Group, RackColumns
from hbmopt.program import one_at_a_time


@dataclass
class RackContents:
    """What a rack block was made from: all of its columns, and the groups that it holds now."""

    columns: RackColumns
    racks_at_most: int
    groups: list[Group]


@verb
@one_at_a_time
def rack_block(
    source: Source,
    overrides: Overrides = None,
    *,
    racks_at_most: int | None = None,
) -> pyo.Block:
    """Return a Pyomo block that holds a rack with all its configurations.

    Parameters
    ----------
    source, overrides
        As of `load`.
    racks_at_most
        Left out, the block is one rack. Given, ``racks`` is an integer variable from 0 to it:
        so many racks of this type are bought, and all run the same configuration.

    Returns
    -------
    pyomo.environ.Block
        With ``racks`` [1], ``throughput`` [tok/s], ``power`` [kW, in the instance's scope] and
        ``cost`` [USD, 0 where no price is known] for the user's own constraints. ``gap`` says how
        much throughput its columns miss at most on any power, as a share of it.

    Raises
    ------
    InputError
        If the instance is not valid, or no configuration holds even one sequence.
    """
    instance = load(source, overrides)
    if racks_at_most is not None and racks_at_most < 1:
        raise InputError(f"racks_at_most={racks_at_most}: must be a whole number, at least 1")
    columns = RackColumns(instance)
    groups, gap = columns.efficient()
    if not groups:
        raise InputError(
            f"{instance.name}: no configuration holds even one sequence; solve it alone"
        )
    contents = RackContents(columns, racks_at_most or 1, groups)
    block = pyo.Block(concrete=True)
    block.racks = pyo.Var(
        within=pyo.NonNegativeIntegers, bounds=(0, contents.racks_at_most), doc="racks [1]"
    )
    if racks_at_most is None:
        block.racks.fix(1)
    block.throughput = pyo.Var(within=pyo.NonNegativeReals, doc="output tokens [tok/s]")
    block.power = pyo.Var(within=pyo.NonNegativeReals, doc="power [kW]")
    cost = instance.rack.all_usd
    block.cost = pyo.Expression(expr=cost * block.racks, doc="price of the racks [USD]")
    block.contents = contents
    block.gap = gap
    declare_groups(block)
    return block


def declare_groups(block: pyo.Block) -> None:
    """Declare the groups that a rack block holds, in place of those that it held before."""
    contents: RackContents = block.contents
    columns = contents.columns
    if block.component("program") is not None:
        block.del_component("program")
    block.program = pyo.Block(concrete=True)
    declare_columns(
        block.program,
        replace(columns.rack, racks=block.racks),
        columns.fixed_kw,
        columns.fixed_budgets,
        [one.data for one in contents.groups],
        uniform=columns.instance.choices.uniform,
        lpus=columns.lpus,
        racks_at_most=float(contents.racks_at_most),
        throughput=block.throughput,
        power=block.power,
    )


def rack_blocks(model: pyo.Block) -> list[pyo.Block]:
    """Return the rack blocks of a model, in the order of their declaration."""
    return [
        block
        for block in model.component_data_objects(pyo.Block, active=True, descend_into=True)
        if isinstance(getattr(block, "contents", None), RackContents)
    ]
