"""How a connection ended."""

from __future__ import annotations

from typing import Final

import attrs

from trio_wsguard._core.failure import Failure, FailureKind

NORMAL_CLOSURE: Final = 1000


@attrs.frozen(kw_only=True)
class Ending:
    """How a connection ended, or why an attempt did not become one.

    Attributes:
        reason: One line.
        failure: What failed; ``None`` where it was an act of ours or final.
        cause: The exception behind the failure.
        close: Code and reason of the close handshake, ours to do or the peer's.
        is_ours: Whether this side does the close handshake.
        is_final: Whether the guard ends with it.
    """

    reason: str
    failure: Failure | None = None
    cause: BaseException | None = None
    close: tuple[int, str] | None = None
    is_ours: bool = False
    is_final: bool = False

    @property
    def handshake(self) -> tuple[int, str] | None:
        """Code and reason of the close handshake that is ours to do, if one is."""
        return self.close if self.is_ours else None


def timed_out(phase: str, seconds: float) -> Failure:
    """The failure of an attempt that took too long."""
    message = f"{phase}: not done within {seconds:g} s (timeout)"
    return Failure(kind=FailureKind.TIMEOUT, message=message)
