"""The opening handshake, seen from the server (RFC 6455, section 4.2)."""

from __future__ import annotations

import http
from typing import TYPE_CHECKING, Final, cast

import attrs
from wsproto.connection import ConnectionType
from wsproto.events import RejectConnection
from wsproto.handshake import H11Handshake
from wsproto.utilities import ProtocolError, generate_accept_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wsproto.events import Request

_END_OF_HEAD: Final = b"\r\n\r\n"
_MAX_HEAD: Final = 2**16


class BadRequestError(Exception):
    """What the client sent is no request for a WebSocket.

    Attributes:
        status: What to answer.
        headers: Likewise.
    """

    def __init__(self, problem: str, status: int = 400, headers: Mapping[str, str] = {}) -> None:
        super().__init__(problem)
        self.status = status
        self.headers = headers


@attrs.frozen
class OpeningRequest:
    """What a client asks for.

    Attributes:
        path: Path and query.
        headers: Names in lower case; repeated ones joined by commas.
        subprotocols: Those offered.
    """

    path: str
    headers: Mapping[str, str]
    subprotocols: tuple[str, ...]


class RequestReader:
    """Reads the request out of the first bytes of a stream."""

    def __init__(self) -> None:
        self._head = bytearray()

    def feed(self, data: bytes) -> OpeningRequest | None:
        """Take bytes and give the request, once it is whole.

        Raises:
            BadRequestError: It is none.
        """
        self._head += data
        head, end, rest = self._head.partition(_END_OF_HEAD)
        if len(head) > _MAX_HEAD:
            raise BadRequestError(f"no end of the request's head within {_MAX_HEAD} bytes", 431)
        if rest:
            raise BadRequestError("bytes before the handshake was answered")
        return _parse(bytes(head + end)) if end else None


def _parse(head: bytes) -> OpeningRequest:
    handshake = H11Handshake(ConnectionType.SERVER)
    try:
        handshake.receive_data(head)
        request = cast("Request", next(handshake.events()))
    except ProtocolError as exc:
        hint = getattr(exc, "event_hint", None) or RejectConnection()
        headers = {name.decode(): value.decode() for name, value in hint.headers}
        raise BadRequestError(str(exc), hint.status_code, headers) from None
    except UnicodeError as exc:
        raise BadRequestError(str(exc)) from None
    return OpeningRequest(request.target, _headers(request), tuple(request.subprotocols))


def _headers(request: Request) -> dict[str, str]:
    headers = {"host": request.host}
    if request.extensions:
        headers["sec-websocket-extensions"] = ", ".join(map(str, request.extensions))
    for raw_name, raw_value in request.extra_headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def accept_headers(request_headers: Mapping[str, str]) -> dict[str, str]:
    """Tell the headers of a 101 that accepts a request."""
    key = request_headers["sec-websocket-key"].encode("latin-1")
    return {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": generate_accept_token(key).decode(),
    }


def http_head(status: int, headers: Mapping[str, str | None]) -> bytes:
    """Build the head of an answer; headers whose value is ``None`` are left out."""
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unassigned"
    lines = [f"HTTP/1.1 {status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
