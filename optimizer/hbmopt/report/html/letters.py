"""How wide a text is: in Arial, by which charts are laid out, and in the widest font it may get."""

REGULAR = {
    191: "'",
    222: "ijl",
    260: "|",
    278: " !,./:;I[\\]ft",
    333: "()-`r",
    334: "{}",
    355: '"',
    389: "*",
    469: "^",
    500: "Jcksvxyz",
    549: "±≤",
    556: "#$0123456789?L_abdeghnopqu",
    576: "µ",
    584: "+<=>~×−",
    611: "FTZ",
    667: "&ABEKPSVXY",
    722: "CDHNRUw",
    778: "GOQ",
    833: "Mm",
    889: "%",
    944: "W",
    1000: "→…",
    1015: "@",
}
BOLD = {
    238: "'",
    278: " ,./I\\ijl",
    280: "|",
    333: "!()-:;[]`ft",
    389: "*r{}",
    474: '"',
    500: "z",
    549: "±≤",
    556: "#$0123456789J_aceksvxy",
    576: "µ",
    584: "+<=>^~×−",
    611: "?FLTZbdghnopqu",
    667: "EPSVXY",
    722: "&ABCDHKNRU",
    778: "GOQw",
    833: "M",
    889: "%m",
    944: "W",
    975: "@",
    1000: "→…",
}
"""Thousandths of the size that letters take in Arial, Helvetica and Liberation Sans alike."""

WIDEST = {False: 1.2, True: 1.3}
"""By how much text may be wider where none of them is there: DejaVu Sans, and its bold."""

UNKNOWN = 1.0
"""Width of all other letters, in sizes: a Chinese one fills a square, few are wider."""

WIDTHS = {
    bold: {letter: wide / 1e3 for wide, letters in table.items() for letter in letters}
    for bold, table in ((False, REGULAR), (True, BOLD))
}


def known(text: str, *, bold: bool = False) -> bool:
    """Whether the width of all letters is known."""
    return all(one in WIDTHS[bold] for one in text)


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return the width of a text in Arial."""
    return size * sum(WIDTHS[bold].get(one, UNKNOWN) for one in text)


def widest(text: str, size: float, *, bold: bool = False) -> float:
    """Return the width that a text has at most, in whatever font there is."""
    return WIDEST[bold] * text_width(text, size, bold=bold)
