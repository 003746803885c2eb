"""HTML: elements and texts that are escaped, how pages look, and charts inside them."""

from hbmopt.report.html.figures import Bundle, chart_figure, chart_page, specified
from hbmopt.report.html.letters import text_width, widest
from hbmopt.report.html.markup import Html, element, joined, page, script, table
from hbmopt.report.html.pictures import for_pictures, picture
from hbmopt.report.html.style import PRINTING, SCRIPT, STYLE

__all__ = [
    "PRINTING",
    "SCRIPT",
    "STYLE",
    "Bundle",
    "Html",
    "chart_figure",
    "chart_page",
    "element",
    "for_pictures",
    "joined",
    "page",
    "picture",
    "script",
    "specified",
    "table",
    "text_width",
    "widest",
]
