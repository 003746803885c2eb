"""The site: one page with its scripts, and what they ask, for whoever has the token."""

import asyncio
import json
import math
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hbmopt.basics import one_line
from hbmopt.errors import HbmoptError, InputError
from hbmopt.explorer.answering import Answer
from hbmopt.explorer.curve import Sources, curve_of
from hbmopt.explorer.lanes import Lanes, TooBusyError
from hbmopt.explorer.page import PER, Assets

HOSTS = ["127.0.0.1", "localhost"]
"""Names by which the site is reached: a page of another name that leads here is refused."""

MOST_BYTES = 200_000
"""Bytes of a question beyond which none of ours is."""

MOST_CAPS = 50
"""Power caps of one question."""

QUICK = ("question", "line", "moving_line", "texts")
BESIDE = ("answer", "plan")
SLOW = ("limits", "caps", "power", "cures", "report")
"""Questions by who answers them: the lane of a session, another one beside it, the slow one."""

HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self' 'unsafe-eval'",  # Vega compiles its expressions
            "style-src 'self' 'unsafe-inline'",
            "img-src data: blob:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Nothing is loaded from elsewhere, no other page looks in, and the address goes nowhere."""


class Guarded:
    """Lets through what names the token first in its address."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        first, _, _ = scope.get("path", "").lstrip("/").partition("/")
        if scope["type"] == "http" and not secrets.compare_digest(first.encode(), self._token):
            message = "wrong or missing token: open the address that hbmopt explore printed\n"
            await PlainTextResponse(message, status_code=403)(scope, receive, send)
            return
        await self._app(scope, receive, send)


class WithHeaders:
    """Adds the headers to whatever is sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                known = {name for name, _ in message["headers"]}
                message["headers"] += [
                    (name.lower().encode(), value.encode())
                    for name, value in HEADERS.items()
                    if name.lower().encode() not in known
                ]
            await send(message)

        await self._app(scope, receive, sent)


def site(
    sources: Sources, token: str, assets: Assets, bug: Callable[[Exception], str]
) -> Starlette:
    """Return the application. `bug` says in a line what to do about an error that is none of ours.

    All addresses begin with the token; any other is refused, as is another name of the host.
    """
    lanes: list[Lanes] = []

    @asynccontextmanager
    async def living(_: Starlette) -> AsyncIterator[None]:
        lanes.append(Lanes(sources))
        try:
            yield
        finally:
            await lanes.pop().end()

    def asked(name: str) -> Callable[[Request], Awaitable[Response]]:
        """Return the endpoint of a method of `Answers`."""

        async def endpoint(request: Request) -> Response:
            try:
                data = await _data(request)
                arguments = _arguments(name, data)
                session, slow = str(data.get("session", "")), name in SLOW
                lane = lanes[0].slow if slow else lanes[0].quick(session, name in BESIDE)
                answer = await _unless_gone(request, lane.answer(name, *arguments))
            except TooBusyError as error:
                return _complaint(str(error), 503)
            except HbmoptError as error:
                return _complaint(one_line(str(error)), 422)
            except Exception as error:
                return _complaint(bug(error), 500)
            if answer is None:
                return Response(status_code=499)
            return JSONResponse(answer)

        return endpoint

    async def start(_: Request) -> Response:
        return Response(assets.text("page.html"), media_type="text/html")

    async def look(_: Request) -> Response:
        return Response(assets.style(), media_type="text/css")

    async def script(_: Request) -> Response:
        return Response(assets.text("page.js"), media_type="text/javascript")

    async def beginning(_: Request) -> Response:
        return Response(assets.beginning(), media_type="application/json")

    async def vega(_: Request) -> Response:
        text = await asyncio.to_thread(assets.vega)
        # The same for all sessions of a version, so that it is kept.
        headers = {"Cache-Control": "private, max-age=86400"}
        return Response(text, media_type="text/javascript", headers=headers)

    routes = [
        Route("/", start),
        Route("/page.css", look),
        Route("/page.js", script),
        Route("/vega.js", vega),
        Route("/start.json", beginning),
        *(Route(f"/{name}", asked(name), methods=["POST"]) for name in (*QUICK, *BESIDE, *SLOW)),
    ]
    return Starlette(
        routes=[Mount(f"/{token}", routes=routes)],
        middleware=[
            Middleware(WithHeaders),
            Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False),
            Middleware(Guarded, token=token),
        ],
        lifespan=living,
    )


def _complaint(message: str, status: int) -> Response:
    return JSONResponse({"error": message}, status_code=status)


async def _data(request: Request) -> dict[str, Any]:
    """Return what a page sent. Raises `InputError` for anything but a small mapping."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise InputError(f"a question has at most {MOST_BYTES:,} bytes")
    try:
        data = json.loads(body)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise InputError("a question is a mapping in JSON, with the curve that is asked about")
    return data


def _arguments(name: str, data: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a method of `Answers` takes. Raises `InputError` where it is missing or wrong."""
    curve = curve_of(data.get("curve"))
    if name in ("line", "moving_line"):
        per = data.get("per", PER[0])
        if per not in PER:
            raise InputError(f"per: {per!r} is none of {', '.join(PER)}")
        return curve, per
    if name == "plan":
        return curve, _number("speed", data.get("speed"))
    if name == "power":
        caps = data.get("caps")
        if not isinstance(caps, list) or not 0 < len(caps) <= MOST_CAPS:
            raise InputError(f"caps: a list of 1 to {MOST_CAPS} kW")
        return curve, [_number("caps", one) for one in caps]
    return (curve,)


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise InputError(f"{name}: {value!r} is not a number of at least 0")
    return float(value)


async def _unless_gone(request: Request, answer: Coroutine[Any, Any, Answer]) -> Answer | None:
    """Return an answer, or None once whoever asked has gone."""
    asked = asyncio.ensure_future(answer)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({asked, gone}, return_when=asyncio.FIRST_COMPLETED)
        return asked.result() if asked.done() else None
    finally:
        asked.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
