"""The schema of hardware: accelerators, offload devices (LPUs) and racks."""

from typing import Literal

from pydantic import Field, field_validator

from hbmopt.documents import (
    Bandwidth,
    Compute,
    Count,
    DataSize,
    Duration,
    Figure,
    Fraction,
    Money,
    OptionalBandwidth,
    OptionalPower,
    Power,
    Ratio,
    StrictModel,
)
from hbmopt.errors import nearest

ARITHMETIC = {"bf16": 16, "fp8": 8, "fp4": 4}
"""Formats that matrix units compute in, with their bits."""


def arithmetic_format(peaks: dict[str, Figure], bits: int) -> str:
    """Return the format in which a chip with these peaks multiplies operands of `bits` bits.

    Operands narrower than every format of the chip are widened to the narrowest that it has:
    4-bit weights run at the FP8 rate on a chip without FP4 arithmetic.

    Raises
    ------
    KeyError
        If the chip has no format that is wide enough.
    """
    wide_enough = [name for name in peaks if ARITHMETIC[name] >= bits]
    if not wide_enough:
        raise KeyError(f"no arithmetic of {bits} bits")
    return min(wide_enough, key=lambda name: ARITHMETIC[name])


class PowerLaw(StrictModel):
    """Power of one accelerator that runs, as fractions of its TDP.

    P / TDP = active + hbm * (HBM bandwidth used / peak) + flop * (FLOP/s used / peak)
    + link * (link bandwidth used / peak).
    """

    active: Fraction
    hbm: Ratio
    flop: Ratio
    link: Ratio = Figure(0.0, "fraction", "estimate", note="part of active in the measured fits")
    parked: Fraction = Figure(0.15, "fraction", "derived", note="idle or parked share of TDP")


def _require_known(peaks: dict[str, Figure]) -> None:
    for name in peaks:
        if name not in ARITHMETIC:
            raise ValueError(f"unknown format {name!r}; {nearest(name, ARITHMETIC)}")


class Accelerator(StrictModel):
    """One accelerator package as a scheduler sees it."""

    kind: Literal["accelerator"] = "accelerator"
    name: str
    title: str = ""
    vendor: str = ""
    architecture: str = Field(default="", description="generation whose fixed times it shares")
    memory_type: str = "HBM"
    year: Count | None = None
    hbm_capacity: DataSize
    hbm_bandwidth: Bandwidth
    peak_flops: dict[str, Compute] = Field(description="dense peak by format: bf16, fp8, fp4")
    tdp: Power
    scale_up_bandwidth: OptionalBandwidth = Field(description="per direction")
    power_law: PowerLaw | None = None
    price: Money | None = None
    note: str = ""

    @field_validator("peak_flops")
    @classmethod
    def _formats_known(cls, peaks: dict[str, Figure]) -> dict[str, Figure]:
        _require_known(peaks)
        if "bf16" not in peaks:
            raise ValueError("bf16 is needed: attention and unquantized layers are computed in it")
        return peaks


class OffloadDevice(StrictModel):
    """One SRAM device (LPU) that holds and multiplies weights offloaded from HBM."""

    kind: Literal["lpu"] = "lpu"
    name: str
    title: str = ""
    vendor: str = ""
    year: Count | None = None
    sram_capacity: DataSize
    sram_bandwidth: Bandwidth
    peak_flops: dict[str, Compute]
    tdp: Power
    link_bandwidth: Bandwidth = Field(description="to the accelerators, per device and direction")
    layer_latency: Duration = Field(description="fixed time per offloaded layer on the LPUs")
    hop_latency: Duration = Field(description="one crossing between accelerators and LPUs")
    parked: Fraction = Figure(0.15, "fraction", "estimate", note="idle share of TDP")
    note: str = ""

    @field_validator("peak_flops")
    @classmethod
    def _formats_known(cls, peaks: dict[str, Figure]) -> dict[str, Figure]:
        _require_known(peaks)
        if not peaks:
            raise ValueError("at least one format is needed: bf16, fp8 or fp4")
        return peaks


class Offload(StrictModel):
    """LPUs that stand beside the accelerators of a rack."""

    device: OffloadDevice
    units: Count
    static_power: OptionalPower = Figure(0.0, "power", "estimate")
    power: Power | None = Field(
        default=None, description="provisioned power, added to that of the rack"
    )
    price: Money | None = None
    title: str = ""


class Rack(StrictModel):
    """A rack, pod or server: accelerators in one scale-up domain and what stands around them."""

    name: str
    title: str = ""
    accelerator: Accelerator
    accelerators: Count
    scale_up_domain: Count | None = Field(default=None, description="default: all accelerators")
    static_power: OptionalPower = Field(
        description="everything but the accelerators: CPUs, switches, fans, conversion losses"
    )
    power: Power | None = Field(
        default=None, description="provisioned power; the default power limit"
    )
    price: Money | None = None
    year: Count | None = None
    offload: Offload | None = None
    note: str = ""
