"""How answers show themselves: a line at a prompt, their tables in a notebook.

Answers stand below reports and know nothing of them. So it is here, at the door, that the report
of an answer is named, as the package's face names what rooms show: it is loaded when it is asked
for, and nothing is imported before.
"""

from hbmopt.first_use import on_first_use

_report = on_first_use("hbmopt.report", {"answer_html": "notebook"})


class Answer:
    """What a verb returns. Its `repr` is short, its HTML holds the tables of the command line."""

    def _repr_html_(self) -> str:
        """Return the tables as HTML, which notebooks ask for."""
        return str(_report("answer_html")(self))
