"""The schema of hardware: accelerators, offload devices (LPUs), hosts, storage and racks."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from hbmopt.documents import (
    Bandwidth,
    Compute,
    Count,
    DataSize,
    Duration,
    EnergyPerByte,
    EnergyPerFlop,
    Figure,
    Fraction,
    Money,
    OptionalBandwidth,
    OptionalPower,
    Power,
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
    """Power of one accelerator, from what its parts take.

    P = idle * TDP + running + hbm * (HBM bytes/s) + flop * (FLOP/s) + link * (link bytes/s)

    at full clock. It is energies, not shares of TDP, that carry from chip to chip.
    """

    idle: Fraction = Field(description="share of TDP at rest, with a model loaded")
    running: OptionalPower = Field(description="more while steps run, at full clock")
    hbm: EnergyPerByte = Field(description="of every byte read from HBM")
    on_chip: Fraction = Field(description="share of that which the chip spends, not the memory")
    flop: dict[str, EnergyPerFlop] = Field(
        description="of every operation at full clock, by format: bf16, fp8, fp4"
    )
    link: EnergyPerByte = Field(description="of every byte sent to another accelerator")

    @field_validator("flop")
    @classmethod
    def _formats_known(cls, flop: dict[str, Figure]) -> dict[str, Figure]:
        _require_known(flop)
        for name in ARITHMETIC:
            if name not in flop:
                raise ValueError(f"{name} is missing")
        return flop


class OwnPowerLaw(StrictModel):
    """What is known of the power of one chip; the law of the calibration says the rest.

    Formats that `flop` leaves out take as much more or less than bf16 as there.
    """

    idle: Fraction | None = None
    running: OptionalPower | None = None
    hbm: EnergyPerByte | None = None
    on_chip: Fraction | None = None
    flop: dict[str, EnergyPerFlop] | None = None
    link: EnergyPerByte | None = None

    @field_validator("flop")
    @classmethod
    def _formats_known(cls, flop: dict[str, Figure] | None) -> dict[str, Figure] | None:
        _require_known(flop or {})
        if flop is not None and "bf16" not in flop:
            raise ValueError("bf16 is needed: formats that are left out are taken from it")
        return flop

    def over(self, law: PowerLaw) -> PowerLaw:
        """Return the law with what is known of this chip."""
        given = {name: getattr(self, name) for name in type(self).model_fields}
        known = {name: value for name, value in given.items() if value is not None}
        if self.flop is not None:
            bf16 = float(self.flop["bf16"])
            ratio = bf16 / float(law.flop["bf16"]) if float(law.flop["bf16"]) else 0.0
            others = {name: one.scaled(ratio) for name, one in law.flop.items()}
            known["flop"] = others | self.flop
        return law.model_copy(update=known)


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
    power_limit: Power | None = Field(
        default=None, description="what the operator lets it draw; default: the TDP"
    )
    scale_up_bandwidth: OptionalBandwidth = Field(description="per direction")
    power_law: OwnPowerLaw | None = None
    price: Money | None = None
    note: str = ""

    @field_validator("peak_flops")
    @classmethod
    def _formats_known(cls, peaks: dict[str, Figure]) -> dict[str, Figure]:
        _require_known(peaks)
        if "bf16" not in peaks:
            raise ValueError("bf16 is needed: attention and unquantized layers are computed in it")
        return peaks

    @property
    def limit(self) -> Figure:
        """What it may draw, which it holds by lowering its clock."""
        return self.power_limit if self.power_limit is not None else self.tdp


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


class Host(StrictModel):
    """The CPUs of a node, and the memory beside them, where it is known.

    Their price is in that of the rack, and what they draw at rest in its static power.
    """

    cpus: Count = Field(description="CPU sockets of a node")
    cores: Count = Field(description="cores of all CPUs of a node")
    core_power: OptionalPower = Field(
        default=Figure(0.005, "power", "estimate", note="5 W, the TDP of a CPU over its cores"),
        description="more while a core is busy",
    )
    memory: DataSize | None = Field(default=None, description="host memory of a node")
    memory_bandwidth: Bandwidth | None = Field(
        default=None,
        description="between host memory and all accelerators of a node, per direction: NVLink-C2C "
        "or PCIe, or the memory itself where that is slower",
    )
    energy_per_byte: EnergyPerByte = Field(
        default=Figure(
            0.1, "energy per byte", "estimate", note="50 pJ/B with NVLink-C2C, 170 with PCIe"
        ),
        description="of a byte that moves between host memory and an accelerator",
    )

    @model_validator(mode="after")
    def _memory_with_its_bandwidth(self) -> "Host":
        if (self.memory is None) != (self.memory_bandwidth is None):
            raise ValueError("`memory` and `memory_bandwidth` belong together")
        return self


class Storage(StrictModel):
    """The drives of a node: flash that holds caches which are not needed for a while."""

    capacity: DataSize = Field(description="of all drives of a node")
    read_bandwidth: Bandwidth = Field(description="of all drives of a node, reading")
    write_bandwidth: Bandwidth = Field(description="of all drives of a node, writing")
    power: OptionalPower = Field(
        default=Figure(0.0, "power"), description="more while all drives of a node are busy"
    )
    price: Money | None = Field(
        default=None, description="of a node's drives, where that of the rack is without them"
    )


class Rack(StrictModel):
    """A rack, pod or server: accelerators and what stands around them, once or several times.

    `accelerators`, power, price, LPUs, host and storage are those of one node; `nodes` of them
    stand side by side. A scale-up domain is never wider than a node.
    """

    also_called: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("racks", "servers", "count", "number"), "nodes"
    )

    name: str
    title: str = ""
    nodes: Count = Field(
        default=Figure(1.0, "count"),
        description="such racks or servers together; all other figures are those of one",
    )
    accelerator: Accelerator
    accelerators: Count = Field(description="of one node")
    scale_up_domain: Count | None = Field(
        default=None, description="default: all accelerators of a node, which it never exceeds"
    )
    scale_out_bandwidth: Bandwidth | None = Field(
        default=None,
        description="between scale-up domains, per accelerator and direction; "
        "default: not known, and only pipelines span domains",
    )
    scale_out_latency: Duration = Field(
        default=Figure(0.0, "time"), description="of a message from one scale-up domain to another"
    )
    static_power: OptionalPower = Field(
        description="everything but the accelerators: CPUs, switches, fans, conversion losses"
    )
    power: Power | None = Field(
        default=None, description="provisioned power; the default power limit"
    )
    price: Money | None = None
    year: Count | None = None
    offload: Offload | None = None
    host: Host | None = Field(default=None, description="CPUs and their memory, of one node")
    storage: Storage | None = Field(default=None, description="drives of one node")
    note: str = ""

    @property
    def all_accelerators(self) -> int:
        """The accelerators of all nodes."""
        return int(self.nodes) * int(self.accelerators)

    @property
    def domain(self) -> int:
        """Accelerators of one scale-up domain."""
        most = float(self.accelerators)
        if self.scale_up_domain is not None:
            most = min(most, float(self.scale_up_domain))
        return max(1, int(most))

    @property
    def networked(self) -> bool:
        """Whether replicas may span scale-up domains, over a network that is known."""
        return self.scale_out_bandwidth is not None and self.all_accelerators > self.domain

    @property
    def all_static_kw(self) -> float:
        """What all nodes draw beside their accelerators and LPUs, in kW."""
        beside = float(self.offload.static_power) if self.offload is not None else 0.0
        return float(self.nodes) * (float(self.static_power) + beside)

    @property
    def all_provisioned_kw(self) -> float | None:
        """The provisioned power of all nodes with their LPUs in kW, None where it is not known."""
        if self.power is None:
            return None
        lpus = self.offload.power if self.offload is not None else None
        return float(self.nodes) * (float(self.power) + (float(lpus) if lpus is not None else 0.0))

    @property
    def all_usd(self) -> float:
        """The price of all nodes with their LPUs in USD; what has no known price counts 0."""
        prices = (self.price, self.offload.price if self.offload is not None else None)
        return float(self.nodes) * sum(float(one) for one in prices if one is not None)

    @property
    def all_cores(self) -> float:
        """CPU cores of all nodes, 0 where the host is not known."""
        return float(self.nodes) * float(self.host.cores) if self.host is not None else 0.0

    @property
    def all_host_gb(self) -> float:
        """Host memory of all nodes in GB, 0 where it is not known."""
        if self.host is None or self.host.memory is None:
            return 0.0
        return float(self.nodes) * float(self.host.memory)

    @property
    def all_storage_gb(self) -> float:
        """Capacity of the drives of all nodes in GB, 0 where there are none."""
        each = float(self.storage.capacity) if self.storage is not None else 0.0
        return float(self.nodes) * each

    @property
    def usd_by_accelerator(self) -> float | None:
        """The price of the rack and its LPUs by accelerator, or that of the accelerator alone.

        None where neither is known.
        """
        if self.price is not None:
            return self.all_usd / self.all_accelerators
        own = self.accelerator.price
        return float(own) if own is not None else None

    @property
    def in_words(self) -> str:
        """Its title, or how many nodes of how many accelerators it is."""
        if int(self.nodes) == 1:
            return self.title or self.name
        # What stands in brackets explains a title.
        chip = self.accelerator.title.partition(" (")[0] or self.accelerator.name
        return f"{int(self.nodes)} nodes of {int(self.accelerators)} {chip}"
