"""The importer: a published configuration becomes an entry, counted exactly, or is refused.

In: a `config.json`. Out: an `Llm`. `families/` turns keys into blocks, `blocks.py` counts them.
"""

from hbmopt.llm.importing.entry import entry_mapping, entry_yaml, facts, facts_table, summary
from hbmopt.llm.importing.huggingface import import_llm

__all__ = [
    "entry_mapping",
    "entry_yaml",
    "facts",
    "facts_table",
    "import_llm",
    "summary",
]
