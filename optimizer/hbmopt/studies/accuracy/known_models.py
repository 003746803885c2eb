"""Models by the name that measurements give them: an identifier on the Hugging Face hub."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hbmopt.basics import exists
from hbmopt.documents import catalogue, model_ids, read_document
from hbmopt.errors import InputError, nearest
from hbmopt.llm import BITS_PER_WEIGHT, Llm
from hbmopt.llm.importing import import_llm
from hbmopt.studies.accuracy.measured_steps import WEIGHT_ALIASES, UnusableRowError


@cache
def _catalogue_names() -> dict[str, str]:
    """Return the catalogue's entries by identifier on the hub and by their own name, lower case."""
    return {name: name for name in catalogue.names("llms")} | model_ids.identifiers()


@cache
def catalogue_llm(name: str) -> Llm:
    """Return an entry of the catalogue."""
    return Llm.model_validate(catalogue.entry("llms", name).value)


class KnownModels:
    """The catalogue's models, and those whose configurations lie in a folder.

    A model that neither names exactly is looked up by its architecture: its name without
    publisher, tuning, quantization and date, where that is one model's.
    """

    def __init__(self, folder: Path | None = None) -> None:
        if folder is not None and not (exists(folder) and folder.is_dir()):
            raise InputError(f"--llm-configs {folder}: there is no such folder")
        files = sorted(folder.glob("*.json")) if folder is not None else []
        self._files = {
            path.name.lower()
            .removesuffix(".json")
            .removesuffix(".trimmed")
            .replace("--", "/", 1): path
            for path in files
        }
        self._found: dict[tuple[str, str], Llm | str] = {}

    def find(self, model: str, weight_format: str = "") -> Llm:
        """Return a model. Raises `UnusableRowError` with the reason where there is none.

        `weight_format` is taken for a configuration that does not say what its weights are.
        """
        if not model:
            raise UnusableRowError("model: is blank")
        key = model.lower(), weight_format
        if key not in self._found:
            try:
                self._found[key] = self._read(*key)
            except InputError as error:
                said = " ".join(str(error).split()).replace("--checkpoint-format", "weight_format")
                self._found[key] = f"model: {said}"
        found = self._found[key]
        if isinstance(found, str):
            raise UnusableRowError(found)
        return found

    def _read(self, model: str, weight_format: str) -> Llm:
        known = _catalogue_names()
        if model in known:
            return catalogue_llm(known[model])
        if model in self._files:
            return _imported(self._files[model], weight_format)
        wanted = model_ids.architecture_name(model)
        entries = {name for identifier, name in known.items() if _same(identifier, wanted)}
        if len(entries) == 1:
            return catalogue_llm(entries.pop())
        files = [path for identifier, path in self._files.items() if _same(identifier, wanted)]
        if not entries and len(files) == 1:
            return _imported(files[0], weight_format)
        close = nearest(model, [*known, *self._files])
        meant = f"{close} Or give" if close.startswith("did you mean") else "give"
        raise InputError(
            f"{model!r} is not in the catalogue; {meant} its config.json as "
            f"{model.replace('/', '--')}.json in --llm-configs DIR"
        )


def _imported(path: Path, weight_format: str) -> Llm:
    """Return a model from its configuration, in a format that this leaves open if need be."""
    try:
        return import_llm(path)
    except InputError:
        if WEIGHT_ALIASES.get(weight_format, weight_format) not in BITS_PER_WEIGHT:
            raise
    return import_llm(path, checkpoint_format=WEIGHT_ALIASES.get(weight_format, weight_format))


def _same(identifier: str, wanted: str) -> bool:
    return "/" in identifier and model_ids.architecture_name(identifier) == wanted


def _words(name: str) -> frozenset[str]:
    """Return the words of a name in lower case; a size and its unit are one word."""
    joined = re.sub(r"(?<=[0-9])[ _-]+(?=gb\b)", "", name.lower())
    return frozenset(re.findall(r"[a-z0-9]+", joined))


@dataclass(frozen=True)
class _Chip:
    """The words of a chip's name, first its vendor, and those of its title besides."""

    vendor: str
    name: frozenset[str]
    words: frozenset[str]


@cache
def _chips() -> dict[str, _Chip]:
    """Return the words that mean an accelerator of the catalogue, without LPUs."""
    found = {}
    for name in catalogue.names("accelerators"):
        path = catalogue.catalogue_root() / "accelerators" / f"{name}.yaml"
        value = read_document(path).value
        if isinstance(value, dict) and value.get("kind") == "accelerator":
            # What stands in brackets explains a title, and may be true of other chips too.
            title = str(value.get("title", "")).partition("(")[0]
            own = _words(name.replace("_", " "))
            found[name] = _Chip(name.partition("_")[0], own, own | _words(title))
    return found


@cache
def scale_up_domain(chip: str) -> int | None:
    """Return how many of an accelerator the widest scale-up domain of the catalogue's racks has."""
    widest = 0
    for name in catalogue.names("racks"):
        rack = catalogue.entry("racks", name)
        if rack.get(("accelerator", "name")) == chip or rack.get(("accelerator",)) == chip:
            size = rack.get(("scale_up_domain",)) or rack.get(("accelerators",))
            value = size.get("value") if isinstance(size, dict) else size
            widest = max(widest, int(value) if isinstance(value, int | float) else 0)
    return widest or None


@cache
def known_chip(written: str) -> str:
    """Return the accelerator that a name means: `nvidia_h100_sxm`, or words of it (`H100`).

    The words may also be those of its title (`AMD Instinct MI325X`). Every word has to fit, so that
    another variant of a chip is not taken for it.
    """
    if not written:
        raise UnusableRowError("accelerator: is blank")
    chips = _chips()
    words = _words(written.replace("_", " "))
    exact = [
        name for name, chip in chips.items() if words in (chip.name, chip.name - {chip.vendor})
    ]
    matching = exact or sorted(name for name, chip in chips.items() if words <= chip.words)
    if len(matching) == 1:
        return matching[0]
    if not matching:
        shared = {name: len(words & chip.words - {chip.vendor}) for name, chip in chips.items()}
        most = max(shared.values())
        matching = sorted(name for name, count in shared.items() if 0 < most == count)
    hint = f"it may be {', '.join(matching)}" if matching else nearest(written, chips)
    if not matching and not hint.startswith("did you mean"):
        hint = "hbmopt catalog accelerators lists them"
    raise UnusableRowError(f"accelerator: no {written!r} in the catalogue; {hint}")
