"""HTML from Python: elements, scripts and data whose texts are escaped, whatever they hold."""

import html
import json
from collections.abc import Iterable, Sequence

from hbmopt.plain_text import Plain, visible


class Html(str):
    """Text that is HTML already. Any other text is escaped where it enters an element."""

    __slots__ = ()


POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'unsafe-inline' 'unsafe-eval'",
        "style-src 'unsafe-inline'",
        "img-src data: blob:",
    )
)
"""What a browser allows the page: nothing from anywhere else."""

VOID = frozenset({"br", "link", "meta", "img"})
"""Elements that have no end tag."""


def escape(text: str) -> str:
    """Return a text as HTML, what is hidden in it shown."""
    return html.escape(visible(text))


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


IN_SCRIPT = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"}
"""What may end a script or begin a comment in it, as JSON escapes it beside all but ASCII."""


def data_script(data: Plain, **attributes: str) -> Html:
    """Return plain data as JSON that scripts of the page read, and that no text of it ends."""
    text = json.dumps(data, allow_nan=False).translate(IN_SCRIPT)
    return element("script", Html(text), type="application/json", **attributes)


def script(program: str) -> Html:
    """Return a program of this package, with the libraries in it, as a script of a page."""
    return element("script", Html(program.replace("</script", "<\\/script")), type="module")


def page(head: Sequence[Html], body: Sequence[Html]) -> str:
    """Return a whole page that loads nothing from anywhere."""
    top = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        # An empty icon, for a browser would ask the server for one.
        element("link", rel="icon", href="data:,"),
        *head,
    )
    return f"<!doctype html>\n{element('html', top, element('body', *body), lang='en')}\n"


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
