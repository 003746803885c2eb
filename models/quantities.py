"""The plain numbers that the constraints are written in.

Units are GB, GFLOP, joule and millisecond throughout, so that GB/ms = TB/s, GFLOP/ms = TFLOP/s
and J/ms = kW. A number may be a float, or a Pyomo parameter where the program is declared once
and filled many times.
"""

from dataclasses import dataclass
from typing import TypeAlias

from pyomo.core.expr.numvalue import NumericValue

Number: TypeAlias = float | NumericValue


def number(value: Number) -> float:
    """Return a coefficient as the number that it is outside of declared programs.

    That is a float, or an array of them where many points are evaluated at once.
    """
    if isinstance(value, NumericValue):
        raise TypeError(f"{value!r} is not a number")
    return value


PER_SECOND = 1000.0
"""Milliseconds in a second: rates are held per millisecond."""


@dataclass(frozen=True)
class ComponentData:
    """One class of weights of a replica, all accelerators and all copies together.

    `prompt_gflop_per_sequence` are those of prompts that are computed between the decode steps.
    An operation takes `joule_per_gflop` at the format's width and the replica's clock.
    """

    resident_gb: Number
    read_gb_per_step: Number
    read_gb_per_sequence: Number
    gflop_per_sequence: Number
    prompt_gflop_per_sequence: Number
    peak_tflops: Number
    joule_per_gflop: Number


@dataclass(frozen=True)
class KernelData:
    """A class of matrix products: its components, and the shares of the peaks that they attain."""

    name: str
    components: tuple[int, ...]
    weights: Number
    gemm: Number


@dataclass(frozen=True)
class OffloadedData:
    """What a component of the same position costs where it runs on LPUs instead."""

    latency_saved_ms: Number
    latency_added_ms: Number
    resident_gb: Number
    read_gb_per_step: Number
    read_gb_per_sequence: Number
    gflop_per_sequence: Number
    peak_tflops: Number
    crossing_gb_per_sequence: Number


@dataclass(frozen=True)
class EfficiencyData:
    """Attained share of the peak rate, by resource beside those of the matrix products."""

    kv: Number
    attention: Number
    prefill: Number
    link: Number
    sram: Number
    lpu_compute: Number
    lpu_link: Number


@dataclass(frozen=True)
class OverlapData:
    """Share of a resource's time that hides behind the others: 1 is a roofline, 0 is serial."""

    weights: Number
    kv: Number
    gemm: Number
    attention: Number
    prefill: Number
    link: Number
    sram: Number
    lpu_compute: Number
    lpu_link: Number


@dataclass(frozen=True)
class AcceleratorPower:
    """Power law of one accelerator: kW while running, joule per unit of work, kW limit.

    Operations of matrix products take the joule of their component.
    """

    limit_kw: Number
    active_kw: Number
    joule_per_gb: Number
    attention_joule_per_gflop: Number
    joule_per_link_gb: Number


@dataclass(frozen=True)
class LpuUnits:
    """The LPUs of one replica."""

    units: Number
    sram_gb: Number
    sram_tb_per_s: Number
    link_tb_per_s: Number
    active_kw: Number
    joule_per_gb: Number


@dataclass(frozen=True)
class ScaleOutData:
    """The network between scale-up domains: of one accelerator, and what a replica sends over it.

    `attained` is the share of the bandwidth that is reached.
    """

    tb_per_s: Number
    attained: Number
    gb_per_sequence: Number


@dataclass(frozen=True)
class ReplicaData:
    """One replica of a configuration at one clock.

    `hbm_gb` of an accelerator's HBM are for weights and caches, `hbm_reserved_gb` are kept free.
    `max_batch` sequences are scheduled at once at most, as many as one likes where it is None.
    `link_gb_per_sequence` stay inside scale-up domains; `scale_out` is None where all does.
    """

    accelerators: Number
    hbm_gb: Number
    hbm_reserved_gb: Number
    hbm_tb_per_s: Number
    link_tb_per_s: Number
    attention_peak_tflops: Number
    components: tuple[ComponentData, ...]
    kernels: tuple[KernelData, ...]
    kv_held_gb: Number
    kv_read_gb: Number
    attention_gflop: Number
    prompt_attention_gflop: Number
    link_gb_per_sequence: Number
    fixed_latency_ms: Number
    latency_ms_per_sequence: Number
    tokens_per_sequence_step: Number
    min_speed_per_ms: Number
    max_batch: Number | None
    scale_out: ScaleOutData | None
    efficiency: EfficiencyData
    overlap: OverlapData
    power: AcceleratorPower
    lpu: LpuUnits
    offloadable: tuple[int, ...]
    offloaded: tuple[OffloadedData, ...]


@dataclass(frozen=True)
class BatchSegment:
    """Batches from `lowest` to `highest`: products of offload and batch are enclosed."""

    lowest: Number
    highest: Number


@dataclass(frozen=True)
class BatchPoint:
    """The first-order model around one batch and one offloaded share per component.

    `lowest` and `highest` say how far from the point the model is trusted; `steps` are the
    steps per ms at each clock there.
    """

    lowest: Number
    highest: Number
    batch: Number
    offloaded_share: tuple[Number, ...]
    steps: tuple[Number, ...]


@dataclass(frozen=True)
class BudgetUse:
    """What one replica of a configuration uses of a declared budget."""

    per_replica: Number
    per_step: Number
    per_sequence_step: Number


@dataclass(frozen=True)
class ConfigurationData:
    """One way to run replicas: the same layout at one or more clocks, over a range of batches."""

    replicas_at_most: Number
    clocks: tuple[ReplicaData, ...]
    batches: BatchSegment | BatchPoint
    budgets: tuple[BudgetUse, ...]


@dataclass(frozen=True)
class BudgetData:
    """A budget that the user declares beside the physical ones."""

    name: str
    capacity: Number
    fixed: Number


@dataclass(frozen=True)
class RackData:
    """What the configurations of a rack share.

    `racks` is the number of such racks: 1, or a variable of a plan that decides how many to buy.
    """

    racks: Number
    accelerators: Number
    lpu_units: Number
    power_cap_kw: Number | None
    min_tokens_per_ms: Number | None
    static_kw: Number
    parked_accelerator_kw: Number
    parked_lpu_kw: Number
    power_overhead: Number
    budgets: tuple[BudgetData, ...]
