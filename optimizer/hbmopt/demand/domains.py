"""Scale-up domains: how replicas lie in them, and what of their traffic leads out of one.

A replica that fits into a domain stays inside one. A wider one is a pipeline whose stages lie in
domains one after the other, or has stages of whole domains. Layouts may be arrays of many.
"""

from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from hbmopt.demand.configuration import Layout
from hbmopt.instance import Instance

Array: TypeAlias = NDArray[np.float64]


def spans_domains(instance: Instance, layout: Layout) -> bool:
    """Whether traffic of a replica goes over the scale-out network, or that of all of an array.

    Where nothing is known of a network, what pipelines hand on is counted with the links inside.
    """
    if instance.rack.scale_out_bandwidth is None:
        return False
    return bool(np.all(np.greater(layout.accelerators, instance.rack.domain)))


def replicas_at_most(instance: Instance, layout: Layout, lpu_units: int) -> float | Array:
    """Return the replicas that fit: accelerators that a domain has left over are of no use."""
    rack = instance.rack
    domain, each, nodes = rack.domain, int(rack.accelerators), int(rack.nodes)
    size, stage, stages = layout.accelerators, layout.stage_accelerators, layout.pipeline_parallel
    whole, rest = divmod(each, domain)

    def in_a_node(of: int) -> int:
        return whole * (domain // of) + rest // of

    inside = nodes * in_a_node(size)
    # A pipeline's stages may lie in any domains, each in one; wider stages take whole domains.
    narrow = nodes * in_a_node(stage) // stages
    wide = nodes * whole // np.maximum(1, stage // domain) // stages
    across = np.where(np.less_equal(stage, domain), narrow, wide)
    found = np.where(np.less_equal(size, domain), inside, across)
    if rack.offload is not None and np.all(lpu_units):
        found = np.minimum(found, nodes * (int(rack.offload.units) // lpu_units))
    return _plain(found * 1.0)


def stages_handed_over(instance: Instance, layout: Layout) -> int:
    """Return how often a pipeline hands activations on to another domain.

    Stages fill domains one after the other; where they do not come out even, the pipeline that
    lies worst decides.
    """
    per_domain = np.maximum(1, instance.rack.domain // layout.stage_accelerators)
    stages = layout.pipeline_parallel
    even = np.equal(stages % per_domain, 0)
    crossings = np.where(even, stages // per_domain - 1, -((1 - stages) // per_domain))
    fits = np.less_equal(layout.accelerators, instance.rack.domain)
    return cast("int", _plain(np.where(fits, 0, crossings)))


def share_outside(instance: Instance, ranks: int) -> float | Array:
    """Return the share of the other ranks of a group that lie in other domains.

    Neighbours lie in one domain, and a group that is wider than one takes whole domains.
    """
    outside = np.maximum(0, np.subtract(ranks, instance.rack.domain))
    return _plain(outside / np.maximum(1, np.subtract(ranks, 1)))


def ring_share_outside(instance: Instance, ranks: int) -> float | Array:
    """Return the share of the hops of a ring over so many ranks that lead to another domain.

    A ring enters and leaves every domain once. Rings of a collective start at different ranks, so
    that they share the links of a domain to the network.
    """
    domain = instance.rack.domain
    return _plain(np.where(np.greater(ranks, domain), 1.0 / domain, 0.0))


def _plain(value: NDArray[np.generic]) -> float | Array:
    """Return an array of one number as that number."""
    return cast("Array", value) if np.ndim(value) else value.item()
