"""The physics of a point, in plain Python and without a solver.

Every plan that is returned is evaluated here again, from its batch and rates, against the exact
number of distinct experts and the exact products. The formulas are written out a second time on
purpose: they are the witness against which the declared program is checked.
"""

from dataclasses import dataclass

from hbmopt.models.quantities import RackData, ReplicaData


@dataclass(frozen=True)
class ClockPoint:
    """Rates of a replica group at one clock: per ms, summed over its replicas."""

    running: float
    steps: float
    sequences: float
    offloaded_share: tuple[float, ...]


@dataclass(frozen=True)
class Work:
    """What a replica group does per ms, in GB, accelerators kept busy, kW and replica-ms."""

    resident_gb_steps: float
    sram_gb_steps: float
    weights_read: float
    kv_read: float
    gemm_at_peak: float
    attention_at_peak: float
    link_traffic: float
    sram_read: float
    lpu_at_peak: float
    crossing_traffic: float
    power_kw: float
    lpu_power_kw: float
    times: dict[str, float]


def work(replica: ReplicaData, point: ClockPoint) -> Work:
    """Return the work of a point whose batch the replica's expert reads were taken at."""
    steps, sequences = point.steps, point.sequences
    share = dict(zip(replica.offloadable, point.offloaded_share, strict=True))
    resident = weights = gemm = 0.0
    for index, part in enumerate(replica.components):
        kept = 1.0 - share.get(index, 0.0)
        resident += _number(part.resident_gb) * kept * steps
        weights += kept * (
            _number(part.read_gb_per_step) * steps + _number(part.read_gb_per_sequence) * sequences
        )
        gemm += kept * sequences * _number(part.gflop_per_sequence) / _number(part.peak_tflops)
    resident += _number(replica.kv_held_gb) * sequences
    sram_held = sram = lpu = crossing = 0.0
    latency = _number(replica.fixed_latency_ms) * steps
    for lpu_part, moved in zip(replica.offloaded, point.offloaded_share, strict=True):
        sram_held += _number(lpu_part.resident_gb) * moved * steps
        sram += moved * (
            _number(lpu_part.read_gb_per_step) * steps
            + _number(lpu_part.read_gb_per_sequence) * sequences
        )
        lpu += (
            moved * sequences * _number(lpu_part.gflop_per_sequence) / _number(lpu_part.peak_tflops)
        )
        crossing += moved * sequences * _number(lpu_part.crossing_gb_per_sequence)
        latency += (
            (_number(lpu_part.latency_added_ms) - _number(lpu_part.latency_saved_ms))
            * moved
            * steps
        )
    size, units = _number(replica.accelerators), _number(replica.lpu.units)
    kv = _number(replica.kv_read_gb) * sequences
    attention = (
        _number(replica.attention_gflop) * sequences / _number(replica.attention_peak_tflops)
    )
    link = _number(replica.link_gb_per_sequence) * sequences
    power, attained = replica.power, replica.efficiency
    hbm = size * _number(replica.hbm_tb_per_s)
    times = {
        "weights": weights / hbm / _number(attained.weights),
        "kv": kv / hbm / _number(attained.kv),
        "gemm": gemm / size / _number(attained.gemm),
        "attention": attention / size / _number(attained.attention),
        "link": link / size / _number(replica.link_tb_per_s) / _number(attained.link),
        "latency": latency,
        "sram": 0.0,
        "lpu_compute": 0.0,
        "lpu_link": 0.0,
    }
    if replica.offloaded:
        times["sram"] = sram / units / _number(replica.lpu.sram_tb_per_s) / _number(attained.sram)
        times["lpu_compute"] = lpu / units / _number(attained.lpu_compute)
        times["lpu_link"] = (
            crossing / units / _number(replica.lpu.link_tb_per_s) / _number(attained.lpu_link)
        )
    return Work(
        resident_gb_steps=resident,
        sram_gb_steps=sram_held,
        weights_read=weights,
        kv_read=kv,
        gemm_at_peak=gemm,
        attention_at_peak=attention,
        link_traffic=link,
        sram_read=sram,
        lpu_at_peak=lpu,
        crossing_traffic=crossing,
        power_kw=size * _number(power.active_kw) * point.running
        + _number(power.joule_per_gb) * (weights + kv)
        + _number(power.kw_at_peak_flops) * (gemm + attention)
        + _number(power.joule_per_link_gb) * link,
        lpu_power_kw=(
            units * _number(replica.lpu.active_kw) * point.running
            + _number(replica.lpu.joule_per_gb) * sram
            if replica.offloaded
            else 0.0
        ),
        times=times,
    )


def exposed_time(replica: ReplicaData, times: dict[str, float]) -> float:
    """Return the time that does not hide behind other work: latency and unoverlapped shares."""
    return times["latency"] + sum(
        (1.0 - _number(getattr(replica.overlap, resource))) * time
        for resource, time in times.items()
        if resource != "latency"
    )


def violations(replica: ReplicaData, point: ClockPoint) -> dict[str, float]:
    """Return by how much each limit of a replica group is exceeded, relative to the limit."""
    done = work(replica, point)
    size, units, running = _number(replica.accelerators), _number(replica.lpu.units), point.running
    scale = max(running, 1e-12)
    found = {
        "hbm_capacity": done.resident_gb_steps / (size * _number(replica.hbm_gb) * point.steps) - 1
        if point.steps
        else 0.0,
        "hbm_bandwidth": (done.times["weights"] + done.times["kv"] - running) / scale,
        "compute": (done.times["gemm"] + done.times["attention"] - running) / scale,
        "interconnect": (done.times["link"] - running) / scale,
        "step_time": (exposed_time(replica, done.times) - running) / scale,
        "accelerator_power": done.power_kw / (size * _number(replica.power.limit_kw) * scale) - 1,
        "min_speed": (
            _number(replica.min_speed_per_ms) * running
            - _number(replica.tokens_per_sequence_step) * point.steps
        )
        / scale,
        "min_batch": point.steps / point.sequences - 1 if point.sequences > 0 else 0.0,
        "sram_bandwidth": (done.times["sram"] - running) / scale,
        "lpu_compute": (done.times["lpu_compute"] - running) / scale,
        "lpu_link": (done.times["lpu_link"] - running) / scale,
    }
    if replica.offloaded and point.steps:
        limit = units * _number(replica.lpu.sram_gb) * point.steps
        found["sram_capacity"] = done.sram_gb_steps / limit - 1
    return found


def rack_power(rack: RackData, running_kw: float, accelerators: float, lpus: float) -> float:
    """Return the power in kW in the rack's scope, parked accelerators and LPUs included."""
    return _number(rack.power_overhead) * (
        _number(rack.static_kw)
        + running_kw
        + _number(rack.parked_accelerator_kw) * (_number(rack.accelerators) - accelerators)
        + _number(rack.parked_lpu_kw) * (_number(rack.lpu_units) - lpus)
    )


def _number(value: object) -> float:
    """Return a coefficient as the float that it is outside of declared programs."""
    if not isinstance(value, float):
        raise TypeError(f"{value!r} is not a number")
    return value
