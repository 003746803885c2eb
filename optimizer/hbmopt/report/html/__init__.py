"""HTML: elements and texts that are escaped, how pages look, and charts inside them."""

from hbmopt.report.html.figures import Bundle, chart_figure, chart_page, specified
from hbmopt.report.html.markup import Html, element, joined, page, script, table
from hbmopt.report.html.style import SCRIPT, STYLE

__all__ = [
    "SCRIPT",
    "STYLE",
    "Bundle",
    "Html",
    "chart_figure",
    "chart_page",
    "element",
    "joined",
    "page",
    "script",
    "specified",
    "table",
]
