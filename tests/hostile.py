"""Instances whose texts try to be something else: markup, escapes of a terminal, formulas."""

import yaml

import hbmopt.instance
from builders import INSTANCES

MARKUP = (
    "</script><script>window.owned = 1; document.title = 'owned'</script>"
    "<img src=x onerror=window.owned=1><!--<script> & \"'`${window.owned=1} \\\" + warn(1) + ' \\"
)
"""What a page would run that did not escape it."""

ESCAPES = (
    "a\x1b[2J\x9b31m\x07\b\t\r\x7f\u202eb\u2066\u200e\u061c\u2028\u2029\u200b\ufeff\U000e0041z"
)
"""What a terminal would obey, and what would turn or hide the rest of a line."""

RICH = "[red]a[/] [link=https://example.org]b[/link] :boom: [/]"
"""What rich would read as its markup."""

FREE = frozenset(
    {"name", "title", "description", "note", "vendor", "memory_type", "huggingface", "unit"}
)
"""Keys of an instance that may hold any text."""


def hostile(path, text, base="cpu_budget"):
    """Write an instance with a text wherever one may stand; a declared budget keeps its name."""
    value = hbmopt.instance.load_document(INSTANCES / f"{base}.yaml").value
    value["llm"]["weight_formats"] = {text: {"attention": "fp8", "dense_ffn": "fp8"}}
    # What is tested here does not hang on layouts and clocks.
    value["choices"] |= {"weight_formats": [text], "replica_accelerators": [1, 8], "clocks": [1.0]}
    path.write_text(yaml.safe_dump(replaced(value, text)), encoding="utf-8")
    return path


def replaced(value, text):
    if isinstance(value, list):
        return [replaced(one, text) for one in value]
    if not isinstance(value, dict):
        return value
    found = {key: text if key in FREE else replaced(one, text) for key, one in value.items()}
    if "capacity" in value and "name" in value:
        found["name"] = value["name"]
    return found | ({"source": [text]} if "source" in value else {})
