"""Watching endpoints of a server that nobody here wrote."""

from __future__ import annotations

import json
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

from .kit import feed_server, finish, needs_signals, run, spawn

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path


def closed_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
        assert isinstance(number, int)
        return number


def read_until(process: subprocess.Popen[str], wanted: str) -> list[str]:
    """Read lines up to the first that has `wanted`."""
    assert process.stdout is not None
    found: list[str] = []
    for line in process.stdout:
        found.append(line)
        if wanted in line:
            return found
    raise AssertionError(f"{wanted!r} did not come: {found}")


@needs_signals
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_with_a_summary(port: int, number: signal.Signals) -> None:
    """Ctrl-C closes the connection, sums up, and is no error."""
    with spawn("watch", f"ws://127.0.0.1:{port}/x?token=hidden", "--messages") as process:
        read_until(process, "tick 3")
        process.send_signal(number)
        ended = finish(process)
    assert (ended.code, ended.err) == (0, "")
    assert "CLOSED        closed by this side" in ended.out
    summary = ended.out.partition("Summary")[2]
    for label in ("uptime", "reconnects", "losses", "messages", "response time", "last failure"):
        assert label in summary
    assert "hidden" not in ended.out


@needs_signals
def test_json(port: int) -> None:
    """With --json each line is an event; the last one sums up."""
    url = f"ws://127.0.0.1:{port}/"
    with spawn("watch", url, "--json", "--messages", "--name", "feed") as process:
        out = read_until(process, "base64")
        process.send_signal(signal.SIGINT)
        ended = finish(process)
    found: list[dict[str, Any]] = [json.loads(line) for line in [*out, *ended.out.splitlines()]]
    assert (ended.code, ended.err) == (0, "")
    states = [pairs["state"] for pairs in found if pairs["event"] == "state_change"]
    assert states == ["CONNECTING", "CONNECTED", "CLOSED"]
    texts = [pairs["text"] for pairs in found if "text" in pairs]
    assert texts[0] == "tick 1 \x1b[31m[bold]\u202e"
    assert found[-1]["event"] == "summary"
    assert found[-1]["name"] == "feed"
    assert found[-1]["messages_received"] >= len(texts)
    assert found[-1]["status"] == "HEALTHY"


def test_messages_are_escaped(port: int) -> None:
    """What the peer sends reaches no terminal as it is; a reader that leaves ends it quietly."""
    with spawn("watch", f"ws://127.0.0.1:{port}/", "--messages") as process:
        lines = read_until(process, "2 bytes")
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert all(line.rstrip("\n").isprintable() for line in lines)
    assert any(r"tick 1 \x1b[31m[bold]\u202e" in line for line in lines)


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals there")
def test_live_view(port: int) -> None:
    """On a terminal there is a panel of figures, taken away at the end."""
    import os
    import pty
    import subprocess

    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "110", "LINES": "30"}
    argv = [sys.executable, "-m", "trio_wsguard", "watch", f"ws://127.0.0.1:{port}/", "--messages"]
    with subprocess.Popen(  # noqa: S603 - our own interpreter and code
        argv, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env=env
    ) as process:
        os.close(theirs)
        try:
            out = b""
            while b"tick 9" not in out:
                out += os.read(ours, 65536)
            process.send_signal(signal.SIGINT)
            while b"last failure" not in out:
                out += os.read(ours, 65536)
            assert process.stderr is not None
            assert process.stderr.read() == b""
            assert process.wait(10) == 0
        finally:
            process.kill()
            os.close(ours)
    text = out.decode()
    panel, _, summary = text.partition("Summary")
    for label in ("● CONNECTED", "state", "failures", "score", "response", "silence", "MTBF"):
        assert label in panel
    assert "\u202e" not in text
    assert "[bold]" in panel
    assert "MTBF" not in summary


def test_final_close(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A peer that is done ends it with a line, and that is no error."""
    ended = run(capsys, "watch", f"ws://127.0.0.1:{port}/done")
    assert (ended.code, ended.err) == (0, "")
    assert r"the peer is done: closed with code 1000: no \x1b[31mmore" in ended.out
    assert "Summary" in ended.out


def test_headers_are_sent(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A header of the command line reaches the server, colons in its value included."""
    argv = ["watch", f"ws://127.0.0.1:{port}/wants-header", "--max-failures", "1", "--messages"]
    ended = run(capsys, *argv, "--header", "X-Token: wrong")
    assert ended.code == 1
    assert "4001: no header" in ended.complaint
    with spawn(*argv, "--header", "X-Token: a:b") as process:
        read_until(process, "tick 1")


def test_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """An endpoint that refuses the first attempt is told in one line, at once."""
    ended = run(capsys, "watch", f"ws://127.0.0.1:{closed_port()}/")
    assert ended.code == 1
    assert "Connection refused; --wait keeps trying" in ended.complaint
    assert "Summary" not in ended.out


@pytest.mark.parametrize("as_json", [False, True])
def test_wait_until_failed(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """With --wait it is retried until the guard has failed; then one line tells why."""
    argv = ["--policy", "low-latency", "--wait", "--max-failures", "2"]
    url = f"ws://127.0.0.1:{closed_port()}/"
    ended = run(capsys, "watch", url, *argv, *["--json"] * as_json)
    assert ended.code == 1
    assert "gave up after 2 failures" in ended.complaint
    assert "FAILED" in ended.out


def test_never_give_up() -> None:
    """With --max-failures 0 the guard never fails."""
    url = f"ws://127.0.0.1:{closed_port()}/"
    with spawn("watch", url, "--wait", "--max-failures", "0", "--json") as process:
        read_until(process, "RECONNECTING")
        assert process.poll() is None


def test_insecure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bad certificate is refused, unless --insecure, which warns."""
    trustme = pytest.importorskip("trustme")
    pem = tmp_path / "server.pem"
    trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
    with feed_server(str(pem)) as port:
        url = f"wss://127.0.0.1:{port}/done"
        ended = run(capsys, "watch", url)
        assert ended.code == 1
        assert "certificate" in ended.complaint
        assert "--wait" not in ended.complaint
        ended = run(capsys, "watch", url, "--insecure")
        assert ended.code == 0
        assert ended.complaint == "trio-wsguard: warning: certificates are not checked"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /dev/full")
def test_disk_full(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where stdout cannot be written to, one line tells why."""
    import subprocess
    from pathlib import Path

    argv = [sys.executable, "-m", "trio_wsguard", "watch", f"ws://127.0.0.1:{port}/"]
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(  # noqa: S603 - our own interpreter and code
            argv, stdout=full, stderr=subprocess.PIPE, text=True, timeout=30
        )
    assert process.returncode == 1
    assert process.stderr.startswith("trio-wsguard: cannot write to stdout: ")
    assert len(process.stderr.splitlines()) == 1
