"""Signing in at the page: Gradio's own form and cookie, which the live page obeys, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vivant.apps.access import known

ASKED = "This page is for those who have a token: type it as the password, with any name."
_CHECK = "/gradio_api/login_check"
_REFUSAL = {"problem": "Sign in first: open the page and type a token."}


def password_check(tokens: Sequence[str]) -> Any:
    """Gradio's ``auth``: any name, the password is a token. None where there are no tokens: everybody may come in."""

    def right(name: str, password: str) -> bool:
        return known(tokens, password) is not None

    return right if tokens else None


class Gate:
    """ASGI middleware: what is under ``/live`` is answered to those who signed in at the page; Gradio guards its own
    routes."""

    def __init__(self, app: Any, page: Any) -> None:
        """``page``: Gradio's application, which knows who signed in."""
        self.app, self.page = app, page

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer, or refuse with 401 (a websocket with 403)."""
        guarded = scope["type"] in ("http", "websocket") and scope["path"].startswith("/live")
        if not guarded or await self._signed_in(scope):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            from starlette.responses import JSONResponse

            await JSONResponse(_REFUSAL, 401)(scope, receive, send)

    async def _signed_in(self, scope: Any) -> bool:
        """Ask Gradio about the visitor's cookies; whatever it does not clearly allow is refused."""
        import httpx

        cookies = [(name, value) for name, value in scope["headers"] if name == b"cookie"]
        inside = httpx.ASGITransport(app=self.page)
        async with httpx.AsyncClient(transport=inside, base_url="http://page") as client:
            return bool((await client.get(_CHECK, headers=cookies)).status_code == 200)
