"""How answers show themselves: a line at a prompt, their tables and charts in a notebook.

Answers stand below reports and know nothing of them. So it is here, at the door, that the report
of an answer is named, as the package's face names what rooms show: it is loaded when it is asked
for, and nothing is imported before.
"""

from typing import TYPE_CHECKING

from hbmopt.first_use import on_first_use

if TYPE_CHECKING:
    import altair as alt

    Chart = alt.LayerChart | alt.VConcatChart

_report = on_first_use("hbmopt.report", {"answer_html": "notebook", "answer_chart": "notebook"})


class Answer:
    """What a verb returns. Its `repr` is short, its HTML holds the tables of the command line."""

    def _repr_html_(self) -> str:
        """Return the tables as HTML, which notebooks ask for."""
        return str(_report("answer_html")(self))


def chart_of(answer: Answer, *others: Answer, **options: str) -> "Chart":
    """Return the chart of an answer, as `--plot` of its command draws it."""
    chart: Chart = _report("answer_chart")(answer, *others, **options)
    return chart
