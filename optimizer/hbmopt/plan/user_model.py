"""A user's model around rack blocks, read as the surroundings of a master program."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyomo.environ as pyo

from hbmopt.basics import check_writable, write
from hbmopt.instance import Instance
from hbmopt.plan.blocks import RackContents, declare_groups, rack_block
from hbmopt.plan.columns import Group
from hbmopt.plan.master import Master, MasterPlan, RunningGroup, Surroundings
from hbmopt.program import InfeasiblePlanError, LinearReader, check_linear, one_at_a_time


class UserModel:
    """A user's model around rack blocks, as rows and columns."""

    def __init__(
        self, model: pyo.ConcreteModel, blocks: Sequence[pyo.Block], objective: pyo.Objective
    ) -> None:
        check_linear(model)
        inside = {
            id(row)
            for block in blocks
            for row in block.program.component_data_objects(pyo.Constraint, descend_into=True)
        }
        self._reader = LinearReader()
        every = model.component_data_objects(pyo.Constraint, active=True, descend_into=True)
        self.rows = [one for one in every if id(one) not in inside and self._reader.row(one)]
        self.sign = 1.0 if objective.sense == pyo.maximize else -1.0
        places = [
            [self._reader.column(block.component(name)) for block in blocks]
            for name in ("racks", "throughput", "power")
        ]
        cost, self.constant = self._reader.cost(objective)
        program = self._reader.program(self.sign * cost)
        self.around = Surroundings(program, *(tuple(one) for one in places))
        self.scale = np.array(self._reader.scale)
        """What the rows of the program are the user's rows times."""

    def leave(self, plan: MasterPlan, blocks: Sequence[pyo.Block]) -> None:
        """Leave the model at a plan: its variables, and the columns that run."""
        for variable, value in zip(self._reader.variables, plan.values.tolist(), strict=True):
            variable.set_value(value, skip_validation=True)
        for block, running in zip(blocks, plan.running, strict=True):
            contents: RackContents = block.contents
            known = {one.key for one in contents.groups}
            used = {one.group.key: one for one in running}
            fresh = [one.group for one in running if one.group.key not in known]
            contents.groups = [*contents.groups, *fresh]
            if fresh:
                declare_groups(block)
            _set_values(block, contents.groups, used)

    def moved(self, name: str, limit: float) -> Surroundings | None:
        """Return the surroundings with one more unit of a limit of a user's row, if it is one."""
        program = self.around.program
        for place, row in enumerate(self.rows):
            if row.name != name:
                continue
            lower, upper = program.row_lower.copy(), program.row_upper.copy()
            by = float(self.scale[place])
            at_upper = row.upper is not None and float(pyo.value(row.upper)) == limit
            if at_upper:
                upper[place] += by
            if not at_upper or row.equality:
                lower[place] += by
            return replace(self.around, program=replace(program, row_lower=lower, row_upper=upper))
        return None


def _set_values(block: pyo.Block, groups: Sequence[Group], used: "dict[Any, RunningGroup]") -> None:
    parts = block.program.configuration.values()
    for position, (group, part) in enumerate(zip(groups, parts, strict=True)):
        running = used.get(group.key)
        part.replicas.set_value(round(running.replicas) if running is not None else 0)
        for way, variable in part.way.items():
            value = max(0.0, running.ways[way]) if running is not None else 0.0
            variable.set_value(value, skip_validation=True)
        chosen = block.program.component("chosen")
        if chosen is not None:
            chosen[position].set_value(int(running is not None))


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
    model.tokens = pyo.Objective(expr=model.rack.throughput, sense=pyo.maximize)
    # With the columns of the optimum among those of the block the program is exact.
    read, columns = UserModel(model, [model.rack], model.tokens), model.rack.contents.columns
    with suppress(InfeasiblePlanError):
        read.leave(Master(read.around, [columns]).run(), [model.rack])
    with TemporaryDirectory() as folder:
        written = Path(folder) / path.name
        model.write(str(written), io_options={"symbolic_solver_labels": True})
        write(written.read_bytes(), path, "export")
