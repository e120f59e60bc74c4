"""Files for Prometheus and Grafana from the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from trio_wsguard.instrumentation.dashboard import grafana_dashboard
from trio_wsguard.instrumentation.export import prometheus_rules

from .kit import run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("what", "text"),
    [("prometheus-rules", prometheus_rules()), ("grafana-dashboard", grafana_dashboard())],
)
def test_to_stdout_and_into_a_file(
    what: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What goes to stdout, and nothing else, goes into the file with --output."""
    ended = run(capsys, "export", what)
    assert (ended.code, ended.out, ended.err) == (0, text, "")
    path = tmp_path / "made"
    ended = run(capsys, "export", what, "--output", str(path))
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert path.read_text(encoding="utf-8") == text


def test_window(capsys: pytest.CaptureFixture[str]) -> None:
    """Rates look back as far as they are told to."""
    ended = run(capsys, "export", "prometheus-rules", "--window", "600")
    assert "[10m]" in ended.out
    assert "[5m]" not in ended.out


@pytest.mark.parametrize("window", ["0", "nan", "inf", "-1"])
def test_wrong_window(window: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A window that is none is refused in one line."""
    ended = run(capsys, "export", "prometheus-rules", "--window", window)
    assert ended.code == 2
    assert "from 1 on" in ended.complaint


def test_a_file_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is not there is told in one line."""
    path = tmp_path / "missing" / "rules.yml"
    ended = run(capsys, "export", "prometheus-rules", "--output", str(path))
    assert ended.code == 1
    assert "rules.yml" in ended.complaint


@pytest.mark.parametrize("argv", [(), ("prometheus-rules",), ("grafana-dashboard",)])
def test_help(argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """The help says where the file goes, and where the metrics come from."""
    ended = run(capsys, "export", *argv, "--help")
    assert ended.code == 0
    assert "\n    trio-wsguard export " in ended.out.partition("Examples:")[2]
    where = {"prometheus-rules": "rule_files", "grafana-dashboard": "Import"}
    assert (where[argv[0]] if argv else "--metrics-port 9464") in ended.out


def test_the_dashboard_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    """What Grafana gets is one JSON document."""
    ended = run(capsys, "export", "grafana-dashboard")
    assert json.loads(ended.out)["title"] == "WebSocket guards"
