"""The discrete choices: every way in which a replica can be run, and why others cannot.

A configuration is enumerated, not guessed: sizes of a replica, tensor, expert, attention-data
and pipeline parallelism, formats, draft depth, LPUs. What is obviously impossible is dropped with
its reason, so that an answer can say why an alternative was not considered.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from hbmopt.instance import NO_COMPRESSION, Instance, KvCompression
from hbmopt.llm import AttentionGroup, GroupedAttention, cache_copies


@dataclass(frozen=True)
class Layout:
    """How one replica is spread over its accelerators.

    A replica is a pipeline of `pipeline_parallel` stages with equal shares of the layers. Within a
    stage attention is split over `tensor_parallel` ranks and repeated `attention_data_parallel`
    times, each for its own sequences; experts are split over `expert_parallel` ranks. Tensor ranks
    that would keep the same caches share the tokens of each over `context_parallel` of them.
    """

    accelerators: int
    tensor_parallel: int
    expert_parallel: int
    attention_data_parallel: int
    pipeline_parallel: int = 1
    context_parallel: int = 1

    @property
    def stage_accelerators(self) -> int:
        """Accelerators of one pipeline stage."""
        return self.accelerators // self.pipeline_parallel

    def __str__(self) -> str:
        parts = [f"TP{self.tensor_parallel}"]
        if self.attention_data_parallel > 1:
            parts.append(f"attention-DP{self.attention_data_parallel}")
        if self.expert_parallel > 1:
            parts.append(f"EP{self.expert_parallel}")
        if self.pipeline_parallel > 1:
            parts.append(f"PP{self.pipeline_parallel}")
        if self.context_parallel > 1:
            parts.append(f"DCP{self.context_parallel}")
        return f"{' '.join(parts)} on {self.accelerators}"


@dataclass(frozen=True)
class Configuration:
    """One way to run replicas."""

    layout: Layout
    weight_format: str
    kv_format: str
    lpu_units: int
    clocks: tuple[float, ...]
    draft_tokens: int = 0
    kv_compression: str = NO_COMPRESSION

    def __str__(self) -> str:
        cache = f"{self.kv_format} KV"
        if self.kv_compression != NO_COMPRESSION:
            cache += f" compressed by {self.kv_compression}"
        drafts = f", {self.draft_tokens} drafted" if self.draft_tokens else ""
        lpus = f", {self.lpu_units} LPUs" if self.lpu_units else ""
        return f"{self.layout}, {self.weight_format} weights, {cache}{drafts}{lpus}"


NO_MEMORY = "weights and the smallest batch do not fit in HBM"
"""Reason of configurations that memory rules out."""


@dataclass(frozen=True)
class Rejection:
    """A configuration that cannot run, the reason in words, and the numbers of this one."""

    configuration: str
    reason: str
    detail: str = ""


def compression(instance: Instance, configuration: Configuration) -> KvCompression:
    """Return how the configuration compresses the cache."""
    return next(
        one for one in instance.choices.kv_compressions if one.name == configuration.kv_compression
    )


def replica_sizes(instance: Instance) -> list[int]:
    """Return the numbers of accelerators a replica may take.

    A stage has a power of two or a divisor of a node's accelerators, within the scale-up domain, or
    over a scale-out network a power of two or a divisor of all domains as a whole; a replica as
    many stages as pipeline parallelism says.
    """
    rack = instance.rack
    count, each, largest = rack.all_accelerators, int(rack.accelerators), rack.domain
    if instance.choices.replica_accelerators is not None:
        return sorted(set(instance.choices.replica_accelerators))
    stages = [size for size in _powers_and_divisors(each, largest) if size <= largest]
    if rack.scale_out_bandwidth is not None:
        domains = int(rack.nodes) * (each // largest)
        stages += [largest * times for times in _powers_and_divisors(domains, domains)]
    depths = instance.choices.pipeline_parallel
    return sorted({size * depth for size in stages for depth in depths if size * depth <= count})


def _powers_and_divisors(count: int, most: int) -> set[int]:
    """Return powers of two and divisors of a count, up to a largest."""
    powers = {2**power for power in range(most.bit_length())}
    return {size for size in powers if size <= most} | {
        size for size in range(1, most + 1) if count % size == 0
    }


def enumerate_configurations(
    instance: Instance,
) -> tuple[list[Configuration], list[Rejection]]:
    """Return all configurations that may run, and the rejected ones with their reasons."""
    rejections: list[Rejection] = []
    layouts: list[Layout] = []
    for layout in _all_layouts(instance):
        reason = why_not(layout, instance)
        if reason is None:
            layouts.append(layout)
        else:
            rejections.append(Rejection(str(layout), reason))
    choices = instance.choices
    configurations = []
    for layout in layouts:
        for lpu_units in _lpu_options(instance, layout.accelerators):
            if lpu_units and layout.pipeline_parallel > 1:
                reason = "LPUs serve replicas without pipeline stages only"
                rejections.append(Rejection(f"{layout}, {lpu_units} LPUs", reason))
                continue
            if lpu_units and layout.accelerators > int(instance.rack.accelerators):
                reason = "LPUs serve replicas inside one node only"
                rejections.append(Rejection(f"{layout}, {lpu_units} LPUs", reason))
                continue
            configurations += [
                Configuration(
                    layout,
                    weight_format,
                    kv_format,
                    lpu_units,
                    tuple(choices.clocks),
                    draft_tokens,
                    kv_compression.name,
                )
                for weight_format in choices.weight_formats or [instance.llm.native_format]
                for kv_format in choices.kv_formats
                for kv_compression in choices.kv_compressions
                for draft_tokens in choices.draft_tokens
            ]
    return configurations, rejections


def _all_layouts(instance: Instance) -> Iterator[Layout]:
    choices = instance.choices
    for size in replica_sizes(instance):
        for depth in sorted(set(choices.pipeline_parallel)):
            if size % depth:
                continue
            stage = size // depth
            for tensor in (divisor for divisor in range(1, stage + 1) if stage % divisor == 0):
                data = stage // tensor
                for expert in _expert_options(instance, stage):
                    wanted = (
                        choices.tensor_parallel is None or tensor in choices.tensor_parallel,
                        choices.expert_parallel is None or expert in choices.expert_parallel,
                        choices.attention_data_parallel is None
                        or data in choices.attention_data_parallel,
                    )
                    if all(wanted):
                        for context in sorted(set(choices.context_parallel)):
                            yield Layout(size, tensor, expert, data, depth, context)


def _expert_options(instance: Instance, stage: int) -> list[int]:
    """Return over how many accelerators of a stage experts may be spread: one, or all.

    Anything between is tried where the instance asks for it.
    """
    if instance.llm.mixture is None:
        return [1]
    asked = instance.choices.expert_parallel or []
    return sorted({1, stage} | {one for one in asked if stage % one == 0})


def why_not(layout: Layout, instance: Instance) -> str | None:
    """Return why a layout cannot run, or None where it can."""
    count, stage = instance.rack.all_accelerators, layout.stage_accelerators
    if layout.accelerators > count:
        return f"the rack has {count} accelerators"
    beyond = _why_not_beyond(layout, instance)
    if beyond is not None:
        return beyond
    if layout.pipeline_parallel > instance.llm.layers:
        return f"{instance.llm.layers} layers are fewer than {layout.pipeline_parallel} stages"
    groups: list[AttentionGroup] = list(instance.llm.attention)
    if instance.llm.draft is not None and any(instance.choices.draft_tokens):
        groups += instance.llm.draft.attention
    for group in groups:
        if group.heads % layout.tensor_parallel:
            what = "state" if group.kind == "recurrent" else "attention"
            return f"{group.heads} {what} heads do not divide by {layout.tensor_parallel}"
        if isinstance(group, GroupedAttention) and not _shards(
            group.kv_heads, layout.tensor_parallel
        ):
            return f"{group.kv_heads} KV heads neither divide by nor into {layout.tensor_parallel}"
    shared = _why_not_shared(layout, groups)
    if shared is not None:
        return shared
    mixture = instance.llm.mixture
    if layout.attention_data_parallel > 1 and layout.expert_parallel < stage:
        return "attention-data parallelism needs the experts spread over all accelerators"
    if mixture is not None and layout.expert_parallel > mixture.experts:
        return f"{mixture.experts} experts are fewer than {layout.expert_parallel} accelerators"
    if layout.accelerators > 1 and float(instance.rack.accelerator.scale_up_bandwidth) == 0:
        return "the accelerators have no link between them"
    return None


def _why_not_beyond(layout: Layout, instance: Instance) -> str | None:
    """Return why a stage cannot be wider than a scale-up domain, or None where it can or is not."""
    rack, ranks, stage = instance.rack, layout.tensor_parallel, layout.stage_accelerators
    domain = rack.domain
    if stage <= domain:
        return None
    if rack.scale_out_bandwidth is None:
        return f"the scale-up domain has {domain} accelerators"
    if stage % domain:
        return f"{stage} accelerators are not whole scale-up domains of {domain}"
    domains = int(rack.nodes) * (int(rack.accelerators) // domain)
    if layout.pipeline_parallel * stage > domains * domain:
        return f"there are {domains} whole scale-up domains of {domain}"
    if max(ranks, domain) % min(ranks, domain):
        return f"{ranks} tensor ranks do not divide into scale-up domains of {domain}"
    if ranks > domain and ranks not in (instance.choices.tensor_parallel or []):
        return (
            f"tensor parallelism leaves the scale-up domain of {domain} only where "
            "choices.tensor_parallel lists it"
        )
    return None


def _why_not_shared(layout: Layout, groups: list[AttentionGroup]) -> str | None:
    """Return why tensor ranks cannot share the tokens of caches, or None where they can."""
    if layout.tensor_parallel % layout.context_parallel:
        return (
            f"{layout.tensor_parallel} tensor ranks do not divide by {layout.context_parallel} "
            "that share a cache"
        )
    for group in groups:
        kept = _times_kept(group, layout.tensor_parallel)
        if layout.context_parallel > kept:
            return f"no more than {kept:g} tensor ranks keep the same cache"
    return None


def _times_kept(group: AttentionGroup, ranks: int) -> float:
    """Return how many tensor ranks keep the same tokens of a group's cache."""
    if group.kind == "recurrent":
        return math.inf
    return cache_copies(group.kv_heads if isinstance(group, GroupedAttention) else 1, ranks)


def _shards(kv_heads: int, tensor_parallel: int) -> bool:
    return kv_heads % tensor_parallel == 0 or tensor_parallel % kv_heads == 0


def _lpu_options(instance: Instance, size: int) -> list[int]:
    """Return the numbers of LPUs a replica of `size` accelerators may use."""
    offload = instance.rack.offload
    if instance.choices.lpu_units is not None:
        return sorted(set(instance.choices.lpu_units))
    if offload is None:
        return [0]
    share = float(offload.units) * size / float(instance.rack.accelerators)
    options = {math.floor(share * part) for part in (0.0, 0.5, 1.0)}
    return sorted(options | {int(offload.units)})
