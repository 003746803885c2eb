"""Models by the name that measurements give them: an identifier on the Hugging Face hub."""

from functools import cache
from pathlib import Path

from hbmopt import catalogue
from hbmopt.document import read_document
from hbmopt.errors import InputError, nearest
from hbmopt.importing.huggingface import import_llm
from hbmopt.llm import Llm
from hbmopt.measured_steps import UnusableRowError, architecture_name


@cache
def _catalogue_names() -> dict[str, str]:
    """Return the catalogue's entries by identifier on the hub and by their own name, lower case."""
    found = {}
    for name in catalogue.names("llms"):
        found[name] = name
        value = catalogue.entry("llms", name).value
        if not isinstance(value, dict):
            continue
        others = value.get("same_architecture")
        identifiers = [value.get("huggingface"), *(others if isinstance(others, list) else [])]
        found |= {str(one).lower(): name for one in identifiers if one}
    return found


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
        if folder is not None and not folder.is_dir():
            raise InputError(f"--llm-configs {folder}: there is no such folder")
        files = sorted(folder.glob("*.json")) if folder is not None else []
        self._files = {
            path.name.lower()
            .removesuffix(".json")
            .removesuffix(".trimmed")
            .replace("--", "/", 1): path
            for path in files
        }
        self._found: dict[str, Llm | str] = {}

    def find(self, model: str) -> Llm:
        """Return a model. Raises `UnusableRowError` with the reason where there is none."""
        if not model:
            raise UnusableRowError("model: is blank")
        if model not in self._found:
            try:
                self._found[model] = self._read(model.lower())
            except InputError as error:
                self._found[model] = f"model: {' '.join(str(error).split())}"
        found = self._found[model]
        if isinstance(found, str):
            raise UnusableRowError(found)
        return found

    def _read(self, model: str) -> Llm:
        known = _catalogue_names()
        if model in known:
            return catalogue_llm(known[model])
        if model in self._files:
            return import_llm(self._files[model])
        wanted = architecture_name(model)
        entries = {name for identifier, name in known.items() if _same(identifier, wanted)}
        if len(entries) == 1:
            return catalogue_llm(entries.pop())
        files = [path for identifier, path in self._files.items() if _same(identifier, wanted)]
        if not entries and len(files) == 1:
            return import_llm(files[0])
        close = nearest(model, [*known, *self._files])
        meant = f"{close} Or give" if close.startswith("did you mean") else "give"
        raise InputError(
            f"{model!r} is not in the catalogue; {meant} its config.json as "
            f"{model.replace('/', '--')}.json in --llm-configs DIR"
        )


def _same(identifier: str, wanted: str) -> bool:
    return "/" in identifier and architecture_name(identifier) == wanted


@cache
def _chip_names() -> dict[str, frozenset[str]]:
    """Return the words of the names of the catalogue's accelerators, without LPUs."""
    found = {}
    for name in catalogue.names("accelerators"):
        path = catalogue.catalogue_root() / "accelerators" / f"{name}.yaml"
        value = read_document(path).value
        if isinstance(value, dict) and value.get("kind") == "accelerator":
            found[name] = frozenset(name.split("_"))
    return found


@cache
def known_chip(written: str) -> str:
    """Return the accelerator that a name means: `nvidia_h100_sxm`, or words of it (`H100`)."""
    if not written:
        raise UnusableRowError("accelerator: is blank")
    known = _chip_names()
    name = "_".join(written.lower().replace("-", " ").replace("_", " ").split())
    if name in known:
        return name
    words = frozenset(name.split("_"))
    matching = sorted(chip for chip, parts in known.items() if words <= parts)
    if len(matching) == 1:
        return matching[0]
    hint = f"it may be {', '.join(matching)}" if matching else nearest(name, known)
    raise UnusableRowError(f"accelerator: no {written!r} in the catalogue; {hint}")
