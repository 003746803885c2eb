"""In which formats a checkpoint stores its weights, as its configuration says.

The configuration names a format and the modules that have another or none. Both are found in
several places and spellings: `quantization_config` at the top or in the text configuration,
`hf_quant_config.json` beside it, `quant_method`, `quant_algo`, compressed-tensors groups. They are
read into a `Scheme`, whose rules are then asked for every matrix of the model by its name.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from hbmopt.errors import InputError, nearest
from hbmopt.llm import BITS_PER_WEIGHT, COMPONENTS, DRAFT, is_weight_format
from hbmopt.llm.importing.blocks import Blueprint
from hbmopt.llm.importing.keys import Keys
from hbmopt.llm.importing.matching import Unplaced, modules_above
from hbmopt.llm.importing.methods import scheme_of
from hbmopt.llm.importing.naming import NAMINGS, Matrix, Naming, layer_roots, matrices
from hbmopt.llm.importing.scheme import Scheme

SECTIONS = ("quantization_config", "quantization", "compression_config")
"""Keys of the section that states the quantization."""

QUANTIZED = ("attention", "dense_ffn", "shared_experts", "routed_experts")
"""Components that methods quantize; tables and head only where they are named."""

_EXPERT_TYPES = {"fp4": "mxfp4", "mxfp4": "mxfp4", "nvfp4": "nvfp4", "fp8": "fp8"}
"""`expert_dtype` of DeepSeek-V4: 4-bit floats with one 8-bit scale per 32 weights."""

_STORED = {
    "float32": "fp32",
    "bfloat16": "bf16",
    "float16": "bf16",
    "half": "bf16",
    "auto": "bf16",
}
"""What `torch_dtype` says of weights that are not quantized; both 16-bit formats count alike."""


@dataclass(frozen=True)
class Formats:
    """The format of a checkpoint, the components that differ from it, and parts of these."""

    scheme: str
    components: dict[str, str]
    apart: dict[str, dict[str, float]] = field(default_factory=dict)
    """Parameters of a component that are stored in another format than its most are."""
    notes: tuple[str, ...] = ()


def stated_formats(outer: Keys, keys: Keys, plan: Blueprint, family: str) -> Formats:
    """Return the formats that a configuration states: bf16 where it says nothing.

    Raises
    ------
    InputError
        For a quantization that is not known; `--checkpoint-format` then says what it is.
    """
    rest = _unquantized(outer, keys)
    found = _section(outer, keys)
    if found is None:
        if rest == "bf16":
            return Formats("bf16", {})
        return Formats(rest, dict.fromkeys(COMPONENTS, rest), notes=_engines(rest))
    _, _, section = found
    nested = keys.parent is not None
    try:
        scheme = scheme_of(section)
        expert_type = keys.raw("expert_dtype")
        if isinstance(expert_type, str):
            if expert_type not in _EXPERT_TYPES:
                raise keys.error("expert_dtype", f"{expert_type!r} is not a format that is known")
            scheme = scheme.with_experts(_EXPERT_TYPES[expert_type])
        naming = NAMINGS.get(family, Naming())
        roots = layer_roots(scheme.patterns, naming, nested=nested)
        found_matrices = matrices(plan, naming, roots, each_expert=scheme.tells_experts_apart)
        stored = _counted(found_matrices, scheme, rest)
        scheme = replace(scheme, notes=(*scheme.notes, *_idle_patterns(found_matrices, scheme)))
    except Unplaced as error:
        raise section.own_error(str(error)) from None
    return _formats(stored, scheme, rest)


def _engines(rest: str) -> tuple[str, ...]:
    return (f"Stored as {rest}, which engines load as bf16 unless they are told otherwise.",)


def _unquantized(outer: Keys, keys: Keys) -> str:
    """Return the format of weights that are not quantized."""
    for place in (outer, keys):
        for name in ("dtype", "torch_dtype"):
            stated = place.raw(name)
            if stated is None or isinstance(stated, Mapping):
                continue
            if not isinstance(stated, str) or stated.removeprefix("torch.") not in _STORED:
                raise place.error(name, f"{stated!r} is not a format that weights are stored in")
            for other in (outer, keys):
                other.ignore("dtype", "torch_dtype", reason=f"{place.path_of(name)} says it")
            return _STORED[stated.removeprefix("torch.")]
    return "bf16"


def _section(outer: Keys, keys: Keys) -> tuple[Keys, str, Keys] | None:
    """Return the section that states the quantization, where it stands and its name."""
    places: list[Keys] = [outer]
    inner: Keys | None = keys
    while inner is not None and inner is not outer:
        places.append(inner)
        inner = inner.parent
    found = None
    for place in places:
        for name in SECTIONS:
            section = place.below(name)
            if section is None or not section.values:
                continue
            if found is None:
                found = place, name, section
            elif dict(section.values) != dict(found[2].values):
                raise place.error(name, f"is not what {found[1]!r} of the file says elsewhere")
            else:
                section.ignore_all("the file states the same section in another place")
    return found


def _counted(found: Sequence[Matrix], scheme: Scheme, rest: str) -> dict[str, Counter[str]]:
    """Return the parameters of every component by the format that they are stored in."""
    stored: dict[str, Counter[str]] = {}
    for one in found:
        key = f"{DRAFT}.{one.component}" if one.draft else one.component
        form = rest if one.bias else scheme.stored(one) or rest
        stored.setdefault(key, Counter())[form] += one.parameters
    return stored


_OF_THE_DECODER = re.compile(r"attn|attention|mlp|ffn|feed_forward|experts|mixer|_proj")
_OF_OTHERS = re.compile(
    r"visi|visual|audio|speech|encoder|projector|project|mtp|nextn|norm|router|embed|lora|conv1d|bias"
    r"|gate(\b|$)|merger|tower|in_proj_[ab]|resampler|talker|modality|eagle"
)


def _idle_patterns(found: Sequence[Matrix], scheme: Scheme) -> tuple[str, ...]:
    """Return a note of the patterns that seem to speak of the decoder, and name nothing in it."""
    spoken = [
        (pattern, matches)
        for pattern, matches in scheme.listed
        if _OF_THE_DECODER.search(pattern) and not _OF_OTHERS.search(pattern)
    ]
    if not spoken:
        return ()
    names = [name for one in found for name in one.names]
    known = {part for name in names for part in modules_above(name)}
    idle = [
        pattern
        for pattern, matches in spoken
        if pattern not in known and not any(map(matches, names))
    ]
    if not idle:
        return ()
    listed = ", ".join(repr(one) for one in idle[:3])
    return (
        f"{len(idle)} pattern{'s' if len(idle) > 1 else ''} of the quantization name no matrix "
        f"of the decoder: {listed}.",
    )


def _formats(stored: dict[str, Counter[str]], scheme: Scheme, rest: str) -> Formats:
    """Return the format of each component: that of most of its weights, and what is apart."""
    most, apart = _most_and_apart(stored)
    base = scheme.base
    for name in COMPONENTS:
        most.setdefault(name, base if name in QUANTIZED and scheme.covers(name) else rest)
    usual = {name: base if name in QUANTIZED else "bf16" for name in COMPONENTS}
    components = {name: most[name] for name in COMPONENTS if most[name] != usual[name]}
    single = base in BITS_PER_WEIGHT and base != "bf16" and scheme.single
    if not single:
        components = {
            name: most[name]
            for name in COMPONENTS
            if name in QUANTIZED or most[name] != usual[name]
        }
    for key, form in most.items():
        own = key.removeprefix(f"{DRAFT}.")
        if key.startswith(DRAFT) and form != most[own]:
            components[key] = form
    if base == "bf16" and all(form == "bf16" for form in most.values()):
        return Formats("bf16", {}, apart, scheme.notes)
    return Formats(base if single else "native", components, apart, scheme.notes)


def tensor_formats(stored: Mapping[str, Counter[str]]) -> Formats:
    """Return the formats of a file whose tensors say themselves how they are stored."""
    return Formats("native", *_most_and_apart(stored))


def _most_and_apart(
    stored: Mapping[str, Counter[str]],
) -> tuple[dict[str, str], dict[str, dict[str, float]]]:
    """Return the format of most weights of each component, and the weights in other formats."""
    most = {name: max(forms, key=forms.__getitem__) for name, forms in stored.items()}
    apart = {
        name: {form: float(count) for form, count in forms.items() if form != most[name]}
        for name, forms in stored.items()
        if len(forms) > 1
    }
    return most, apart


def named_format(name: str) -> str:
    """Return a weight format named by the user. Raises `InputError` with the nearest one."""
    if not is_weight_format(name):
        raise InputError(
            f"--checkpoint-format: no format {name!r}; {nearest(name, BITS_PER_WEIGHT)}"
        )
    return name
