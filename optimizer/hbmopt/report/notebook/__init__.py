"""Notebooks: the answers of all verbs as HTML that reads like the tables of the command line.

In: an answer. Out: a fragment of HTML.
"""

from hbmopt.report.notebook.answers import answer_html

__all__ = ["answer_html"]
