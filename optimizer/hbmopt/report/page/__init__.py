"""The page to send: one offline HTML file. Its sections are there for other pages."""

from hbmopt.report.page.power_curve import power_caps, power_rows
from hbmopt.report.page.sections import (
    answer_section,
    certificate_section,
    conflict_section,
    cost_section,
    cures_section,
    heading,
    limits_section,
    step_section,
)
from hbmopt.report.page.whole_page import Page, report_page

__all__ = [
    "Page",
    "answer_section",
    "certificate_section",
    "conflict_section",
    "cost_section",
    "cures_section",
    "heading",
    "limits_section",
    "power_caps",
    "power_rows",
    "report_page",
    "step_section",
]
