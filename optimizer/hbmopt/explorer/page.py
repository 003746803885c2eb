"""The files of the page: its markup, its look, its script, and the Vega that draws."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files

from hbmopt.explorer.curve import MOST_CURVES, Curve, Sources
from hbmopt.report.charts import live_charts
from hbmopt.report.html import STYLE, Bundle, specified

VEGA = "globalThis.vegaEmbed = vegaEmbed;"
"""What the page takes of the bundle: the function that it draws with."""

PER = ("rack", "accelerator", "mw", "usd")
"""What throughput may be quoted by."""


@dataclass
class Assets:
    """What the site serves that no question changes."""

    sources: Sources
    curves: Sequence[Curve]
    bundle: Bundle = field(default_factory=lambda: Bundle(VEGA))
    _vega: str = ""

    def text(self, name: str) -> str:
        """Return a file of the page as it stands in the package."""
        return files("hbmopt.explorer").joinpath(name).read_text(encoding="utf-8")

    def style(self) -> str:
        """Return the look of reports, with what a page that is moved needs beside it."""
        return STYLE + self.text("page.css")

    def vega(self) -> str:
        """Return the library that draws, once it is bundled."""
        if not self._vega:
            self._vega = self.bundle.text()
        return self._vega

    def beginning(self) -> str:
        """Return what the script begins with as JSON: curves, sources, charts."""
        drawn = live_charts()
        charts = {"frontier": drawn.frontier, "power": drawn.power, "price": drawn.price}
        return json.dumps(
            {
                "curves": [
                    {"source": one.source, "changes": dict(one.changes)} for one in self.curves
                ],
                "sources": self.sources.names,
                "most": MOST_CURVES,
                "per": PER,
                "unknown": drawn.unknown,
                "colours": drawn.colours,
                "charts": {name: specified(chart) for name, chart in charts.items()},
            }
        )
