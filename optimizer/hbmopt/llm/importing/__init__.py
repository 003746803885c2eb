"""The importer: a published configuration becomes an entry, counted exactly, or is refused.

In: a `config.json`. Out: an `Llm`. `families/` turns keys into blocks, `blocks.py` counts them.
"""

from hbmopt.llm.importing.entry import entry_mapping, entry_yaml, facts, facts_table, summary
from hbmopt.llm.importing.huggingface import Imported, import_llm, imported

__all__ = [
    "Imported",
    "entry_mapping",
    "entry_yaml",
    "facts",
    "facts_table",
    "import_llm",
    "imported",
    "summary",
]
