"""What one more unit of what limits a rack changes in all, with the integers free to move."""

from dataclasses import replace
from functools import partial

from hbmopt.documents import Figure, KeyPath
from hbmopt.instance import Instance
from hbmopt.plan import NEARLY, most_of_each
from hbmopt.results.solution import Solution


def with_next_units(instance: Instance, solution: Solution) -> Solution:
    """Return a solution that says what one more kW, GB of HBM and tok/s per user change in all."""
    if not solution.feasible or not instance.choices.uniform:
        return solution
    changed = one_more(instance)
    found = most_of_each(list(changed.values()))
    now = solution.objective_amount or 0.0
    # Where nothing can run no tokens are made; of other objectives nothing can be said.
    nothing = 0.0 if instance.objective == "throughput" else None
    made = dict[str, float | None]()
    for name, point in zip(changed, found, strict=True):
        then = point.amount if point is not None else nothing
        made[name] = _difference(then, now) if then is not None else None
    return replace(
        solution,
        inputs=tuple(replace(one, next_unit=made.get(one.name)) for one in solution.inputs),
        constraints=tuple(
            replace(one, next_unit=made.get(one.name)) for one in solution.constraints
        ),
    )


def _difference(then: float, now: float) -> float:
    """Return a difference; 0 where it is the rounding of the two."""
    return then - now if abs(then - now) > 10.0 * NEARLY * now else 0.0


def one_more(instance: Instance) -> dict[str, Instance]:
    """Return the instance with one more unit of what limits it, by limit.

    A kW of power, a GB of HBM of every accelerator, a token per second for every user.
    """
    steps: dict[str, tuple[KeyPath, float]] = {
        "hbm_capacity": (("rack", "accelerator", "hbm_capacity"), 1.0)
    }
    if instance.power_cap_kw is not None:
        given = instance.limits.power is not None
        # What nodes are provisioned for is one of them each.
        each: tuple[KeyPath, float] = (("rack", "power"), 1.0 / float(instance.rack.nodes))
        steps["power_cap"] = (("limits", "power"), 1.0) if given else each
    if float(instance.limits.min_speed) > 0:
        steps["min_speed"] = (("limits", "min_speed"), 1.0)
    return {
        name: instance.changed(path, partial(_raised, by=step))
        for name, (path, step) in steps.items()
    }


def _raised(figure: Figure, by: float) -> Figure:
    return replace(figure, amount=figure.amount + by)
