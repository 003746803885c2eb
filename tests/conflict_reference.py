"""What conflicts are made of, by programs: the reference for the formulas."""

from dataclasses import replace

import numpy as np

from hbmopt.demand.coefficients import Demand, Segment, rack_data
from hbmopt.demand.sequence import smallest_batch, step_tokens
from hbmopt.program import fill, highs


def one_replica(instance, configuration):
    """The program of a configuration that runs one replica, at whatever clocks."""
    demand = Demand(instance, configuration)
    batches = Segment(smallest_batch(configuration), demand.largest_batch)
    filled = fill(rack_data(instance), demand.over(batches))
    column = filled.template.column("replicas")
    lower, upper = filled.program.column_lower.copy(), filled.program.column_upper.copy()
    lower[column] = upper[column] = 1.0
    program = replace(filled.program, column_lower=lower, column_upper=upper)
    return replace(filled, program=program)


def extreme(filled, family, without):
    """Maximise steps (or minimise power) of one replica without some of the limits."""
    program, template = filled.program, filled.template
    upper = program.row_upper.copy()
    for row, label in enumerate(template.rows):
        if label.family in without:
            upper[row] = highs.INFINITY
    cost = np.zeros(len(template.columns))
    if family == "steps":
        for column, label in enumerate(template.columns):
            cost[column] = filled.scale[column] if label.family == "steps" else 0.0
    else:
        row = template.row("power_cap")
        span = slice(program.starts[row], program.starts[row + 1])
        cost[program.indices[span]] = -program.values[span] / filled.row_scale[row]
    return highs.solve(replace(program, cost=cost, row_upper=upper), integers=False)


def fastest(instance, configurations):
    """Return the highest speed of one replica, whatever power it draws, and whose it is."""
    best, owner = 0.0, configurations[0]
    for one in configurations:
        without = {"min_speed", "power_cap", "budget"}
        answer = extreme(one_replica(instance, one), "steps", without)
        gained = step_tokens(instance, one).accepted * 1e3
        if answer.optimal and answer.objective * gained > best:
            best, owner = answer.objective * gained, one
    return best, owner


def thriftiest(instance, configurations, *, at_floor):
    """Return the least power in kW at which one replica runs."""
    without = {"power_cap", "budget"} | (set() if at_floor else {"min_speed"})
    least = np.inf
    for one in configurations:
        filled = one_replica(instance, one)
        answer = extreme(filled, "power", without)
        if answer.optimal:
            row = filled.template.row("power_cap")
            constant = 1.0 - filled.program.row_upper[row] / filled.row_scale[row]
            least = min(least, (constant - answer.objective) * instance.power_cap_kw)
    return least
