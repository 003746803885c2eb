"""Import a Hugging Face configuration as an entry of the catalogue."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hbmopt.basics import is_file, verb
from hbmopt.errors import InputError
from hbmopt.llm import TILE, TILED, AttentionGroup, Draft, Llm, Mixture, Parameters
from hbmopt.llm.importing.blocks import Blueprint, DraftPlan, ExpertBlock, Layer, Mixer
from hbmopt.llm.importing.checkpoint_index import INDEX, Index, disagreement, index_beside
from hbmopt.llm.importing.families import KNOWN, blueprint
from hbmopt.llm.importing.families.unused import UNUSED, unused
from hbmopt.llm.importing.gguf_file import disagreement as disagreeing
from hbmopt.llm.importing.gguf_file import in_folder, read_header
from hbmopt.llm.importing.json_file import Lines, read_mapping
from hbmopt.llm.importing.keys import Account, Keys
from hbmopt.llm.importing.quantization import (
    SECTIONS,
    Formats,
    named_format,
    stated_formats,
    tensor_formats,
)
from hbmopt.llm.importing.roles import CLASSIFIES, EMBEDS, Role, role_of
from hbmopt.llm.importing.wrapper import decoder

QUANTIZED_NAME = re.compile(r"nvfp4|mxfp4|fp8|fp4|int4|int8|awq|gptq|w4a16|w8a8", re.IGNORECASE)
"""What names of quantized checkpoints say."""


@dataclass(frozen=True)
class Imported:
    """An entry, and what became of the keys that it was made from."""

    llm: Llm
    read: Account
    """What became of every key as the model was made, without which of them change nothing."""
    _values: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def account(self) -> Account:
        """What became of every key; which of those that were read change nothing is looked for."""
        found = self.read
        idle = unused(self._values, found.decided, _blocks) if self._values else frozenset()
        return replace(
            found,
            decided=[key for key in found.decided if key not in idle],
            ignored={**found.ignored, **{key: UNUSED for key in found.decided if key in idle}},
        )


@verb
def import_llm(
    source: str | Path | Mapping[str, Any],
    *,
    checkpoint_format: str | None = None,
    name: str | None = None,
) -> Llm:
    """Return the catalogue entry of a model from its Hugging Face configuration.

    Parameters
    ----------
    source
        The path of a ``config.json``, its content as a mapping, or ``ORG/NAME`` on the hub,
        which needs the huggingface_hub package and a connection.
    checkpoint_format
        Format of the weights (bf16, fp8, nvfp4, ...), where the configuration does not say.
    name
        Name of the entry; default: made from the file's or the model's name.

    Raises
    ------
    InputError
        For a family that is not known, a missing key, or a key that is not understood: file,
        line, key and what to do, in one line.
    """
    return imported(source, checkpoint_format=checkpoint_format, name=name).llm


def imported(
    source: str | Path | Mapping[str, Any],
    *,
    checkpoint_format: str | None = None,
    name: str | None = None,
) -> Imported:
    """Return the entry of a model and the account of its configuration's keys; see `import_llm`."""
    if name is not None and not re.fullmatch(r"[\w.-]+", name):
        raise InputError(f"--name: {name!r} must be letters, digits, '_', '.' and '-'")
    if isinstance(source, Mapping):
        return _imported(Keys(source, "<mapping>"), name or "model", checkpoint_format, "")
    path, hub_name = Path(source), ""
    if source and is_file(path / "config.json"):
        path = path / "config.json"
    elif source and path.is_dir():
        found = in_folder(path)
        if found is None:
            raise InputError(f"{path}: the folder has no config.json and no GGUF file")
        path = found
    if path.suffix == ".gguf" and is_file(path):
        return _from_gguf(path, str(source), name, checkpoint_format)
    if not is_file(path) and re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)):
        hub_name = str(source)
        if path.suffix == ".json":
            raise InputError(f"{source}: there is no such file")
        path = _from_hub(hub_name)
    text, values = read_mapping(path, str(source))
    keys = Keys(values, str(source), lines=Lines(text))
    index = None
    if path.name == "config.json":
        _graft_beside(keys, path.with_name("hf_quant_config.json"))
        index = index_beside(path)
    stem = hub_name.split("/")[-1] or _stem(path, values)
    hub_name = hub_name or (
        path.stem.removesuffix("_config").replace("--", "/", 1) if "--" in path.stem else ""
    )
    return _imported(keys, name or slug(stem), checkpoint_format, hub_name, index)


def _from_gguf(
    path: Path, source: str, name: str | None, checkpoint_format: str | None
) -> Imported:
    """Return the entry of a GGUF file: by its header, and as its tensors store it."""
    header = read_header(path)
    keys = Keys(header.values, source)
    formats = tensor_formats(header.tensors) if checkpoint_format is None else None
    found = _imported(keys, name or slug(path.stem), checkpoint_format, "", formats=formats)
    parameters = found.llm.parameters
    counted = {one: float(getattr(parameters, one)) for one in type(parameters).model_fields}
    wrong = disagreeing(header.tensors, counted)
    if wrong is not None:
        raise InputError(f"{source}: {wrong}; such a model is not known from GGUF")
    notes = ["Counted from the header; formats are those of the file's tensors."]
    if header.drafted:
        notes.append(f"Draft layers of {header.drafted:,} parameters are left out.")
    note = " ".join([found.llm.note, *notes]).strip()
    entry = found.llm.model_copy(update={"note": note, "source": ["gguf_header"]})
    return Imported(entry, found.read, found._values)


def _graft_beside(keys: Keys, path: Path) -> None:
    """Add the quantization that a file beside the configuration states, if there is one."""
    if not is_file(path) or "quantization_config" in keys.values:
        return
    text, stated = read_mapping(path, str(path))
    beside = Keys(stated, str(path), lines=Lines(text))
    section = beside.below("quantization")
    if section is not None:
        keys.graft("quantization", section)


def _stem(path: Path, values: Mapping[str, Any]) -> str:
    if path.stem.lower() in ("config", "configuration"):
        return str(values.get("_name_or_path") or path.resolve().parent.name).split("/")[-1]
    return path.stem.split("--")[-1].removesuffix("_config")


def slug(name: str) -> str:
    """Return a name as entries are named: lower case, words joined by underscores."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "model"


def _from_hub(name: str) -> Path:
    """Return the configuration file of a model on the hub."""
    try:
        from huggingface_hub import hf_hub_download  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise InputError(
            f"{name}: there is no such file, and to take it from the hub the huggingface_hub "
            "package is needed: pip install 'hbmopt[hub]'"
        ) from None
    try:
        path = Path(hf_hub_download(name, "config.json"))
    except Exception as error:  # the hub raises many kinds; each means that there is no file
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{name}: config.json cannot be taken from the hub: {reason}; "
            "download it and give its path"
        ) from None
    # Some models state their quantization in a file of its own; those of one file have no index.
    for beside in ("hf_quant_config.json", INDEX):
        with suppress(Exception):
            hf_hub_download(name, beside)
    return path


def _imported(
    outer: Keys,
    name: str,
    checkpoint_format: str | None,
    hub_name: str,
    index: Index | None = None,
    formats: Formats | None = None,
) -> Imported:
    source = outer.source
    keys, family = decoder(outer, KNOWN)
    role = role_of(outer, keys)
    plan = blueprint(keys, outer, family)
    if checkpoint_format is not None:
        formats = Formats(named_format(checkpoint_format), {})
        for place in (outer, keys):
            place.ignore(
                *SECTIONS,
                "dtype",
                "torch_dtype",
                reason="--checkpoint-format says what the weights are",
            )
    elif formats is None:
        formats = stated_formats(outer, keys, plan, family)
    account = outer.account(keys if keys is not outer else None)
    _refuse_unknown(account, family)
    notes = [*plan.notes, *formats.notes, *_role_notes(role)]
    status = "counted"
    named = QUANTIZED_NAME.search(f"{source} {hub_name}")
    if named and checkpoint_format is None and formats.scheme == "bf16":
        notes.append(
            f"The name says {named.group()}, the configuration states no quantization: counted "
            "as bf16. Say what the weights are with --checkpoint-format."
        )
        status = "estimate"
    parts = tuple(dict.fromkeys(account.left_out.values()))
    if parts:
        places = ", ".join(account.left_out)
        notes.append(f"The decoder alone; left out: {', '.join(parts)} ({places}).")
    try:
        entry = assemble(plan, formats, name=name, hub_name=hub_name, notes=notes, role=role)
        said = None
        if index is not None:
            said = disagreement(index, entry.checkpoint_bytes(entry.native_format), parts)
        note = " ".join(one for one in (entry.note, said) if one)
        entry = entry.model_copy(update={"status": status, "note": note})
        return Imported(entry, account, outer.values)
    except ValidationError as error:
        raise InputError(f"{source}: {_first(error)}") from None
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def _blocks(values: Mapping[str, Any]) -> tuple[Blueprint, Role]:
    """Return the blocks and the role of a configuration, which its numbers are counted from."""
    outer = Keys(values, "")
    keys, family = decoder(outer, KNOWN)
    return blueprint(keys, outer, family), role_of(outer, keys)


def _refuse_unknown(account: Account, family: str) -> None:
    """Raise an error where a key may change the count, which names the first few of them."""
    if not account.unknown:
        return
    place, key, wrong = account.unknown[0]
    if wrong:
        raise place.error(key, wrong)
    others = [one for one in account.unknown if not one[2]]
    listed = ", ".join(repr(one.path_of(name)) for one, name, _ in others[:4])
    raise place.error(
        key,
        f"{listed} may change what is stored or read, and model_type {family!r} is not known "
        "to have it; remove it if it changes nothing",
    )


def _role_notes(role: Role) -> list[str]:
    if role.kind == EMBEDS:
        return [f"{role.name} has no output head: it makes embeddings, not tokens."]
    if role.kind == CLASSIFIES:
        return [f"{role.name} has a head of {role.labels} labels: it makes scores, not tokens."]
    return []


def _first(error: ValidationError) -> str:
    """Return the first thing that is wrong with an entry, in one line."""
    found = error.errors()[0]
    place = ".".join(str(part) for part in found["loc"])
    message = found["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def assemble(
    plan: Blueprint,
    formats: Formats,
    *,
    name: str,
    hub_name: str,
    notes: Sequence[str],
    role: Role | None = None,
) -> Llm:
    """Return the entry of a model from its blocks and formats."""
    mixers = [mixer for layer in plan.layers for mixer in layer.mixers]
    experts = [layer.experts for layer in plan.layers if layer.experts is not None]
    parameters = _parameters(plan.layers)
    table = plan.vocabulary * plan.hidden
    role = role or Role()
    generates = role.kind not in (EMBEDS, CLASSIFIES)
    head, head_bias = (0 if plan.tied else table), plan.head_bias
    if not generates:
        head = role.labels * plan.hidden
        head_bias = role.labels if role.label_bias else 0
    parameters = parameters.model_copy(
        update={
            "router": parameters.router + plan.final_norms + head_bias,
            "embedding": float(table + plan.embedding_extra),
            "lm_head": float(head),
            "lookup_tables": float(plan.lookup_tables),
        }
    )
    layers = len(plan.layers)
    blocks = sum((layer.dense is not None or layer.experts is not None) for layer in plan.layers)
    with_mixer = sum(bool(layer.mixers) for layer in plan.layers)
    schemes = {formats.scheme: formats.components} if formats.components else {}
    if experts:
        schemes = _served_formats(parameters, schemes, formats.scheme)
    return Llm(
        name=name,
        title=hub_name.rsplit("/", maxsplit=1)[-1],
        huggingface=hub_name,
        source=["hf_config"],
        note=" ".join(notes),
        layers=layers,
        mixers=with_mixer if with_mixer != layers else None,
        feed_forwards=blocks if blocks != layers else None,
        hidden_size=plan.hidden,
        parameters=parameters,
        mixture=_mixture(
            experts,
            tiled=formats.components.get("routed_experts") == TILED or formats.scheme == TILED,
        ),
        attention=_groups(mixers),
        draft=_draft(plan.draft),
        weight_formats=schemes,
        native_format=formats.scheme,
        stored_apart={formats.scheme: _apart(formats, generates=generates)}
        if formats.apart
        else {},
        generates=generates,
    )


def _apart(formats: Formats, *, generates: bool) -> dict[str, dict[str, float]]:
    """Return what is stored apart, without a head that the model does not have."""
    return {key: one for key, one in formats.apart.items() if generates or key != "lm_head"}


def _served_formats(
    parameters: Parameters, schemes: dict[str, dict[str, str]], native: str
) -> dict[str, dict[str, str]]:
    """Return the schemes of a mixture of experts: its own, and the ones that it is served in.

    FP8 throughout, and 4-bit experts with attention in FP8; where the publisher's own scheme has
    4-bit experts already, that is what `fp4` stands for.
    """
    names = ("dense_ffn", "shared_experts", "routed_experts")
    present = [name for name in names if getattr(parameters, name)]
    own = schemes.get(native, {})
    four_bits = own.get("routed_experts", native) in ("fp4", "mxfp4", "nvfp4")
    return {
        **schemes,
        "fp8": schemes.get("fp8") or dict.fromkeys(["attention", *present], "fp8"),
        "fp4": own
        if own and four_bits and own.get("attention") != "bf16"
        else {"attention": "fp8", **dict.fromkeys(present, "nvfp4")},
    }


def _parameters(layers: Sequence[Layer]) -> Parameters:
    count = dict.fromkeys(Parameters.model_fields, 0)
    for layer in layers:
        count["router"] += layer.norms
        for mixer in layer.mixers:
            count["attention"] += mixer.weights
            count["router"] += mixer.small
        if layer.dense is not None:
            # Beside routed experts a dense block is one that every token visits.
            place = "dense_ffn" if layer.experts is None else "shared_experts"
            count[place] += layer.dense.weights
            count["router"] += layer.dense.small
        if layer.experts is not None:
            count["routed_experts"] += layer.experts.routed_weights
            count["shared_experts"] += layer.experts.shared_weights
            count["router"] += layer.experts.small
    return Parameters(**{key: float(value) for key, value in count.items()})


def _mixture(experts: Sequence[ExpertBlock], *, tiled: bool = False) -> Mixture | None:
    """Return the mixture of experts; with the width inside one where engines pad it to tiles."""
    if not experts:
        return None
    kinds = {(one.experts, one.active, one.latent) for one in experts}
    if len(kinds) > 1:
        raise InputError(f"layers with different mixtures of experts: {sorted(kinds, key=str)}")
    count, active, latent = kinds.pop()
    width = experts[0].width
    sizes = (latent or experts[0].hidden, width)
    padded = tiled and any(size % tile for size, tile in zip(sizes, TILE, strict=True))
    return Mixture(
        layers=len(experts),
        experts=count,
        active=active,
        expert_width=latent,
        inner_width=width if padded else None,
    )


def _groups(mixers: Sequence[Mixer]) -> list[AttentionGroup]:
    """Return one group per kind of mixer, in the order in which they first appear."""
    found: dict[object, list[Mixer]] = {}
    for mixer in mixers:
        found.setdefault(mixer.group_key, []).append(mixer)
    return [alike[0].group(alike) for alike in found.values()]


def _draft(plan: DraftPlan | None) -> Draft | None:
    if plan is None:
        return None
    parameters = _parameters(plan.layers)
    parameters = parameters.model_copy(
        update={
            "attention": parameters.attention + plan.projection,
            "router": parameters.router + plan.norms,
        }
    )
    return Draft(
        modules=plan.modules,
        layers=len(plan.layers),
        parameters=parameters,
        mixture=_mixture([one.experts for one in plan.layers if one.experts is not None]),
        attention=_groups([mixer for layer in plan.layers for mixer in layer.mixers]),
        in_checkpoint=plan.in_checkpoint,
        repeats_tables=plan.repeats_tables,
    )
