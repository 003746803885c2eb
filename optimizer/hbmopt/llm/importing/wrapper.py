"""The decoder inside the configuration of a larger model, and the family that it is of."""

from collections.abc import Collection, Iterable, Mapping

from hbmopt.errors import InputError, nearest
from hbmopt.llm.importing.keys import Keys

NESTED = ("text_config", "llm_config", "language_config", "language_model_config", "thinker_config")
"""Keys under which multimodal models keep the configuration of their decoder."""

FAMILY_NEEDS = (
    "its layers would have to be described: kind of attention, cache, experts, norms and biases"
)

SERIES: dict[str, tuple[str, ...]] = {
    "Ling and Ring": ("bailing", "ling", "ring"),
    "Hunyuan": ("hunyuan", "hy"),
    "GLM": ("glm", "chatglm"),
    "Qwen": ("qwen",),
    "DeepSeek": ("deepseek",),
    "Kimi": ("kimi", "moonlight", "moonshot"),
    "MiniMax": ("minimax", "abab"),
    "Llama": ("llama", "mllama"),
    "Mistral": ("mistral", "mixtral", "ministral", "pixtral", "magistral", "devstral"),
    "Gemma": ("gemma", "paligemma", "recurrentgemma"),
    "Phi": ("phi", "phimoe"),
    "Cohere": ("cohere", "command", "aya"),
    "Granite": ("granite", "granitemoe"),
    "ERNIE": ("ernie",),
    "Step": ("step",),
    "LongCat": ("longcat",),
    "Nemotron": ("nemotron", "minitron"),
    "InternLM": ("internlm", "intern", "internvl"),
    "EXAONE": ("exaone",),
    "Mamba": ("mamba", "falcon_mamba"),
    "OLMo": ("olmo", "olmoe", "molmo"),
    "OPT": ("opt",),
    "GPT": ("gpt", "gptj"),
    "LFM": ("lfm",),
    "MiMo": ("mimo",),
    "Falcon": ("falcon", "refinedweb"),
    "Grok": ("grok",),
    "ChatGLM": ("chatglm",),
    "Baichuan": ("baichuan",),
    "Yi": ("yi",),
    "Jamba": ("jamba",),
    "A.X": ("axk",),
    "Arctic": ("arctic",),
    "RWKV": ("rwkv",),
    "dots": ("dots",),
    "StarCoder": ("starcoder", "bigcode", "santacoder"),
}
"""Series of models, and how names of their families begin."""


def decoder(outer: Keys, known: Collection[str]) -> tuple[Keys, str]:
    """Return the keys of the decoder, and the family that they belong to."""
    inner = outer
    for _ in range(3):
        opened = [key for key in NESTED if isinstance(inner.raw(key), Mapping) and inner.raw(key)]
        inner.ignore(*(key for key in NESTED if key not in opened and key not in inner.values))
        if not opened:
            break
        nested = inner.below(opened[0])
        if nested is None:
            break
        for other in opened[1:]:
            raise inner.error(other, f"stands beside {opened[0]!r}: which is the decoder?")
        inner = nested
    stated = str(inner.values.get("model_type") or ""), str(outer.values.get("model_type") or "")
    # A nested configuration without a family of its own is of the outer one.
    found = stated[0] or stated[1]
    inner.raw("model_type")
    if inner is not outer:
        outer.raw("model_type")
        if stated[0]:
            outer.idle("model_type", "names the model around the decoder")
    if found in known:
        inner.family = found
        return inner, found
    if not found:
        raise InputError(
            f"{outer.source}: the key 'model_type' is missing; without it the family is not known"
        )
    where = (
        f", in the nested configuration of {stated[1]!r}"
        if stated[0] and inner is not outer
        else ""
    )
    place = inner if stated[0] else outer
    raise place.error(
        "model_type",
        f"{found!r} is not a family that is known{where} ({nearest_family(found, known)}); "
        f"{FAMILY_NEEDS}",
    )


def nearest_family(name: str, known: Iterable[str]) -> str:
    """Return a hint at families of the same series, else at the nearest spelling."""
    plain = name.lower().replace("-", "_")
    names = sorted(known)
    best: tuple[int, str, tuple[str, ...]] | None = None
    for series, beginnings in SERIES.items():
        for beginning in beginnings:
            part = plain.startswith(beginning) or f"_{beginning}" in plain
            if part and (best is None or len(beginning) > best[0]):
                best = len(beginning), series, beginnings
    if best is not None:
        alike = [one for one in names if one.startswith(best[2])]
        close = nearest(name, alike) if alike else ""
        if close.startswith("did you mean"):
            return close if _spelled_alike(plain, alike) else f"of {best[1]}, {_listed(alike)}"
        if alike:
            return f"of {best[1]}, {_listed(alike)}"
        return f"no family of {best[1]} is known"
    return nearest(name, names)


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(one) for one in names[:6])
    return f"known are {shown}{' and more' if len(names) > 6 else ''}"


def _spelled_alike(name: str, names: list[str]) -> bool:
    """Whether a name is one of these but for a letter or two."""
    return any(
        abs(len(name) - len(one)) <= 2 and sum(a != b for a, b in zip(name, one, strict=False)) <= 2
        for one in names
    )
