"""The table of limits: usage, limit, slack and price of every constraint family."""

from collections.abc import Callable
from dataclasses import dataclass

from hbmopt.instance import Instance
from hbmopt.models.quantities import ReplicaData
from hbmopt.physics import ClockPoint, Work, exposed_time, rack_power, work
from hbmopt.prices import BINDING
from hbmopt.search import Operation
from hbmopt.solution import ConstraintResult


@dataclass(frozen=True)
class ClockOperation:
    """One clock of an operation: its coefficients, rates and work."""

    index: int
    replica: ReplicaData
    point: ClockPoint
    done: Work


def clock_operations(operation: Operation) -> list[ClockOperation]:
    """Return the clocks at which replicas run, with what they do there."""
    columns, values = operation.filled.template, operation.values
    found = []
    for index, replica in enumerate(operation.data.clocks):
        running = float(values[columns.column("running", index)])
        steps = float(values[columns.column("steps", index)])
        if running <= 1e-9 or steps <= 0:
            continue
        share = tuple(
            min(1.0, float(values[columns.column("offloaded_steps", index, part)]) / steps)
            for part in range(len(replica.offloaded))
        )
        sequences = float(values[columns.column("sequences", index)])
        point = ClockPoint(running, steps, sequences, share)
        found.append(ClockOperation(index, replica, point, work(replica, point)))
    return found


def power_kw(operation: Operation) -> float:
    """Return the power of an operation in its rack's scope, from the physics."""
    clocks = clock_operations(operation)
    running = sum(clock.done.power_kw + clock.done.lpu_power_kw for clock in clocks)
    data = operation.data.clocks[0]
    size, units = float(data.accelerators), float(data.lpu.units)  # type: ignore[arg-type]
    replicas = round(operation.replicas)
    return rack_power(
        operation.rack, running, size * replicas, units * replicas if data.offloaded else 0.0
    )


@dataclass(frozen=True)
class _Family:
    """How the rows of one constraint family are shown."""

    name: str
    unit: str
    limit: Callable[[ReplicaData], float]
    share: Callable[[ClockOperation], float]
    weight: Callable[[ClockPoint], float]


def constraint_table(instance: Instance, optimum: Operation) -> tuple[ConstraintResult, ...]:
    """Return every limit at the priced optimum, in the order of the model's files."""
    clocks = clock_operations(optimum)
    size = float(optimum.data.clocks[0].accelerators)  # type: ignore[arg-type]
    capacity = float(instance.rack.accelerator.hbm_capacity)
    usable = float(instance.calibration.hbm_usable)
    families = [
        _Family("hbm_bandwidth", "TB/s per accelerator", _hbm, _reading, _running),
        _Family("compute", "% of the time", lambda _: 100.0, _computing, _running),
        _Family("interconnect", "TB/s per accelerator", _link, _linking, _running),
    ]
    if optimum.data.clocks[0].offloaded:
        families += [
            _Family("sram_capacity", "GB per LPU", _sram, _sram_held, _steps),
            _Family("sram_bandwidth", "TB/s per LPU", _sram_speed, _sram_read, _running),
            _Family("lpu_compute", "% of the time", lambda _: 100.0, _lpu_busy, _running),
            _Family("lpu_link", "TB/s per LPU", _lpu_link, _crossing, _running),
        ]
    families.append(_Family("accelerator_power", "W per accelerator", _tdp, _drawing, _running))

    table = [_hbm_capacity(optimum, clocks, size, capacity, usable)]
    table += [_family_row(optimum, clocks, family) for family in families]
    table.append(_step_time(optimum, clocks))
    if float(instance.limits.min_speed) > 0:
        table.append(_min_speed(instance, optimum, clocks))
    table.append(_min_batch(optimum, clocks))
    table += _rack_rows(instance, optimum)
    return tuple(table)


def _number(value: object) -> float:
    return float(value)  # type: ignore[arg-type]


def _hbm(replica: ReplicaData) -> float:
    return _number(replica.hbm_tb_per_s)


def _link(replica: ReplicaData) -> float:
    return _number(replica.link_tb_per_s)


def _tdp(replica: ReplicaData) -> float:
    return _number(replica.power.limit_kw) * 1e3


def _sram(replica: ReplicaData) -> float:
    return _number(replica.lpu.sram_gb)


def _sram_speed(replica: ReplicaData) -> float:
    return _number(replica.lpu.sram_tb_per_s)


def _lpu_link(replica: ReplicaData) -> float:
    return _number(replica.lpu.link_tb_per_s)


def _running(point: ClockPoint) -> float:
    return point.running


def _steps(point: ClockPoint) -> float:
    return point.steps


def _reading(clock: ClockOperation) -> float:
    return clock.done.times["weights"] + clock.done.times["kv"]


def _computing(clock: ClockOperation) -> float:
    return clock.done.times["gemm"] + clock.done.times["attention"]


def _linking(clock: ClockOperation) -> float:
    return clock.done.times["link"]


def _sram_held(clock: ClockOperation) -> float:
    units = _number(clock.replica.lpu.units) * _number(clock.replica.lpu.sram_gb)
    return clock.done.sram_gb_steps / units


def _sram_read(clock: ClockOperation) -> float:
    return clock.done.times["sram"]


def _lpu_busy(clock: ClockOperation) -> float:
    return clock.done.times["lpu_compute"]


def _crossing(clock: ClockOperation) -> float:
    return clock.done.times["lpu_link"]


def _drawing(clock: ClockOperation) -> float:
    limit = _number(clock.replica.accelerators) * _number(clock.replica.power.limit_kw)
    return clock.done.power_kw / limit


def _dual(optimum: Operation, family: str, clock: int | None, index: int | None = None) -> float:
    return float(optimum.duals[optimum.filled.template.row(family, clock, index)])


def _row(
    name: str,
    usage: float,
    limit: float,
    unit: str,
    relative: float,
    *,
    throughput: float,
    floor: bool = False,
    binding: bool | None = None,
) -> ConstraintResult:
    slack = usage - limit if floor else limit - usage
    tight = abs(slack) <= BINDING * max(abs(limit), 1e-12) if binding is None else binding
    per_unit = relative * throughput * 1e3 / limit if limit else 0.0
    return ConstraintResult(
        name=name,
        usage=usage,
        limit=limit,
        unit=unit,
        utilization=(limit / usage if floor else usage / limit) if usage and limit else 0.0,
        slack=slack,
        binding=tight,
        unit_price=per_unit,
        unit_price_unit=f"tok/s per {unit}",
        elasticity=relative,
    )


def _family_row(
    optimum: Operation, clocks: list[ClockOperation], family: _Family
) -> ConstraintResult:
    """Return a row whose program reads use / limit <= weight, summed over the clocks."""
    shares = [family.share(clock) for clock in clocks]
    weight = sum(family.weight(clock.point) for clock in clocks)
    relative = sum(
        _dual(optimum, family.name, clock.index) * share
        for clock, share in zip(clocks, shares, strict=True)
    )
    tight = any(
        abs(family.weight(clock.point) - share) <= BINDING * family.weight(clock.point)
        for clock, share in zip(clocks, shares, strict=True)
    )
    limit = family.limit(clocks[0].replica)
    return _row(
        family.name,
        sum(shares) / weight * limit,
        limit,
        family.unit,
        relative / optimum.throughput,
        throughput=optimum.throughput,
        binding=tight,
    )


def _hbm_capacity(
    optimum: Operation, clocks: list[ClockOperation], size: float, capacity: float, usable: float
) -> ConstraintResult:
    """Return the capacity row against the nominal capacity, the reserve counted as used."""
    shares = [clock.done.resident_gb_steps / (size * capacity * usable) for clock in clocks]
    steps = sum(clock.point.steps for clock in clocks)
    relative = sum(
        _dual(optimum, "hbm_capacity", clock.index) * share
        for clock, share in zip(clocks, shares, strict=True)
    )
    tight = any(
        abs(clock.point.steps - share) <= BINDING * clock.point.steps
        for clock, share in zip(clocks, shares, strict=True)
    )
    reserve = capacity * (1.0 - usable)
    return _row(
        "hbm_capacity",
        sum(shares) / steps * capacity * usable + reserve,
        capacity,
        "GB per accelerator",
        relative / optimum.throughput,
        throughput=optimum.throughput,
        binding=tight,
    )


def _step_time(optimum: Operation, clocks: list[ClockOperation]) -> ConstraintResult:
    exposed = [exposed_time(clock.replica, clock.done.times) for clock in clocks]
    running = sum(clock.point.running for clock in clocks)
    steps = sum(clock.point.steps for clock in clocks)
    relative = sum(
        _dual(optimum, "step_time", clock.index) * time
        for clock, time in zip(clocks, exposed, strict=True)
    )
    return _row(
        "step_time",
        sum(exposed) / steps * 1e3,
        running / steps * 1e3,
        "us per step",
        relative / optimum.throughput,
        throughput=optimum.throughput,
    )


def _min_speed(
    instance: Instance, optimum: Operation, clocks: list[ClockOperation]
) -> ConstraintResult:
    floor = float(instance.limits.min_speed)
    running = sum(clock.point.running for clock in clocks)
    steps = sum(
        clock.point.steps * _number(clock.replica.tokens_per_sequence_step) for clock in clocks
    )
    relative = -sum(
        _dual(optimum, "min_speed", clock.index) * floor / 1e3 * clock.point.running
        for clock in clocks
    )
    tight = any(
        abs(
            clock.point.steps * _number(clock.replica.tokens_per_sequence_step) * 1e3
            - floor * clock.point.running
        )
        <= BINDING * floor * clock.point.running
        for clock in clocks
    )
    return _row(
        "min_speed",
        steps / running * 1e3,
        floor,
        "tok/s/user",
        relative / optimum.throughput,
        throughput=optimum.throughput,
        floor=True,
        binding=tight,
    )


def _min_batch(optimum: Operation, clocks: list[ClockOperation]) -> ConstraintResult:
    relative = -sum(_dual(optimum, "min_batch", clock.index) * clock.point.steps for clock in clocks)
    return _row(
        "min_batch",
        optimum.batch,
        1.0,
        "sequences per replica",
        relative / optimum.throughput,
        throughput=optimum.throughput,
        floor=True,
    )


def _rack_rows(instance: Instance, optimum: Operation) -> list[ConstraintResult]:
    data, rack = optimum.data.clocks[0], optimum.rack
    size, replicas = _number(data.accelerators), round(optimum.replicas)
    rows = [
        _row(
            "accelerators",
            size * replicas,
            _number(rack.accelerators),
            "accelerators",
            0.0,
            throughput=optimum.throughput,
        )
    ]
    if data.offloaded:
        rows.append(
            _row(
                "lpu_units",
                _number(data.lpu.units) * replicas,
                _number(rack.lpu_units),
                "LPUs",
                0.0,
                throughput=optimum.throughput,
            )
        )
    if rack.power_cap_kw is not None:
        cap, used = _number(rack.power_cap_kw), power_kw(optimum)
        rows.append(
            _row(
                "power_cap",
                used,
                cap,
                "kW",
                _dual(optimum, "power_cap", None) * used / cap / optimum.throughput,
                throughput=optimum.throughput,
            )
        )
    for position, budget in enumerate(instance.limits.budgets):
        use = optimum.data.budgets[position]
        used = (
            budget.fixed
            + _number(use.per_replica) * replicas
            + 1e3 * _number(use.per_step) * optimum.total("steps")
            + 1e3 * _number(use.per_sequence_step) * optimum.total("sequences")
        )
        share = used / budget.capacity
        rows.append(
            _row(
                budget.name,
                used,
                budget.capacity,
                budget.unit,
                _dual(optimum, "budget", None, position) * share / optimum.throughput,
                throughput=optimum.throughput,
            )
        )
    return rows


