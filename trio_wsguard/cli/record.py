"""Recordings of a guard: what ``--record FILE`` writes, one JSON object a line.

The first line is the header; then comes every event as it happens, and the
figures once a second and at each event; a run that ended well has an ``end``.
Every record has ``elapsed``, in seconds since the header and by the monotonic
clock: a wall clock that is set meanwhile does not bend the time axis.

Written are the guard's name (the URL without its secrets), figures, and
events, whose texts from the peer are escaped and cut; no header, no message.
"""

from __future__ import annotations

import json
import math
import time
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, TextIO

import attrs
import trio

import trio_wsguard as wsguard
from trio_wsguard.cli import lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FORMAT: Final = "trio-wsguard recording"
VERSION: Final = 1
_INTERVAL: Final = 1.0  # seconds between two records of the figures
_DIGITS: Final = 6  # to the microsecond


@attrs.frozen(kw_only=True)
class Limits:
    """The settings that figures are looked at against; seconds, but for the failures.

    Attributes:
        slow_response: A response that takes longer is an anomaly.
        silence_timeout: A longer silence is one.
        max_connection_failures: How many end in FAILED; ``None`` for never.
    """

    slow_response: float = 5.0
    silence_timeout: float = 30.0
    max_connection_failures: int | None = 5

    @classmethod
    def of(cls, policy: wsguard.GuardPolicy) -> Limits:
        """Take them from a guard's settings."""
        return cls(
            slow_response=policy.heartbeat.slow_response,
            silence_timeout=policy.watchdog.silence_timeout,
            max_connection_failures=policy.max_connection_failures,
        )


@attrs.frozen(kw_only=True)
class RecordOptions:
    """Where to record to.

    Args:
        path: The file to write; ``None`` to record nothing.
        is_forced: Whether to replace a file that is there.
    """

    path: Path | None = None
    is_forced: bool = False


def open_recorder(options: RecordOptions, policy: wsguard.GuardPolicy) -> Recorder:
    """Open a recording before there is anything to record.

    Args:
        options: Where to.
        policy: The settings of the guard.

    Raises:
        OSError: It is there, or cannot be written; the text says what to do.
    """
    path = options.path
    if path is None:
        return Recorder(None, policy)
    try:
        file = path.open("w" if options.is_forced else "x", encoding="utf-8", newline="\n")
    except FileExistsError:
        raise OSError(f"{path} is there already; --force replaces it") from None
    except OSError as exc:
        raise OSError(f"cannot record to {path}: {exc.strerror}") from None
    return Recorder(file, policy)


class Recorder:
    """Writes the recording of one guard.

    It writes in the guard's own thread: a line is short, goes to the system's
    memory, and is to be there even if the program is killed the next moment.

    Args:
        file: Where to; ``None`` to record nothing. Closed at the end.
        policy: The settings of the guard, for the header.

    Attributes:
        error: Why it could no longer be written, in one line; the rest is not recorded.
        on_error: Called with that.
    """

    def __init__(self, file: TextIO | None, policy: wsguard.GuardPolicy) -> None:
        self.error: str | None = None
        self.on_error: Callable[[str], None] = lambda text: None  # noqa: ARG005 - until somebody cares
        self._file = file
        self._limits = Limits.of(policy)
        self._name = "" if file is None else file.name
        self._begun_at = 0.0

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_exc: object) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        try:
            file.close()
        except OSError as exc:  # what a network's file system tells only now
            self._fail(exc)

    def begin(self, name: str) -> None:
        """Write the header, with the guard's name."""
        self._begun_at = trio.current_time()
        offset = datetime.now().astimezone().utcoffset()
        self._put(
            "header",
            self._begun_at,
            format=FORMAT,
            version=VERSION,
            library=version("trio-wsguard"),
            name=name,
            time=time.time(),
            utc_offset=0.0 if offset is None else offset.total_seconds(),
            limits=lines.plain_dict(self._limits),
        )

    def event(self, event: wsguard.Event, ws: wsguard.GuardedWebSocket) -> None:
        """Write an event, and the figures just after it."""
        if self._file is None:
            return
        at = event.ready_at if isinstance(event, wsguard.Gap) else getattr(event, "at", None)
        pairs = lines.event_dict(event)
        self._put("event", trio.current_time() if at is None else at, **pairs)
        self.figures(ws)

    def figures(self, ws: wsguard.GuardedWebSocket) -> None:
        """Write the present figures."""
        if self._file is None:
            return
        pairs = lines.plain_dict(ws.snapshot())
        del pairs["name"], pairs["response_time"]["buckets"]  # the same each time, and bulky
        self._put("snapshot", trio.current_time(), delay=ws.health().delay, **pairs)

    def end(self, ws: wsguard.GuardedWebSocket) -> None:
        """Write that it ended as it should."""
        self.figures(ws)
        self._put("end", trio.current_time(), time=time.time())

    async def keep(self, ws: wsguard.GuardedWebSocket) -> None:
        """Write the figures again and again."""
        while True:
            self.figures(ws)
            await trio.sleep(_INTERVAL)

    def _put(self, kind: str, now: float, /, **pairs: Any) -> None:
        if self._file is None:
            return
        record = {"type": kind, "elapsed": max(0.0, now - self._begun_at), **pairs}
        try:
            self._file.write(json.dumps(_rounded(record), separators=(",", ":")) + "\n")
            self._file.flush()
        except OSError as exc:
            self._fail(exc)

    def _fail(self, exc: OSError) -> None:
        self.error = f"cannot record to {self._name} any more: {exc.strerror}"
        self.on_error(self.error)
        # Closing writes what is left, which fails for the same reason.
        file, self._file = self._file, None
        try:
            if file is not None:
                file.close()
        except OSError:
            pass


def _rounded(value: Any) -> Any:
    """Cut digits that no clock has; they would be half of the file."""
    if isinstance(value, float):
        return round(value, _DIGITS) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list | tuple) else value
