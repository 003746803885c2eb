"""What an answer rests on: uncertain numbers, and weights in other formats than the model's."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from hbmopt.basics import units
from hbmopt.demand import LATENT
from hbmopt.documents import UNCERTAIN, Figure, KeyPath, format_path
from hbmopt.instance import BESIDE_THE_STEP, Instance, unpriced
from hbmopt.results.solution import Estimate

_LPU_INPUTS = {"sram", "lpu_compute", "lpu_link", "projection_share", "attention_share"}
_NOT_USED = {"year", "power"}


def figures(node: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Figure]]:
    """Yield every figure of an instance with its key path."""
    if isinstance(node, Figure):
        yield path, node
    elif isinstance(node, BaseModel):
        for name in type(node).model_fields:
            yield from figures(getattr(node, name), (*path, name))
    elif isinstance(node, Mapping):
        for name, item in node.items():
            yield from figures(item, (*path, str(name)))


def estimates(instance: Instance, *, lpus: bool, costs: bool = True) -> tuple[Estimate, ...]:
    """Return the uncertain figures that an answer rests on, those of the weakest status first.

    With `costs` those that the cost of tokens rests on as well, where one is known.
    """
    found = []
    paid = _of_cost(instance) if costs and not unpriced(instance) else frozenset[KeyPath]()
    kinds = {group.kind for group in instance.llm.attention}
    own_law = instance.rack.accelerator.power_law
    own = (
        {name for name in type(own_law).model_fields if getattr(own_law, name)}
        if own_law
        else set()
    )
    for path, figure in figures(instance):
        unused = (
            path[:2] in BESIDE_THE_STEP,
            (path[:2] == ("rack", "offload") or path[-1] in _LPU_INPUTS)
            and not lpus
            and path not in paid,
            (path[-1] == "price" or path[0] == "economics") and path not in paid,
            path == ("limits", "pue")
            and path not in paid
            and instance.limits.power_scope != "facility",
            path[:2] == ("calibration", "power_law") and path[2] in own,
            path[:2] == ("calibration", "architectures")
            and (path[2] != instance.rack.accelerator.architecture or figure.amount == 0),
            path[-1] == "per_recurrent_block" and "recurrent" not in kinds,
            path[-1] == "per_latent_block" and not kinds & LATENT,
            path[-1] in ("per_expert_block", "experts", "experts_gemm")
            and instance.llm.mixture is None,
            path[-1] == "per_stage" and max(instance.choices.pipeline_parallel) == 1,
            path[-1] == "per_layer_beyond_domain",
            str(path[-1]).startswith("scale_out") and not instance.rack.networked,
            path[-1] == "per_shared_cache" and max(instance.choices.context_parallel) == 1,
            path[-2:] == ("power_law", "link") and figure.amount == 0,
            path[-1] in _NOT_USED and path != ("rack", "power"),
            path == ("rack", "power") and instance.limits.power is not None,
            path == ("rack", "power") and not instance.limits.power_capped,
            path[-1] in ("expert_imbalance", "dispatch_bytes") and instance.llm.mixture is None,
            # With one clock the laws of lower clocks are not used.
            path[-1] in ("clock_power_exponent", "clock_share")
            and instance.choices.clocks == [1.0],
        )
        if figure.status in UNCERTAIN and not any(unused):
            found.append(
                Estimate(format_path(path), text(figure), figure.status, figure.source, figure.note)
            )
    if instance.llm.status != "counted":
        source = tuple(instance.llm.source)
        found.append(Estimate("llm", instance.llm.name, instance.llm.status, source, ""))
    return tuple(sorted(found, key=_weakness))


def _of_cost(instance: Instance) -> frozenset[KeyPath]:
    """Return where the figures stand that the cost of tokens is made of."""
    terms, rack = instance.economics, instance.rack
    keys = ["life", "discount_rate", "power_price", "site", "site_life"]
    keys.append("operations" if terms.operations is not None else "operations_share")
    hardware = ("price",) if rack.price is not None else ("accelerator", "price")
    paid: list[KeyPath] = [("economics", key) for key in keys]
    paid += [("limits", "pue"), ("rack", *hardware), ("rack", "offload", "price")]
    return frozenset(paid)


def _weakness(estimate: Estimate) -> int:
    """Return the place among uncertain statuses; that of a model may be any word."""
    return (*UNCERTAIN, estimate.status).index(estimate.status)


def text(figure: Figure) -> str:
    """Write a figure with its unit."""
    unit, times = units.QUOTED.get(figure.dimension, (units.INTERNAL_UNITS[figure.dimension], 1.0))
    return f"{figure.amount * times:.6g} {unit}".strip()
