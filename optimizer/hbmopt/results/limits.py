"""The table of limits: usage, limit, slack and price of every constraint family."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from hbmopt.demand import smallest_batch
from hbmopt.models.quantities import ReplicaData, number
from hbmopt.program import ClockOperation, ClockPoint, Label, PricedColumn, PricedRack, exposed_time
from hbmopt.results.solution import ConstraintResult

BINDING = 1e-6
"""Relative slack below which a row counts as binding."""

NO_ELASTICITY = 1e-9
"""Elasticities up to this size are the noise of a difference of nearly equal numbers."""


@dataclass(frozen=True)
class _Family:
    """How the rows of one constraint family are shown."""

    name: str
    unit: str
    limit: Callable[[ReplicaData], float]
    share: Callable[[ClockOperation], float]
    weight: Callable[[ClockPoint], float]


def constraint_table(optimum: PricedRack) -> tuple[ConstraintResult, ...]:
    """Return every limit at the priced optimum, in the order of the model's files.

    The rows of each configuration come first, numbered where several run; then those of the rack.
    """
    table: list[ConstraintResult] = []
    for position, column in enumerate(optimum.columns, start=1):
        rows = _configuration_rows(optimum, column)
        if len(optimum.columns) > 1:
            rows = [replace(row, name=f"{row.name}[{position}]") for row in rows]
        table += rows
    return (*table, *_rack_rows(optimum))


def _configuration_rows(optimum: PricedRack, column: PricedColumn) -> list[ConstraintResult]:
    families = [
        _Family("hbm_bandwidth", "TB/s per accelerator", _hbm, _reading, _running),
        _Family("compute", "% of the time", lambda _: 100.0, _computing, _running),
        _Family("interconnect", "TB/s per accelerator", _link, _linking, _running),
    ]
    if column.data.clocks[0].offloaded:
        families += [
            _Family("sram_capacity", "GB per LPU", _sram, _sram_held, _steps),
            _Family("sram_bandwidth", "TB/s per LPU", _sram_speed, _sram_read, _running),
            _Family("lpu_compute", "% of the time", lambda _: 100.0, _lpu_busy, _running),
            _Family("lpu_link", "TB/s per LPU", _lpu_link, _crossing, _running),
        ]
    families.append(_Family("accelerator_power", "W per accelerator", _tdp, _drawing, _running))
    table = [_hbm_capacity(optimum, column)]
    table += [_family_row(optimum, column, family) for family in families]
    table.append(_step_time(optimum, column))
    if float(optimum.instance.limits.min_speed) > 0:
        table.append(_min_speed(optimum, column))
    table.append(_min_batch(optimum, column))
    return table


def _hbm(replica: ReplicaData) -> float:
    return number(replica.hbm_tb_per_s)


def _link(replica: ReplicaData) -> float:
    return number(replica.link_tb_per_s)


def _tdp(replica: ReplicaData) -> float:
    return number(replica.power.limit_kw) * 1e3


def _sram(replica: ReplicaData) -> float:
    return number(replica.lpu.sram_gb)


def _sram_speed(replica: ReplicaData) -> float:
    return number(replica.lpu.sram_tb_per_s)


def _lpu_link(replica: ReplicaData) -> float:
    return number(replica.lpu.link_tb_per_s)


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
    units = number(clock.replica.lpu.units) * number(clock.replica.lpu.sram_gb)
    return clock.done.sram_gb_steps / units


def _sram_read(clock: ClockOperation) -> float:
    return clock.done.times["sram"]


def _lpu_busy(clock: ClockOperation) -> float:
    return clock.done.times["lpu_compute"]


def _crossing(clock: ClockOperation) -> float:
    return clock.done.times["lpu_link"]


def _drawing(clock: ClockOperation) -> float:
    limit = number(clock.replica.accelerators) * number(clock.replica.power.limit_kw)
    return clock.done.power_kw / limit


def _tight(slack: float, limit: float) -> bool:
    return abs(slack) <= BINDING * max(abs(limit), 1e-12)


def _row(
    optimum: PricedRack,
    name: str,
    usage: float,
    limit: float,
    unit: str,
    worth: float,
    *,
    floor: bool = False,
    binding: bool | None = None,
) -> ConstraintResult:
    """Return a row; `worth` is d(objective) / d(ln limit)."""
    slack = usage - limit if floor else limit - usage
    relative = worth / optimum.objective if optimum.objective else 0.0
    return ConstraintResult(
        name=name,
        usage=usage,
        limit=limit,
        unit=unit,
        utilization=(limit / usage if floor else usage / limit) if usage and limit else 0.0,
        slack=slack,
        binding=_tight(slack, limit) if binding is None else binding,
        unit_price=(worth / limit if limit else 0.0) + 0.0,
        unit_price_unit=f"{optimum.objective_unit} per {unit}",
        elasticity=relative + 0.0,
    )


def _family_row(optimum: PricedRack, column: PricedColumn, family: _Family) -> ConstraintResult:
    """Return a row whose program reads use / limit <= weight, summed over the clocks."""
    limit = family.limit(column.data.clocks[0])
    shares = [(clock, family.share(clock), family.weight(clock.point)) for clock in column.clocks]
    weight = sum(one[2] for one in shares)
    return _row(
        optimum,
        family.name,
        sum(share for _, share, _ in shares) / weight * limit,
        limit,
        family.unit,
        sum(column.dual(family.name, clock.index) * share for clock, share, _ in shares),
        binding=any(_tight(weight - share, weight) for _, share, weight in shares),
    )


def _hbm_capacity(optimum: PricedRack, column: PricedColumn) -> ConstraintResult:
    """Return the capacity row against the nominal capacity, the reserve counted as used."""
    size = number(column.data.clocks[0].accelerators)
    capacity = float(optimum.instance.rack.accelerator.hbm_capacity)
    usable = capacity * float(optimum.instance.calibration.hbm_usable)
    shares = [
        (clock, clock.done.resident_gb_steps / (size * usable), clock.point.steps)
        for clock in column.clocks
    ]
    steps = sum(one[2] for one in shares)
    return _row(
        optimum,
        "hbm_capacity",
        sum(share for _, share, _ in shares) / steps * usable + (capacity - usable),
        capacity,
        "GB per accelerator",
        sum(column.dual("hbm_capacity", clock.index) * share for clock, share, _ in shares),
        binding=any(_tight(steps - share, steps) for _, share, steps in shares),
    )


def _step_time(optimum: PricedRack, column: PricedColumn) -> ConstraintResult:
    exposed = [(clock, exposed_time(clock.replica, clock.done.times)) for clock in column.clocks]
    running = sum(clock.point.running for clock in column.clocks)
    steps = sum(clock.point.steps for clock in column.clocks)
    return _row(
        optimum,
        "step_time",
        sum(time for _, time in exposed) / steps * 1e3,
        running / steps * 1e3,
        "us per step",
        sum(column.dual("step_time", clock.index) * time for clock, time in exposed),
        binding=any(
            _tight(clock.point.running - time, clock.point.running) for clock, time in exposed
        ),
    )


def _min_speed(optimum: PricedRack, column: PricedColumn) -> ConstraintResult:
    floor = float(optimum.instance.limits.min_speed)
    speeds = [
        (clock, 1e3 * clock.point.steps * number(clock.replica.tokens_per_sequence_step))
        for clock in column.clocks
    ]
    running = sum(clock.point.running for clock in column.clocks)
    return _row(
        optimum,
        "min_speed",
        sum(speed for _, speed in speeds) / running,
        floor,
        "tok/s/user",
        -sum(
            column.dual("min_speed", clock.index) * floor / 1e3 * clock.point.running
            for clock, _ in speeds
        ),
        floor=True,
        binding=any(
            _tight(speed - floor * clock.point.running, floor * clock.point.running)
            for clock, speed in speeds
        ),
    )


def _min_batch(optimum: PricedRack, column: PricedColumn) -> ConstraintResult:
    worth = sum(
        column.dual("min_batch", clock.index) * clock.point.steps for clock in column.clocks
    )
    least = smallest_batch(column.configuration)
    return _row(
        optimum, "min_batch", column.batch, least, "sequence per replica", -worth, floor=True
    )


def _rack_rows(optimum: PricedRack) -> list[ConstraintResult]:
    rack, racks = optimum.rack, number(optimum.rack.racks)
    accelerators = number(rack.accelerators) * racks
    rows = [
        _row(
            optimum,
            "accelerators",
            optimum.used_accelerators,
            accelerators,
            "accelerator",
            0.0,
        )
    ]
    if optimum.used_lpus:
        lpus = number(rack.lpu_units) * racks
        rows.append(_row(optimum, "lpu_units", optimum.used_lpus, lpus, "LPU", 0.0))
    if rack.power_cap_kw is not None:
        cap, used = number(rack.power_cap_kw) * racks, optimum.power_kw
        worth = optimum.duals[Label("power_cap", None, None)] * used / number(rack.power_cap_kw)
        rows.append(_row(optimum, "power_cap", used, cap, "kW", worth))
    for position, budget in enumerate(optimum.instance.limits.budgets):
        used = optimum.budget_used(position)
        worth = optimum.duals[Label("budget", None, position)] * used / budget.capacity
        rows.append(_row(optimum, budget.name, used, budget.capacity * racks, budget.unit, worth))
    return rows
