"""The explorer as it runs: a page on this machine alone, until it is interrupted."""

import secrets
import signal
import socket
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hbmopt.errors import InputError
from hbmopt.explorer.curve import MOST_CURVES, Curve, curves_in, sources_of
from hbmopt.instance import override_parts

ADDRESS = "127.0.0.1"
SECONDS_TO_END = 1
"""How long an answer on its way may take once the explorer is to end."""


@dataclass(frozen=True)
class Told:
    """What an explorer says of itself: its address, and an error that is a bug of hbmopt."""

    address: Callable[[str], None]
    bug: Callable[[Exception], str]


def explore(
    files: Sequence[str],
    overrides: Sequence[str],
    told: Told,
    *,
    port: int = 0,
    opened: bool = True,
) -> None:
    """Serve the explorer of files, of names of shipped instances or of an address, until Ctrl-C.

    Parameters
    ----------
    files
        Up to six, each a curve; or one address that an explorer showed, which holds the question.
    overrides
        Changes of all of them, as ``--set`` takes them.
    told
        What to do with the address once the page is there, and with bugs.
    port
        The port, 0 for any that is free.
    opened
        Whether to open the page in the browser.

    Raises
    ------
    InputError
        Where a package is missing, a file is wrong or is a fleet, or the port is taken.
    """
    require_packages()
    import uvicorn  # starlette and uvicorn take 0.1 s that only the explorer needs

    from hbmopt.explorer.page import Assets
    from hbmopt.explorer.site import site

    sources, curves = sources_of([Path(one) for one in files if not _is_address(one)])
    for one in files:
        if _is_address(one):
            curves += curves_in(one)
    curves = [_changed(one, overrides) for one in curves or [Curve("gb200_nvl72")]]
    if len(curves) > MOST_CURVES:
        raise InputError(f"explore: {len(curves)} curves; a page shows {MOST_CURVES} at most")
    for curve in curves:
        sources.instance(curve)  # what is wrong is told before anything is opened
    listener = _listener(port)
    token = secrets.token_urlsafe(24)
    address = f"http://{ADDRESS}:{listener.getsockname()[1]}/{token}/"

    class Server(uvicorn.Server):
        """A server that says when it can be reached."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                told.address(address)
                if opened:
                    webbrowser.open(address)

    assets = Assets(sources, curves)
    with assets.bundle:
        config = uvicorn.Config(
            site(sources, token, assets, told.bug),
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=SECONDS_TO_END,
            loop="asyncio",
            http="h11",
            ws="none",
        )
        with _ended_like_ctrl_c():
            Server(config).run(sockets=[listener])


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM end the explorer as Ctrl-C does: its processes are ended, and nothing is left."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _is_address(one: str) -> bool:
    return one.startswith(("http://", "https://"))


def _changed(curve: Curve, overrides: Sequence[str]) -> Curve:
    """Return a curve with the changes of the command line."""
    changes = dict(curve.changes) | dict(map(override_parts, overrides))
    return Curve(curve.source, tuple(changes.items()))


def _listener(port: int) -> socket.socket:
    """Return a socket of this machine alone. Raises `InputError` where the port is taken."""
    # Named as TCP, without which asyncio lets small answers wait for 40 ms (Nagle's algorithm).
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((ADDRESS, port))
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise InputError(f"--port {port}: {reason}; leave it out for any that is free") from None
    return listener


def require_packages() -> None:
    """Raise `InputError` where the packages that serve or draw are missing."""
    try:
        import altair  # noqa: F401 -- only the explorer and charts need them
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
        import vl_convert  # noqa: F401
    except ImportError as error:
        raise InputError(f"explore needs {error.name}: pip install 'hbmopt[explore]'") from None
