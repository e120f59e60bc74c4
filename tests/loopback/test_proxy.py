"""The way through proxies, each a process of its own."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard import FailureKind
from trio_wsguard._shell.dial import parse_url
from trio_wsguard._shell.proxy import Proxies, open_through, parse_proxy
from trio_wsguard._shell.tls import TLSClient

from .servers import (
    CA,
    Server,
    accept,
    close_with,
    drop,
    echo,
    eventually,
    failure_of,
    header,
    open_guard,
    quick,
    redirect,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

pytest.importorskip("python_socks")

SCHEMES = ["http", "socks4", "socks4a", "socks5", "socks5h"]
PROTOCOLS = ["http", "socks4", "socks5"]


@attrs.define(eq=False)
class RunningProxy:
    """A proxy in a process of its own, and what was asked of it."""

    port: int
    process: trio.Process
    asked: list[dict[str, Any]] = attrs.field(factory=list)

    def url(self, scheme: str = "http", user: str = "") -> str:
        return f"{scheme}://{user and user + '@'}127.0.0.1:{self.port}"


@asynccontextmanager
async def running_proxy(*plans: str, **options: Any) -> AsyncIterator[RunningProxy]:
    """Run a proxy that meets each connection by a plan, the last one for ever."""
    settings = json.dumps({"plans": plans or ("tunnel",), **options})
    script = str(Path(__file__).with_name("proxy_server.py"))
    process = await trio.lowlevel.open_process(
        [sys.executable, script, settings], stdout=subprocess.PIPE
    )
    stdout = process.stdout
    assert stdout is not None
    try:
        started, proxy = trio.Event(), RunningProxy(0, process)

        async def read_on() -> None:
            unread = b""
            async for chunk in stdout:
                *lines, unread = (unread + bytes(chunk)).split(b"\n")
                proxy.asked += [json.loads(line) for line in lines]
                if proxy.asked:
                    started.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_on)
            await started.wait()
            proxy.port = proxy.asked.pop(0)["port"]
            yield proxy
            nursery.cancel_scope.cancel()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            await stdout.aclose()


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let the environment name no proxy."""
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)
    return monkeypatch


@pytest.fixture
def pem(tmp_path: Path) -> str:
    """The certificate of a proxy."""
    path = tmp_path / "proxy.pem"
    CA.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(path)
    return str(path)


# --- tunnels ------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_messages_pass_through(server: Server, scheme: str) -> None:
    """Through any kind of proxy the guard connects, and messages of all sizes pass."""
    server.script(accept(echo))
    async with (
        running_proxy() as proxy,
        open_guard(server.url, proxy=proxy.url(scheme)) as ws,
    ):
        for message in ("x", "y" * 300_000):
            await ws.send_message(message)
            assert await ws.get_message() == message
        asked = [(one["host"], one["port"]) for one in proxy.asked]
        assert asked == [("127.0.0.1", server.port)]


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_an_answer_in_pieces_is_read_whole(server: Server, scheme: str) -> None:
    """An answer of the proxy's that comes byte by byte does not leak into the tunnel."""
    server.script(accept(echo))
    async with (
        running_proxy("dribble") as proxy,
        open_guard(server.url, proxy=proxy.url(scheme)) as ws,
    ):
        await ws.send_message("x")
        assert await ws.get_message() == "x"
        assert ws.generation == 1


@pytest.mark.parametrize("scheme", ["http", "socks4a", "socks5h"])
async def test_the_proxy_looks_up_the_name(server: Server, scheme: str) -> None:
    """HTTP, SOCKS4a and SOCKS5h are told the name, which this machine need not know."""
    server.script(accept(echo))
    url = server.url.replace("127.0.0.1", "feed.test")
    async with running_proxy() as proxy, open_guard(url, proxy=proxy.url(scheme)):
        assert proxy.asked[0]["host"] == "feed.test"
    assert header(server.heads[0], "Host") == f"feed.test:{server.port}"


@pytest.mark.parametrize("scheme", ["socks4", "socks5"])
async def test_this_machine_looks_up_the_name(server: Server, scheme: str) -> None:
    """SOCKS4 and SOCKS5 are told an address; a name that has none never gets to the proxy."""
    server.script(accept(echo))
    async with running_proxy() as proxy:
        url = server.url.replace("127.0.0.1", "localhost")
        async with open_guard(url, proxy=proxy.url(scheme)):
            assert proxy.asked[0]["host"] == "127.0.0.1"
        failure = await failure_of("ws://feed.invalid/", proxy=proxy.url(scheme))
        assert failure.kind is FailureKind.NETWORK
        assert len(proxy.asked) == 1


@pytest.mark.parametrize(
    ("scheme", "host", "said"),
    [
        ("socks4", "[::1]", "SOCKS4 leads to IPv4 addresses, and ::1 has none"),
        ("http", "a..b", "no name of a host: a..b"),
        ("socks5h", "ü" * 64, "no name of a host"),
    ],
)
async def test_what_no_proxy_can_be_asked_for(scheme: str, host: str, said: str) -> None:
    """A host that the protocol cannot name is NETWORK, before the proxy is asked."""
    failure = await failure_of(f"ws://{host}/", proxy=f"{scheme}://127.0.0.1:1")
    assert failure.kind is FailureKind.NETWORK
    assert said in failure.message


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_tls_through_a_proxy(
    tls_server: Server, client_context: ssl.SSLContext, scheme: str
) -> None:
    """TLS is spoken with the server behind the proxy, under the server's name."""
    tls_server.script(accept(echo))
    async with (
        running_proxy() as proxy,
        open_guard(tls_server.url, proxy=proxy.url(scheme), ssl_context=client_context) as ws,
    ):
        await ws.send_message("x" * 100_000)
        assert await ws.get_message() == "x" * 100_000


@pytest.mark.parametrize("is_tls", [False, True])
async def test_a_proxy_under_tls(
    server: Server,
    tls_server: Server,
    client_context: ssl.SSLContext,
    pem: str,
    is_tls: bool,
) -> None:
    """An https proxy is spoken to by TLS, and TLS with the server goes inside of it."""
    target = tls_server if is_tls else server
    target.script(accept(drop), accept(echo))
    async with running_proxy(pem=pem, user="me", password="pw") as proxy:
        url = proxy.url("https", "me:pw")
        async with open_guard(target.url, proxy=url, ssl_context=client_context) as ws:
            await eventually(lambda: ws.generation == 2)
            await ws.send_message("x" * 100_000)
            assert await ws.get_message() == "x" * 100_000
        assert {one["given"] for one in proxy.asked} == {"me:pw"}


async def test_an_untrusted_proxy_is_told_nothing(server: Server, pem: str) -> None:
    """The certificate of an https proxy is checked before user and password go out."""
    async with running_proxy(pem=pem) as proxy:
        failure = await failure_of(server.url, proxy=proxy.url("https", "me:s3cret"))
        assert (failure.kind, failure.transient) == (FailureKind.TLS, False)
        assert "proxy" in failure.message
        assert proxy.asked == []


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_guard_comes_back_through_its_proxy(server: Server, scheme: str) -> None:
    """After a loss the next connection goes through the proxy again."""
    server.script(accept(drop), accept(drop), accept(echo))
    async with (
        running_proxy() as proxy,
        open_guard(server.url, proxy=proxy.url(scheme)) as ws,
    ):
        await eventually(lambda: ws.generation == 3)
        await ws.send_message("back")
        assert await ws.get_message() == "back"
        await eventually(lambda: len(proxy.asked) == 3)


async def test_a_proxy_that_restarts_is_found_again(server: Server) -> None:
    """When the proxy dies the connection is CLOSED, then NETWORK, until it is back."""
    server.script(accept(echo))
    policy = quick(max_connection_failures=None)
    async with running_proxy() as proxy:
        port = proxy.port
        async with open_guard(server.url, proxy=proxy.url(), policy=policy) as ws:
            async with ws.events() as events:
                proxy.process.kill()
                kinds: list[FailureKind] = []
                async for event in events:
                    if isinstance(event, wsguard.StateChange) and event.failure is not None:
                        kinds.append(event.failure.kind)
                        if len(kinds) == 2:
                            break
            assert kinds == [FailureKind.CLOSED, FailureKind.NETWORK]
            async with running_proxy(port=port):
                await ws.send_message("back")
                assert await ws.get_message() == "back"


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_tcp_nodelay_through_a_proxy(server: Server, scheme: str) -> None:
    """The connection to a proxy waits for no ACK before it sends."""
    server.script(accept(echo))
    async with running_proxy() as proxy:
        stream = await open_through(
            parse_proxy(proxy.url(scheme)), parse_url(server.url), TLSClient(None)
        )
        assert isinstance(stream, trio.SocketStream)
        async with stream:
            assert stream.getsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY)


# --- refusals -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "right", "wrong"),
    [
        ("http", "me%40home:p%3Aw", ["", "me%40home:no", "you:p%3Aw"]),
        ("socks4", "me%40home", ["", "you"]),
        ("socks4a", "me%40home", ["", "you"]),
        ("socks5", "me%40home:p%3Aw", ["", "me%40home:no", "you:p%3Aw"]),
        ("socks5h", "me%40home:p%3Aw", ["", "me%40home:no", "you:p%3Aw"]),
    ],
)
async def test_user_and_password(server: Server, scheme: str, right: str, wrong: list[str]) -> None:
    """User and password, percent-decoded, are accepted; wrong ones are fatal, as 407."""
    server.script(accept(echo))
    async with running_proxy(user="me@home", password="p:w") as proxy:
        async with open_guard(server.url, proxy=proxy.url(scheme, right)) as ws:
            await ws.send_message("x")
            assert await ws.get_message() == "x"
        for user in wrong:
            proxy.asked.clear()
            failure = await failure_of(server.url, proxy=proxy.url(scheme, user))
            assert (failure.kind, failure.http_status) == (FailureKind.REJECTED, 407)
            assert not failure.transient
            await eventually(lambda: len(proxy.asked) == 1)


@pytest.mark.parametrize(
    ("scheme", "code", "said"),
    [
        ("http", 403, "403"),
        ("http", 502, "502 No\\x1b[31m"),
        ("http", 302, "302"),
        ("socks4a", 0x5B, "rejected"),
        ("socks5h", 2, "not allowed"),
        ("socks5h", 5, "refused"),
    ],
)
async def test_a_refusal_is_a_failure_of_the_network(
    server: Server, scheme: str, code: int, said: str
) -> None:
    """A proxy that opens no tunnel is NETWORK, retried, with the proxy's own words, made safe."""
    server.script(accept(echo))
    async with running_proxy(f"refuse={code}", "tunnel") as proxy:
        url = proxy.url(scheme, "" if scheme == "socks4a" else "me:s3cret")
        failure = await failure_of(server.url, proxy=url)
        assert (failure.kind, failure.transient) == (FailureKind.NETWORK, True)
        assert failure.http_status is None
        assert said in failure.message
        assert f"{scheme}://127.0.0.1:{proxy.port}" in failure.message
        assert "s3cret" not in failure.message
        async with open_guard(server.url, proxy=url) as ws:
            assert ws.generation == 1


async def test_a_closed_port_behind_the_proxy(server: Server) -> None:
    """A target that the proxy cannot reach is NETWORK."""
    await server.stop()
    async with running_proxy() as proxy:
        failure = await failure_of(server.url, proxy=proxy.url())
    assert failure.kind is FailureKind.NETWORK


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_no_proxy_there(server: Server, scheme: str) -> None:
    """A proxy that cannot be reached is NETWORK, and its name is told."""
    await server.stop()  # to have a port where nobody listens
    proxy = f"{scheme}://127.0.0.1:{server.port}"
    failure = await failure_of("ws://127.0.0.1:1/", proxy=proxy)
    assert (failure.kind, failure.transient) == (FailureKind.NETWORK, True)
    assert f"cannot reach the proxy {scheme}://127.0.0.1:{server.port}" in failure.message


@pytest.mark.parametrize("scheme", PROTOCOLS)
@pytest.mark.parametrize("plan", ["reset", "end"])
async def test_an_end_before_the_answer(server: Server, scheme: str, plan: str) -> None:
    """A proxy that ends the connection instead of an answer is NETWORK at once, and retried."""
    server.script(accept(echo))
    async with running_proxy(plan, "tunnel") as proxy:
        failure = await failure_of(server.url, proxy=proxy.url(scheme))
        assert (failure.kind, failure.transient) == (FailureKind.NETWORK, True)
        assert "ended the connection" in failure.message
        async with open_guard(server.url, proxy=proxy.url(scheme)) as ws:
            await ws.send_message("x")
            assert await ws.get_message() == "x"


@pytest.mark.parametrize("scheme", PROTOCOLS)
async def test_what_is_no_proxy(server: Server, scheme: str) -> None:
    """An answer that is none of a proxy's is PROTOCOL at once, and retried."""
    server.script(accept(echo))
    async with running_proxy("garbage") as proxy:
        failure = await failure_of(server.url, proxy=proxy.url(scheme))
    assert (failure.kind, failure.transient) == (FailureKind.PROTOCOL, True)
    assert f"does not speak {scheme}" in failure.message


@pytest.mark.parametrize(("scheme", "plan"), [("http", "endless"), ("http", "chatty")])
async def test_more_than_an_answer(server: Server, scheme: str, plan: str) -> None:
    """An answer without end, and bytes after one, which would be lost, are PROTOCOL."""
    server.script(accept(echo))
    async with running_proxy(plan) as proxy:
        failure = await failure_of(server.url, proxy=proxy.url(scheme))
    assert failure.kind is FailureKind.PROTOCOL


@pytest.mark.parametrize("scheme", [*PROTOCOLS, "https"])
async def test_a_silent_proxy_is_bounded(server: Server, scheme: str) -> None:
    """A proxy without an answer ends by open_timeout, as TIMEOUT."""
    async with running_proxy("silent") as proxy:
        policy = quick(open_timeout=0.3)
        failure = await failure_of(server.url, proxy=proxy.url(scheme), policy=policy)
    assert failure.kind is FailureKind.TIMEOUT


@pytest.mark.parametrize("scheme", PROTOCOLS)
async def test_cancelling_at_a_silent_proxy_is_prompt(server: Server, scheme: str) -> None:
    """Cancelling does not wait for a proxy, and the proxy sees the connection end."""
    async with running_proxy("silent") as proxy:
        began = trio.current_time()
        with trio.move_on_after(0.3) as scope:
            async with open_guard(server.url, proxy=proxy.url(scheme)):
                raise AssertionError("entered")
        assert scope.cancelled_caught
        assert trio.current_time() - began < 1


# --- secrets ------------------------------------------------------------------


@pytest.mark.parametrize("user", ["", "me:s3cret"])
async def test_user_and_password_are_shown_nowhere(
    server: Server, caplog: pytest.LogCaptureFixture, user: str
) -> None:
    """Neither logs, events, errors nor reprs show what the proxy is told."""
    caplog.set_level(logging.DEBUG)
    secrets = ("s3cret", "bWU6czNjcmV0")
    async with running_proxy(user="me", password="other") as proxy:
        with pytest.raises(wsguard.GuardFailedError) as caught:
            async with open_guard(server.url, proxy=proxy.url("http", user)):
                raise AssertionError("entered")
    shown = [caplog.text, str(caught.value), repr(caught.value.failures)]
    link: BaseException | None = caught.value
    while link is not None:
        shown += [str(link), repr(link), repr(link.args)]
        link = link.exceptions[0] if isinstance(link, ExceptionGroup) else link.__cause__
    shown.append(repr(parse_proxy("http://me:s3cret@host:1")))
    assert not [text for text in shown for secret in secrets if secret in text]


BAD = [
    "",
    "proxy.example:3128",
    "ftp://proxy.example",
    "socks://proxy.example",
    "socks6://proxy.example",
    "http://",
    "http://:3128",
    "http://proxy.example:port",
    "http://proxy.example:70000",
    "http://[::1",
    "http://proxy.example/path",
    "http://proxy.example?query=1",
    "http://:s3cret@proxy.example",
    "http://me%3Ayou:s3cret@proxy.example",
    "http://me:s3cret%E2%82%AC@proxy.example",
    "http://me:s3cret%FF@proxy.example",
    "http://me:12/s3cret@proxy.example",
    "http://me:s3cret/x@proxy.example",
    "http://me:s3cret#x@proxy.example",
    "http://me:x@s3cret@proxy.example/path",
    "http://proxy.example#s3cret",
    "http://me:s3cret?x@proxy.example",
    "http:me:s3cret@proxy.example",
    "me:s3cret@proxy.example:3128",
    "socks4://me:s3cret@proxy.example",
    "socks5://me@proxy.example",
    "socks5://me:s3cret%C3%BC@proxy.example",
    f"socks5://me:s3cret{'x' * 256}@proxy.example",
    b"http://proxy.example",
    3128,
    True,
]


@pytest.mark.parametrize("proxy", BAD)
async def test_a_bad_proxy_is_refused_at_once(proxy: Any) -> None:
    """What is no usable URL of a proxy is a PolicyError when the guard is opened; no secret."""
    with pytest.raises(wsguard.PolicyError) as caught:
        async with open_guard("ws://127.0.0.1:1/", proxy=proxy, wait=False):
            raise AssertionError("entered")
    assert caught.value.field == "proxy"
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(caught.value)


@pytest.mark.parametrize(
    ("url", "shown", "user", "password"),
    [
        ("http://proxy.example", "http://proxy.example:80", "", ""),
        ("https://proxy.example/", "https://proxy.example:443", "", ""),
        ("SOCKS5://proxy.example", "socks5://proxy.example:1080", "", ""),
        ("socks4a://me@[::1]:9", "socks4a://[::1]:9", "me", ""),
        ("http://m%C3%BC:a%3Ab@proxy.example:1", "http://proxy.example:1", "mü", "a:b"),
        ("http://token@proxy.example:1", "http://proxy.example:1", "token", ""),
    ],
)
def test_urls_of_proxies_are_read(url: str, shown: str, user: str, password: str) -> None:
    """A URL of a proxy gives scheme, host, port, user and password."""
    proxy = parse_proxy(url)
    assert (str(proxy), proxy.user, proxy.password) == (shown, user, password)


async def test_a_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without python-socks a proxy is refused with what to install."""
    monkeypatch.setitem(sys.modules, "python_socks", None)
    with pytest.raises(wsguard.PolicyError, match=r"pip install 'trio-wsguard\[proxy\]'"):
        async with open_guard("ws://a/", proxy="http://me:s3cret@b", wait=False):
            raise AssertionError("entered")


def test_python_socks_is_imported_when_needed() -> None:
    """Importing the library does not import python-socks."""
    code = "import sys, trio_wsguard; print('python_socks' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - our own code
    assert done.stdout.strip() == "False"


async def test_a_dial_of_ones_own_excludes_a_proxy() -> None:
    """Both `dial` and `proxy` are refused: one of them would be ignored."""

    async def dial(target: wsguard.Target) -> trio.abc.Stream:
        raise AssertionError

    with pytest.raises(wsguard.PolicyError, match="exclude each other"):
        async with open_guard("ws://a/", proxy="http://b", dial=dial, wait=False):
            raise AssertionError("entered")


async def test_a_unix_socket_excludes_a_proxy() -> None:
    """No proxy leads to a Unix socket: where one is demanded, the URL is refused."""
    with pytest.raises(wsguard.PolicyError, match="does not lead to"):
        async with open_guard("ws+unix:/tmp/a.sock", proxy="http://b", wait=False):
            raise AssertionError("entered")


# --- the environment ------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({}, "ws://a/", None),
        ({"HTTP_PROXY": "http://p:1"}, "ws://a/", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "wss://a/", None),
        ({"HTTPS_PROXY": "http://p:1"}, "wss://a/", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "ws://a/", None),
        ({"https_proxy": "http://q:1", "HTTPS_PROXY": "http://p:1"}, "wss://a/", "http://q:1"),
        ({"ALL_PROXY": "socks5h://p"}, "ws://a/", "socks5h://p:1080"),
        ({"ALL_PROXY": "socks5h://p", "HTTP_PROXY": "p:1"}, "ws://a/", "http://p:1"),
        ({"HTTP_PROXY": ""}, "ws://a/", None),
        ({"ALL_PROXY": "p:1", "NO_PROXY": "*"}, "ws://a/", None),
        ({"ALL_PROXY": "p:1", "NO_PROXY": "a.b"}, "ws://a.b/", None),
        ({"ALL_PROXY": "p:1", "NO_PROXY": "x, .a.b"}, "ws://c.A.b/", None),
        ({"ALL_PROXY": "p:1", "NO_PROXY": "a.b"}, "ws://ca.b/", "http://p:1"),
        ({"ALL_PROXY": "p:1", "no_proxy": "a:81"}, "ws://a:81/", None),
        ({"ALL_PROXY": "p:1", "no_proxy": "a:81"}, "ws://a:82/", "http://p:1"),
        ({"ALL_PROXY": "p:1", "no_proxy": "::1"}, "ws://[::1]:9/", None),
        ({"ALL_PROXY": "p:1"}, "ws+unix:/a.sock", None),
    ],
)
def test_the_environment_is_read_as_by_the_standard_library(
    clean_environment: pytest.MonkeyPatch, variables: dict[str, str], url: str, proxy: str | None
) -> None:
    """With "env", wss goes by HTTPS_PROXY, ws by HTTP_PROXY, else ALL_PROXY, but for NO_PROXY."""
    for name, value in variables.items():
        clean_environment.setenv(name, value)
    found = Proxies("env").find(parse_url(url))
    assert (None if found is None else str(found)) == proxy


async def test_the_environment_leads_through_a_proxy(
    server: Server, clean_environment: pytest.MonkeyPatch
) -> None:
    """With "env" the guard goes through the proxy that was named when it was opened."""
    server.script(accept(drop), accept(echo))
    async with running_proxy() as proxy:
        clean_environment.setenv("HTTP_PROXY", proxy.url())
        async with open_guard(server.url, proxy="env") as ws:
            clean_environment.delenv("HTTP_PROXY")
            await eventually(lambda: ws.generation == 2)
            await ws.send_message("x")
            assert await ws.get_message() == "x"
            assert len(proxy.asked) == 2
        async with open_guard(server.url):
            assert len(proxy.asked) == 2


async def test_a_bad_environment_is_refused_at_once(clean_environment: pytest.MonkeyPatch) -> None:
    """What the environment names wrongly is refused when it would be used, not before."""
    clean_environment.setenv("HTTPS_PROXY", "ftp://me:s3cret@proxy.example")
    with pytest.raises(wsguard.PolicyError) as caught:
        async with open_guard("wss://a/", proxy="env", wait=False):
            raise AssertionError("entered")
    assert "s3cret" not in str(caught.value)
    async with open_guard("ws://127.0.0.1:1/", proxy="env", wait=False):
        pass


async def test_a_url_asked_for_finds_its_proxy(
    server: Server, clean_environment: pytest.MonkeyPatch
) -> None:
    """Each URL that a callable gives finds its own way; a bad proxy for it is fatal."""
    server.script(accept(echo))
    clean_environment.setenv("HTTPS_PROXY", "ftp://proxy.example")
    async with open_guard(lambda attempt: server.url, proxy="env"):
        pass
    failure = await failure_of(lambda attempt: "wss://a/", proxy="env")
    assert not failure.transient


async def test_a_redirect_finds_its_proxy(
    server: Server, clean_environment: pytest.MonkeyPatch
) -> None:
    """Each redirect goes the way of its own host."""
    url = f"ws://feed.test:{server.port}/"
    server.script(redirect(url), accept(echo))
    async with running_proxy() as proxy:
        clean_environment.setenv("HTTP_PROXY", proxy.url())
        clean_environment.setenv("NO_PROXY", "127.0.0.1")
        async with open_guard(server.url, proxy="env"):
            assert [one["host"] for one in proxy.asked] == ["feed.test"]


# --- the command line -----------------------------------------------------------


async def watch(*argv: str) -> subprocess.CompletedProcess[bytes]:
    return await trio.run_process(
        [sys.executable, "-m", "trio_wsguard", "watch", *argv],
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )


async def test_watch_goes_through_a_proxy(server: Server) -> None:
    """`watch --proxy` takes the URL of a proxy, and never shows its user and password."""
    pytest.importorskip("click")
    pytest.importorskip("rich")
    server.script(accept(close_with(1000)))
    async with running_proxy(user="me", password="s3cret") as proxy:
        done = await watch(server.url, "--proxy", proxy.url("http", "me:s3cret"))
        assert (done.returncode, done.stderr) == (0, b"")
        assert len(proxy.asked) == 1
        refused = await watch(server.url, "--proxy", proxy.url("http", "you:s3cret"))
        assert refused.returncode == 1
        assert b"refused user or password" in refused.stderr
    bad = await watch(server.url, "--proxy", "ftp://me:s3cret@proxy.example")
    assert bad.returncode == 2
    assert bad.stderr.startswith(b"trio-wsguard: proxy 'ftp://proxy.example': must begin with")
    assert b"s3cret" not in done.stdout + refused.stdout + refused.stderr + bad.stderr


# --- a proxy that nobody here wrote ---------------------------------------------


@pytest.mark.parametrize("is_tls", [False, True])
async def test_a_proxy_that_nobody_here_wrote(
    server: Server,
    tls_server: Server,
    client_context: ssl.SSLContext,
    tmp_path: Path,
    is_tls: bool,
) -> None:
    """Through proxy.py, which asks for a password, a guard connects and comes back."""
    pytest.importorskip("proxy")
    target = tls_server if is_tls else server
    target.script(accept(drop), accept(echo))
    port_file = tmp_path / "port"
    argv = ["--hostname", "127.0.0.1", "--port", "0", "--port-file", str(port_file), "--threaded"]
    argv += ["--num-workers", "1", "--num-acceptors", "1", "--data-dir", str(tmp_path)]
    argv += ["--basic-auth", "me:pw", "--log-level", "ERROR"]
    process = await trio.lowlevel.open_process([sys.executable, "-m", "proxy", *argv])
    try:
        await eventually(lambda: port_file.exists() and port_file.read_text().strip() != "")
        address = f"127.0.0.1:{port_file.read_text().strip()}"
        options = {"ssl_context": client_context}
        url = f"http://me:pw@{address}"
        async with open_guard(target.url, proxy=url, **options) as ws:
            await eventually(lambda: ws.generation == 2)
            await ws.send_message("x" * 100_000)
            assert await ws.get_message() == "x" * 100_000
        failure = await failure_of(target.url, proxy=f"http://me:no@{address}", **options)
        assert (failure.kind, failure.http_status) == (FailureKind.REJECTED, 407)
    finally:
        process.terminate()
        with trio.move_on_after(5, shield=True):
            await process.wait()
        if process.returncode is None:
            process.kill()
