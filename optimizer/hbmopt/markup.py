"""HTML from Python: elements whose texts are escaped, whatever they hold."""

from collections.abc import Iterable, Sequence
from html import escape


class Html(str):
    """Text that is HTML already. Any other text is escaped where it enters an element."""

    __slots__ = ()


VOID = frozenset({"br", "link", "meta", "img"})
"""Elements that have no end tag."""


def element(name: str, /, *parts: str, **attributes: str) -> Html:
    """Return an element. An attribute may end in an underscore, as in `class_`."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
    )
    opening = f"<{name}{given}>"
    if name in VOID:
        return Html(opening)
    return Html(opening + joined(*parts) + f"</{name}>")


def joined(*parts: str) -> Html:
    """Return parts one after the other."""
    return Html("".join(part if isinstance(part, Html) else escape(part) for part in parts))


def table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: str = "") -> Html:
    """Return a table with a header row, in a box that scrolls where it is too wide.

    `numbers` has a letter for each column: ``r`` for one of numbers, which stands to the right.
    The first cell of each row is its header.
    """
    kinds = [
        {"class_": "number"} if numbers[at : at + 1] == "r" else {} for at in range(len(header))
    ]
    head = [
        element("th", text, scope="col", **kind) for text, kind in zip(header, kinds, strict=True)
    ]
    body = []
    for row in rows:
        first, *rest = row
        cells = [element("th", first, scope="row", **kinds[0])]
        cells += [element("td", cell, **kind) for cell, kind in zip(rest, kinds[1:], strict=True)]
        body.append(element("tr", *cells))
    top = element("thead", element("tr", *head)) if any(header) else Html()
    whole = element("table", top, element("tbody", *body))
    return element("div", whole, class_="scroll", tabindex="0", role="region")
