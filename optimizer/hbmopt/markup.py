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
    """Return a table with a header row; one without names has none.

    `numbers` has a letter for each column: ``r`` for one of numbers, which stands to the right.
    The first cell of each row is its header. Each other cell knows the name of its column, which
    stands before it where the page is narrow.
    """
    kinds = ["number" if kind == "r" else "" for kind in numbers.ljust(len(header))]
    names = [
        element("th", text, scope="col", **_class(kind))
        for text, kind in zip(header, kinds, strict=True)
    ]
    body = []
    for first, *rest in rows:
        cells = [
            element("td", cell, **_class(kind), **({"data_name": name} if name else {}))
            for cell, kind, name in zip(rest, kinds[1:], header[1:], strict=True)
        ]
        body.append(element("tr", element("th", first, scope="row", **_class(kinds[0])), *cells))
    if not any(header):
        return element("table", element("tbody", *body))
    top = element("thead", element("tr", *names))
    return element("table", top, element("tbody", *body), class_="named")


def _class(kind: str) -> dict[str, str]:
    return {"class_": kind} if kind else {}
