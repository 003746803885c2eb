"""Notebooks: the answers of all verbs as HTML that reads like the tables of the command line.

And their charts. In: an answer. Out: a fragment of HTML, or a chart of altair.
"""

from hbmopt.report.notebook.answers import answer_html
from hbmopt.report.notebook.charts import answer_chart

__all__ = ["answer_chart", "answer_html"]
