"""Pyomo, used by one thread at a time.

Pyomo keeps state of the whole process while it builds and takes apart expressions. Everything here
that declares or reads a Pyomo model takes its turn; solving does not.
"""

import threading
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")

_DECLARING = threading.RLock()


def one_at_a_time(function: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """Let one thread at a time run the functions that declare or read Pyomo models."""

    @wraps(function)
    def alone(*arguments: Parameters.args, **options: Parameters.kwargs) -> Returned:
        with _DECLARING:
            return function(*arguments, **options)

    return alone
