"""The parts of a model's weights: what each keeps, reads and computes on accelerators and LPUs.

Per step and per sequence, in GB and GFLOP: one copy's demand times the copies of the layout.
"""

from collections.abc import Sequence
from typing import cast

import numpy as np

from hbmopt.demand.configuration import Configuration, Layout
from hbmopt.demand.placement import (
    at_the_ends,
    computed_copies,
    copies,
    larger_table,
    stage_imbalance,
)
from hbmopt.demand.sequence import GIGA, StepTokens
from hbmopt.demand.step_latency import layer_latency
from hbmopt.instance import (
    ARITHMETIC,
    Efficiencies,
    Instance,
    OffloadDevice,
    PowerLaw,
    arithmetic_format,
)
from hbmopt.llm import COMPONENTS, Draft, Llm, arithmetic_bits, weight_bits
from hbmopt.models.quantities import ComponentData, KernelData, OffloadedData

DRAFT_DENSE, DRAFT_EXPERTS = "draft", "draft_experts"
"""Weights of the draft module: all but its routed experts, and these."""

EXPERTS = frozenset({"routed_experts", DRAFT_EXPERTS})
"""Components of which a step multiplies with those that its tokens choose."""


OFFLOADABLE = ("attention", "dense_ffn", "shared_experts", "routed_experts", "lm_head")


def components_of(llm: Llm, configuration: Configuration) -> tuple[str, ...]:
    """Return the components that take part in a step; an output head always does."""
    found = [
        component
        for component in COMPONENTS
        if component == "lm_head" or getattr(llm.parameters, component) > 0
    ]
    if configuration.draft_tokens and llm.draft is not None:
        found.append(DRAFT_DENSE)
        if llm.draft.mixture is not None:
            found.append(DRAFT_EXPERTS)
    return tuple(found)


def offloadable_components(instance: Instance, configuration: Configuration) -> tuple[str, ...]:
    """Return the components that the configuration's LPUs can compute, of those with weights."""
    offload = instance.rack.offload
    if offload is None or np.all(configuration.lpu_units == 0):
        return ()
    widest = max(ARITHMETIC[name] for name in offload.device.peak_flops)
    return tuple(
        component
        for component in components_of(instance.llm, configuration)
        if component in OFFLOADABLE
        and _gflop(instance.llm, component) > 0
        and _arithmetic_bits(
            instance.llm, configuration.weight_format, _stored_as(instance.llm, component)
        )
        <= widest
    )


def kernel_classes(
    names: Sequence[str], attained: Efficiencies, slower: float = 1.0
) -> tuple[KernelData, ...]:
    """Return the classes of matrix products of components: those of experts, and all others.

    They take `slower` times as long as the efficiencies say.

    Products of one class read as many bytes for a FLOP, so that all of them are bound alike.
    """
    spread = tuple(at for at, name in enumerate(names) if name in EXPERTS)
    dense = tuple(at for at in range(len(names)) if at not in spread)
    rates = float(attained.weights) / slower, float(attained.gemm) / slower
    found = [KernelData("dense", dense, *rates)]
    if spread:
        rates = float(attained.experts) / slower, float(attained.experts_gemm) / slower
        found.append(KernelData("experts", spread, *rates))
    return tuple(found)


def _stored_as(llm: Llm, component: str) -> str:
    """Return the component whose weights one multiplies with: of a tied head, the embedding."""
    tied = component == "lm_head" and llm.tied
    return "embedding" if tied else component


def _arithmetic_bits(llm: Llm, scheme: str, component: str) -> int:
    return arithmetic_bits(llm.component_format(scheme, component))


def _gflop(model: Llm | Draft, component: str) -> float:
    """Return the GFLOP of one token in a component: two per weight that it visits."""
    if component in ("embedding", "lookup_tables"):
        return 0.0
    weights = float(getattr(model.parameters, component))
    if component == "lm_head" and weights == 0:
        weights = model.parameters.embedding
    if component == "routed_experts" and model.mixture is not None:
        weights *= model.mixture.active / model.mixture.experts
    return 2.0 * weights * GIGA


def component_data(
    instance: Instance,
    configuration: Configuration,
    component: str,
    tokens: StepTokens,
    law: PowerLaw,
) -> ComponentData:
    """Return what one component keeps, reads, computes and draws over a replica, all experts read.

    A pipeline of P stages passes P micro-batches in a step, and every stage reads its weights
    for each of them.
    """
    if component in (DRAFT_DENSE, DRAFT_EXPERTS):
        return _draft_component(instance, configuration, component, law)
    llm, layout, scheme = instance.llm, configuration.layout, configuration.weight_format
    fuller, stages = stage_imbalance(llm.layers, layout), 1.0 * layout.pipeline_parallel
    one_copy = llm.loaded_bytes(scheme, component) * GIGA * fuller
    resident = one_copy * copies(llm, layout, component)
    per_step, per_sequence = resident * stages, 0.0
    last_stage = 1.0
    if component in ("embedding", "lm_head"):
        ends = at_the_ends(llm, scheme, layout, component)
        per_step, last_stage = per_step / fuller * ends, ends / fuller
        if np.any(np.greater(layout.pipeline_parallel, 1)):
            # The fuller of the two ends decides what has to fit.
            kept = np.equal(layout.pipeline_parallel, 1) | (larger_table(llm, scheme) == component)
            resident = cast("float", np.where(kept, resident / fuller * ends, 0.0))
    visits, prompts = tokens.verified, tokens.prefilled
    computed = computed_copies(llm, layout, component)
    stored_as = _stored_as(llm, component)
    if component == "routed_experts":
        fullest = imbalance(instance, layout)
        per_step = one_copy * stages * fullest
        computed *= fullest
    elif component in ("embedding", "lookup_tables"):
        bits = weight_bits(llm.component_format(scheme, component))
        per_step, per_sequence = 0.0, tokens.passing * llm.hidden_size * bits / 8 * GIGA
        if component == "lookup_tables" and instance.choices.lookup_tables == "host":
            resident = 0.0
    elif component == "lm_head":
        visits, prompts = tokens.at_head + _drafts_at_head(llm, tokens), 0.0
        if stored_as != component:
            # Tied: the head multiplies with the embedding table, which is resident already.
            ends = at_the_ends(llm, scheme, layout, stored_as)
            table = llm.loaded_bytes(scheme, stored_as) * GIGA * ends
            per_step, last_stage = table * copies(llm, layout, stored_as) * stages, ends / fuller
        # Every draft pass needs the head to say which token it drafts.
        per_step *= 1.0 + _drafts_at_head(llm, tokens)
    each = _gflop(llm, component) * computed * fuller * last_stage
    return ComponentData(
        resident_gb=resident,
        read_gb_per_step=per_step,
        read_gb_per_sequence=per_sequence,
        gflop_per_sequence=each * visits,
        prompt_gflop_per_sequence=each * prompts,
        peak_tflops=_peak(instance, llm.component_format(scheme, stored_as)),
        joule_per_gflop=_energy(instance, layout, llm.component_format(scheme, stored_as), law),
    )


def imbalance(instance: Instance, layout: Layout) -> float:
    """Return the work of the fullest expert-parallel rank per mean one."""
    fullest = float(instance.calibration.expert_imbalance)
    if isinstance(layout.expert_parallel, int):
        return 1.0 if layout.expert_parallel == 1 else fullest
    return cast("float", np.where(np.equal(layout.expert_parallel, 1), 1.0, fullest))


def _drafts_at_head(llm: Llm, tokens: StepTokens) -> float:
    """Return the draft passes of a step that end in the model's own output head."""
    if llm.draft is None or llm.draft.parameters.lm_head > 0:
        return 0.0
    return float(tokens.drafted)


def _peak(instance: Instance, stored: str) -> float:
    return float(instance.rack.accelerator.peak_flops[_computed_in(instance, stored)])


def _energy(instance: Instance, layout: Layout, stored: str, law: PowerLaw) -> float:
    """Return the J of a GFLOP with weights of a format, at full clock."""
    more = instance.worst_factor("power", layout.attention_data_parallel)
    return more * float(law.flop[_computed_in(instance, stored)])


def _computed_in(instance: Instance, stored: str) -> str:
    """Return the format in which the accelerator multiplies weights of a format."""
    return arithmetic_format(instance.rack.accelerator.peak_flops, arithmetic_bits(stored))


def _draft_component(
    instance: Instance, configuration: Configuration, component: str, law: PowerLaw
) -> ComponentData:
    """Return what the draft module keeps, reads and computes: one pass per drafted token."""
    llm, layout, scheme = instance.llm, configuration.layout, configuration.weight_format
    draft, drafted = llm.draft, configuration.draft_tokens
    if draft is None:
        raise AssertionError("only models with a draft module draft tokens")
    stages, modules = 1.0 * layout.pipeline_parallel, min(draft.modules, drafted)
    if component == DRAFT_EXPERTS:
        one_copy = llm.draft_bytes(scheme, ("routed_experts",)) * GIGA
        read = one_copy
        resident = one_copy * copies(draft, layout, "routed_experts")
        gflop = _gflop(draft, "routed_experts")
        stored = llm.draft_format(scheme, "routed_experts")
    else:
        parts = tuple(name for name in COMPONENTS if name not in ("routed_experts", "embedding"))
        resident = GIGA * sum(
            llm.draft_bytes(scheme, (name,)) * copies(draft, layout, name) for name in parts
        )
        read = resident
        resident += GIGA * llm.draft_bytes(scheme, ("embedding",))
        gflop = sum(
            _gflop(draft, name) * computed_copies(draft, layout, name)
            for name in parts
            if name != "lm_head" or draft.parameters.lm_head > 0
        )
        stored = llm.draft_format(scheme, "attention")
    return ComponentData(
        resident_gb=resident * modules,
        read_gb_per_step=read * stages * drafted,
        read_gb_per_sequence=0.0,
        gflop_per_sequence=gflop * drafted,
        prompt_gflop_per_sequence=0.0,
        peak_tflops=_peak(instance, stored),
        joule_per_gflop=_energy(instance, layout, stored, law),
    )


def _visits(llm: Llm, component: str) -> tuple[float, float]:
    """Return (layers that wait for the component, trips to it per such layer).

    Attention's projections are visited before and after attention proper. Shared experts run
    beside the routed ones, so no layer waits for them alone.
    """
    moe_layers = llm.mixture.layers if llm.mixture else 0
    return {
        "attention": (float(llm.mixer_blocks), 2.0),
        "dense_ffn": (float(max(llm.feed_forward_blocks - moe_layers, 0)), 1.0),
        "routed_experts": (float(moe_layers), 1.0),
        "shared_experts": (0.0, 1.0),
        "lm_head": (1.0, 1.0),
    }[component]


def offloaded_data(
    instance: Instance, configuration: Configuration, component: str, tokens: StepTokens
) -> OffloadedData:
    """Return what one component keeps, reads and computes on LPUs, all experts read."""
    llm, scheme, offload = instance.llm, configuration.weight_format, instance.rack.offload
    if offload is None:
        raise AssertionError("only racks with LPUs have offloadable components")
    device, latency = offload.device, instance.calibration.latency
    visits, passes = tokens.passing, 1.0
    if component == "lm_head":
        passes += _drafts_at_head(llm, tokens)
        visits = tokens.at_head + _drafts_at_head(llm, tokens)
    waiting, trips = _visits(llm, component)
    each = layer_latency(instance, configuration)
    attention = float(latency.attention_share)
    slower = instance.worst_factor("step", configuration.layout.attention_data_parallel)
    saved = {
        "attention": attention * float(latency.projection_share) * each.kernels,
        "dense_ffn": (1 - attention) * each.kernels,
        "routed_experts": (1 - attention) * each.kernels + each.experts,
    }.get(component, 0.0)
    stored_as = _stored_as(llm, component)
    gigabytes = stored_gigabytes(llm, scheme, stored_as, device)
    peaks = device.peak_flops
    peak = peaks[arithmetic_format(peaks, _arithmetic_bits(llm, scheme, stored_as))]
    layers = {"shared_experts": float(llm.mixture.layers if llm.mixture else 0)}.get(
        component, waiting
    )
    crossing = 2.0 * float(instance.calibration.activation_bytes) * llm.hidden_size
    return OffloadedData(
        latency_saved_ms=slower * waiting * saved,
        latency_added_ms=waiting
        * passes
        * trips
        * (float(device.layer_latency) + 2.0 * float(device.hop_latency)),
        resident_gb=gigabytes,
        read_gb_per_step=gigabytes * passes,
        read_gb_per_sequence=0.0,
        gflop_per_sequence=_gflop(llm, component) * visits,
        peak_tflops=float(peak),
        crossing_gb_per_sequence=layers * trips * crossing * visits * GIGA,
    )


def stored_gigabytes(llm: Llm, scheme: str, component: str, device: OffloadDevice) -> float:
    """Return the GB of a component in SRAM: the device stores what it computes in."""
    stored = weight_bits(llm.component_format(scheme, component))
    arithmetic = arithmetic_format(device.peak_flops, _arithmetic_bits(llm, scheme, component))
    bits = max(stored, float(ARITHMETIC[arithmetic]))
    return float(getattr(llm.parameters, component)) * bits / 8 * GIGA
