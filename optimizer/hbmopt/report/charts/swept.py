"""Which chart a sweep is drawn as: a curve with prices, bars by name, or a heat map."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hbmopt.errors import InputError
from hbmopt.instance import OBJECTIVES, Variation
from hbmopt.report.tables import configuration_text, price_of
from hbmopt.studies.sweep import Sweep

if TYPE_CHECKING:
    import altair as alt

FIELD_NAMES = {
    "limits.power": "power cap",
    "rack.power": "provisioned power of the rack",
    "limits.min_speed": "speed floor",
    "rack.nodes": "nodes",
    "rack.scale_out_bandwidth": "scale-out network per accelerator",
    "rack.accelerators": "accelerators of the rack",
    "rack.accelerator.hbm_capacity": "HBM capacity per accelerator",
    "rack.accelerator.hbm_bandwidth": "HBM bandwidth per accelerator",
    "rack.accelerator.scale_up_bandwidth": "scale-up links per accelerator",
    "rack.accelerator.tdp": "TDP of an accelerator",
    "workload.context": "context, tokens",
    "workload.prompt": "prompt, tokens",
    "workload.output": "output, tokens",
    "calibration.latency.per_layer": "latency per layer",
    "site.power": "power cap of the site",
    "site.capital": "capital",
    "site.space": "places for racks",
    "llm": "model",
    "rack": "rack",
}
"""Fields in words, as the title of an axis."""


FLEET_UNITS = {
    "USD/h": "The fleet in USD an hour",
    "kW": "Power of the fleet",
    "racks": "Racks",
    "tok/s": "Tokens of the fleet",
}
"""What a fleet comes to, by the unit of its objective."""


def check_sweep_chart(variations: Sequence[Variation], *, zipped: bool) -> None:
    """Raise `InputError` where a sweep of these variations has no chart."""
    points = 0 if zipped else math.prod(len(one.values) for one in variations)
    _check(variations, points)


def _check(variations: Sequence[Variation], points: int) -> None:
    if len(variations) == 1:
        return
    if len(variations) > 2:
        raise InputError(
            f"--plot: draws one or two variations, and {len(variations)} are given; --set the rest"
        )
    if points != math.prod(len(one.values) for one in variations):
        raise InputError("--plot: two variations are drawn as a grid, without --zip")


def sweep_layers(sweep: Sweep) -> "alt.LayerChart | alt.VConcatChart":
    """Return the curve or the bars of one variation, or the heat map of two."""
    from hbmopt.report.charts.sweep import (  # altair: 0.3 s
        Curve,
        curve_panels,
        heat_map_cells,
        name_bars,
        objective_unit,
    )

    variations, title = sweep.variations, sweep.title.strip()
    subtitle = f"Varied from: {title}" if title else ""
    _check(variations, sweep.points)
    if sweep.of_fleets:
        return _fleets(sweep, subtitle)
    rows = _rows(sweep)
    unit_of = objective_unit(rows)
    kind = next((one for one in OBJECTIVES.values() if one.unit == unit_of), None)
    sought = kind.title if kind is not None else "throughput"
    name = f"{sought[:1].upper()}{sought[1:]}"
    if len(variations) == 2:
        across, up = (0, 1)
        if _named(variations[0]) and not _named(variations[1]):
            across, up = (1, 0)
        labels = (field_label(variations[across]), field_label(variations[up]))
        return heat_map_cells(
            rows,
            (f"at_{across}", f"at_{up}", "objective_amount"),
            (*labels, f"{sought} of the rack, {unit_of}"),
            f"{name} by {_bare(labels[0])} and {_bare(labels[1])}",
            subtitle,
        )
    label = field_label(variations[0])
    title = f"{name} by {_bare(label)}"
    if _named(variations[0]):
        return name_bars(rows, "at_0", label, title, subtitle)
    price = price_of(variations[0], sweep.columns)
    curve = Curve("at_0", label)
    if price is not None:
        unit = price[1].replace("/s/user", "/s per user")
        curve = Curve("at_0", label, price[0], f"price, tok/s per {unit}", f"one more {unit}")
        title += f", and what one more {unit} is worth"
    return curve_panels(rows, curve, title, subtitle)


def _fleets(sweep: Sweep, subtitle: str) -> "alt.LayerChart | alt.VConcatChart":
    """Return the curve of one variation of a fleet, or the heat map of two."""
    from hbmopt.report.charts.fleet import fleet_curve  # altair: 0.3 s
    from hbmopt.report.charts.sweep import heat_map_cells

    rows = [
        {**row} | {f"at_{index}": row[one.header] for index, one in enumerate(sweep.variations)}
        for row in sweep.rows
    ]
    labels = [field_label(one) for one in sweep.variations]
    unit = next((str(row["objective_unit"]) for row in rows if row["objective_unit"]), "")
    sought = FLEET_UNITS.get(unit, unit)
    if len(sweep.variations) == 2:
        across, up = (0, 1)
        if _named(sweep.variations[0]) and not _named(sweep.variations[1]):
            across, up = (1, 0)
        fields = (f"at_{across}", f"at_{up}", "objective_amount")
        title = f"{sought} by {_bare(labels[across])} and {_bare(labels[up])}"
        return heat_map_cells(
            rows, fields, (labels[across], labels[up], f"the fleet, {unit}"), title, subtitle
        )
    return fleet_curve(rows, "at_0", labels[0], f"{sought} by {_bare(labels[0])}", subtitle)


def field_label(variation: Variation) -> str:
    """Return a field in words with its unit, as the title of an axis."""
    path = variation.path.removesuffix(".value")
    known = FIELD_NAMES.get(path, path)
    unit = variation.unit.replace("tok/s/user", "tok/s per user")
    return f"{known}, {unit}" if unit else known


def _bare(label: str) -> str:
    return label.partition(", ")[0]


def _named(variation: Variation) -> bool:
    return any(isinstance(cell, str) for cell in variation.cells)


def _rows(sweep: Sweep) -> list[dict[str, Any]]:
    """Return the rows with their inputs under names that are no paths, and all that is hovered."""
    return [
        row
        | {f"at_{index}": row[one.header] for index, one in enumerate(sweep.variations)}
        | {"configuration": configuration_text(row)}
        for row in sweep.rows
    ]
