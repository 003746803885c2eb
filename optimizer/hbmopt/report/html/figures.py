"""Charts in a page: a specification that Vega draws, and a picture for where no script runs."""

import os
import sys
from base64 import b64encode
from functools import cache
from subprocess import DEVNULL, PIPE, Popen
from typing import TYPE_CHECKING, Any

from hbmopt.basics import Plain, visible, visible_in
from hbmopt.report.html.markup import Html, data_script, element, page, script
from hbmopt.report.html.pictures import picture
from hbmopt.report.html.style import CHART_SCRIPT, CHART_STYLE

if TYPE_CHECKING:
    import altair as alt

    Chart = alt.LayerChart | alt.VConcatChart

PADDING = 12
"""Pixels right of a chart: its other edges are those of the page."""


def specified(chart: "Chart") -> dict[str, Any]:
    """Return the specification of a chart, its texts as Vega can show them.

    Hidden characters are visible. A title within becomes part of an expression, a program in a
    text: a backslash there stands twice, which an axis shows, and a new line is a space.
    """
    # That charts are valid is tested; asking here takes as long as drawing one.
    specification: dict[str, Any] = chart.to_dict(validate=False)
    return {key: _specified(value, key) for key, value in specification.items()}


def _specified(value: Plain, key: str) -> Plain:
    if key in ("values", "datasets"):
        return visible_in(value)
    if isinstance(value, dict):
        return {name: _specified(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [_specified(one, key) for one in value]
    if isinstance(value, str) and key == "title":
        return visible(value).replace("\\", "\\\\").replace("\n", " ")
    return visible_in(value)


def chart_page(specification: dict[str, Any]) -> str:
    """Return a page of one chart, which can be hovered and needs no network."""
    head = [
        element("title", " ".join(specification["title"]["text"])),
        Html(f"<style>{CHART_STYLE}</style>"),
    ]
    body = [
        element("div", id="chart"),
        data_script(specification, id="specification"),
        script(bundled(CHART_SCRIPT)),
    ]
    return page(head, body)


@cache
def bundled(script: str) -> str:
    """Return a script with the Vega that it uses, which takes a second."""
    import vl_convert  # 30 MB that only charts need

    return str(vl_convert.javascript_bundle(script))


def chart_figure(chart: "Chart") -> Html:
    """Return a chart as a figure whose caption is the chart's own title."""
    specification = specified(chart)
    title = specification.pop("title")
    name, notes = " ".join(title["text"]), " ".join(title.get("subtitle", []))
    specification["description"] = name
    specification["config"]["padding"] = {"left": 2, "right": PADDING, "top": 4, "bottom": 4}
    drawn = picture(specification, dark=True)
    address = "data:image/svg+xml;base64," + b64encode(drawn.encode()).decode()
    return element(
        "figure",
        element("h3", name),
        element("div", element("img", src=address, alt=name), class_="chart"),
        element("figcaption", notes),
        data_script(specification),
        data_chart="",
    )


BUNDLING = "import sys, vl_convert; print(vl_convert.javascript_bundle(sys.argv[1]))"


class Bundle:
    """A script with the Vega that it uses, so that nothing has to be loaded.

    Bundling takes more than a second and holds the interpreter, so a process of its own does it
    while the report is solved.
    """

    def __init__(self, script: str) -> None:
        self._script = script
        # The program and its argument are constants of this package.
        self._process = Popen(
            [sys.executable, "-c", BUNDLING, script],
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=DEVNULL,
            encoding="utf-8",
            env=os.environ | {"PYTHONUTF8": "1"},
        )

    def __enter__(self) -> "Bundle":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        with self._process:  # waits for its end and closes the pipe
            pass

    def text(self) -> str:
        """Return the script, once it is bundled."""
        found, _ = self._process.communicate()
        # Where no process can be started, this one does it.
        return found if self._process.returncode == 0 else bundled(self._script)
