"""How public functions are called: what they take is checked, and what is wrong is one line."""

import inspect
from collections.abc import Callable
from functools import cache, wraps
from reprlib import Repr
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from hbmopt.errors import InputError

if TYPE_CHECKING:
    from pydantic import ValidationError

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def verb(function: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """Check the arguments of a public function by its annotations.

    Numbers may be written as texts. An argument of a wrong type is an `InputError` that names it;
    one that is missing or unknown is Python's own TypeError.
    """
    signature = inspect.signature(function)

    @cache
    def checked() -> Callable[..., Returned]:
        # Made at the first call, as it takes a millisecond.
        from pydantic import ConfigDict, validate_call

        return validate_call(config=ConfigDict(arbitrary_types_allowed=True))(function)

    @wraps(function)
    def call(*arguments: Parameters.args, **options: Parameters.kwargs) -> Returned:
        from pydantic import ValidationError  # only what is called needs it: 0.2 s

        named = signature.bind(*arguments, **options).arguments
        try:
            return checked()(**named)
        except ValidationError as error:
            if error.title != function.__name__:
                raise  # of something that the function itself reads
            raise InputError(f"{function.__name__}: {_told(error)}") from None

    return call


def _told(error: "ValidationError") -> str:
    """Return the first argument that is wrong, and what it should be."""
    found = error.errors(include_url=False)
    name = found[0]["loc"][0]
    reasons = [one["msg"] for one in found if one["loc"][0] == name]
    listed = " or ".join(dict.fromkeys(reason[:1].lower() + reason[1:] for reason in reasons))
    return f"{name}: {_SHORT.repr(found[0]['input'])}: {listed}"
