"""GGUF files, as llama.cpp reads them: their header says the architecture, their tensors the bytes.

The header's keys are turned into those of the family's `config.json`, which is then imported as any
other; the parameters counted from it must be those of the tensors. Formats and bytes are those of
the tensors themselves.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hbmopt.errors import InputError, nearest

PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<parts>\d{5})\.gguf")
"""Name of one of several files that make one model."""

_BUFFERS = re.compile(r"rope_[\w.]+|.*\.(exp_probs_b(\.bias)?|rope_\w+\.weight|attn_rot_embd)")
"""Tensors that no configuration counts: tables of positions, biases by which experts are chosen."""

_COMPONENTS = (
    ("embedding", r"(token_embd|position_embd)\.weight"),
    ("lm_head", r"output\.weight"),
    ("routed_experts", r"blk\.\d+\.ffn_(gate|up|down|gate_up)_exps\.(weight|bias)"),
    ("shared_experts", r"blk\.\d+\.ffn_(gate|up|down)_shexp\.weight"),
    ("dense_ffn", r"blk\.\d+\.ffn_(gate|up|down)\.weight"),
    (
        "attention",
        r"blk\.\d+\.(attn_(q|k|v|qkv|output|q_a|q_b|kv_a_mqa|kv_b|k_b|v_b|gate)|ssm_(in|out))\.weight",
    ),
)
"""Names of tensors by component; all others are norms, biases and routers."""


@dataclass(frozen=True)
class Architecture:
    """How the header of an architecture says what a configuration says."""

    family: str
    fixed: dict[str, Any] = field(default_factory=dict)
    """Keys that hold for the whole architecture."""
    biased: dict[str, str] = field(default_factory=dict)
    """Keys of a configuration that are true where a tensor is there."""


_QWEN = {"use_sliding_window": False}
_BIASES = {"attention_bias": "blk.0.attn_q.bias"}

ARCHITECTURES: dict[str, Architecture] = {
    "llama": Architecture("llama", biased=_BIASES),
    "qwen2": Architecture("qwen2", _QWEN),
    "qwen3": Architecture("qwen3", _QWEN, _BIASES),
    "qwen2moe": Architecture("qwen2_moe", _QWEN),
    "qwen3moe": Architecture("qwen3_moe", _QWEN, _BIASES),
    "gemma": Architecture("gemma"),
    "gemma2": Architecture("gemma2"),
    "gemma3": Architecture("gemma3_text"),
    "phi3": Architecture("phi3"),
    "command-r": Architecture("cohere"),
    "olmo2": Architecture("olmo2"),
    "granite": Architecture("granite"),
    "deepseek2": Architecture("deepseek_v3"),
    "glm4moe": Architecture(
        "glm4_moe", biased=_BIASES | {"use_qk_norm": "blk.0.attn_q_norm.weight"}
    ),
    "gpt-oss": Architecture("gpt_oss", biased=_BIASES),
}
"""Architectures of llama.cpp that are known, by the name that a header has."""

_KEYS = {
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.sliding_window": "sliding_window",
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
    "expert_shared_count": "n_shared_experts",
    "leading_dense_block_count": "first_k_dense_replace",
    "attention.q_lora_rank": "q_lora_rank",
    "attention.kv_lora_rank": "kv_lora_rank",
    "nextn_predict_layers": "num_nextn_predict_layers",
}
"""Keys of a header, after the name of its architecture, and of a configuration."""


Tensors = dict[str, Counter[str]]
"""Parameters of the tensors of a file, by component and by the format that they are stored in."""

Found = dict[str, tuple[int, int, int]]
"""Tensors by name: elements, bytes, and the last size of the shape."""


@dataclass(frozen=True)
class Header:
    """A GGUF file as the configuration of its family, and its tensors."""

    values: dict[str, Any]
    tensors: Tensors
    drafted: int
    """Parameters of draft layers, which llama.cpp keeps in the file and does not use."""


def read_header(path: Path) -> Header:
    """Return what a GGUF file says. Raises `InputError` where it is none or not known."""
    fields: dict[str, Any] = {}
    tensors: Found = {}
    for part in _parts(path):
        reader = _reader(part)
        for key, one in reader.fields.items():
            if not key.startswith(("GGUF.", "tokenizer.")):
                fields.setdefault(key, one.contents())
        for one in reader.tensors:
            last = int(one.shape[-1]) if len(one.shape) else 1
            tensors[one.name] = int(one.n_elements), int(one.n_bytes), last
    values = _configuration(path, fields, tensors)
    counted, drafted = _counted(tensors, int(values["num_hidden_layers"]))
    return Header(values, counted, drafted)


def _reader(path: Path) -> Any:
    try:
        from gguf import GGUFReader  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise InputError(
            f"{path}: the gguf package is needed to read it: pip install 'hbmopt[gguf]'"
        ) from None
    try:
        return GGUFReader(path)
    except Exception as error:  # the library raises many kinds; each means that it is no GGUF file
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{path}: cannot be read as a GGUF file: {reason}") from None


def _parts(path: Path) -> list[Path]:
    """Return all files of a model, of which a path may be one."""
    named = PART.fullmatch(path.name)
    if named is None:
        return [path]
    parts = int(named["parts"])
    found = [
        path.with_name(f"{named['stem']}-{number:05d}-of-{named['parts']}.gguf")
        for number in range(1, min(parts, 1000) + 1)
    ]
    for one in found:
        if not one.is_file():
            raise InputError(f"{path}: is one of {parts} files, of which {one.name} is not there")
    return found


def _configuration(path: Path, fields: dict[str, Any], tensors: Found) -> dict[str, Any]:
    name = str(fields.get("general.architecture", ""))
    if name not in ARCHITECTURES:
        raise InputError(
            f"{path}: general.architecture: {name!r} is not known from GGUF "
            f"({nearest(name, ARCHITECTURES)}); its config.json may be"
        )
    known = ARCHITECTURES[name]
    values: dict[str, Any] = {"model_type": known.family, **known.fixed}
    for key, spelled in _KEYS.items():
        stated = fields.get(f"{name}.{key}")
        if stated is not None:
            values[spelled] = stated
    embedding = tensors.get("token_embd.weight")
    if embedding is None:
        raise InputError(f"{path}: has no tensor token_embd.weight; is it a whole model?")
    for key in ("block_count", "embedding_length", "attention.head_count"):
        if not isinstance(fields.get(f"{name}.{key}"), int | list):
            raise InputError(f"{path}: the key '{name}.{key}' is missing")
    values["vocab_size"] = embedding[2]
    values["tie_word_embeddings"] = "output.weight" not in tensors
    for key, tensor in known.biased.items():
        values[key] = tensor in tensors
    _particulars(name, values, fields)
    return {key: value for key, value in values.items() if value != 0 or isinstance(value, bool)}


def _particulars(name: str, values: dict[str, Any], fields: dict[str, Any]) -> None:
    """Put right what an architecture says in its own way."""
    if name == "llama" and values.get("num_experts"):
        values["model_type"] = "mixtral"
        values.pop("attention_bias")
    if name in ("qwen2", "qwen2moe", "llama", "phi3", "olmo2", "granite"):
        heads = values.get("num_attention_heads")
        if isinstance(heads, int) and values.get("head_dim") == values["hidden_size"] // heads:
            values.pop("head_dim")
    if name == "gemma3":
        values["sliding_window_pattern"] = 6
    if name in ("qwen3moe", "qwen2moe"):
        values["decoder_sparse_step"] = 1
        values["mlp_only_layers"] = []
    if name == "gpt-oss":
        values["intermediate_size"] = values.pop("moe_intermediate_size")
    if name == "phi3" and not values.get("sliding_window"):
        values["sliding_window"] = None
    if name == "glm4moe":
        # The header counts draft layers among the others.
        values["num_hidden_layers"] -= values.pop("num_nextn_predict_layers", 0)
        values["n_routed_experts"] = values.pop("num_experts")
    if name == "deepseek2":
        _latent(values, fields)


def _latent(values: dict[str, Any], fields: dict[str, Any]) -> None:
    """Put right the widths of latent attention, which headers state per head or as one head."""
    rope = fields.get("deepseek2.rope.dimension_count", 0)
    whole = fields.get("deepseek2.attention.key_length_mla")
    key = whole or fields.get("deepseek2.attention.key_length", 0)
    value = fields.get("deepseek2.attention.value_length_mla") or fields.get(
        "deepseek2.attention.value_length", 0
    )
    values.pop("head_dim", None)
    values["qk_rope_head_dim"], values["qk_nope_head_dim"] = rope, key - rope
    values["v_head_dim"] = value
    values.setdefault("q_lora_rank", None)
    values["n_routed_experts"] = values.pop("num_experts", None)
    values["num_key_value_heads"] = values["num_attention_heads"]


def component_of(name: str) -> str:
    """Return the component that a tensor belongs to."""
    for component, pattern in _COMPONENTS:
        if re.fullmatch(pattern, name):
            return component
    return "router"


def _counted(tensors: Found, layers: int) -> tuple[Tensors, int]:
    """Return the parameters of the model's own layers, and those of draft layers after them."""
    parameters: Tensors = {}
    drafted = 0
    for name, (elements, size, _) in tensors.items():
        block = re.match(r"blk\.(\d{1,6})\.", name)
        if _BUFFERS.fullmatch(name):
            continue
        if block and int(block[1]) >= layers:
            drafted += elements
        else:
            stored = stored_format(elements, size)
            parameters.setdefault(component_of(name), Counter())[stored] += elements
    return parameters, drafted


def disagreement(tensors: Tensors, counted: dict[str, float]) -> str | None:
    """Return the first component of which the file does not have what was counted."""
    for component in counted.keys() | tensors.keys():
        held = tensors.get(component, Counter[str]()).total()
        if held != counted.get(component, 0):
            return (
                f"its tensors of {component} have {held:,} parameters, by its header there are "
                f"{counted.get(component, 0):,.0f}"
            )
    return None


def stored_format(elements: int, size: int) -> str:
    """Return the format of a tensor by the bits that one of its parameters takes."""
    if size == 4 * elements:
        return "fp32"
    return "bf16" if size == 2 * elements else f"w{8 * size / elements:.12g}a16"


def in_folder(folder: Path) -> Path | None:
    """Return the GGUF file of a folder, the first where several make one model."""
    files: Iterable[Path] = sorted(folder.glob("*.gguf"))
    first = [
        one
        for one in files
        if (named := PART.fullmatch(one.name)) is None or named["number"] == "00001"
    ]
    if not first:
        return None
    if len(first) > 1:
        listed = ", ".join(one.name for one in first[:4])
        raise InputError(f"{folder}: has several GGUF files: {listed}; name one of them")
    return first[0]
