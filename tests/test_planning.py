"""Racks inside a larger model."""

import pyomo.environ as pyo
import pytest

import halls
import hbmopt
from builders import INSTANCES
from hbmopt.plan import Master, ProgramRows, UserModel, alone, rack_blocks
from hbmopt.plan.column_rows import place_columns
from hbmopt.program import highs

SMALL = {"choices.replica_accelerators": [8, 36]}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("h200", {}),
        ("gb200_nvl72", SMALL),
        ("gb300_nvl72", {"choices.replica_accelerators": [8]}),
        ("tpu_v8", {"choices.replica_accelerators": [8, 16]}),
        ("closed_form", {}),
    ],
)
def test_a_hall_with_one_rack_is_the_rack(name, changes):
    instance = hbmopt.load(INSTANCES / f"{name}.yaml", changes)
    hall = pyo.ConcreteModel()
    hall.rack = hbmopt.rack_block(instance)
    hall.tokens = pyo.Objective(expr=hall.rack.throughput, sense=pyo.maximize)
    plan = hbmopt.solve_model(hall)
    alone = hbmopt.solve(instance)
    assert plan.objective == pytest.approx(alone.throughput_tok_s, rel=1e-9)
    assert plan.racks[0].power_kw == pytest.approx(alone.power_w / 1e3, rel=1e-6, abs=1e-9)
    here = {one.name.removeprefix("rack."): one for one in plan.inputs}
    for one in alone.inputs:
        assert here[one.name].elasticity == pytest.approx(one.elasticity, rel=1e-6, abs=1e-8)
    rows = {row.name.removeprefix("rack."): row for row in plan.constraints}
    for row in alone.constraints:
        assert rows[row.name].unit_price == pytest.approx(row.unit_price, rel=1e-5, abs=1e-6)


def hall_of_two(power):
    hall = pyo.ConcreteModel()
    hall.rack = pyo.Block(
        ["gb200", "h200"],
        rule=lambda _, name: hbmopt.rack_block(
            {"rack": {"gb200": "gb200_nvl72", "h200": "hgx_h200"}[name]},
            {
                "llm": "qwen3_235b",
                "workload.context": 8192,
                "limits.min_speed": "20 tok/s/user",
                "choices.weight_formats": ["fp8"],
                "choices.replica_accelerators": [8],
            },
            racks_at_most=3,
        ),
    )
    hall.power = pyo.Constraint(expr=sum(rack.power for rack in hall.rack.values()) <= power)
    hall.tokens = pyo.Objective(
        expr=sum(rack.throughput for rack in hall.rack.values()), sense=pyo.maximize
    )
    return hall


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("h100", {}),
        ("h100", {"choices.uniform": False, "limits.power": "6 kW"}),
        ("cpu_budget", {"limits.min_throughput": "1000 tok/s"}),
        ("rubin_nvl72_lpx", {"choices.lpu_units": [128, 256], "choices.clocks": [1.0, 0.8]}),
    ],
)
def test_the_rows_of_columns_are_those_of_the_block(name, changes):
    model = pyo.ConcreteModel()
    model.rack = hbmopt.rack_block(hbmopt.load(INSTANCES / f"{name}.yaml", changes))
    model.tokens = pyo.Objective(expr=model.rack.throughput, sense=pyo.maximize)
    contents = model.rack.contents
    around = alone()
    rows = ProgramRows(around.program)
    place_columns(rows, contents.columns, contents.groups, around.place(0), 1.0)
    answer = highs.solve(rows.whole(), integers=True)
    pyo.SolverFactory("appsi_highs").solve(model)
    assert answer.objective == pytest.approx(pyo.value(model.rack.throughput), rel=1e-6)
    declared = [*model.rack.program.component_data_objects(pyo.Constraint, descend_into=True)]
    assert rows.count == len(declared)
    # Relaxed, every row counts.
    pyo.TransformationFactory("core.relax_integer_vars").apply_to(model)
    pyo.SolverFactory("appsi_highs").solve(model)
    relaxed = highs.solve(rows.whole(), integers=False)
    assert relaxed.objective == pytest.approx(pyo.value(model.rack.throughput), rel=1e-6)


def test_the_price_of_the_halls_power_is_the_difference_of_two_halls():
    # The hall is full of racks, so that their number does not change with a little power.
    plans = {power: hbmopt.solve_model(hall_of_two(power)) for power in (299.9, 300.0, 300.1)}
    assert len({plan.racks[0].racks for plan in plans.values()}) == 1
    row = next(row for row in plans[300.0].constraints if row.name == "power")
    slope = (plans[300.1].objective - plans[299.9].objective) / 0.2
    assert row.binding
    assert row.unit_price == pytest.approx(slope, rel=2e-2)
    assert plans[300.0].bound == pytest.approx(plans[300.0].objective, rel=2e-6)


def test_the_model_is_left_at_the_plan():
    hall = hall_of_two(200.0)
    plan = hbmopt.solve_model(hall)
    assert pyo.value(hall.tokens) == pytest.approx(plan.objective, rel=1e-9)
    for block, planned in zip(hall.rack.values(), plan.racks, strict=True):
        assert round(pyo.value(block.racks)) == planned.racks
        assert pyo.value(block.power) == pytest.approx(planned.power_kw, rel=1e-9, abs=1e-9)
    assert pyo.value(hall.power.body) <= 200.0 * (1 + 1e-6)


def test_the_cheapest_racks_for_a_demand():
    few = {"choices.replica_accelerators": [36]}
    hall = pyo.ConcreteModel()
    hall.rack = hbmopt.rack_block(INSTANCES / "gb200_nvl72.yaml", few, racks_at_most=10)
    hall.demand = pyo.Constraint(expr=hall.rack.throughput >= 300_000)
    hall.cost = pyo.Objective(expr=hall.rack.cost, sense=pyo.minimize)
    plan = hbmopt.solve_model(hall, objective_unit="USD")
    alone = hbmopt.solve(hbmopt.load(INSTANCES / "gb200_nvl72.yaml", few)).throughput_tok_s
    assert plan.racks[0].racks == -(-300_000 // alone)
    assert plan.objective == pytest.approx(plan.racks[0].racks * 3e6)
    assert plan.racks[0].throughput_tok_s >= 300_000 * (1 - 1e-6)


def test_a_plan_that_cannot_be_is_an_error_of_its_own():
    hall = pyo.ConcreteModel()
    hall.rack = hbmopt.rack_block(INSTANCES / "h200.yaml")
    hall.demand = pyo.Constraint(expr=hall.rack.throughput >= 1e9)
    hall.tokens = pyo.Objective(expr=hall.rack.throughput, sense=pyo.maximize)
    with pytest.raises(hbmopt.InfeasiblePlanError, match="no plan satisfies"):
        hbmopt.solve_model(hall)


@pytest.mark.parametrize("build", ["no rack", "no objective"])
def test_an_unusable_model_says_what_is_missing(build):
    hall = pyo.ConcreteModel()
    if build == "no objective":
        hall.rack = hbmopt.rack_block(INSTANCES / "h200.yaml")
    with pytest.raises(hbmopt.InputError, match=build.removeprefix("no ")):
        hbmopt.solve_model(hall)


def hall_of_one():
    hall = pyo.ConcreteModel()
    hall.rack = hbmopt.rack_block(INSTANCES / "h100.yaml")
    hall.tokens = pyo.Objective(expr=hall.rack.throughput, sense=pyo.maximize)
    return hall


def test_a_model_is_changed_and_solved_again():
    model = hall_of_one()
    first = hbmopt.solve_model(model).objective
    assert hbmopt.solve_model(model).objective == pytest.approx(first, rel=1e-9)
    model.cap = pyo.Constraint(expr=model.rack.power <= 7.5)
    capped = hbmopt.load(INSTANCES / "h100.yaml", {"limits.power": "7.5 kW"})
    expected = hbmopt.solve(capped).throughput_tok_s
    assert hbmopt.solve_model(model).objective == pytest.approx(expected, rel=1e-6)
    model.cap.deactivate()
    assert hbmopt.solve_model(model).objective == pytest.approx(first, rel=1e-9)


def test_a_model_that_is_not_linear_says_so():
    model = hall_of_one()
    model.square = pyo.Constraint(expr=model.rack.power**2 <= 100)
    with pytest.raises(hbmopt.InputError, match="the model is not linear"):
        hbmopt.solve_model(model)


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "racks_at_most=0: must be a whole number"),
        (-1, "racks_at_most=-1: must be a whole number"),
        (1.5, "rack_block: racks_at_most: 1.5: input should be a valid integer"),
    ],
)
def test_racks_are_a_whole_number(count, said):
    with pytest.raises(hbmopt.InputError, match=said):
        hbmopt.rack_block(INSTANCES / "closed_form.yaml", racks_at_most=count)


def hall_of(kinds, power, least):
    hall = pyo.ConcreteModel()
    hall.rack = pyo.Block(
        list(kinds),
        rule=lambda _, name: hbmopt.rack_block(*kinds[name][:2], racks_at_most=kinds[name][2]),
    )
    racks = list(hall.rack.values())
    hall.power = pyo.Constraint(expr=sum(rack.power for rack in racks) <= power)
    hall.least = pyo.Constraint(
        list(least), rule=lambda _, name: hall.rack[name].racks >= least[name]
    )
    hall.tokens = pyo.Objective(expr=sum(rack.throughput for rack in racks), sense=pyo.maximize)
    return hall


def hall_with_owned_racks():
    changes = {
        "llm": "gpt_oss_120b",
        "limits.min_speed": "40 tok/s/user",
        "choices.kv_formats": ["fp8"],
        "choices.tensor_parallel": [1],
        "choices.replica_accelerators": [8],
    }
    lengths = {"workload": {"prompt": 2048, "output": 16384}}
    kinds = {
        "h200": (INSTANCES / "h200.yaml", changes, 9),
        "h100": ({"rack": "dgx_h100"}, changes | lengths, 4),
    }
    return hall_of(kinds, 60, {"h100": 2})


def hall_of_two_generations():
    changes = {
        "llm": "qwen3_32b",
        "workload.context": 4096,
        "limits.min_speed": "33 tok/s/user",
        "choices.kv_formats": ["fp8"],
        "choices.replica_accelerators": [1, 2, 4],
    }
    kinds = {
        "h200": ({"rack": "hgx_h200"}, changes, 9),
        "b200": ({"rack": "dgx_b200"}, changes, 3),
    }
    return hall_of(kinds, 50, {})


def best_plan(hall):
    """Return the plan of a hall without its prices, and leave the hall at it."""
    blocks = rack_blocks(hall)
    (objective,) = hall.component_data_objects(pyo.Objective, active=True)
    read = UserModel(hall, blocks, objective)
    found = Master(read.around, [block.contents.columns for block in blocks]).run()
    read.leave(found, blocks)
    return found


@pytest.mark.parametrize(
    ("build", "objective"),
    [(hall_with_owned_racks, 420_660.69), (hall_of_two_generations, 123_107.08)],
)
def test_a_batch_that_is_left_between_two_others_is_one_of_a_plan(build, objective):
    # The bound ran in such a batch round after round, and no plan was offered that has it.
    hall = build()
    found = best_plan(hall)
    assert found.proven(1e-6)
    assert found.rounds < 10
    assert found.objective == pytest.approx(objective, rel=1e-6)
    assert halls.row_that_is_broken(hall)[1] <= 1e-6


def test_a_plan_is_found_where_the_relaxation_offers_none():
    # With the batches of the relaxation, and those beside them, no whole racks keep all rows.
    drawn = halls.Hall(56)
    least_kw = -best_plan(drawn.model()).objective
    assert least_kw <= drawn.best_of_others() * (1 + halls.CLOSE)


def test_a_plan_that_is_not_proven_states_its_gap(monkeypatch):
    monkeypatch.setattr("hbmopt.plan.master.MOST_ROUNDS", 1)
    plan = hbmopt.solve_model(hall_with_owned_racks())
    assert plan.status == "feasible"
    assert 1e-6 < plan.gap < 1e-2
    assert plan.objective < 420_660 < plan.bound
    assert f"feasible, gap {plan.gap:.1e}" in repr(plan)
    # What a plan that is not proven changes may be less than what can be.
    assert all(row.next_unit is None for row in plan.constraints if row.name == "power")


def test_a_plan_outlives_steps_that_end_without_one(monkeypatch):
    class LostStep(Master):
        def run(self):
            if self._near is not None:
                raise hbmopt.SolverError("HiGHS stopped without a proof")
            return super().run()

    monkeypatch.setattr("hbmopt.results.planning.Master", LostStep)
    hall = hall_of_one()
    hall.cap = pyo.Constraint(expr=hall.rack.power <= 7.5)
    plan = hbmopt.solve_model(hall)
    assert plan.status == "optimal"
    assert all(row.next_unit is None for row in plan.constraints)


@pytest.mark.parametrize("seed", [7, 15, 73])
def test_no_hall_of_whole_racks_is_better(seed):
    assert halls.check(seed) is not None


def test_where_the_relaxation_is_infeasible_by_a_hair_there_is_no_plan():
    # The simplex method alone ends without a proof there; presolve at the looser tolerance has one.
    assert halls.check(70) is None
