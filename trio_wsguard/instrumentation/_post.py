"""One POST of JSON over HTTP, and what its answer means (extra `alerts`)."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Final

import trio_wsguard as wsguard
from trio_wsguard._core.failure import printable
from trio_wsguard._shell.transport import retry_after_seconds
from trio_wsguard.instrumentation.sinks import SinkError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

# RFC 9110, 15.5.9; RFC 8470, 5.2; RFC 6585, 4. All other 4xx will not change their mind.
_TRANSIENT: Final = frozenset({408, 425, 429})
_MAX_DIGITS: Final = 4  # of the length of an answer, in bytes, that is read
_HEADERS: Final = {
    "Content-Type": "application/json",
    "User-Agent": "trio-wsguard",
    # Minutes pass from one to the next: no connection is kept for that.
    "Connection": "close",
}


class JsonPost:
    """Posts JSON to one URL.

    Redirects are not followed: what is sent, and the credentials beside it,
    are for nobody but whom the user named.

    Args:
        url: ``http`` or ``https``; user and password in it become Basic authentication.
        headers: Extra headers.
        transport: Who carries it; ``None`` for httpx's own, with its defaults.

    Attributes:
        origin: Scheme, host and port: all of the URL that may be shown. The
            path of a webhook often is its secret.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str] | None,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        _require_httpx()
        import httpx

        self._url = _parse(url)
        self.origin = f"{self._url.scheme}://{self._url.netloc.decode('ascii')}"
        self._headers = httpx.Headers(_HEADERS)
        if self._url.userinfo:
            credentials = f"{self._url.username}:{self._url.password}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(credentials).decode()}"
        self._headers.update(headers)
        # A transport and not a client: a client logs the whole URL of each request.
        self._transport = httpx.AsyncHTTPTransport() if transport is None else transport

    async def send(self, payload: object) -> None:
        """Post, and return if the answer is good.

        Raises:
            SinkError: It is not, or there was none.
        """
        import httpx

        content = json.dumps(payload).encode()
        request = httpx.Request("POST", self._url, headers=self._headers, content=content)
        try:
            response = await self._transport.handle_async_request(request)
            try:
                if not response.is_success:
                    raise await self._refused(response)
            finally:
                await response.aclose()
        except httpx.RequestError as exc:
            raise SinkError(f"{self.origin}: {wsguard.classify(_root(exc)).message}") from exc

    async def _refused(self, response: httpx.Response) -> SinkError:
        status, length = response.status_code, response.headers.get("Content-Length", "")
        # A short answer may say why; one that is long, or has no end, is not read.
        is_short = length.isdecimal() and len(length) <= _MAX_DIGITS
        text = printable((await response.aread()).decode(errors="replace")) if is_short else ""
        is_transient = status in _TRANSIENT or status >= 500
        return SinkError(
            f"{self.origin} answered {status}" + (f": {text}" if text else ""),
            is_transient,
            retry_after_seconds(response.headers.get("Retry-After")) if is_transient else None,
        )


def _root(exc: BaseException) -> BaseException:
    """Find what began it: httpx's own errors are three layers up, and often say nothing."""
    while True:
        beneath = exc.__cause__ or exc.__context__
        if isinstance(exc, BaseExceptionGroup):
            beneath = exc.exceptions[0]
        if beneath is None:
            return exc
        exc = beneath


def _parse(url: str) -> httpx.URL:
    import httpx

    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        # Without the URL: what cannot be read cannot be shown without its secrets.
        raise wsguard.PolicyError("url", "…", "is no URL") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise wsguard.PolicyError("url", f"{parsed.scheme}:…", "must be http:// or https://")
    return parsed


def _require_httpx() -> None:
    try:
        import httpx  # noqa: F401 - only whether it is there
    except ImportError as exc:
        need = "needs httpx: pip install 'trio-wsguard[alerts]'"
        raise wsguard.PolicyError("sinks", "HTTP", need) from exc
