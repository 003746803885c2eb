"""Windows of layers: how far each looks back."""

from hbmopt.llm.importing.families.common import (
    FULL,
    SLIDING,
    layer_kinds,
)
from hbmopt.llm.importing.families.traits import Traits
from hbmopt.llm.importing.keys import Keys, number_of_each


def layer_windows(keys: Keys, traits: Traits, layers: int) -> list[int | None]:
    """Return the window of every layer by the family's rule."""
    rule = traits.window
    if rule == "none":
        return [None] * layers
    if rule in ("uniform", "optional", "layered"):
        return uniform_window(
            keys,
            layers,
            used=rule != "optional",
            layered=rule in ("optional", "layered"),
            stated=traits.window_stated,
        )
    if rule == "switched":
        return _switched_windows(keys, layers)
    named = [traits.period_key] if traits.period_key else []
    # Layers by list make the keys that describe a pattern idle.
    keys.ignore("_sliding_window_pattern", "sliding_window_pattern", *named)
    if keys.has("layer_types"):
        for key in ("sliding_window_pattern", *named):
            keys.idle(key, "the layers are listed")
    if "sliding_window" in keys.values and keys.raw("sliding_window") is None:
        if SLIDING in layer_kinds(keys, layers):
            raise keys.error("sliding_window", "is null, but `layer_types` has window layers")
        return [None] * layers
    period = traits.period
    if traits.period_key is not None:
        stated = keys.raw(traits.period_key)
        if rule == "pattern" and isinstance(stated, str) and not keys.has("layer_types"):
            return _word_windows(keys, traits.period_key, layers)
        if isinstance(stated, int):
            period = keys.whole(traits.period_key)
    if period is None and not keys.has("layer_types"):
        raise keys.missing("layer_types", *named)
    return windows(
        keys,
        layer_kinds(keys, layers, period=period, full_at=traits.full_at, period_keys=tuple(named)),
    )


def _word_windows(keys: Keys, key: str, layers: int) -> list[int | None]:
    """Return windows by a word such as LLLG, repeated: G, and the last layer, see everything."""
    word = keys.word(key)
    if not word or set(word) - {"L", "G"}:
        raise keys.error(key, f"{word!r} is not a word of L and G")
    kinds = [
        SLIDING if word[layer % len(word)] == "L" and layer != layers - 1 else FULL
        for layer in range(layers)
    ]
    keys.tally(key, number_of_each(kinds))
    return windows(keys, kinds)


def _switched_windows(keys: Keys, layers: int) -> list[int | None]:
    """Return windows by `layer_types` where `use_sliding_window` is true, else none."""
    if not keys.flag("use_sliding_window", default=False):
        keys.ignore("sliding_window", "layer_types", "max_window_layers")
        if not keys.has("sliding_window"):
            keys.idle("use_sliding_window", "no window is stated")
        return [None] * layers
    if not keys.has("layer_types"):
        raise keys.missing("layer_types")
    keys.ignore("max_window_layers")
    kinds = layer_kinds(keys, layers)
    if SLIDING not in kinds:
        keys.idle("use_sliding_window", "no layer has a window")
    return windows(keys, kinds)


def windows(keys: Keys, kinds: list[str], default: int | None = None) -> list[int | None]:
    """Return the window of every layer, None where it attends to everything."""
    window = keys.whole("sliding_window", default=default or 0, least=0) or None
    if SLIDING not in kinds:
        keys.idle("sliding_window", "no layer has a window")
    if window is None and SLIDING in kinds:
        raise keys.missing("sliding_window")
    return [window if kind == SLIDING else None for kind in kinds]


def uniform_window(
    keys: Keys, layers: int, *, used: bool = True, layered: bool = False, stated: bool = False
) -> list[int | None]:
    """Return one window for all layers, where the configuration has one and uses it.

    A null window is none. `used` is what an absent `use_sliding_window` means, `layered` that
    only layers from `max_window_layers` on have the window, `stated` that the model class has a
    window of its own, so that the key must be there.
    """
    if not keys.flag("use_sliding_window", default=used):
        keys.ignore("sliding_window", "max_window_layers", "layer_types")
        if not keys.has("sliding_window"):
            keys.idle("use_sliding_window", "no window is stated")
        return [None] * layers
    if keys.has("layer_types"):
        keys.ignore("max_window_layers")
        kinds = layer_kinds(keys, layers)
        if SLIDING not in kinds:
            keys.idle("use_sliding_window", "no layer has a window")
        return windows(keys, kinds)
    if stated and "sliding_window" not in keys.values:
        raise keys.missing("sliding_window")
    window = keys.whole("sliding_window", default=0, least=0) or None
    if window is None:
        keys.idle("use_sliding_window", "no window is stated")
    below = keys.whole("max_window_layers", least=0) if layered and window is not None else 0
    keys.ignore("max_window_layers")
    if below >= layers:
        keys.idle("use_sliding_window", "no layer is beyond `max_window_layers`")
    return [window if layer >= below else None for layer in range(layers)]
