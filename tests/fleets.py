"""Small fleets, drawn at random, and all of their plans of whole racks, one by one.

``python tests/fleets.py 100 SEED`` tries so many of them; the tests try a few.
"""

import itertools
import math
import random
import sys

from hbmopt.documents import Figure
from hbmopt.fleet import solve_fleet
from hbmopt.fleet.load_curve import curve_point, resting_kw
from hbmopt.fleet.pools import instance_of
from hbmopt.fleet.schema import fleet_of, load_fleet_document
from hbmopt.instance import cost_rate
from hbmopt.plan import best_points

MOST_RACKS = 4
PARTS = 20
"""Parts into which the demand of a class is divided among two types."""

SMALL = {
    "kind": "fleet",
    "name": "small",
    "objective": "racks",
    "classes": {
        "chat": {
            "llm": "qwen3_32b",
            "workload": {"context": 4096},
            "min_speed": "30 tok/s/user",
            "throughput": "10k tok/s",
        }
    },
    "racks": {
        "h200": {
            "rack": "hgx_h200",
            "at_most": 9,
            "choices": {"clocks": [1.0], "kv_formats": ["fp8"], "tensor_parallel": [4]},
        }
    },
}
"""A fleet that is solved at once."""


def small_fleet(seed):
    """Return a fleet of two types, two classes and at most four racks for each of both."""
    draw = random.Random(seed)
    types = draw.sample(["hgx_h200", "dgx_h100", "dgx_b200", "mi325x_node"], 2)
    fleet = {
        "kind": "fleet",
        "objective": draw.choice(["cost", "cost", "power", "racks"]),
        "classes": {
            name: {
                "llm": draw.choice(["llama_3_1_70b", "gpt_oss_120b", "qwen3_32b"]),
                "workload": {
                    "prompt": draw.choice([500, 2000, 8000]),
                    "output": draw.choice([200, 1000]),
                },
                "min_speed": f"{draw.choice([15, 30, 50])} tok/s/user",
                "throughput": f"{draw.uniform(1, 40):.3g}k tok/s",
            }
            for name in ("one", "other")
        },
        "racks": {
            name: {
                "rack": name,
                "at_most": draw.randint(2, MOST_RACKS),
                "price": f"{draw.uniform(0.15, 0.6):.3g} MUSD",
                "choices": {
                    "clocks": [1.0, 0.8],
                    "kv_formats": ["fp8"],
                    "tensor_parallel": draw.choice([[2, 4], [4, 8], [8]]),
                },
            }
            for name in types
        },
    }
    if draw.random() < 0.5:
        fleet["site"] = {"power": f"{draw.uniform(20, 120):.3g} kW"}
    return fleet


class EveryPlan:
    """All plans of a fleet in which the racks of a pool run alike."""

    def __init__(self, document):
        self.fleet = fleet_of(document)
        self.kinds, self.classes = list(self.fleet.racks), list(self.fleet.classes)
        self.instances = {
            (name, kind): instance_of(self.fleet, document, name, kind, shared=False)
            for name in self.classes
            for kind in self.kinds
        }
        self.demand = {name: float(one.throughput) for name, one in self.fleet.classes.items()}
        self.at_most = {kind: int(one.at_most) for kind, one in self.fleet.racks.items()}
        self.idle = {kind: resting_kw(self.instances[self.classes[0], kind]) for kind in self.kinds}
        self.power = self._powers()

    def _powers(self):
        """Return kW beyond resting by class, type, racks and part of the demand; all at one go."""
        asked, keys = [], []
        for (name, kind), instance in self.instances.items():
            for racks in range(1, self.at_most[kind] + 1):
                for part in range(1, PARTS + 1):
                    each = part / PARTS * self.demand[name] / racks
                    limits = instance.limits.model_copy(
                        update={"min_throughput": Figure(each * (1 - 1e-10), "rate")}
                    )
                    change = {"limits": limits, "objective": "power"}
                    asked.append(instance.model_copy(update=change))
                    keys.append((name, kind, racks, part))
        found = dict[tuple, float]()
        for key, instance, point in zip(keys, asked, best_points(asked), strict=True):
            if point is not None:
                name, kind, racks, _ = key
                found[key] = racks * curve_point(instance, self.idle[kind], point).kw
        return found

    def _of_class(self, name, racks):
        """Return the least kW beyond resting with so many racks of each type, inf for none."""
        first, second = self.kinds
        least = math.inf
        for part in range(PARTS + 1):
            pair = ((first, racks[0], part), (second, racks[1], PARTS - part))
            drawn = [
                0.0 if share == 0 else self.power.get((name, kind, count, share), math.inf)
                for kind, count, share in pair
            ]
            least = min(least, sum(drawn))
        return least

    def best(self):
        """Return the least of the objective, None where no plan is possible."""
        counts = list(itertools.product(*(range(self.at_most[kind] + 1) for kind in self.kinds)))
        drawn = {
            name: {count: self._of_class(name, count) for count in counts} for name in self.classes
        }
        best, site = None, self.fleet.site
        pue = float(next(iter(self.instances.values())).limits.pue)
        price = float(self.fleet.economics.power_price)
        fixed = {
            kind: cost_rate(self.instances[self.classes[0], kind]).fixed_usd_per_hour
            for kind in self.kinds
        }
        for one, other in itertools.product(counts, counts):
            racks = [a + b for a, b in zip(one, other, strict=True)]
            if any(n > self.at_most[k] for n, k in zip(racks, self.kinds, strict=True)):
                continue
            power = drawn[self.classes[0]][one] + drawn[self.classes[1]][other]
            power += sum(n * self.idle[k] for n, k in zip(racks, self.kinds, strict=True))
            if not math.isfinite(power):
                continue
            if site.power is not None and pue * power > float(site.power):
                continue
            amount = {
                "cost": price * pue * power
                + sum(n * fixed[k] for n, k in zip(racks, self.kinds, strict=True)),
                "power": pue * power,
                "racks": float(sum(racks)),
            }[self.fleet.objective]
            best = amount if best is None else min(best, amount)
        return best


def verdict(seed, gap=None):
    """Return what is wrong with the plan of a drawn fleet, "" where nothing is."""
    document = load_fleet_document(small_fleet(seed))
    plan, best = solve_fleet(small_fleet(seed), gap=gap), EveryPlan(document).best()
    if not plan.feasible:
        return "" if best is None else f"infeasible, and yet {best:,.8g} is possible"
    if best is None:
        # Racks of one pool that run differently, or another part of the demand, may do.
        return ""
    if best < plan.bound * (1 - 1e-7):
        return f"{best:,.8g} is less than the bound {plan.bound:,.8g}"
    if best < plan.amount * (1 - plan.gap - 1e-7):
        return f"{best:,.8g} beats the plan of {plan.amount:,.8g}"
    return ""


if __name__ == "__main__":
    many, first = int(sys.argv[1]), int(sys.argv[2])
    wrong = 0
    for seed in range(first, first + many):
        said = verdict(seed)
        wrong += bool(said)
        plan = solve_fleet(small_fleet(seed))
        print(seed, plan, plan.gap, f"{plan.seconds:.1f} s", said or "right", flush=True)
    print(f"{many} fleets, {wrong} wrong")
    sys.exit(bool(wrong))
