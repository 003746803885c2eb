"""The charts of docs/accuracy.md."""

from collections.abc import Sequence

import altair as alt
from accuracy_rows import Judged

from hbmopt.report.charts.style import INK, finished, heading, inline, layered

COLOURS = {
    "NVIDIA Hopper": "#0072B2",
    "NVIDIA Blackwell": "#009E73",
    "AMD MI300 (CDNA 3)": "#D55E00",
    "AMD MI355 (CDNA 4)": "#E69F00",
}
SHAPES = ("circle", "square", "triangle-up", "diamond")
LIMITS = (2.0, 200.0)
FACTOR = 1.3
"""The dashed lines: so much more, or less, than measured."""
PANEL = 330
CLIPPED = 1.0


def _family_scales(rows: Sequence[Judged]) -> tuple[alt.Scale, alt.Scale]:
    used = {one.family for one in rows}
    names = [name for name in COLOURS if name in used]
    return (
        alt.Scale(domain=names, range=[COLOURS[name] for name in names]),
        alt.Scale(domain=names, range=list(SHAPES[: len(names)])),
    )


def scatter_chart(rows: Sequence[Judged]) -> alt.HConcatChart:
    """Return predicted over measured steps, by universal and by held-out constants."""
    colour, shape = _family_scales(rows)
    panels = []
    for attribute, title in (
        ("universal", "Universal constants"),
        ("held_out", "Calibrated, the row's series held out"),
    ):
        points = [
            {
                "measured": one.row.measured_ms,
                "predicted": (one.row.measured_ms or 0.0) * (1 + getattr(one, attribute)),
                "family": one.family,
            }
            for one in rows
        ]
        log = alt.Scale(type="log", domain=list(LIMITS), nice=False, clamp=True)
        ticks = alt.Axis(values=[2, 5, 10, 20, 50, 100, 200], format="~g")
        marks = (
            alt.Chart(inline(points))
            .mark_point(size=22, filled=True, opacity=0.55, aria=False)
            .encode(
                x=alt.X("measured:Q", scale=log, axis=ticks, title="measured step, ms"),
                y=alt.Y("predicted:Q", scale=log, axis=ticks, title="predicted step, ms"),
                color=alt.Color("family:N", scale=colour, title="chips"),
                shape=alt.Shape("family:N", scale=shape, title="chips"),
            )
        )
        lines = [
            alt.Chart(
                inline(
                    [
                        {"x": end / min(1.0, factor), "y": end * max(1.0, factor)}
                        for end in (LIMITS[0], LIMITS[1] / max(factor, 1 / factor))
                    ]
                )
            )
            .mark_line(
                color=INK, strokeWidth=1, strokeDash=[1, 0] if factor == 1 else [4, 3], clip=True
            )
            .encode(x=alt.X("x:Q", scale=log), y=alt.Y("y:Q", scale=log))
            for factor in (1.0, FACTOR, 1 / FACTOR)
        ]
        panel = alt.layer(*lines, marks).properties(width=PANEL, height=PANEL, title=title)
        panels.append(panel)
    title = heading(
        "Predicted against measured decode steps", ["Solid: equal; dashed: 30 % more and less."]
    )
    return finished(alt.hconcat(*panels), title)


def error_chart(rows: Sequence[Judged]) -> alt.LayerChart:
    """Return the share of rows within an error, by family and constants."""
    colour, _ = _family_scales(rows)
    points = []
    for family in COLOURS:
        members = [one for one in rows if one.family == family]
        for attribute, name in (("universal", "universal"), ("held_out", "calibrated, held out")):
            errors = sorted(abs(getattr(one, attribute)) for one in members)
            points += [
                {
                    "error": min(error, CLIPPED),
                    "share": (index + 1) / len(errors),
                    "family": family,
                    "constants": name,
                }
                for index, error in enumerate(errors)
            ]
    lines = (
        alt.Chart(inline(points))
        .mark_line(interpolate="step-after", strokeWidth=2)
        .encode(
            x=alt.X(
                "error:Q",
                scale=alt.Scale(domain=[0, 0.6], nice=False),
                axis=alt.Axis(format="%"),
                title="absolute error of the step time",
            ),
            y=alt.Y(
                "share:Q",
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format="%"),
                title="rows within it",
            ),
            color=alt.Color(
                "family:N",
                scale=colour,
                legend=alt.Legend(title="chips", symbolType="stroke", symbolSize=400),
            ),
            strokeDash=alt.StrokeDash(
                "constants:N",
                scale=alt.Scale(
                    domain=["calibrated, held out", "universal"], range=[[1, 0], [4, 3]]
                ),
                legend=alt.Legend(title="constants", symbolType="stroke", symbolSize=400),
            ),
        )
    )
    lines.mark.clip = True
    drawn = layered([lines], 2 * PANEL, PANEL)
    return finished(drawn, heading("How many steps lie within an error"))
