"""Execute docs/tour.ipynb; ``python tests/tour.py`` writes it anew with what its cells give."""

import nbformat
from nbclient import NotebookClient

from builders import ROOT

TOUR = ROOT / "docs" / "tour.ipynb"
SECONDS = 120
"""Longest time of a cell."""


def read():
    return nbformat.read(TOUR, as_version=4)


def executed():
    """Return the notebook with the outputs of a new execution. Raises where a cell errs."""
    notebook = read()
    NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=SECONDS,
        record_timing=False,
        resources={"metadata": {"path": str(TOUR.parent)}},
    ).execute()
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


if __name__ == "__main__":
    nbformat.write(executed(), TOUR)
