"""Reading a configuration file key by key, and noticing what was not read.

A configuration is never guessed at: a key that a family needs is there or is an error, and a key
that says something about the architecture but that nothing read is an error too.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from hbmopt.errors import InputError

STRUCTURAL = re.compile(
    r"expert|moe|lora_rank|sliding|window|chunk|mamba|ssm|conv|linear|recurrent|index|compress"
    r"|engram|latent|shared|sparse|kv_source|gate_proj|output_gate|cross_attention|altup|laurel"
    r"|mtp|nextn|per_layer|layer_types|layer_freq|_period|_pattern|block_configs|hc_mult"
    r"|_bias$|^bias$|qk_norm|qk_layernorm|_cla$|^cla_|(^|_)sinks?(_|$)|attn_gate|v_head_dim"
    r"|parallel_attn|lora"
)
"""Keys that may change what is stored, read or computed."""

HARMLESS = re.compile(
    r"^(moe_router_|router_|topk_|n_group|norm_topk|scoring_func|output_router|routed_scaling"
    r"|moe_renormalize|moe_router|moe_layer_freq_|image_|img_|video_|audio_|vision_|mm_|projector"
    r"|initializer|transformers|use_mamba_kernels|mamba_hidden_act|mamba_chunk|pad_token|is_|id2)"
    r"|_index$|_init|_dtype$|_loss|_act$|_fn$|_func$|_capacity|aux_|jitter|_norm_eps|_epsilon"
    r"|_interleave|_scaling|_bias_update|_parallel|rope|rotary|_group$|_token_id|_noise|_backend"
    r"|dropout|_kernel_backend|score_type|temperature|_combination_strategy|_fp32"
    r"|^prefix_dense_sliding|correction_bias|router_bias|routing_bias|gate_bias|output_gate_type$"
)
"""Keys that match `STRUCTURAL` and change no number of bytes, parameters or FLOPs."""


LARGEST = 10**12
"""Larger whole numbers are a mistake; products of a few of this size can still be counted."""


class Keys:
    """One mapping of a configuration file, with the file's name for messages.

    Every key that is read is remembered, so that `unread` can tell what was overlooked.
    """

    def __init__(
        self, values: Mapping[str, Any], source: str, *, text: str = "", path: str = ""
    ) -> None:
        self.values = values
        self.source = source
        self.family = str(values.get("model_type") or "")
        self.parent: Keys | None = None
        self._text = text
        self._path = path
        self._read: set[str] = {"model_type"}
        self._below: list[Keys] = []

    def error(self, key: str, message: str) -> InputError:
        """Return the error of a key: file, line where it stands, key and message."""
        found = re.search(rf'"{re.escape(key.split("[", maxsplit=1)[0])}"\s*:', self._text)
        line = f":{self._text.count(chr(10), 0, found.start()) + 1}" if found else ""
        return InputError(f"{self.source}{line}: {self._path}{key}: {message}")

    def has(self, key: str) -> bool:
        """Whether the key is there with a value."""
        self._read.add(key)
        return self.values.get(key) is not None

    def _value(self, key: str) -> Any:
        self._read.add(key)
        return self.values.get(key)

    def _named(self, keys: tuple[str, ...]) -> str:
        """Return the first of several names of a key that has a value, else the first."""
        self._read.update(keys)
        return next((key for key in keys if self.values.get(key) is not None), keys[0])

    def whole(self, *keys: str, default: int | None = None, least: int = 1) -> int:
        """Return a whole number; without a default the key must be there.

        Several keys are several spellings of one, the first that is present counts.
        """
        key = self._named(keys)
        value = self._value(key)
        if value is None:
            if default is not None:
                return default
            raise self.missing(*keys)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(key, f"{value!r} is not a whole number")
        if value < least:
            raise self.error(key, f"{value} must be at least {least}")
        if value > LARGEST:
            raise self.error(key, f"{value} is more than any model has")
        return value

    def missing(self, *keys: str) -> InputError:
        """Return the error of a key that the family needs."""
        named = " or ".join(repr(key) for key in keys)
        where = f" in {self._path.rstrip('.')}" if self._path else ""
        return InputError(
            f"{self.source}: the key {named} is missing{where}; "
            f"model_type {self.family!r} cannot be counted without it"
        )

    def number(self, key: str, default: float | None = None) -> float:
        """Return a number; without a default the key must be there."""
        value = self._value(key)
        if value is None:
            if default is not None:
                return default
            raise self.missing(key)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or (isinstance(value, float) and not isfinite(value)):
            raise self.error(key, f"{value!r} is not a number")
        if not -LARGEST <= value <= LARGEST:
            raise self.error(key, f"{value!r} is out of range")
        return float(value)

    def flag(self, *keys: str, default: bool | None = None) -> bool:
        """Return true or false; the default is the one of the published model class.

        Several keys are several spellings of one; without a default one must be there.
        """
        key = self._named(keys)
        value = self._value(key)
        if value is None:
            if default is None:
                raise self.missing(*keys)
            return default
        if not isinstance(value, bool):
            raise self.error(key, f"{value!r} is neither true nor false")
        return value

    def word(self, key: str, default: str | None = None) -> str:
        """Return a string; without a default the key must be there."""
        value = self._value(key)
        if value is None:
            if default is not None:
                return default
            raise self.missing(key)
        if not isinstance(value, str):
            raise self.error(key, f"{value!r} is not a string")
        return value

    def listed(self, key: str, length: int | None = None) -> list[Any] | None:
        """Return a list, or None where the key is absent; `length` is the least it must have."""
        value = self._value(key)
        if value is None:
            return None
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise self.error(key, f"{value!r} is not a list")
        if length is not None and len(value) < length:
            raise self.error(key, f"has {len(value)} items for {length} layers")
        return list(value) if length is None else list(value[:length])

    def wholes(self, key: str, length: int | None = None, *, least: int = 0) -> list[int] | None:
        """Return a list of whole numbers, or None where the key is absent."""
        listed = self.listed(key, length)
        if listed is None:
            return None
        for value in listed:
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not whole or not least <= value <= LARGEST:
                raise self.error(key, f"{value!r} is not a whole number of at least {least}")
        return [int(value) for value in listed]

    def alike(self, *keys: str, default: int | None = None, least: int = 1) -> int:
        """Return a whole number that is stated once, or once per layer and always the same."""
        key = self._named(keys)
        if not isinstance(self.raw(key), list):
            return self.whole(*keys, default=default, least=least)
        values = self.wholes(key, least=least) or []
        if len(set(values)) != 1:
            raise self.error(key, "differs from layer to layer, which is not known to be possible")
        return values[0]

    def below(self, key: str) -> "Keys | None":
        """Return the mapping under a key, or None where it is absent."""
        value = self._value(key)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise self.error(key, f"{value!r} is not a mapping")
        path = f"{self._path}{key}."
        known = (one for one in self._below if one._path == path)
        return next(known, None) or self.nested(key, value)

    def nested(self, key: str, values: Mapping[str, Any]) -> "Keys":
        """Return the keys of a mapping that stands somewhere under a key."""
        found = Keys(values, self.source, text=self._text, path=f"{self._path}{key}.")
        found.family = found.family or self.family
        found.parent = self
        self._below.append(found)
        return found

    def ignore(self, *keys: str) -> None:
        """Note that keys have been considered and change nothing that is counted."""
        self._read.update(keys)

    def raw(self, key: str) -> Any:
        """Return a value of any type, or None."""
        return self._value(key)

    def unread(self) -> Iterator[str]:
        """Yield the keys that speak of the architecture and that nothing has read."""
        for name, value in self.values.items():
            key = str(name)
            if key in self._read or value is None or value is False:
                continue
            if value in (0, 0.0, "", [], {}):
                continue
            if STRUCTURAL.search(key) and not HARMLESS.search(key):
                yield f"{self._path}{key}"
        for nested in self._below:
            yield from nested.unread()
