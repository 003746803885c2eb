"""The discrete choices: every way in which a replica can be run, and why others cannot.

A configuration is enumerated, not guessed: sizes of a replica, tensor, expert and
attention-data parallelism, formats, LPUs. What is obviously impossible is dropped with its
reason, so that an answer can say why an alternative was not considered.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from hbmopt.instance import Instance
from hbmopt.llm import GroupedAttention


@dataclass(frozen=True)
class Layout:
    """How one replica is spread over its accelerators."""

    accelerators: int
    tensor_parallel: int
    expert_parallel: int
    attention_data_parallel: int

    def __str__(self) -> str:
        parts = [f"TP{self.tensor_parallel}"]
        if self.attention_data_parallel > 1:
            parts.append(f"attention-DP{self.attention_data_parallel}")
        if self.expert_parallel > 1:
            parts.append(f"EP{self.expert_parallel}")
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

    def __str__(self) -> str:
        lpus = f", {self.lpu_units} LPUs" if self.lpu_units else ""
        return f"{self.layout}, {self.weight_format} weights, {self.kv_format} KV{lpus}"


@dataclass(frozen=True)
class Rejection:
    """A configuration that cannot run, and the reason in words."""

    configuration: str
    reason: str


def replica_sizes(instance: Instance) -> list[int]:
    """Return the numbers of accelerators a replica may take: powers of two and divisors."""
    count = int(instance.rack.accelerators)
    domain = instance.rack.scale_up_domain
    largest = min(count, int(domain) if domain is not None else count)
    if instance.choices.replica_accelerators is not None:
        return sorted(set(instance.choices.replica_accelerators))
    powers = {2**power for power in range(largest.bit_length())}
    divisors = {size for size in range(1, largest + 1) if count % size == 0}
    return sorted(size for size in powers | divisors if size <= largest)


def enumerate_configurations(
    instance: Instance,
) -> tuple[list[Configuration], list[Rejection]]:
    """Return all configurations that may run, and the rejected ones with their reasons."""
    rejections: list[Rejection] = []
    layouts: list[Layout] = []
    for layout in _all_layouts(instance):
        reason = _why_not(layout, instance)
        if reason is None:
            layouts.append(layout)
        else:
            rejections.append(Rejection(str(layout), reason))
    choices = instance.choices
    clocks = tuple(choices.clocks)
    configurations = [
        Configuration(layout, weight_format, kv_format, lpu_units, clocks)
        for layout in layouts
        for weight_format in choices.weight_formats or [instance.llm.native_format]
        for kv_format in choices.kv_formats
        for lpu_units in _lpu_options(instance, layout.accelerators)
    ]
    return configurations, rejections


def _all_layouts(instance: Instance) -> Iterator[Layout]:
    choices = instance.choices
    for size in replica_sizes(instance):
        for tensor in (divisor for divisor in range(1, size + 1) if size % divisor == 0):
            data = size // tensor
            for expert in {1, size} if instance.llm.mixture else {1}:
                wanted = (
                    choices.tensor_parallel is None or tensor in choices.tensor_parallel,
                    choices.expert_parallel is None or expert in choices.expert_parallel,
                    choices.attention_data_parallel is None
                    or data in choices.attention_data_parallel,
                )
                if all(wanted):
                    yield Layout(size, tensor, expert, data)


def _why_not(layout: Layout, instance: Instance) -> str | None:
    """Return why a layout cannot run, or None where it can."""
    count = int(instance.rack.accelerators)
    domain = instance.rack.scale_up_domain
    if layout.accelerators > count:
        return f"the rack has {count} accelerators"
    if domain is not None and layout.accelerators > int(domain):
        return f"the scale-up domain has {int(domain)} accelerators"
    for group in instance.llm.attention:
        if group.heads % layout.tensor_parallel:
            return f"{group.heads} attention heads do not divide by {layout.tensor_parallel}"
        if isinstance(group, GroupedAttention) and not _shards(
            group.kv_heads, layout.tensor_parallel
        ):
            return f"{group.kv_heads} KV heads neither divide by nor into {layout.tensor_parallel}"
    mixture = instance.llm.mixture
    if layout.attention_data_parallel > 1 and layout.expert_parallel == 1:
        return "attention-data parallelism needs the experts spread over all accelerators"
    if mixture is not None and layout.expert_parallel > mixture.experts:
        return f"{mixture.experts} experts are fewer than {layout.expert_parallel} accelerators"
    if layout.accelerators > 1 and float(instance.rack.accelerator.scale_up_bandwidth) == 0:
        return "the accelerators have no link between them"
    return None


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
