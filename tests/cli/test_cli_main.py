"""The command line as a whole: help, errors, what is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from trio_wsguard.cli import main

from . import kit

URL = "ws://127.0.0.1:1/"  # tcpmux: nobody listens there


@pytest.mark.parametrize("argv", [(), ("demo",), ("watch",)])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help(argv: tuple[str, ...], flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command explains itself, with examples on lines of their own."""
    ended = kit.run(capsys, *argv, flag)
    assert ended.code == 0
    assert ended.out.startswith("Usage: trio-wsguard")
    assert "\n    trio-wsguard " in ended.out.partition("Examples:")[2]


def test_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command, the help goes to stderr, and that is an error."""
    ended = kit.run(capsys)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("Usage: trio-wsguard")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["nonsense"], "No such command"),
        (["demo", "--seconds", "2"], "from 8 on"),
        (["demo", "--seconds", "nan"], "from 8 on"),
        (["demo", "--seconds", "inf"], "from 8 on"),
        (["demo", "--seconds", "soon"], "not a valid float"),
        (["watch"], "Missing argument 'URL'"),
        (["watch", "http://127.0.0.1/"], "'http://127.0.0.1/': must begin with ws:// or wss://"),
        (["watch", "ws://"], "has no host"),
        (["watch", "ws://[::1"], "Invalid IPv6 URL"),
        (["watch", "ws://127.0.0.1:99999/"], "Port out of range"),
        (["watch", URL, "--nonsense"], "No such option"),
        (["watch", URL, "--heartbeat", "drum"], "'drum' is not one of"),
        (["watch", URL, "--policy", "none"], "'none' is not one of"),
        (["watch", URL, "--max-failures", "-1"], "-1 is not in the range"),
        (["watch", URL, "--header", "no colon"], "write it as 'Name: value'"),
        (["watch", URL, "--header", ": nameless"], "write it as 'Name: value'"),
        (["watch", URL, "--header", "two words: x"], "is not a header name"),
        (["watch", URL, "--header", "a: b\nc: d"], "its value has a line break"),
        (["watch", URL, "--header", "a: b", "--header", "A: c"], "A was given twice"),
    ],
)
def test_wrong_use(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is wrong with the arguments is told in one line, with exit code 2."""
    ended = kit.run(capsys, *argv)
    assert (ended.code, ended.out) == (2, "")
    assert ended.complaint.startswith("trio-wsguard: ")
    assert said in ended.complaint


def test_secrets_are_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    """An error shows neither password nor query of the URL, nor a header's value."""
    ended = kit.run(capsys, "watch", "ftp://me:hidden@127.0.0.1/?token=hidden")
    assert "hidden" not in ended.complaint
    ended = kit.run(capsys, "watch", URL, "--header", "hidden")
    assert "hidden" not in ended.complaint


def test_module_and_version() -> None:
    """``python -m trio_wsguard`` is the same command line."""
    with kit.spawn("--version") as process:
        ended = kit.finish(process)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("trio-wsguard, version ")


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_missing_extra(missing: str) -> None:
    """Without click or rich, one line tells what to install."""
    code = (
        f"import sys; sys.modules[{missing!r}] = None; sys.argv = ['trio-wsguard', 'demo'];"
        "from trio_wsguard.cli import main; main()"
    )
    process = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=kit.PATIENCE
    )
    ended = kit.Ended(process.returncode, process.stdout, process.stderr)
    assert ended.code == 2
    expected = f"the command line needs {missing}: pip install 'trio-wsguard[cli]'"
    assert ended.complaint == f"trio-wsguard: {expected}"


@pytest.mark.parametrize("is_grouped", [False, True])
def test_interrupted_before_signals_are_heeded(
    is_grouped: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C outside the guarded part ends without a traceback, with the shells' own code."""

    def interrupt(*args: object) -> None:
        interrupted = KeyboardInterrupt()
        raise BaseExceptionGroup("", [interrupted]) if is_grouped else interrupted

    monkeypatch.setattr("trio.run", interrupt)
    ended = kit.run(capsys, "demo")
    assert (ended.code, ended.err.strip()) == (130, "trio-wsguard: interrupted")


def test_bugs_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group with anything but Ctrl-C in it is a bug, and comes out whole."""

    def fail(*args: object) -> None:
        raise BaseExceptionGroup("", [KeyboardInterrupt(), RuntimeError("bug")])

    monkeypatch.setattr("trio.run", fail)
    with pytest.raises(BaseExceptionGroup):
        main(["demo"])


def test_no_stdout() -> None:
    """A shell that closed stdout does not make it fail."""
    code = "import os, sys; os.close(1); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    process = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code, "-m", "trio_wsguard", "watch", URL],
        stderr=subprocess.PIPE,
        text=True,
        timeout=kit.PATIENCE,
    )
    assert process.returncode == 1
    assert "cannot reach" in kit.Ended(1, "", process.stderr).complaint


def test_other_missing_modules_are_bugs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing module that no extra brings is not explained away."""
    for name in [name for name in sys.modules if name.startswith("trio_wsguard.cli.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "trio_wsguard.cli.demo", None)
    with pytest.raises(ModuleNotFoundError):
        main([])
