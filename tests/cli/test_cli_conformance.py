"""``trio-wsguard conformance``."""

from __future__ import annotations

import subprocess
import sys

import pytest

from . import kit

BAD = "tests.testing.conformance.bad_parts"
ONE = ("conformance", "--property", "no_failure_no_delay")


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """The help explains itself, with examples."""
    ended = kit.run(capsys, "conformance", "--help")
    assert ended.code == 0
    assert "\n    trio-wsguard conformance" in ended.out.partition("Examples:")[2]


def test_parts_that_conform(capsys: pytest.CaptureFixture[str]) -> None:
    """Each property has its line, and the table at the end tells how much was tried."""
    ended = kit.run(capsys, *ONE, "--property", "beats_can_be_sent", "--seed", "1")
    assert (ended.code, ended.err) == (0, "")
    first, second = ended.out.splitlines()[:2]
    assert first == "1/2  passed   backoff: no_failure_no_delay (simulated)"
    assert second == "2/2  passed   heartbeat: beats_can_be_sent (simulated)"
    assert "virtual hours" in ended.out
    assert "2 properties" in ended.out


def test_a_part_that_does_not_conform(capsys: pytest.CaptureFixture[str]) -> None:
    """A violation is shown with the property, its statement and the smallest example."""
    argv = (*ONE, "--backoff", f"{BAD}:WaitsForNothing", "--seed", "7")
    ended = kit.run(capsys, *argv)
    assert (ended.code, ended.err) == (1, "")
    assert "1/1  failed   backoff: no_failure_no_delay" in ended.out
    assert "1 FAILED" in ended.out
    told = ended.out.partition("no_failure_no_delay does not hold (simulated)\n")[2].splitlines()
    assert told[0] == "  states    Without a failure there is nothing to wait for."
    assert told[1].endswith("WaitsForNothing>, seed=0")
    assert told[2] == "  observed  delay(0) is 1.0"
    assert told[3].endswith("again with seed 7")


def test_what_a_part_says_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    """The text of a part's own exceptions does nothing to the terminal."""
    argv = ("conformance", "--property", "read_never_raises", "--heartbeat", f"{__name__}:Hostile")
    ended = kit.run(capsys, *argv)
    assert ended.code == 1
    assert "\x1b" not in ended.out
    assert r"ValueError: \x1b[31m" in ended.out


class Hostile:
    """Raises what would paint a terminal red."""

    def request(self, rng: object) -> tuple[str, None]:
        return "hb", None

    def read(self, message: object) -> None:
        raise ValueError("\x1b[31mred")


def test_only_what_concerns_the_part(capsys: pytest.CaptureFixture[str]) -> None:
    """Where a part is named, only its properties are tried; what does not apply tells why."""
    ended = kit.run(capsys, "conformance", "--heartbeat", "trio_wsguard:PingHeartbeat")
    assert ended.code == 1  # nothing was proved
    assert "skipped  heartbeat: keys_are_unique (simulated): beats are WebSocket" in ended.out
    assert "backoff: " not in ended.out
    assert "nothing tried" in ended.out


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    """``--list`` tells what would be tried, and tries nothing."""
    ended = kit.run(capsys, "conformance", "--list", "--backoff", f"{BAD}:AboveCap")
    assert (ended.code, ended.err) == (0, "")
    assert "Without a failure there is nothing to wait for." in ended.out
    assert "heartbeat" not in ended.out
    assert "FAILED" not in ended.out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--backoff", "mine"], "--backoff mine: must be written as package.module:attribute"),
        (["--backoff", "no_such:x"], "--backoff no_such:x: cannot import"),
        (["--heartbeat", f"{BAD}:AboveCap"], "is not a heartbeat"),
        (["--transport", "pigeon"], "--transport pigeon: must be"),
        (["--property", "no_failure_no_dely"], "did you mean no_failure_no_delay"),
        (["--profile", "slow"], "'slow' is not one of"),
        (["--arm", "sea"], "'sea' is not one of"),
        (["--arm", "loopback", "--property", "keeps_no_state"], "--arm loopback: none of these"),
        (["--seed", "x"], "not a valid int"),
    ],
)
def test_wrong_use(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is wrong with the arguments is told in one line, with exit code 2."""
    ended = kit.run(capsys, "conformance", *argv)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.complaint


def test_missing_extra() -> None:
    """Without Hypothesis, one line tells what to install; other commands need none."""
    code = (
        "import sys; sys.modules['hypothesis'] = None; sys.argv = ['trio-wsguard', *sys.argv[1:]];"
        "from trio_wsguard.cli import main; main()"
    )

    def run(*argv: str) -> kit.Ended:
        done = subprocess.run(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-c", code, *argv],
            capture_output=True,
            text=True,
            timeout=kit.PATIENCE,
        )
        return kit.Ended(done.returncode, done.stdout, done.stderr)

    ended = run("conformance")
    needs = "the conformance suite needs hypothesis: pip install 'trio-wsguard[testing]'"
    assert (ended.code, ended.complaint) == (2, f"trio-wsguard: {needs}")
    assert run("--version").code == 0


def test_other_missing_modules_are_bugs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing module that no extra brings is not explained away."""
    monkeypatch.setitem(sys.modules, "trio_wsguard.testing.conformance", None)
    with pytest.raises(ModuleNotFoundError):
        kit.run(capsys, "conformance")


def test_a_reader_that_went_away() -> None:
    """Where nobody reads stdout any more, it ends at once and says nothing."""
    with kit.spawn("conformance") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(kit.PATIENCE) == 1
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals there")
def test_on_a_terminal() -> None:
    """On a terminal a bar tells what is being tried; it is gone at the end."""
    import os
    import pty

    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "110", "LINES": "30"}
    argv = [sys.executable, "-m", "trio_wsguard", *ONE]
    with subprocess.Popen(argv, stdin=theirs, stdout=theirs, env=env) as process:  # noqa: S603 - our own
        os.close(theirs)
        out = b""
        try:
            while b"1 property" not in out:
                out += os.read(ours, 65536)
            assert process.wait(kit.PATIENCE) == 0
        finally:
            process.kill()
            os.close(ours)
    bar, _, table = out.decode().partition("wall seconds")
    assert "backoff: no_failure_no_delay (simulated)" in bar
    assert "1/1" in bar
    assert "passed   backoff" not in bar
    assert "1/1" not in table
