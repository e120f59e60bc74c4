"""TlsFailure: a handshake that fails."""

from __future__ import annotations

import ssl
from functools import lru_cache
from typing import Any

import pytest
import trio
import trustme

import trio_wsguard as wsguard
from trio_wsguard import PolicyError
from trio_wsguard.testing import SimulatedNetwork, TlsFailure, run_simulation
from trio_wsguard.testing.peer import Accept, Echo, Script, ScriptedPeer

from ..wire import dial


@lru_cache
def authority() -> trustme.CA:
    """Who signs, and whom the clients trust."""
    return trustme.CA()


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority().configure_trust(context)
    return context


def make(kind: Any, **settings: Any) -> TlsFailure:
    """Make a fault of a kind, with a CA where it needs one."""
    ca = authority() if kind in ("wrong_host", "expired") else None
    return TlsFailure(kind=kind, ca=ca, **settings)


async def serve_tls(stream: trio.abc.Stream) -> None:
    """Serve as one should."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert("feed").configure_cert(context)
    await ScriptedPeer(Script(Accept(), Echo()))(
        trio.SSLStream(stream, context, server_side=True, https_compatible=True)
    )


MESSAGES = {
    "eof": "EOF",
    "plaintext": "WRONG_VERSION_NUMBER|wrong version",
    "alert": "HANDSHAKE_FAILURE|handshake failure",
    "untrusted": "self.signed|unable to get local issuer",
    "wrong_host": "Hostname mismatch",
    "expired": "expired",
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_the_handshake_fails(kind: str) -> None:
    """The dial succeeds; the handshake fails at once with the cause of its kind."""

    async def main() -> tuple[float, BaseException | None]:
        async with SimulatedNetwork() as network:
            network.listen("feed:443", serve_tls)
            network.link("feed").add(make(kind))
            target = wsguard.Target(host="feed", port=443, is_secure=True, resource="/")
            stream = trio.SSLStream(await network.dial(target), trusting(), server_hostname="feed")
            with pytest.raises(trio.BrokenResourceError) as caught:
                await stream.do_handshake()
            return trio.current_time(), caught.value.__cause__

    at, cause = run_simulation(main)
    assert at == 0
    assert isinstance(cause, ssl.SSLError)
    assert any(part.lower() in str(cause).lower() for part in MESSAGES[kind].split("|"))
    assert dial(make(kind), url="wss://feed/") == (0, "open")


def test_a_client_that_verifies_nothing_gets_the_end() -> None:
    """A bad certificate that is taken nevertheless leads nowhere: the connection is closed."""

    async def main() -> bytes | bytearray:
        async with SimulatedNetwork() as network:
            network.listen("feed:443", serve_tls)
            network.link("feed").add(make("untrusted"))
            target = wsguard.Target(host="feed", port=443, is_secure=True, resource="/")
            context = ssl._create_unverified_context()  # noqa: S323 - what is tested
            stream = trio.SSLStream(
                await network.dial(target), context, server_hostname="feed", https_compatible=True
            )
            await stream.do_handshake()
            return await stream.receive_some()

    assert run_simulation(main) == b""


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_guard_retries_what_is_no_verdict_on_the_certificate(kind: str) -> None:
    """A bad certificate is fatal; all else is a failure of TLS, and tried again."""

    async def main() -> tuple[str, float, str]:
        async with SimulatedNetwork() as network:
            network.listen("feed:443", serve_tls)
            network.link("feed").add(make(kind, end=4))
            async with network.open_guard("wss://feed/", wait=False, ssl_context=trusting()) as ws:
                state = await ws.wait_state(
                    wsguard.ConnectionState.CONNECTED, wsguard.ConnectionState.FAILED
                )
                at = trio.current_time()
            # Only now are all events recorded.
            return state.name, at, str(network.trace())

    state, at, trace = run_simulation(main)
    is_fatal = kind in ("untrusted", "wrong_host", "expired")
    assert (state, at) == (("FAILED", 0) if is_fatal else ("CONNECTED", 5))
    assert "TLS" in trace


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"kind": "weak"}, "kind='weak': must be one of eof, plaintext"),
        ({"kind": "wrong_host"}, "ca=None: is needed for kind='wrong_host'"),
        ({"kind": "expired"}, "ca=None: is needed for kind='expired'"),
        ({"kind": "eof", "ca": "mine"}, "ca='mine': is not used for kind='eof'"),
    ],
)
def test_bad_settings(settings: dict[str, Any], problem: str) -> None:
    """Bad settings are refused by name and value."""
    with pytest.raises(PolicyError, match=problem):
        TlsFailure(**settings)


def test_the_authority_is_not_shown() -> None:
    """A repr shows what can be written down."""
    assert repr(make("expired", end=5)) == "TlsFailure(kind='expired', end=5)"
