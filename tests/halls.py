"""Small halls of racks, drawn at random, and plans of whole racks that theirs must not lose to.

``python tests/halls.py 150 SEED`` tries so many of them; the tests try a few.
"""

import itertools
import random
import sys
import time

import numpy as np
import pyomo.environ as pyo
from pyomo.repn import generate_standard_repn

import hbmopt
from hbmopt.documents import Figure
from hbmopt.plan import best_points, plan_at

KINDS = {
    "hgx_h200": [1, 2, 4, 8],
    "dgx_h100": [2, 4, 8],
    "dgx_b200": [1, 4, 8],
    "mi300x_node": [2, 8],
    "dgx_a100": [8],
    "gb200_nvl72": [4, 8],
}
"""Racks, and the accelerators of a replica that each may have."""

LLMS = ("llama_3_1_8b", "llama_3_1_70b", "gpt_oss_20b", "gpt_oss_120b", "qwen3_30b_a3b")

SHARES = np.array([0.45, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0])
"""Shares of the most power of a rack on which the other plans run it."""

CLOSE = 1e-5
"""Share of the objective by which a plan may be beaten: what is proven, and what HiGHS takes."""


class Hall:
    """A drawn hall: types of racks, what limits them, and what is best."""

    def __init__(self, seed):
        draw = random.Random(seed)
        kinds = draw.sample(list(KINDS), draw.choice([2, 2, 3]))
        self.objective = draw.choice(["throughput", "throughput", "weighted", "cost", "power"])
        llm, floor = draw.choice(LLMS), draw.choice([15, 20, 30, 40, 60])
        alike = draw.random() < 0.4
        self.types = {}
        for kind in kinds:
            serving = {
                "llm": llm if alike else draw.choice(LLMS),
                "workload.context": draw.choice([2048, 8192, 30_000]),
                "limits.min_speed": f"{floor if alike else draw.choice([0.1, 10, 25, 40])} tok/s",
                "choices.replica_accelerators": KINDS[kind],
            }
            self.types[kind] = serving
        self.instances = {
            kind: hbmopt.load({"rack": kind}, serving) for kind, serving in self.types.items()
        }
        self.at_most = {kind: draw.randint(1, 6) for kind in kinds}
        self.worth = dict.fromkeys(kinds, 1.0)
        if self.objective == "weighted":
            self.worth = {kind: round(draw.uniform(0.2, 3.0), 2) for kind in kinds}
        self.price = {kind: round(draw.uniform(0.1, 3.0), 2) for kind in kinds}
        self.size = {kind: draw.choice([4, 6, 8, 10, 48]) for kind in kinds}
        self._others()
        self._limits(draw)

    def _others(self):
        """Set the tok/s and kW of one rack of each type on shares of its most power."""
        self.made, self.drawn = {}, {}
        for kind, instance in self.instances.items():
            (most,) = best_points([instance])
            if most is None:
                self.made[kind] = self.drawn[kind] = np.zeros(0)
                continue
            full = plan_at(instance, most)
            drawn = float(full.power_kw) * SHARES
            capped = [
                instance.model_copy(
                    update={
                        "limits": instance.limits.model_copy(update={"power": Figure(kw, "power")})
                    }
                )
                for kw in drawn[:-1].tolist()
            ]
            points = [*best_points(capped), most]
            kept = [place for place, point in enumerate(points) if point is not None]
            self.made[kind] = np.array(
                [float(plan_at(instance, points[place]).throughput) for place in kept]
            )
            self.drawn[kind] = drawn[kept]

    def _limits(self, draw):
        """Draw the limits of the hall, in the neighbourhood of what its racks take."""
        full = {kind: float(self.drawn[kind].max(initial=0.0)) for kind in self.types}
        most = sum(full[kind] * self.at_most[kind] for kind in self.types)
        self.power = round(draw.uniform(0.2, 1.0) * most, 1) if draw.random() < 0.9 else None
        prices = sum(self.price[kind] * self.at_most[kind] for kind in self.types)
        self.capital = draw.uniform(0.3, 1.0) * prices if draw.random() < 0.4 else None
        sizes = sum(self.size[kind] * self.at_most[kind] for kind in self.types)
        self.space = draw.randint(sizes // 3, sizes) if draw.random() < 0.4 else None
        self.least = {
            kind: draw.randint(1, self.at_most[kind]) if draw.random() < 0.3 else 0
            for kind in self.types
        }
        self.owned = {kind: draw.randint(0, 2) if draw.random() < 0.2 else 0 for kind in self.types}
        made = {kind: float(self.made[kind].max(initial=0.0)) for kind in self.types}
        all_made = sum(made[kind] * self.at_most[kind] for kind in self.types)
        self.demand = None
        if self.objective in ("cost", "power"):
            self.demand = round(draw.uniform(0.05, 0.5) * all_made)

    def model(self):
        """Return the hall as a model."""
        hall = pyo.ConcreteModel()
        hall.rack = pyo.Block(
            list(self.types),
            rule=lambda _, kind: hbmopt.rack_block(
                self.instances[kind], racks_at_most=self.at_most[kind]
            ),
        )

        def summed(of):
            return sum(of[kind] * hall.rack[kind].racks for kind in self.types)

        made = sum(self.worth[kind] * hall.rack[kind].throughput for kind in self.types)
        power = sum(hall.rack[kind].power for kind in self.types)
        if self.power is not None:
            hall.power = pyo.Constraint(expr=power <= self.power)
        if self.capital is not None:
            # What is owned already costs nothing.
            hall.bought = pyo.Var(list(self.types), within=pyo.NonNegativeReals)
            hall.buys = pyo.Constraint(
                list(self.types),
                rule=lambda _, kind: hall.bought[kind] >= hall.rack[kind].racks - self.owned[kind],
            )
            cost = sum(self.price[kind] * hall.bought[kind] for kind in self.types)
            hall.capital = pyo.Constraint(expr=cost <= self.capital)
        if self.space is not None:
            hall.space = pyo.Constraint(expr=summed(self.size) <= self.space)
        hall.least = pyo.Constraint(
            [kind for kind in self.types if self.least[kind]],
            rule=lambda _, kind: hall.rack[kind].racks >= self.least[kind],
        )
        if self.demand is not None:
            hall.demand = pyo.Constraint(expr=made >= self.demand)
        wanted = {"cost": summed(self.price), "power": power}.get(self.objective, made)
        sense = pyo.maximize if self.demand is None else pyo.minimize
        hall.wanted = pyo.Objective(expr=wanted, sense=sense)
        return hall

    def best_of_others(self):
        """Return the best objective of racks that each run as they do alone, None for none."""
        best = None
        for counts in itertools.product(*(range(self.at_most[kind] + 1) for kind in self.types)):
            racks = dict(zip(self.types, counts, strict=True))
            if not self._kept(racks):
                continue
            used = [kind for kind in self.types if racks[kind]]
            if any(not len(self.made[kind]) for kind in used):
                continue
            made = power = np.zeros(())
            for kind in used:
                own = self.worth[kind] * racks[kind] * self.made[kind]
                made = np.add.outer(made, own)
                power = np.add.outer(power, racks[kind] * self.drawn[kind])
            possible = np.ones(made.shape, dtype=bool)
            if self.power is not None:
                possible &= power <= self.power
            if self.demand is not None:
                possible &= made >= self.demand
            if not possible.any():
                continue
            if self.objective == "cost":
                value = -sum(self.price[kind] * racks[kind] for kind in self.types)
            else:
                value = float((-power if self.objective == "power" else made)[possible].max())
            best = value if best is None else max(best, value)
        if best is None:
            return None
        return best if self.demand is None else -best

    def _kept(self, racks):
        """Whether counts of racks keep the rows over these."""
        price = sum(self.price[one] * max(0, racks[one] - self.owned[one]) for one in racks)
        size = sum(self.size[one] * racks[one] for one in racks)
        kept = all(racks[kind] >= self.least[kind] for kind in racks)
        kept &= self.capital is None or price <= self.capital
        return kept and (self.space is None or size <= self.space)


def row_that_is_broken(hall):
    """Return the row of a model that its values break most, and by how much of its largest term."""
    worst = ("", 0.0)
    for row in hall.component_data_objects(pyo.Constraint, active=True):
        terms = generate_standard_repn(row.body)
        values = [
            abs(float(coefficient) * float(variable.value or 0.0))
            for coefficient, variable in zip(terms.linear_coefs, terms.linear_vars, strict=True)
        ]
        body, largest = float(pyo.value(row.body)), max([1.0, *values])
        for limit, sign in ((row.upper, 1.0), (row.lower, -1.0)):
            if limit is not None:
                broken = sign * (body - float(pyo.value(limit))) / largest
                worst = max(worst, (row.name, broken), key=_by)
    return worst


def _by(pair):
    return pair[1]


def check(seed):
    """Solve a hall, and hold what holds of every plan; return the plan, None where there is none.

    A hall has no plan only where no other plan was found either.
    """
    drawn = Hall(seed)
    best = drawn.best_of_others()
    try:
        hall = drawn.model()
    except hbmopt.InputError:
        assert any(not len(made) for made in drawn.made.values())
        return None
    try:
        plan = hbmopt.solve_model(hall)
    except hbmopt.InfeasiblePlanError:
        assert best is None, f"hall {seed}: no plan, and another reaches {best}"
        return None
    name, broken = row_that_is_broken(hall)
    assert broken <= 1e-6, f"hall {seed}: {name} is off by {broken}"
    for block in hall.rack.values():
        assert abs(block.racks.value - round(block.racks.value)) <= 1e-6
    sign = 1.0 if drawn.demand is None else -1.0
    short = sign * (plan.bound - plan.objective)
    assert -1e-9 * abs(plan.bound) <= short <= 1e-6 * max(1.0, abs(plan.objective)), (
        f"hall {seed}: {plan.objective} is not proven by {plan.bound}"
    )
    if best is not None:
        lost = sign * (best - plan.objective) / max(1.0, abs(best))
        assert lost <= CLOSE, f"hall {seed}: {plan.objective} loses to {best}"
    return plan


if __name__ == "__main__":
    count, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    none = failed = 0
    for seed in range(first, first + count):
        begun = time.perf_counter()
        try:
            found = check(seed)
        except Exception as error:
            failed += 1
            print(f"{seed}: {type(error).__name__}: {error}", flush=True)
            continue
        none += found is None
        said = "no plan" if found is None else f"{found.rounds} rounds, {found.objective:.7g}"
        print(f"{seed}: {said}, {time.perf_counter() - begun:.1f} s", flush=True)
    print(f"{count} halls: {none} without a plan, {failed} failed")
