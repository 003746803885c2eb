"""The physics of a point, in plain Python and without a solver.

Numbers of a point may be arrays, for many points at once.

Every plan that is returned is evaluated here again, from its batch and rates, against the exact
number of distinct experts and the exact products. The formulas are written out a second time on
purpose: they are the witness against which the declared program is checked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from hbmopt.models.quantities import RackData, ReplicaData, number


@dataclass(frozen=True)
class ClockPoint:
    """Rates of a replica group at one clock: per ms, summed over its replicas."""

    running: float
    steps: float
    sequences: float
    offloaded_share: tuple[float, ...]


@dataclass(frozen=True)
class Work:
    """What a replica group does per ms, in GB, accelerators kept busy, kW and replica-ms.

    `times` are those of each resource; `kernels` those of reading and of arithmetic by class.
    """

    resident_gb_steps: float
    sram_gb_steps: float
    weights_read: float
    kv_read: float
    gemm_at_peak: float
    attention_at_peak: float
    prefill_at_peak: float
    link_traffic: float
    scale_out_traffic: float
    sram_read: float
    lpu_at_peak: float
    crossing_traffic: float
    power_kw: float
    lpu_power_kw: float
    times: dict[str, float]
    kernels: dict[str, tuple[float, float]]


def work(replica: ReplicaData, point: ClockPoint) -> Work:
    """Return the work of a point whose batch the replica's expert reads were taken at."""
    steps, sequences = point.steps, point.sequences
    share = dict(zip(replica.offloadable, point.offloaded_share, strict=True))
    resident = prompts = 0.0
    reads, products = list[float](), list[float]()
    computing = 0.0
    for index, part in enumerate(replica.components):
        kept = 1.0 - share.get(index, 0.0)
        resident += number(part.resident_gb) * kept * steps
        reads.append(
            kept
            * (
                number(part.read_gb_per_step) * steps
                + number(part.read_gb_per_sequence) * sequences
            )
        )
        busy = kept * sequences / number(part.peak_tflops)
        products.append(busy * number(part.gflop_per_sequence))
        prompts += busy * number(part.prompt_gflop_per_sequence)
        operations = number(part.gflop_per_sequence) + number(part.prompt_gflop_per_sequence)
        computing += number(part.joule_per_gflop) * operations * kept * sequences
    resident += number(replica.kv_held_gb) * sequences
    sram_held = sram = lpu = crossing = 0.0
    latency = number(replica.fixed_latency_ms) * steps
    latency += number(replica.latency_ms_per_sequence) * sequences
    for lpu_part, moved in zip(replica.offloaded, point.offloaded_share, strict=True):
        sram_held += number(lpu_part.resident_gb) * moved * steps
        sram += moved * (
            number(lpu_part.read_gb_per_step) * steps
            + number(lpu_part.read_gb_per_sequence) * sequences
        )
        lpu += (
            moved * sequences * number(lpu_part.gflop_per_sequence) / number(lpu_part.peak_tflops)
        )
        crossing += moved * sequences * number(lpu_part.crossing_gb_per_sequence)
        latency += (
            (number(lpu_part.latency_added_ms) - number(lpu_part.latency_saved_ms)) * moved * steps
        )
    size, units = number(replica.accelerators), number(replica.lpu.units)
    kv = number(replica.kv_read_gb) * sequences
    attending = sequences / number(replica.attention_peak_tflops)
    attention = number(replica.attention_gflop) * attending
    prompts += number(replica.prompt_attention_gflop) * attending
    link = number(replica.link_gb_per_sequence) * sequences
    network, sent_out = replica.scale_out, 0.0
    if network is not None:
        sent_out = number(network.gb_per_sequence) * sequences
    power, attained = replica.power, replica.efficiency
    attended = number(replica.attention_gflop) + number(replica.prompt_attention_gflop)
    computing += number(power.attention_joule_per_gflop) * attended * sequences
    hbm = size * number(replica.hbm_tb_per_s)
    kernels = {
        kernel.name: (
            sum(reads[one] for one in kernel.components) / hbm / number(kernel.weights),
            sum(products[one] for one in kernel.components) / size / number(kernel.gemm),
        )
        for kernel in replica.kernels
    }
    times = {
        "weights": sum(read for read, _ in kernels.values()),
        "kv": kv / hbm / number(attained.kv),
        "gemm": sum(busy for _, busy in kernels.values()),
        "attention": attention / size / number(attained.attention),
        "prefill": prompts / size / number(attained.prefill),
        "link": link / size / number(replica.link_tb_per_s) / number(attained.link),
        "scale_out": 0.0,
        "latency": latency,
        "sram": 0.0,
        "lpu_compute": 0.0,
        "lpu_link": 0.0,
    }
    if network is not None:
        times["scale_out"] = sent_out / size / number(network.tb_per_s) / number(network.attained)
    if replica.offloaded:
        times["sram"] = sram / units / number(replica.lpu.sram_tb_per_s) / number(attained.sram)
        times["lpu_compute"] = lpu / units / number(attained.lpu_compute)
        times["lpu_link"] = (
            crossing / units / number(replica.lpu.link_tb_per_s) / number(attained.lpu_link)
        )
    return Work(
        resident_gb_steps=resident,
        sram_gb_steps=sram_held,
        weights_read=sum(reads),
        kv_read=kv,
        gemm_at_peak=sum(products),
        attention_at_peak=attention,
        prefill_at_peak=prompts,
        link_traffic=link,
        scale_out_traffic=sent_out,
        sram_read=sram,
        lpu_at_peak=lpu,
        crossing_traffic=crossing,
        power_kw=size * number(power.active_kw) * point.running
        + number(power.joule_per_gb) * (sum(reads) + kv)
        + computing
        + number(power.joule_per_link_gb) * (link + sent_out),
        lpu_power_kw=(
            units * number(replica.lpu.active_kw) * point.running
            + number(replica.lpu.joule_per_gb) * sram
            if replica.offloaded
            else 0.0
        ),
        times=times,
        kernels={**kernels, "attention": (times["kv"], times["attention"])},
    )


def kernel_times(replica: ReplicaData, done: Work) -> list[float]:
    """Return the time of each class of kernels: the longer of its reading and its arithmetic."""
    overlap, found = replica.overlap, list[float]()
    for name, (reading, computing) in done.kernels.items():
        own = name == "attention"
        hidden = overlap.kv if own else overlap.weights, overlap.attention if own else overlap.gemm
        exposed = [(1.0 - number(share)) for share in hidden]
        found.append(cast("float", np.maximum(exposed[0] * reading, exposed[1] * computing)))
    return found


def step_parts(done: Work) -> dict[str, float]:
    """Return the time of a step by what it goes into, each kernel's by what it is bound by."""
    parts = dict(done.times)
    parts |= dict.fromkeys((part for pair in KERNEL_PARTS.values() for part in pair), 0.0)
    for name, (reading, computing) in done.kernels.items():
        bound = np.greater_equal(reading, computing)
        by_memory, by_arithmetic = KERNEL_PARTS[name]
        parts[by_memory] = cast("float", np.where(bound, reading, 0.0))
        parts[by_arithmetic] = cast("float", np.where(bound, 0.0, computing))
    return parts


KERNEL_PARTS = {
    "dense": ("weights", "gemm"),
    "experts": ("experts", "experts_gemm"),
    "attention": ("kv", "attention"),
}
"""Of each class of kernels the part of a step that it is where memory binds it, or arithmetic."""


def exposed_time(replica: ReplicaData, done: Work) -> float:
    """Return the time that does not hide behind other work: kernels one by one, and latency."""
    rest = ("prefill", "link", "sram", "lpu_compute", "lpu_link")
    shown = sum((1.0 - number(getattr(replica.overlap, one))) * done.times[one] for one in rest)
    shown += (1.0 - number(replica.overlap.link)) * done.times["scale_out"]
    return done.times["latency"] + sum(kernel_times(replica, done)) + shown


def busiest(replica: ReplicaData, done: Work) -> float:
    """Return the time of a step: what is exposed, or of one resource if all else hides behind."""
    times = done.times
    found = [exposed_time(replica, done), times["weights"] + times["kv"], _computing(times)]
    found += [times[name] for name in ("link", "scale_out", "sram", "lpu_compute", "lpu_link")]
    return cast("float", np.maximum.reduce(np.broadcast_arrays(*found)))


def _computing(times: dict[str, float]) -> float:
    return times["gemm"] + times["attention"] + times["prefill"]


def violations(clocks: Sequence[tuple[ReplicaData, ClockPoint]]) -> dict[str, float]:
    """Return by how much each limit of a replica group is exceeded, relative to the limit.

    `clocks` are those that it alternates between. What exceeds a limit at one of them counts by
    its share of the time: a solver's tolerance may leave a millionth of it at a clock where nothing
    fits to the last digit. Power and speed are means over the clocks.
    """
    done = [(replica, point, work(replica, point)) for replica, point in clocks]
    replica = clocks[0][0]
    running = np.maximum(sum(point.running for _, point in clocks), 1e-12)
    found: dict[str, float] = {}
    for at_clock, point, of_clock in done:
        for name, excess in _at_clock(at_clock, point, of_clock).items():
            share = cast("float", point.running / running)
            found[name] = cast("float", np.maximum(found.get(name, 0.0), excess * share))
    tdp = number(replica.accelerators) * number(replica.power.limit_kw)
    drawn = sum(of_clock.power_kw for _, _, of_clock in done)
    slowest = number(replica.min_speed_per_ms)
    gained = number(replica.tokens_per_sequence_step) * sum(point.steps for _, point in clocks)
    found["accelerator_power"] = drawn / (tdp * running) - 1.0
    asked = np.asarray(slowest * running)
    kept = np.divide(gained, asked, out=np.ones_like(asked), where=asked > 0)
    found["min_speed"] = cast("float", 1.0 - kept)
    return found


def _at_clock(replica: ReplicaData, point: ClockPoint, done: Work) -> dict[str, float]:
    """Return by how much the limits of one clock are exceeded."""
    size, units, running = number(replica.accelerators), number(replica.lpu.units), point.running
    scale = np.maximum(running, 1e-12)
    hbm = size * number(replica.hbm_gb)
    found = {
        "hbm_capacity": _beyond(done.resident_gb_steps, hbm * point.steps),
        "hbm_bandwidth": (done.times["weights"] + done.times["kv"] - running) / scale,
        "compute": (_computing(done.times) - running) / scale,
        "interconnect": (done.times["link"] - running) / scale,
        "scale_out": (done.times["scale_out"] - running) / scale,
        "step_time": (exposed_time(replica, done) - running) / scale,
        "min_batch": _beyond(point.steps, point.sequences),
        "sram_bandwidth": (done.times["sram"] - running) / scale,
        "lpu_compute": (done.times["lpu_compute"] - running) / scale,
        "lpu_link": (done.times["lpu_link"] - running) / scale,
    }
    if replica.max_batch is not None:
        most = number(replica.max_batch) * point.steps
        found["max_batch"] = _beyond(point.sequences, most)
    if replica.offloaded:
        limit = units * number(replica.lpu.sram_gb) * point.steps
        found["sram_capacity"] = _beyond(done.sram_gb_steps, limit)
    return found


def _beyond(used: float, limit: float) -> float:
    """Return by how much a limit is exceeded, relative to it; 0 where nothing runs."""
    served = np.greater(limit, 0.0)
    share = np.divide(used, limit, out=np.ones_like(used, dtype=float), where=served)
    return cast("float", share - 1.0)


def rack_power(rack: RackData, running_kw: float, accelerators: float, lpus: float) -> float:
    """Return the power in kW in the rack's scope, parked accelerators and LPUs included."""
    return number(rack.power_overhead) * (
        number(rack.static_kw)
        + running_kw
        + number(rack.parked_accelerator_kw) * (number(rack.accelerators) - accelerators)
        + number(rack.parked_lpu_kw) * (number(rack.lpu_units) - lpus)
    )


def resting_power(rack: RackData) -> float:
    """Return the power in kW in the rack's scope where everything in it is parked."""
    return rack_power(rack, 0.0, 0.0, 0.0)
