"""Data flows one way: no module imports one of a later stage, and none imports in a circle."""

import ast
from graphlib import TopologicalSorter

from builders import ROOT

PACKAGE = ROOT / "optimizer" / "hbmopt"

STAGES = {
    "words and numbers": """
        errors verb standard_output declaring units formats rounding wording solution number_price
        files progress plain_text text_file csv_text yaml_nodes lazy_sequence
    """,
    "instance": """
        document shipped figure catalogue hardware attention llm calibration instance
        instance_numbers variation provenance step_accuracy levers
    """,
    "demand": """
        configuration placement sequence step_latency components demand physics step_profile
        replica_share normalisation
    """,
    "build and solve": """
        highs linear_model template operation search optimum rack_columns operating_points
        frontier_envelope sampled_frontier batch_table point_search serving_point targets
        plain_targets offloaded_targets target_search
    """,
    "results": """
        limits prices plan_prices refinement planning mixed price_range many_optima cures
        infeasibility explanation claim verdict checking solver
    """,
    "studies": """
        speed_frontier generation_law comparison advice sensitivities upgrades sweep_files
        sweep_journal sweep_point sweep_rows sweep_workers sweeping measured_steps known_models
        prediction constant_fits calibrating output json_schema starting
    """,
    "report": """
        table_text fitted_table report frontier_report check_report comparison_report
        prediction_report sensitivity_report
        sweep_report calibration_file power_curve charts charts_along charts_frontier
        charts_generation charts_labels charts_style charts_sweep charts_swept charts_tornado
        markup page page_charts page_sections page_style
    """,
    "command line": "cli __main__ __init__",
}
PLACE = {name: place for place, names in enumerate(STAGES.values()) for name in names.split()}


def imported(path):
    """Return the modules of the package that a file imports when it is, or later when it runs."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    always, later = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "hbmopt":
            _, _, module = node.module.partition(".")
            names = {module.split(".")[0]} if module else {one.name for one in node.names}
            (always if node.col_offset == 0 else later).update(names)
    return always & PLACE.keys(), later & PLACE.keys()


MODULES = {path.stem: imported(path) for path in PACKAGE.glob("*.py")}
COMMANDS = [imported(path) for path in PACKAGE.glob("cli/*.py")]
MODULES["cli"] = tuple(set.union(*found) - {"cli"} for found in zip(*COMMANDS, strict=True))


def test_every_module_has_a_stage():
    assert sorted(MODULES) == sorted(PLACE)
    assert len(PLACE) == sum(len(names.split()) for names in STAGES.values())


def test_no_module_imports_one_of_a_later_stage():
    assert {
        f"{name} imports {other}"
        for name, (always, _) in MODULES.items()
        for other in always
        if PLACE[other] > PLACE[name]
    } == set()


def test_no_module_imports_itself_by_others():
    order = TopologicalSorter({name: always | later for name, (always, later) in MODULES.items()})
    assert len(list(order.static_order())) == len(MODULES)


def test_every_module_says_what_it_holds():
    folders = ("*.py", "cli/*.py", "importing/**/*.py")
    paths = [path for one in folders for path in PACKAGE.glob(one)] + [*ROOT.glob("models/*.py")]
    assert len(paths) > 120
    for path in paths:
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_the_mathematics_reads_nothing_but_itself():
    for path in (ROOT / "models").glob("*.py"):
        assert imported(path) == (set(), set()), path
