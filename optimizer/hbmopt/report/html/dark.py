"""Charts on dark screens: which colours take the place of which. Print is light, as paper is."""

PAPER, NIGHT = "#ffffff", "#17181b"
"""What pages and charts stand on, in light and in the dark."""

DARK = {
    # Ink, greys and faint lines.
    "#222222": "#e9e9ec",
    "#555555": "#b0b0b6",
    "#666666": "#a6a6ac",
    "#8c8c8c": "#96969c",
    "#e4e4e4": "#37383d",
    "#dddddd": "#3c3d43",
    "#eeeeee": "#2b2c31",
    # What sets points and bars apart is the colour of the page.
    "white": NIGHT,
    # Colours that the dark would swallow, each in a light shade of its own.
    "#000000": "#f4f4f4",
    "#0072B2": "#3d9fe0",
    "#7F2A00": "#f0a581",
    "#A0447A": "#c46ba0",
    "#00446B": "#b5d8f2",
    "#005A41": "#b4ead2",
    "#7E3A62": "#e8bcd6",
    "#8A5F00": "#f6d693",
    "#4C5FB8": "#8a9af0",
    "#4D4D4D": "#b3b3b3",
}
"""Colours of `hbmopt.report.charts` by what stands for them in the dark; all others stay."""


def _rules(within: str) -> str:
    rules = [
        f"{within}[{kind}='{light}' i] {{ {kind}: {dark}; }}"
        for light, dark in DARK.items()
        for kind in ("fill", "stroke")
    ]
    # The numbers in the cells of a heat map stand on colours that stay.
    return "\n".join([*rules, f"{within}text[fill='white'] {{ fill: white; }}"])


DARK_PICTURE = f"@media screen and (prefers-color-scheme: dark) {{ {_rules('')} }}"
"""Style of a picture that is dark where the screen is."""

DARK_CHARTS = _rules("svg.marks ")
"""Rules for the charts of a page, for where it is dark."""
