"""The page to send: one offline HTML file."""

from hbmopt.report.page.whole_page import Page, report_page

__all__ = [
    "Page",
    "report_page",
]
