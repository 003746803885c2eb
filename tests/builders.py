"""Small racks with round numbers, and how they are written down and solved."""

import contextlib
import io
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pyomo.environ as pyo
from pyomo.repn import generate_standard_repn

from hbmopt.models.objective import TOKENS, maximise
from hbmopt.models.quantities import (
    AcceleratorPower,
    BatchPoint,
    BatchSegment,
    BudgetData,
    BudgetUse,
    ComponentData,
    ConfigurationData,
    EfficiencyData,
    KernelData,
    LpuUnits,
    OffloadedData,
    OverlapData,
    RackData,
    ReplicaData,
    ScaleOutData,
)
from hbmopt.models.rack import declare_rack

ROOT = Path(__file__).resolve().parent.parent
INSTANCES = ROOT / "instances"
BARE_ENGINE = {"prompt_chunk": 0, "page_tokens": 1}
"""Constants of an engine that keeps nothing of prompts and fills its pages."""

GOLDEN = Path(__file__).resolve().parent / "models" / "golden"


def efficiency(**attained):
    """All peaks are attained in full, but for those named."""
    return EfficiencyData(**({one.name: 1.0 for one in fields(EfficiencyData)} | attained))


def overlap(**hidden):
    """All times hide behind each other, but for those named."""
    return OverlapData(**({one.name: 1.0 for one in fields(OverlapData)} | hidden))


def component(**changes):
    """A component that weighs and costs nothing, but for what is named."""
    nothing = ComponentData(
        resident_gb=0.0,
        read_gb_per_step=0.0,
        read_gb_per_sequence=0.0,
        gflop_per_sequence=0.0,
        prompt_gflop_per_sequence=0.0,
        peak_tflops=1000.0,
        joule_per_gflop=0.0,
    )
    return replace(nothing, **changes)


def kernel(*components, weights=1.0, gemm=1.0, name="dense"):
    """A class of products, of the first component alone where none is named."""
    return KernelData(name, components or (0,), weights, gemm)


def offloaded(**changes):
    """An offloaded component that weighs and costs nothing, but for what is named."""
    nothing = OffloadedData(
        latency_saved_ms=0.0,
        latency_added_ms=0.0,
        resident_gb=0.0,
        read_gb_per_step=0.0,
        read_gb_per_sequence=0.0,
        gflop_per_sequence=0.0,
        peak_tflops=1000.0,
        crossing_gb_per_sequence=0.0,
    )
    return replace(nothing, **changes)


NO_LPU = LpuUnits(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
AMPLE_LPU = LpuUnits(
    units=1.0,
    sram_gb=1000.0,
    sram_tb_per_s=1000.0,
    link_tb_per_s=1000.0,
    active_kw=0.0,
    joule_per_gb=0.0,
)


def power(**changes):
    """The power law of an accelerator that draws nothing of its 1 kW, but for what is named."""
    nothing = AcceleratorPower(
        limit_kw=1.0,
        active_kw=0.0,
        joule_per_gb=0.0,
        attention_joule_per_gflop=0.0,
        joule_per_link_gb=0.0,
    )
    return replace(nothing, **changes)


def replica(**changes):
    """One ample accelerator whose step takes 2 ms of latency: 0.5 steps/ms and nothing else."""
    ample = ReplicaData(
        accelerators=1.0,
        hbm_gb=1000.0,
        hbm_reserved_gb=0.0,
        hbm_tb_per_s=1000.0,
        link_tb_per_s=1000.0,
        attention_peak_tflops=1000.0,
        components=(component(),),
        kernels=(),
        kv_held_gb=0.0,
        kv_read_gb=0.0,
        attention_gflop=0.0,
        prompt_attention_gflop=0.0,
        link_gb_per_sequence=0.0,
        fixed_latency_ms=2.0,
        latency_ms_per_sequence=0.0,
        tokens_per_sequence_step=1.0,
        min_speed_per_ms=0.0,
        max_batch=None,
        scale_out=None,
        efficiency=efficiency(),
        overlap=overlap(),
        power=power(),
        lpu=NO_LPU,
        offloadable=(),
        offloaded=(),
    )
    made = replace(ample, **changes)
    if made.kernels:
        return made
    return replace(made, kernels=(kernel(*range(len(made.components))),))


def with_lpus(**changes):
    """A replica beside ample LPUs, which its first component may run on."""
    named = {"lpu": AMPLE_LPU, "offloadable": (0,), "offloaded": (offloaded(),)}
    return replica(**(named | changes))


def configuration(*clocks, batches=None, budgets=(), replicas_at_most=1000.0):
    """A configuration with batches from 1 to 10, where none are given."""
    return ConfigurationData(
        replicas_at_most=replicas_at_most,
        clocks=clocks,
        batches=batches or BatchSegment(1.0, 10.0),
        budgets=budgets,
    )


def rack(**changes):
    """One rack of one accelerator, without LPUs, a power cap or budgets."""
    bare = RackData(
        racks=1.0,
        accelerators=1.0,
        lpu_units=0.0,
        power_cap_kw=None,
        min_tokens_per_ms=None,
        static_kw=0.0,
        parked_accelerator_kw=0.0,
        parked_lpu_kw=0.0,
        power_overhead=1.0,
        budgets=(),
    )
    return replace(bare, **changes)


def declared(the_rack, *configurations, uniform=False, racks_at_most=1.0, worth=TOKENS):
    """A model with the rack's rows and what it is worth, its throughput, as objective."""
    model = pyo.ConcreteModel()
    declare_rack(
        model, the_rack, list(configurations), uniform=uniform, racks_at_most=racks_at_most
    )
    maximise(model, worth)
    return model


def one(the_replica, *, batches=None, worth=TOKENS, **rack_changes):
    """A model of one rack with one configuration at one clock."""
    the_one = configuration(the_replica, batches=batches)
    return declared(rack(**rack_changes), the_one, worth=worth)


# One rack with every family of rows in it, in round numbers.

_FULL_CLOCK = ReplicaData(
    accelerators=2.0,
    hbm_gb=100.0,
    hbm_reserved_gb=0.0,
    hbm_tb_per_s=4.0,
    link_tb_per_s=0.5,
    attention_peak_tflops=1000.0,
    components=(
        ComponentData(20.0, 20.0, 0.0, 40.0, 8.0, 2000.0, 0.0005),
        ComponentData(100.0, 10.0, 2.0, 30.0, 6.0, 1000.0, 0.001),
        ComponentData(5.0, 0.0, 0.001, 0.0, 0.0, 1000.0, 0.001),
    ),
    kernels=(kernel(0, 2, weights=0.8, gemm=0.5), kernel(1, weights=0.4, gemm=0.2, name="experts")),
    kv_held_gb=0.5,
    kv_read_gb=0.4,
    attention_gflop=5.0,
    prompt_attention_gflop=1.0,
    link_gb_per_sequence=0.02,
    fixed_latency_ms=3.0,
    latency_ms_per_sequence=0.01,
    tokens_per_sequence_step=2.0,
    min_speed_per_ms=0.05,
    max_batch=8.0,
    scale_out=None,
    efficiency=EfficiencyData(0.5, 0.25, 0.625, 0.5, 0.8, 0.5, 0.4),
    overlap=OverlapData(0.5, 0.25, 0.0, 0.5, 0.0, 0.75, 0.0, 0.5, 0.0),
    power=AcceleratorPower(1.0, 0.4, 0.1, 0.001, 0.5),
    lpu=LpuUnits(4.0, 32.0, 5.0, 0.25, 0.05, 0.01),
    offloadable=(0, 1),
    offloaded=(
        OffloadedData(0.8, 0.3, 40.0, 40.0, 0.0, 40.0, 1000.0, 0.01),
        OffloadedData(0.6, 0.2, 64.0, 12.0, 3.0, 30.0, 500.0, 0.005),
    ),
)
_HALF_CLOCK = replace(
    _FULL_CLOCK,
    attention_peak_tflops=500.0,
    components=tuple(
        replace(part, peak_tflops=part.peak_tflops / 2, joule_per_gflop=part.joule_per_gflop / 2)
        for part in _FULL_CLOCK.components
    ),
    power=AcceleratorPower(1.0, 0.2, 0.1, 0.0005, 0.5),
)
_WITHOUT_LPUS = replace(
    _FULL_CLOCK,
    accelerators=1.0,
    components=(ComponentData(50.0, 50.0, 0.0, 100.0, 0.0, 1000.0, 0.001),),
    kernels=(kernel(0, weights=0.8, gemm=0.5),),
    scale_out=ScaleOutData(0.05, 0.8, 0.004),
    lpu=NO_LPU,
    offloadable=(),
    offloaded=(),
)


def golden_rack(*, around_a_point=False):
    """Two racks' worth of everything: LPUs, two clocks, two configurations, a cap, a budget."""
    if around_a_point:
        pair = BatchPoint(2.0, 10.0, 4.0, (0.5, 0.25), (0.2, 0.1))
        single = BatchPoint(2.0, 10.0, 5.0, (), (0.3,))
    else:
        pair = single = BatchSegment(2.0, 10.0)
    budget = BudgetData("cores", 40.0, 4.0)
    return declared(
        RackData(
            racks=2.0,
            accelerators=8.0,
            lpu_units=16.0,
            power_cap_kw=20.0,
            min_tokens_per_ms=12.0,
            static_kw=2.0,
            parked_accelerator_kw=0.1,
            parked_lpu_kw=0.05,
            power_overhead=1.25,
            budgets=(budget,),
        ),
        ConfigurationData(4.0, (_FULL_CLOCK, _HALF_CLOCK), pair, (BudgetUse(2.0, 0.01, 0.02),)),
        ConfigurationData(8.0, (_WITHOUT_LPUS,), single, (BudgetUse(1.0, 0.0, 0.04),)),
        uniform=True,
        racks_at_most=3.0,
    )


def _terms(form):
    terms = sorted(
        (variable.name, coefficient)
        for variable, coefficient in zip(form.linear_vars, form.linear_coefs, strict=True)
        if coefficient != 0
    )
    return "".join(f"  {_digits(coefficient)} * {name}\n" for name, coefficient in terms)


def _digits(number):
    return f"{number + 0.0:+.12g}"


def rows_text(model, *names):
    """Every row of the named families: sorted terms, sense and right-hand side."""
    parts = []
    for row in model.component_data_objects(pyo.Constraint, descend_into=True):
        if row.parent_component().local_name in names:
            form = generate_standard_repn(row.body)
            assert form.is_linear()
            sense = "=" if row.equality else "<="
            bound = pyo.value(row.upper) - form.constant
            parts.append(f"{row.name}\n{_terms(form)}  {sense} {_digits(bound)}\n")
    return "\n".join(parts)


def expression_text(expression):
    """An expression: sorted terms and constant."""
    form = generate_standard_repn(expression.expr)
    assert form.is_linear()
    return f"{expression.name}\n{_terms(form)}  {_digits(form.constant)}\n"


@dataclass(frozen=True)
class Solved:
    """A model at its optimum."""

    model: pyo.ConcreteModel
    objective: float

    def value(self, name):
        """The value of a variable or expression, by its full name."""
        return pyo.value(self.model.find_component(name))

    def price(self, name):
        """d(objective) / d(right-hand side) of a row, by its full name."""
        return self.model.dual[self.model.find_component(name)]


def solve(model, *, integers=False):
    """Solve with HiGHS through Pyomo; integer variables are relaxed, so that rows have prices."""
    if not integers:
        for variable in model.component_data_objects(pyo.Var, descend_into=True):
            lower, upper = variable.bounds
            variable.domain = pyo.Reals
            variable.setlb(lower)
            variable.setub(upper)
        if model.component("dual") is None:
            model.dual = pyo.Suffix(direction=pyo.Suffix.IMPORT)
    outcome = pyo.SolverFactory("appsi_highs").solve(model)
    assert outcome.solver.termination_condition == pyo.TerminationCondition.optimal
    return Solved(model, pyo.value(model.objective))


def resolved_with_more(model, name, amount):
    """The objective after the right-hand side of a row is raised by `amount`."""
    changed = model.clone()
    row = changed.find_component(name)
    bound = row.upper + amount
    row.set_value(row.body == bound if row.equality else row.body <= bound)
    return solve(changed).objective


COLUMN = "configuration[0]"
CLOCK = f"{COLUMN}.clock[0]"


EXAMPLE = re.compile(
    r"<!-- executed by the tests -->\n```python\n(.*?)```\n\n```console\n(.*?)```", re.DOTALL
)


def executed_examples(text):
    """Run the examples of a document after each other; return how many there are.

    All of its Python has to be an example, and each prints what the document shows.
    """
    found = EXAMPLE.findall(text)
    assert len(found) == text.count("```python")
    names = dict[str, object]()
    for code, shown in found:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, names)
        assert printed.getvalue() == shown
    return len(found)
