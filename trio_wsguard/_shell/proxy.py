"""The way through a proxy: HTTP CONNECT, SOCKS4 and SOCKS5, spoken by python-socks.

The connection to the proxy is ours, with its names, timeouts and TLS;
python-socks, imported when first needed, only asks for the tunnel.

Who looks up the target's name: the proxy for ``http``, ``https``, ``socks4a``
and ``socks5h``; this machine for ``socks4`` and ``socks5`` (curl's rules).
"""

from __future__ import annotations

import math
import urllib.parse
from typing import TYPE_CHECKING, Any, Final, Self

import attrs
import trio

from trio_wsguard._core.failure import FailureKind, printable
from trio_wsguard._errors import PolicyError, TransportError
from trio_wsguard._shell.dial import look_up, open_tcp

if TYPE_CHECKING:
    from types import ModuleType

    from trio_wsguard._shell.dial import Target
    from trio_wsguard._shell.tls import TLSClient

ENVIRONMENT: Final = "env"
# What python-socks calls the protocol, and the port where the URL names none.
_SCHEMES: Final = {
    "http": ("HTTP", 80),
    "https": ("HTTP", 443),
    "socks4": ("SOCKS4", 1080),
    "socks4a": ("SOCKS4", 1080),
    "socks5": ("SOCKS5", 1080),
    "socks5h": ("SOCKS5", 1080),
}
_WITH_ADDRESSES: Final = frozenset({"socks4", "socks5"})  # these are told no names
_MAX_HEAD: Final = 2**16
_AUTHENTICATION_REQUIRED: Final = 407
_SOCKS4_WRONG_USER: Final = 0x5D
_SOCKS5_NO_METHOD: Final = b"\x05\xff"  # RFC 1928, section 3
_SOCKS5_PASSWORD: Final = 1  # RFC 1929: the version of what answers a password


@attrs.frozen(kw_only=True)
class Proxy:
    """A proxy; its user and password are never shown."""

    scheme: str
    host: str
    port: int
    user: str = attrs.field(default="", repr=False)
    password: str = attrs.field(default="", repr=False)

    @property
    def protocol(self) -> str:
        """``HTTP``, ``SOCKS4`` or ``SOCKS5``."""
        return _SCHEMES[self.scheme][0]

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_proxy(url: object) -> Proxy:
    """Read the URL of a proxy.

    Raises:
        PolicyError: It is none; user and password are not shown.
    """
    if not isinstance(url, str):
        raise PolicyError("proxy", type(url).__name__, 'must be a URL, "env" or None')
    shown = _without_user(url)
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
        user = urllib.parse.unquote(parts.username or "", errors="strict")
        password = urllib.parse.unquote(parts.password or "", errors="strict")
    except ValueError:
        # The reason may quote a piece of the password.
        raise PolicyError("proxy", shown, "is no URL of a proxy") from None
    if parts.scheme not in _SCHEMES:
        raise PolicyError("proxy", shown, f"must begin with one of {', '.join(_SCHEMES)}")
    if not host:
        raise PolicyError("proxy", shown, "has no host")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise PolicyError("proxy", shown, "has more than a host and a port")
    problem = _wrong_credentials(parts.scheme, user, password)
    if problem is not None:
        raise PolicyError("proxy", shown, problem)
    return Proxy(
        scheme=parts.scheme,
        host=host,
        port=_SCHEMES[parts.scheme][1] if port is None else port,
        user=user,
        password=password,
    )


def _without_user(url: str) -> str:
    # Up to the last @, and not as a URL is read: in one that is written wrongly,
    # a password may stand anywhere.
    scheme, colon, rest = url.partition("://")
    if not colon:
        scheme, rest = "", url
    place = rest.rpartition("@")[2]
    return printable(scheme + colon + place.partition("?")[0].partition("#")[0])


def _wrong_credentials(scheme: str, user: str, password: str) -> str | None:
    """Tell why a protocol cannot carry a user and a password; ``None`` if it can."""
    if password and not user:
        return "has a password and no user"
    protocol = _SCHEMES[scheme][0]
    if protocol == "HTTP":
        is_sendable = ":" not in user and all(ord(c) < 256 for c in user + password)
        return None if is_sendable else "user and password must be Latin-1, the user without colon"
    if not (user + password).isascii() or "\0" in user or max(len(user), len(password)) > 255:
        return "user and password must be ASCII, of at most 255 characters"
    if protocol == "SOCKS4":
        return "SOCKS4 has no passwords" if password else None
    return "SOCKS5 has no user without a password" if user and not password else None


class Proxies:
    """Tells which proxy leads to a target.

    Args:
        setting: The URL of a proxy, ``"env"``, or ``None`` for none.

    Raises:
        PolicyError: It is none of these, or the extra is missing.
    """

    def __init__(self, setting: object) -> None:
        self._fixed: Proxy | None = None
        self._environment: dict[str, str] = {}
        if setting == ENVIRONMENT:
            from urllib.request import getproxies_environment  # it takes long to import

            self._environment = getproxies_environment()
        elif setting is not None:
            self._fixed = parse_proxy(setting)
            _python_socks(self._fixed)

    def find(self, target: Target) -> Proxy | None:
        """Find the proxy for a target.

        Raises:
            PolicyError: The environment names none that can be used, or a
                proxy was demanded for a Unix socket.
        """
        if target.socket_path is not None:
            if self._fixed is not None:
                raise PolicyError("proxy", str(self._fixed), f"does not lead to {target}")
            return None
        if self._fixed is not None:
            return self._fixed
        scheme = "https" if target.is_secure else "http"
        url = self._environment.get(scheme) or self._environment.get("all")
        if url is None or self._is_bypassed(target):
            return None
        # Without a scheme it is an HTTP proxy, as everywhere.
        proxy = parse_proxy(url if "://" in url else f"http://{url}")
        _python_socks(proxy)
        return proxy

    def _is_bypassed(self, target: Target) -> bool:
        from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed lacks it

        names = [f"{target.host}:{target.port}"]
        if ":" in target.host:
            names = [f"[{target.host}]:{target.port}", target.host]
        return any(proxy_bypass_environment(name, self._environment) for name in names)


def _python_socks(proxy: Proxy) -> ModuleType:
    try:
        import python_socks
        import python_socks.async_.trio.v2
    except ImportError as exc:
        need = "needs python-socks: pip install 'trio-wsguard[proxy]'"
        raise PolicyError("proxy", str(proxy), need) from exc
    return python_socks


async def open_through(proxy: Proxy, target: Target, tls: TLSClient) -> trio.abc.Stream:
    """Connect to a target through a proxy.

    Args:
        proxy: The proxy.
        target: Where the tunnel leads.
        tls: For a proxy that is itself spoken to by TLS.

    Raises:
        TransportError: `NETWORK` where there is no tunnel to be had; `REJECTED`
            with 407 where user and password are refused, by SOCKS too; `TLS`
            and `PROTOCOL` for what the proxy speaks.
        OSError: The target's name has no address.
    """
    host = await _host_for(proxy, target)
    try:
        raw = await open_tcp(proxy.host, proxy.port)
    except OSError as exc:
        raise TransportError(
            FailureKind.NETWORK, printable(f"cannot reach the proxy {proxy}: {exc}")
        ) from exc
    stream: trio.abc.Stream = raw
    try:
        if proxy.scheme == "https":
            stream = await _wrap_tls(raw, proxy, tls)
        await _ask(_Tunnel(stream, proxy), host, target.port)
    except BaseException:
        tls.keep_sessions(stream)
        await trio.aclose_forcefully(raw)
        raise
    return stream


async def _host_for(proxy: Proxy, target: Target) -> str:
    """Tell by which name or address to ask for a target."""
    if proxy.scheme in _WITH_ADDRESSES:
        addresses = await look_up(target.host, target.port)
        four = [address for address in addresses if ":" not in address]
        if not four and proxy.scheme == "socks4":
            message = f"SOCKS4 leads to IPv4 addresses, and {target.host} has none"
            raise TransportError(FailureKind.NETWORK, printable(message))
        return (four or addresses)[0]
    try:
        return target.host.encode("idna").decode()
    except UnicodeError:
        message = f"no name of a host: {target.host}"
        raise TransportError(FailureKind.NETWORK, printable(message)) from None


async def _wrap_tls(raw: trio.abc.Stream, proxy: Proxy, tls: TLSClient) -> trio.abc.Stream:
    try:
        return await tls.wrap(raw, proxy.host, (True, proxy.host, proxy.port))
    except TransportError as exc:
        raise TransportError(exc.kind, f"with the proxy {proxy}: {exc}") from exc.__cause__


async def _ask(tunnel: _Tunnel, host: str, port: int) -> None:
    """Ask for a tunnel."""
    proxy = tunnel.proxy
    python_socks = _python_socks(proxy)
    client = python_socks.async_.trio.v2.Proxy(
        python_socks.ProxyType[proxy.protocol],
        proxy.host,
        proxy.port,
        proxy.user,
        proxy.password,
        rdns=True,  # where it is ours to look the name up, we did
        forward=tunnel,
    )
    try:
        await client.connect(host, port, timeout=math.inf)
    except python_socks.ProxyError as exc:
        raise tunnel.explain(str(exc), exc.error_code) from exc
    tunnel.check_empty()


class _Tunnel:
    """The connection to a proxy, as python-socks has it.

    To python-socks it is the proxy before its own, which opens the way to it;
    so the stream stays ours. It reads an answer of HTTP to its end, where
    python-socks takes the first segment for the whole.
    """

    def __init__(self, stream: trio.abc.Stream, proxy: Proxy) -> None:
        self.proxy = proxy
        self._stream = stream
        self._unread = bytearray()
        self._last = b""

    async def connect(self, *_: object, **__: Any) -> Self:
        """Pass for the way to the proxy."""
        await trio.lowlevel.checkpoint()
        return self

    async def write(self, data: bytes) -> None:
        """Send."""
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError as exc:
            raise self._ended() from exc

    async def read(self, max_bytes: int = _MAX_HEAD) -> bytes:
        """Read the head of an answer of HTTP, however it arrives."""
        while b"\r\n\r\n" not in self._unread:
            if len(self._unread) > max_bytes:
                raise self.explain("an endless answer", None)
            await self._fill()
        return self._take(self._unread.index(b"\r\n\r\n") + 4)

    async def read_exactly(self, n: int) -> bytes:
        """Read some bytes, no fewer."""
        while len(self._unread) < n:
            await self._fill()
        self._last = self._take(n)
        return self._last

    async def close(self) -> None:
        """Leave the stream to its owner."""

    write_all, read_exact = write, read_exactly  # their names in python-socks 2

    async def _fill(self) -> None:
        try:
            chunk = await self._stream.receive_some()
        except trio.BrokenResourceError as exc:
            raise self._ended() from exc
        if not chunk:
            raise self._ended()
        self._unread += chunk

    def _take(self, count: int) -> bytes:
        data = bytes(self._unread[:count])
        del self._unread[:count]
        return data

    def _ended(self) -> TransportError:
        message = f"the proxy {self.proxy} ended the connection without an answer"
        return TransportError(FailureKind.NETWORK, message)

    def check_empty(self) -> None:
        """Refuse what came after the answer: it would be lost, and no server speaks first.

        Raises:
            TransportError: `PROTOCOL`.
        """
        if self._unread:
            raise self.explain("more than an answer", None)

    def explain(self, said: str, code: int | None) -> TransportError:
        """Tell what a refusal means.

        Args:
            said: What python-socks makes of the answer.
            code: The status of HTTP, or the code of SOCKS; ``None`` for no answer to the point.
        """
        if self._is_user_refused(code):
            message = f"the proxy {self.proxy} refused user or password: {said}"
            return TransportError(
                FailureKind.REJECTED, printable(message), http_status=_AUTHENTICATION_REQUIRED
            )
        if code is None:
            message = f"the proxy {self.proxy} does not speak {self.proxy.scheme}: {said}"
            return TransportError(FailureKind.PROTOCOL, printable(message))
        message = f"the proxy {self.proxy} opened no tunnel: {said}"
        return TransportError(FailureKind.NETWORK, printable(message))

    def _is_user_refused(self, code: int | None) -> bool:
        if self.proxy.protocol == "HTTP":
            return code == _AUTHENTICATION_REQUIRED
        if self.proxy.protocol == "SOCKS4":
            return code == _SOCKS4_WRONG_USER
        # python-socks has no code for it.
        is_answer = len(self._last) == 2 and self._last[0] == _SOCKS5_PASSWORD
        return self._last == _SOCKS5_NO_METHOD or (is_answer and self._last[1] != 0)
