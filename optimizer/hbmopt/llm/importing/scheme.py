"""The scheme of a checkpoint: a format, and the rules by which matrices have another or none."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from hbmopt.llm import BITS_PER_WEIGHT, other_format, weight_bits
from hbmopt.llm.importing.keys import Keys
from hbmopt.llm.importing.matching import Matcher, Unplaced, any_of
from hbmopt.llm.importing.naming import Matrix

LEFT_OUT = (
    "modules_to_not_convert",
    "ignore",
    "ignored_layers",
    "exclude_modules",
    "exclude",
    "llm_int8_skip_modules",
)
"""Keys that list modules which are not quantized."""

HEAD = ("lm_head", "embedding")


RECIPE = re.compile(
    r"^(?!.*(layer|module|exclude|ignore|skip|group|bits|sparse|expert|override|dynamic_)).*$"
    r"|^(kv_cache_.*|act_.*|llm_int8_.*|bnb_4bit_compute_dtype|bnb_4bit_quant_storage"
    r"|q?_?group_size|bits|w_bit|weight_bits|moe_quant_algo|modules_to_fuse|group_by_name"
    r"|module_name_preceding_first_block|super_group_size|super_bits|layer_type_quant_config"
    r"|block_name_to_quantize|dynamic_activation|quant_block_list|.*_group_size|to_quant_block_names"
    r"|low_gpu_mem_usage|enable_quanted_input|disable_.*|static_groups)$"
)
"""Keys of a section that change nothing which is stored; any other one that is not read does."""


@dataclass(frozen=True)
class Rule:
    """A list of modules, and the format that they are stored in; none: they are left out."""

    matches: Matcher
    stored: str | None
    library: str = ""
    """How the patterns are read, where they are to be looked at one by one."""
    patterns: tuple[str, ...] = ()


def all_but_tables(matrix: Matrix) -> bool:
    """All matrices but embedding and output head."""
    return matrix.component not in HEAD


def linear(matrix: Matrix) -> bool:
    """All matrices that are multiplied with: all but the embedding."""
    return matrix.component != "embedding"


def routed(matrix: Matrix) -> bool:
    """Routed experts alone."""
    return matrix.component == "routed_experts"


def everything(_matrix: Matrix) -> bool:
    """Tables as well."""
    return True


def nothing(_matrix: Matrix) -> bool:
    """No matrix."""
    return False


@dataclass(frozen=True)
class Scheme:
    """The format of a checkpoint and the rules by which matrices have another one."""

    base: str
    rules: tuple[Rule, ...] = ()
    reach: Callable[[Matrix], bool] = all_but_tables
    """What is quantized where no rule speaks of it."""
    patterns: tuple[str, ...] = ()
    """All patterns of the rules, which show how the file spells names."""
    single: bool = True
    """Whether the base is the format of the whole; else the scheme is one of its own."""
    experts: str | None = None
    """The format of routed experts, where it is stated for them."""
    of_matrix: Callable[[Matrix], str] | None = None
    """The format of a matrix, where it depends on the matrix and not on the base alone."""
    halves: Callable[[Matrix], bool] = nothing
    """Of which matrices two of four weights are kept."""
    notes: tuple[str, ...] = ()

    @property
    def listed(self) -> Iterator[tuple[str, Matcher]]:
        """Each pattern of the lists of exceptions, with what it matches."""
        for rule in self.rules:
            for pattern in rule.patterns:
                yield pattern, any_of([pattern], rule.library)

    @property
    def tells_experts_apart(self) -> bool:
        """Whether a pattern singles out some of the experts."""
        return any(re.search(r"experts\\?\.[^.*]{0,8}\d", one) for one in self.patterns)

    def covers(self, component: str) -> bool:
        """Whether a component that no matrix stands for would be quantized."""
        return self.reach(Matrix(component, (), 0))

    def with_experts(self, stored: str) -> "Scheme":
        """Return the scheme with routed experts in a format of their own."""
        return replace(self, experts=stored, single=False)

    def stored(self, matrix: Matrix) -> str | None:
        """Return the format of a matrix, None where it is not quantized."""
        found = self._stored(matrix)
        return halved(found or "bf16") if self.halves(matrix) else found

    def _stored(self, matrix: Matrix) -> str | None:
        for rule in self.rules:
            if any(rule.matches(name) for name in matrix.names):
                return rule.stored
        if self.experts is not None and routed(matrix):
            return self.experts
        if self.base == "bf16" or not self.reach(matrix):
            return None
        return self.base if self.of_matrix is None else self.of_matrix(matrix)


def unknown(what: str) -> Unplaced:
    """Return the error of a quantization that is not known."""
    return Unplaced(
        f"{what} is not a quantization that is known; say what the weights are with "
        f"--checkpoint-format: {', '.join(sorted(BITS_PER_WEIGHT))}"
    )


def left_out(section: Keys, library: str, *more: str) -> tuple[tuple[Rule, ...], tuple[str, ...]]:
    """Return the rule of the modules that are listed as left out, and the list."""
    patterns = [*more]
    for key in LEFT_OUT:
        listed = section.raw(key)
        if isinstance(listed, str):
            listed = [listed]
        if listed is None:
            continue
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise section.error(key, f"{listed!r} is not a list of names")
        patterns += listed
    if not patterns:
        return (), ()
    found = tuple(patterns)
    return (Rule(any_of(found, library), None, library, found),), found


def whole_numbers(bits: object, group: object, what: str, *, zeros: bool = False) -> str:
    """Return the format of whole numbers by groups with 16-bit activations.

    A group has one 16-bit scale and, with `zeros`, a zero point as wide as a weight.
    """
    if bits not in (4, 8) or isinstance(bits, bool):
        raise unknown(f"{what} with {bits!r} bits")
    width = 4 if bits == 4 else 8
    if group is None:
        group = 128
    if isinstance(group, bool) or not isinstance(group, int) or group == 0 or group < -1:
        raise unknown(f"{what} with groups of {group!r}")
    if group == -1:
        # One scale per output channel.
        return other_format(width * 1.0002)
    bits = width + (16 + (width if zeros else 0)) / group
    return {4.5: "int4", 8.125: "int8_a16"}.get(bits) or other_format(bits)


def stated_bits(section: Keys) -> tuple[object, object]:
    """Return bits and size of the groups by the spellings that there are."""
    bits = next(
        (section.raw(key) for key in ("bits", "w_bit", "weight_bits") if section.has(key)), None
    )
    group = next(
        (section.raw(key) for key in ("group_size", "q_group_size") if section.has(key)), None
    )
    return bits, group


def halved(stored: str) -> str:
    """Return a format of which two of four weights are kept: half the bits and a mask."""
    return other_format(weight_bits(stored) / 2 + 1)
