"""A rack inside a larger plan: a Pyomo block with all its configurations.

`rack_block` gives a block for the user's own model, which adds constraints and an objective over
`racks`, `throughput` (tok/s) and `power` (kW). The block alone is a sound program: any Pyomo
solver finds a bound that the batch ranges keep within a few per cent. `solve_model` makes it
exact: it solves, splits the ranges that the answer uses at the batch found, and solves again
until the answer uses single batches only, where nothing is approximated.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyomo.environ as pyo

from hbmopt.declaring import one_at_a_time
from hbmopt.errors import InputError
from hbmopt.files import check_writable, write
from hbmopt.instance import Instance, Overrides, Source, load
from hbmopt.models.throughput import maximise_throughput
from hbmopt.plan_prices import price_racks, price_table
from hbmopt.rack_columns import RackContents, declare_columns, first_columns, used_columns
from hbmopt.refinement import Refinement
from hbmopt.solution import ConstraintResult, InputResult
from hbmopt.verb import verb

if TYPE_CHECKING:
    import pandas as pd


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
        ``cost`` [USD, 0 where no price is known] for the user's own constraints.

    Raises
    ------
    InputError
        If the instance is not valid, or no configuration holds even one sequence.
    """
    instance = load(source, overrides)
    if racks_at_most is not None and racks_at_most < 1:
        raise InputError(f"racks_at_most={racks_at_most}: must be a whole number, at least 1")
    contents = RackContents(instance, racks_at_most or 1, tuple(first_columns(instance)))
    contents.columns = list(contents.first)
    if not contents.columns:
        raise InputError(
            f"{instance.name}: no configuration holds even one sequence; solve it alone"
        )
    block = pyo.Block(concrete=True)
    block.racks = pyo.Var(
        within=pyo.NonNegativeIntegers, bounds=(0, contents.racks_at_most), doc="racks [1]"
    )
    if racks_at_most is None:
        block.racks.fix(1)
    block.throughput = pyo.Var(within=pyo.NonNegativeReals, doc="output tokens [tok/s]")
    block.power = pyo.Var(within=pyo.NonNegativeReals, doc="power [kW]")
    price = instance.rack.price
    offload = instance.rack.offload
    cost = (float(price) if price else 0.0) + (
        float(offload.price) if offload is not None and offload.price is not None else 0.0
    )
    block.cost = pyo.Expression(expr=cost * block.racks, doc="price of the racks [USD]")
    block.contents = contents
    declare_columns(block, uniform=instance.choices.uniform)
    return block


def rack_blocks(model: pyo.Block) -> list[pyo.Block]:
    """Return the rack blocks of a model, in the order of their declaration."""
    return [
        block
        for block in model.component_data_objects(pyo.Block, active=True, descend_into=True)
        if isinstance(getattr(block, "contents", None), RackContents)
    ]


@dataclass(frozen=True)
class PlannedRack:
    """What one rack block does in a plan."""

    name: str
    racks: int
    configuration: str
    replicas: int
    batch: float
    speed_tok_s_user: float
    throughput_tok_s: float
    power_kw: float


@dataclass(frozen=True)
class Plan:
    """The optimum of a planning model, with the price of every row and hardware input."""

    status: str
    objective: float
    bound: float
    racks: tuple[PlannedRack, ...]
    constraints: tuple[ConstraintResult, ...]
    inputs: tuple[InputResult, ...]
    rounds: int
    seconds: float

    @property
    def prices(self) -> "pd.DataFrame":
        """One table of all prices: the user's rows, the racks' rows and hardware inputs."""
        import pandas as pd  # 0.3 s that only frames need

        rows: list[dict[str, Any]] = [
            {
                "name": row.name,
                "kind": "limit",
                "value": row.limit,
                "slack": row.slack,
                "binding": row.binding,
                "unit_price": row.unit_price,
                "unit": row.unit_price_unit,
                "elasticity": row.elasticity,
            }
            for row in self.constraints
        ]
        rows += [
            {
                "name": one.name,
                "kind": "input",
                "value": one.value,
                "slack": None,
                "binding": None,
                "unit_price": one.unit_price,
                "unit": one.unit_price_unit,
                "elasticity": one.elasticity,
            }
            for one in self.inputs
        ]
        return pd.DataFrame(rows).set_index("name")

    @property
    def racks_frame(self) -> "pd.DataFrame":
        """One row per rack block."""
        import pandas as pd  # 0.3 s that only frames need

        return pd.DataFrame([vars(one) for one in self.racks]).set_index("name")


@verb
@one_at_a_time
def solve_model(
    model: pyo.ConcreteModel, *, objective_unit: str = "objective", tolerance: float = 1e-6
) -> Plan:
    """Solve a planning model that holds rack blocks, exactly, and price all its rows.

    The model is left at the optimum: its variables hold the plan. It may be changed and solved
    again.

    Parameters
    ----------
    model
        A Pyomo model with one linear objective and at least one block from `rack_block`.
    objective_unit
        How to call a unit of the objective in the table of prices.
    tolerance
        Relative gap between the plan and the proven bound at which refinement stops.

    Raises
    ------
    InputError
        If the model has no rack block, not exactly one active objective, or is not linear.
    InfeasiblePlanError
        If no plan satisfies all constraints.
    SolverError
        If HiGHS stops without a proof.
    """
    begun = time.perf_counter()
    blocks = rack_blocks(model)
    if not blocks:
        raise InputError("the model holds no rack block; add one with hbmopt.rack_block(...)")
    objectives = list(model.component_data_objects(pyo.Objective, active=True))
    if len(objectives) != 1:
        raise InputError(f"the model has {len(objectives)} active objectives; it needs one")
    refinement = Refinement(model, blocks, objectives[0], tolerance)
    bound, rounds = refinement.run()
    objective = pyo.value(objectives[0])
    planned = tuple(_planned(block) for block in blocks)
    racks, rows = price_racks(model, blocks, objectives[0], objective_unit)
    constraints, inputs = price_table([block.name for block in blocks], racks, rows)
    refinement.restore()
    return Plan(
        "optimal",
        objective,
        bound,
        planned,
        constraints,
        inputs,
        rounds,
        time.perf_counter() - begun,
    )


def _planned(block: pyo.Block) -> PlannedRack:
    used = used_columns(block)
    names = ", ".join(str(column.configuration) for column, _ in used)
    replicas = [round(part.replicas.value or 0.0) for part in block.program.configuration.values()]
    sequences = sum(
        batch * (count or 0)
        for (_, batch), count in zip(used, [count for count in replicas if count], strict=False)
    )
    throughput = float(block.throughput.value or 0.0)
    return PlannedRack(
        name=block.name,
        racks=round(block.racks.value or 0),
        configuration=names or "idle",
        replicas=sum(replicas),
        batch=sequences,
        speed_tok_s_user=throughput / sequences if sequences else 0.0,
        throughput_tok_s=throughput,
        power_kw=float(block.power.value or 0.0),
    )


@one_at_a_time
def export_program(instance: Instance, path: Path) -> None:
    """Write the program of an instance as an MPS or LP file, whole or not at all.

    Raises
    ------
    InputError
        Where no configuration holds a sequence, or the file cannot be written.
    """
    check_writable(path, "export")
    model = pyo.ConcreteModel(name=instance.name)
    model.rack = rack_block(instance)
    maximise_throughput(model.rack.program)
    with TemporaryDirectory() as folder:
        written = Path(folder) / path.name
        model.write(str(written), io_options={"symbolic_solver_labels": True})
        write(written.read_bytes(), path, "export")
