"""Texts: answers as tables, JSON, CSV and YAML, each loaded when it is asked for."""

from typing import TYPE_CHECKING

from hbmopt.first_use import on_first_use

if TYPE_CHECKING:
    from hbmopt.report.tables.calibration_file import calibration_yaml, fit_table, fit_tables
    from hbmopt.report.tables.catalogue_report import (
        catalogue_overview,
        entry_text,
        render_catalogue,
    )
    from hbmopt.report.tables.check_report import check_tables
    from hbmopt.report.tables.comparison_report import comparison_tables, render_comparison
    from hbmopt.report.tables.economics_report import cost_rows
    from hbmopt.report.tables.fitted_table import FittedTable
    from hbmopt.report.tables.fleets.facts import (
        PREFILL,
        Work,
        power_text,
        proof,
        setting,
        sought,
        work_of,
    )
    from hbmopt.report.tables.fleets.tables import (
        answer_rows,
        cures_table,
        demand_table,
        fleet_cost_rows,
        fleet_tables,
        limits_table,
        periods_table,
        pools_table,
        racks_table,
        remarks,
        render_fleet,
    )
    from hbmopt.report.tables.frontier_report import frontier_tables
    from hbmopt.report.tables.json_schema import schema_text
    from hbmopt.report.tables.output import (
        render,
        render_check,
        render_explanation,
        render_frontier,
    )
    from hbmopt.report.tables.plan_report import plan_tables
    from hbmopt.report.tables.prediction_report import prediction_tables, render_prediction
    from hbmopt.report.tables.sensitivity_report import render_sensitivity, sensitivity_table
    from hbmopt.report.tables.sizing_report import render_sizing, sizing_tables
    from hbmopt.report.tables.solution_report import (
        KERNELS_TITLE,
        certificate_text,
        configuration_rows,
        input_row,
        kernel_rows,
        limit_text,
        made_text,
        setting_text,
        solution_tables,
        step_parts,
        step_times_text,
        step_title,
        summary_rows,
    )
    from hbmopt.report.tables.sweep_report import (
        configuration_text,
        price_of,
        render_sweep,
        sweep_table,
    )
    from hbmopt.report.tables.table_text import AnyText, Text, TextConsole

__all__ = [
    "KERNELS_TITLE",
    "PREFILL",
    "AnyText",
    "FittedTable",
    "Text",
    "TextConsole",
    "Work",
    "answer_rows",
    "calibration_yaml",
    "catalogue_overview",
    "certificate_text",
    "check_tables",
    "comparison_tables",
    "configuration_rows",
    "configuration_text",
    "cost_rows",
    "cures_table",
    "demand_table",
    "entry_text",
    "fit_table",
    "fit_tables",
    "fleet_cost_rows",
    "fleet_tables",
    "frontier_tables",
    "input_row",
    "kernel_rows",
    "limit_text",
    "limits_table",
    "made_text",
    "periods_table",
    "plan_tables",
    "pools_table",
    "power_text",
    "prediction_tables",
    "price_of",
    "proof",
    "racks_table",
    "remarks",
    "render",
    "render_catalogue",
    "render_check",
    "render_comparison",
    "render_explanation",
    "render_fleet",
    "render_frontier",
    "render_prediction",
    "render_sensitivity",
    "render_sizing",
    "render_sweep",
    "schema_text",
    "sensitivity_table",
    "setting",
    "setting_text",
    "sizing_tables",
    "solution_tables",
    "sought",
    "step_parts",
    "step_times_text",
    "step_title",
    "summary_rows",
    "sweep_table",
    "work_of",
]

__getattr__ = on_first_use(
    __name__,
    {
        "sweep_table": "sweep_report",
        "solution_tables": "solution_report",
        "sensitivity_table": "sensitivity_report",
        "prediction_tables": "prediction_report",
        "plan_tables": "plan_report",
        "FittedTable": "fitted_table",
        "frontier_tables": "frontier_report",
        **dict.fromkeys(
            ("PREFILL", "Work", "power_text", "proof", "setting", "sought", "work_of"),
            "fleets.facts",
        ),
        **dict.fromkeys(
            (
                "answer_rows",
                "cures_table",
                "demand_table",
                "fleet_cost_rows",
                "fleet_tables",
                "limits_table",
                "periods_table",
                "pools_table",
                "racks_table",
                "remarks",
                "render_fleet",
            ),
            "fleets.tables",
        ),
        "comparison_tables": "comparison_report",
        "check_tables": "check_report",
        "TextConsole": "table_text",
        "AnyText": "table_text",
        "Text": "table_text",
        "calibration_yaml": "calibration_file",
        "catalogue_overview": "catalogue_report",
        "certificate_text": "solution_report",
        "configuration_rows": "solution_report",
        "configuration_text": "sweep_report",
        "cost_rows": "economics_report",
        "entry_text": "catalogue_report",
        "fit_table": "calibration_file",
        "fit_tables": "calibration_file",
        "input_row": "solution_report",
        "price_of": "sweep_report",
        "render": "output",
        "render_catalogue": "catalogue_report",
        "render_check": "output",
        "render_comparison": "comparison_report",
        "render_explanation": "output",
        "render_frontier": "output",
        "render_prediction": "prediction_report",
        "render_sensitivity": "sensitivity_report",
        "render_sizing": "sizing_report",
        "render_sweep": "sweep_report",
        "sizing_tables": "sizing_report",
        "schema_text": "json_schema",
        "setting_text": "solution_report",
        "step_parts": "solution_report",
        "KERNELS_TITLE": "solution_report",
        "kernel_rows": "solution_report",
        "limit_text": "solution_report",
        "made_text": "solution_report",
        "step_title": "solution_report",
        "step_times_text": "solution_report",
        "summary_rows": "solution_report",
    },
)
