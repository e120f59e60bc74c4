"""What happens to a connection once, some time after the fault met it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_wsguard.testing.segment import Effect

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_wsguard.testing.connection import SimulatedConnection


class Fuse(Effect):
    """Does something to a connection later, unless the fault has ended by then."""

    def __init__(
        self, connection: SimulatedConnection, after: float, burn: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._do = burn
        self._is_lit = True
        connection.clock.call_at(connection.clock.now + after, self._burn)

    def _burn(self) -> None:
        if self._is_lit and not self._connection.is_over:
            self._do()

    def stop(self) -> None:
        """Put it out."""
        self._is_lit = False
