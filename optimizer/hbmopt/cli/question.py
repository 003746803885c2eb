"""The instance or the fleet that a command is asked about."""

from pathlib import Path
from typing import TYPE_CHECKING

from hbmopt.cli.destination import protect

if TYPE_CHECKING:
    from hbmopt.documents import Document
    from hbmopt.instance import Instance


def asked_document(source: Path, overrides: tuple[str, ...], **outputs: Path | None) -> "Document":
    """Load a document with its changes. None of the files that it is made of is written over.

    `outputs` are the files to write, by the long option that names them.
    """
    from hbmopt.instance import load_document  # commands import what they need

    document = load_document(source, list(overrides))
    protect(document.files, **outputs)
    return document


def question(source: Path, overrides: tuple[str, ...], **outputs: Path | None) -> "Instance":
    """Load an instance with its changes, as `asked_document` does."""
    from hbmopt.instance import validate

    return validate(asked_document(source, overrides, **outputs))
