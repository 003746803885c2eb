"""Charts as SVG: laid out in Arial, and so that any font draws them in the room they have."""

import html
import re
from typing import Any

from hbmopt.basics import Plain
from hbmopt.report.html.dark import DARK_PICTURE
from hbmopt.report.html.letters import known, text_width

NARROW = "_narrow"
"""What the name of a layer ends in that is for narrow screens alone, which pictures are not."""

TEXT = re.compile(r"<text [^>]*>.*?</text>", re.DOTALL)
LINE = re.compile(r"<(text|tspan)([^>]*)>([^<]+)</")
"""A text of one line, or a line of a text."""

SIZE = re.compile(r'font-size="([\d.]+)px"')


def for_pictures(specification: dict[str, Any]) -> dict[str, Any]:
    """Return a specification without the layers that narrow screens get."""
    found: dict[str, Any] = {key: _without(value) for key, value in specification.items()}
    return found


def _without(value: Plain) -> Plain:
    if isinstance(value, dict):
        return {key: _without(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without(one) for one in value if not _narrow(one)]
    return value


def _narrow(value: Plain) -> bool:
    return isinstance(value, dict) and str(value.get("name", "")).endswith(NARROW)


def picture(specification: dict[str, Any], *, dark: bool = False) -> str:
    """Return the SVG of a chart; with `dark` it is dark where the reader's screen is.

    Where the letters are wider than those of Arial, as in DejaVu Sans, each text is drawn as wide
    as it was laid out, so that none runs into another or over the edge.
    """
    import vl_convert  # 30 MB that only charts need

    drawn = vl_convert.vegalite_to_svg(for_pictures(specification))
    fixed = TEXT.sub(_fixed, drawn)
    if not dark:
        return fixed
    opening, bracket, rest = fixed.partition(">")
    return f"{opening}{bracket}<style>{DARK_PICTURE}</style>{rest}"


def _fixed(found: re.Match[str]) -> str:
    """Return a text whose lines are as wide as in Arial."""
    drawn = found[0]
    size, bold = SIZE.search(drawn), 'font-weight="bold"' in drawn
    if size is None:
        return drawn
    points = float(size[1])

    def line(part: re.Match[str]) -> str:
        text = html.unescape(part[3])
        if not text.strip() or not known(text, bold=bold):
            return part[0]
        width = text_width(text, points, bold=bold)
        room = f'textLength="{width:.1f}" lengthAdjust="spacingAndGlyphs"'
        return f"<{part[1]}{part[2]} {room}>{part[3]}</"

    return LINE.sub(line, drawn)
