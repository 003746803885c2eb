"""Documents: YAML with the origin of each key, figures with unit and source, the catalogue.

In: files and texts. Out: a `Document`, whose every value knows where it stands.
"""

from hbmopt.documents.document import (
    Document,
    KeyPath,
    Origin,
    Value,
    format_path,
    parse_document,
    parse_path,
    parse_scalar,
    paths,
    read_document,
)
from hbmopt.documents.figure import (
    UNCERTAIN,
    Bandwidth,
    Compute,
    Count,
    DataSize,
    Duration,
    Efficiency,
    Figure,
    FigureRule,
    Fraction,
    Money,
    OptionalBandwidth,
    OptionalPower,
    Power,
    Ratio,
    Speed,
    StrictModel,
)
from hbmopt.documents.yaml_nodes import DEEPEST

__all__ = [
    "DEEPEST",
    "UNCERTAIN",
    "Bandwidth",
    "Compute",
    "Count",
    "DataSize",
    "Document",
    "Duration",
    "Efficiency",
    "Figure",
    "FigureRule",
    "Fraction",
    "KeyPath",
    "Money",
    "OptionalBandwidth",
    "OptionalPower",
    "Origin",
    "Power",
    "Ratio",
    "Speed",
    "StrictModel",
    "Value",
    "format_path",
    "parse_document",
    "parse_path",
    "parse_scalar",
    "paths",
    "read_document",
]
