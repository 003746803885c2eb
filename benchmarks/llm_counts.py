"""Compare the importer's counts with the transformers library's, its weights on the meta device.

For development, not for CI: it needs torch and transformers beside hbmopt, in an environment made
for it. Three things are compared:

    families   the default configuration of every class that the importer knows by its model_type
    shapes     the published shapes of tests/public_shapes.json
    defaults   what classes make of keys that a file leaves out (optimizer/hbmopt/llm/importing/
               families/class_defaults.json), which `--write-defaults` writes anew

Run: python benchmarks/llm_counts.py [--write-defaults] [--write-docs]

`--write-docs` writes the result into docs/llms.md. Of a model that also sees or hears the decoder
is compared, with its output head.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import signal
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from hbmopt.errors import InputError
from hbmopt.llm.importing import import_llm
from hbmopt.llm.importing.families import BUILDERS, KNOWN
from hbmopt.llm.importing.keys import Keys

ROOT = Path(__file__).resolve().parents[1]
DEFAULTS = ROOT / "optimizer" / "hbmopt" / "llm" / "importing" / "families" / "class_defaults.json"
SHAPES = ROOT / "tests" / "public_shapes.json"
DOCS = ROOT / "docs" / "llms.md"
BEGIN, END = "<!-- benchmarks/llm_counts.py -->", "<!-- end -->"
LIBRARY = f"transformers {transformers.__version__}"

INSIDE = ("text_config", "llm_config", "language_config", "thinker_config")
ALSO_INSIDE = [
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "qwen2_moe",
    "gemma",
    "gemma2",
    "phi",
    "phi3",
    "mixtral",
    "opt",
    "granite",
    "granitemoehybrid",
    "cohere",
    "cohere2",
    "smollm3",
    "deepseek_v2",
    "deepseek_v3",
    "lfm2",
    "gpt_oss",
    "olmo2",
    "glm4",
    "minicpm3",
]
"""Decoders that wrappers take by name, beside those that their classes have as defaults."""

MOSTLY_SPARSE = ["dense", *["sparse"] * 31]
COMPLETED: dict[str, dict[str, Any]] = {
    "deepseek_v2": {"num_experts_per_tok": 6},
    "dots1": {
        "n_routed_experts": 8,
        "num_experts_per_tok": 2,
        "n_shared_experts": 1,
        "first_k_dense_replace": 1,
    },
    "deepseek_ocr2": {"text_config": {"num_experts_per_tok": 6, "mlp_layer_types": MOSTLY_SPARSE}},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 16},
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128},
    "ministral": {"head_dim": 128},
    "nemotron": {"head_dim": 128, "num_key_value_heads": 8},
    "deepseek_ocr2_text": {
        "num_experts_per_tok": 6,
        "mlp_layer_types": ["dense"] + ["sparse"] * 31,
    },
}
"""What the default of a class leaves open; without it the class makes no model either."""

BORROWED = {"git"}
"""Names under which the library has another model; Grok-2 borrows one."""

DIFFERENT = {
    "longcat_flash": "the library gives experts without weights some; published files have none",
    "phi4_multimodal": "the library's decoder holds the parts for images and speech",
    "qwen2_5_omni": "the library counts talker and speech output, which have no decoder in common",
}
"""Why counts differ where they do."""

SECONDS = 180


def _classes(*mappings: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in mappings:
        for family, chosen in getattr(modeling_auto, f"MODEL_FOR_{name}_MAPPING_NAMES", {}).items():
            found[family] = chosen if isinstance(chosen, str) else chosen[0]
    return found


DECODERS = _classes("CAUSAL_LM")
WRAPPERS = _classes("MULTIMODAL_LM", "IMAGE_TEXT_TO_TEXT")


def class_of(config: Any, family: str) -> str | None:
    """Return the name of the class that makes a model of a configuration."""
    inside = any(getattr(config, key, None) is not None for key in INSIDE)
    first, second = (WRAPPERS, DECODERS) if inside else (DECODERS, WRAPPERS)
    return first.get(family) or second.get(family)


@contextlib.contextmanager
def _limited(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError(f"more than {seconds} s")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def _total(*modules: Any) -> int:
    each = {id(one): one.numel() for module in modules if module for one in module.parameters()}
    return sum(each.values())


def counts(config: Any, family: str) -> set[int]:
    """Return the parameters of the library's model, and those of its decoder with its head."""
    named = class_of(config, family)
    if named is None:
        raise LookupError("no class makes a model of it")
    with _limited(SECONDS), torch.device("meta"):
        model = getattr(transformers, named)(config)
        model.tie_weights()
    found = {_total(model)}
    decoder = model.get_decoder()
    if decoder is not None and decoder is not model:
        found.add(_total(decoder, model.get_output_embeddings()))
    return found


def _imported(values: dict[str, Any]) -> int | str:
    try:
        return round(import_llm(values, checkpoint_format="bf16").parameters.total)
    except InputError as error:
        return str(error)


def family_results() -> dict[str, list[str]]:
    """Return the families by outcome: exact, refused, different, or not made by the library."""
    found: dict[str, list[str]] = {
        "exact": [],
        "different": [],
        "refused": [],
        "not made": [],
        "inside": [],
    }
    for family in sorted(set(CONFIG_MAPPING) & (DECODERS.keys() | WRAPPERS.keys()) - BORROWED):
        try:
            config = CONFIG_MAPPING[family](**COMPLETED.get(family, {}))
            values = json.loads(json.dumps(config.to_dict(), default=str))
        except Exception as error:  # a class without a usable default raises what it likes
            values, reason = {}, str(error)
        inner = next((values[key] for key in INSIDE if isinstance(values.get(key), dict)), values)
        if inner.get("model_type") not in KNOWN:
            continue
        total = _imported(values)
        if isinstance(total, str):
            found["refused"].append(family)
            print(f"{family}: {total}", file=sys.stderr)
            continue
        try:
            known = counts(config, family)
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            found["not made"].append(family)
            print(f"{family}: not made by the library: {reason}", file=sys.stderr)
            continue
        outcome = "exact" if total in known else "different"
        found[outcome].append(family)
        if outcome == "exact":
            found["inside"].append(str(inner["model_type"]))
        if outcome == "different":
            print(f"{family}: {total:,}, the library has {sorted(known)}", file=sys.stderr)
    return found


def shapes() -> dict[str, dict[str, Any]]:
    """Return the configurations of the published shapes by name."""
    found: dict[str, dict[str, Any]] = {}
    for model in json.loads(SHAPES.read_text(encoding="utf-8")):
        found[model["name"]] = found.get(model.get("like"), {}) | model["config"]
    return found


def shape_results() -> tuple[list[str], list[str], list[str]]:
    """Return the shapes that are exact, that differ, and that the library does not know."""
    exact, different, unknown = [], [], []
    for name, values in shapes().items():
        stated = {key: value for key, value in values.items() if key != "quantization_config"}
        family = stated.pop("model_type")
        stated.pop("architectures", None)
        if family not in CONFIG_MAPPING or family in BORROWED:
            unknown.append(name)
            continue
        known = counts(CONFIG_MAPPING[family](**stated), family)
        total = _imported(values)
        (exact if total in known else different).append(name)
        if total not in known:
            print(f"{name}: {total}, the library has {sorted(known)}", file=sys.stderr)
    return exact, different, unknown


def nested_families() -> list[str]:
    """Return the families of decoders that stand inside larger models."""
    found = set(ALSO_INSIDE)
    for family in CONFIG_MAPPING:
        parts = getattr(CONFIG_MAPPING[family], "sub_configs_defaults", None) or {}
        for key, spec in parts.items():
            inner = getattr(spec, "config_class", None) or spec
            named = getattr(spec, "model_type", None) or getattr(inner, "model_type", None)
            if key in INSIDE and named:
                found.add(str(named))
    return sorted(found & KNOWN & set(CONFIG_MAPPING))


def _blueprint(values: dict[str, Any], family: str) -> str:
    keys = Keys(values, family)
    keys.family = family
    return repr(BUILDERS[family](keys, keys))


def defaults_of(family: str) -> dict[str, Any] | None:
    """Return the defaults of a class without which the importer would count something else."""
    kind = CONFIG_MAPPING[family]
    fields = {one.name: one.default for one in dataclasses.fields(kind)}
    config = kind(**COMPLETED.get(family, {})).to_dict()
    whole = {key: value for key, value in config.items() if key in fields}
    whole = json.loads(json.dumps(whole, default=str)) | {"model_type": family}
    if whole.get("head_dim") is None and whole.get("num_attention_heads"):
        whole["head_dim"] = whole["hidden_size"] // whole["num_attention_heads"]
    try:
        complete = _blueprint(whole, family)
    except InputError as error:
        print(f"{family}: {error}", file=sys.stderr)
        return None
    found = {}
    for key in sorted(whole):
        default = fields.get(key)
        plain = isinstance(default, int | str | tuple | list)
        if not plain or key in ("model_type", "tie_word_embeddings"):
            continue
        try:
            same = _blueprint({k: v for k, v in whole.items() if k != key}, family) == complete
        except InputError:
            same = False
        if not same:
            found[key] = list(default) if isinstance(default, tuple) else default
    return found


def write_defaults() -> None:
    """Write the table of class defaults anew."""
    rows = []
    for family in nested_families():
        found = defaults_of(family)
        if found:
            row = json.dumps([CONFIG_MAPPING[family].__name__, found])
            rows.append(f"    {json.dumps(family)}: {row}")
    listed = ",\n".join(rows)
    text = f'{{\n  "library": "{LIBRARY}",\n  "classes": {{\n{listed}\n  }}\n}}\n'
    DEFAULTS.write_text(text, encoding="utf-8")


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def table(families: dict[str, list[str]], models: tuple[list[str], list[str], list[str]]) -> str:
    """Return the result as the documentation has it."""
    exact, different, unknown = models
    lines = [
        f"{LIBRARY}, torch {torch.__version__.split('+')[0]}:",
        "",
        "| compared | exact | different | refused | not made by the library |",
        "|---|---|---|---|---|",
        _row("default configurations of its classes", *map(len, list(families.values())[:4])),
        _row("published shapes", len(exact), len(different), 0, len(unknown)),
        "",
    ]
    for family in families["different"]:
        lines.append(f"- {family} differs: {DIFFERENT.get(family, 'not explained')}.")
    if families["refused"]:
        lines.append(f"- Refused: {', '.join(families['refused'])}.")
    compared = {shapes()[name]["model_type"] for name in exact} | set(families["inside"])
    rest = KNOWN - compared - set(families["exact"]) - set(families["refused"])
    lines.append(f"- Not compared, as the library makes no model of it: {', '.join(sorted(rest))}.")
    return "\n".join(
        textwrap.fill(one, 112, subsequent_indent="  ", break_on_hyphens=False)
        if one.startswith("- ")
        else one
        for one in lines
    )


def write_docs(text: str) -> None:
    """Put the result between its marks in docs/llms.md."""
    page = DOCS.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    DOCS.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Compare, print the table, and write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write-defaults", action="store_true")
    parser.add_argument("--write-docs", action="store_true")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    if options.write_defaults:
        write_defaults()
    text = table(family_results(), shape_results())
    print(text)
    if options.write_docs:
        write_docs(text)


if __name__ == "__main__":
    main()
