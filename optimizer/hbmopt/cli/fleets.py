"""What commands do with a fleet: solve it, and write its plan."""

from pathlib import Path
from typing import TYPE_CHECKING

from hbmopt.cli.command import INFEASIBLE, SOLVED
from hbmopt.cli.destination import Destination, protect
from hbmopt.cli.progress import stages

if TYPE_CHECKING:
    from hbmopt.documents import Document


def worst_case(source: Path, overrides: tuple[str, ...], worst: str | None) -> tuple[str, ...]:
    """Return the changes with that of `worst_option`, which every rack of a fleet has apart."""
    if worst is None:
        return overrides
    from hbmopt.instance import is_fleet, load_document  # commands import what they need

    document = load_document(source, list(overrides))
    if not is_fleet(document):
        return (*overrides, f"calibration.worst={worst}")
    racks = document.get(("racks",))
    names = list(racks) if isinstance(racks, dict) else []
    return (*overrides, *(f"racks.{name}.calibration.worst={worst}" for name in names))


def solve_and_show(document: "Document", answer: Destination) -> int:
    """Print the plan of a fleet, or what is in its way, and return the exit code."""
    with stages("reading") as told:
        from hbmopt.fleet import fleet_of, plan_of  # a second, which is told as well

        fleet = fleet_of(document)
        plan = plan_of(fleet, document, progress=told)
    # Entries of its classes and racks may be files, which are known by now.
    protect(document.files, output=answer.path)
    from hbmopt.report.tables import render_fleet

    answer.show(render_fleet, plan)
    return SOLVED if plan.feasible else INFEASIBLE
