"""Watching an endpoint while Prometheus watches, too."""

from __future__ import annotations

import importlib.util
import signal
import socket
import sys
import urllib.request

import pytest

from .kit import PATIENCE, finish, run, spawn

pytest.importorskip("prometheus_client")


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for a child there")
def test_metrics_are_served_meanwhile(port: int) -> None:
    """With --metrics-port 0 a free port is chosen and told, and the guard's metrics are there."""
    argv = ("watch", f"ws://127.0.0.1:{port}/x?token=hidden", "--metrics-port", "0", "--messages")
    with spawn(*argv) as process:
        assert process.stdout is not None
        told = next(line for line in process.stdout if "metrics" in line)
        next(line for line in process.stdout if "tick 3" in line)
        with urllib.request.urlopen(told.split()[-1], timeout=PATIENCE) as answer:  # noqa: S310
            text = answer.read().decode()
        process.send_signal(signal.SIGINT)
        ended = finish(process)
    assert (ended.code, ended.err) == (0, "")
    label = f'guard="ws://127.0.0.1:{port}/x"'
    assert f'wsguard_connection_state{{{label},state="connected"}} 1.0' in text
    assert "hidden" not in text


def test_a_port_in_use(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A port that somebody listens on is told in one line, and nothing is watched."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = str(other.getsockname()[1])
        ended = run(capsys, "watch", f"ws://127.0.0.1:{port}/", "--metrics-port", taken)
    assert ended.code == 1
    assert f"--metrics-port {taken}: " in ended.complaint


def test_the_extra_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without prometheus_client the option says what to install."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    ended = run(capsys, "watch", "ws://127.0.0.1:1/", "--metrics-port", "0")
    assert ended.code == 2
    assert "trio-wsguard[prometheus]" in ended.complaint
