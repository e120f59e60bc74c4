"""Which of several processes a name belongs to, by rendezvous hashing.

Every shard draws a number for a name, from a hash of both, and the highest takes
it. So all processes agree without talking to each other, and when one shard is
added, the only names that move are those it takes: one in n. (The rest of a
division, the usual shortcut, would move nearly all.)

The hash is BLAKE2b, and not Python's own: that of strings is another in every
process. Source: Thaler and Ravishankar, "Using name-based mappings to increase
hit rates", 1998.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Final

import attrs

from trio_wsguard._core import checks
from trio_wsguard._errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COUNT_VARIABLE: Final = "WSGUARD_SHARD_COUNT"
INDEX_VARIABLE: Final = "WSGUARD_SHARD_INDEX"
_HOST_VARIABLE: Final = "HOSTNAME"
_PERSON: Final = b"trio_wsguard"  # so that no other use of the hash draws the same


@attrs.frozen
class Shard:
    """One of several processes that share the members of a fleet.

    Args:
        index: Which one, from 0.
        count: How many there are.
    """

    index: int = attrs.field(validator=checks.whole)
    count: int = attrs.field(validator=checks.count)

    def __attrs_post_init__(self) -> None:
        if self.index >= self.count:
            raise PolicyError("index", self.index, f"must be below the count of {self.count}")

    @classmethod
    def from_environ(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        count_variable: str = COUNT_VARIABLE,
        index_variable: str = INDEX_VARIABLE,
    ) -> Shard:
        """Read which one this process is, as in a StatefulSet of Kubernetes.

        The index is that of its own variable if it is set (the downward API can
        put the label ``apps.kubernetes.io/pod-index`` there), or else the number
        at the end of the host's name: pods of a StatefulSet are called
        ``name-0``, ``name-1`` and so on. How many there are, no pod is told by
        Kubernetes: set the variable in the manifest, beside ``replicas``.

        Args:
            environ: Where to read; ``None`` for `os.environ`.
            count_variable: The variable with the count.
            index_variable: The variable with the index.

        Raises:
            PolicyError: A variable is missing or makes no sense; it names it and
                shows its value.
        """
        environ = os.environ if environ is None else environ
        count = _number(environ, count_variable)
        if count == 0:
            raise PolicyError(count_variable, environ[count_variable], "must be at least 1")
        if index_variable in environ:
            source, index = index_variable, _number(environ, index_variable)
        else:
            source, index = _HOST_VARIABLE, _ordinal(environ, index_variable)
        if index >= count:
            problem = f"shard {index} of {count_variable}={count}: they are counted from 0"
            raise PolicyError(source, environ[source], problem)
        return cls(index, count)

    def owner(self, name: str) -> int:
        """Tell which shard a name belongs to."""
        # Equal draws of 128 bits do not happen; the index settles them nevertheless.
        return max(range(self.count), key=lambda index: (_draw(name, index), index))

    def owns(self, name: str) -> bool:
        """Tell whether a name belongs to this shard."""
        return self.owner(name) == self.index

    def select(self, names: Iterable[str]) -> list[str]:
        """Tell which of some names belong to this shard, in their order."""
        return [name for name in names if self.owns(name)]


def _draw(name: str, index: int) -> bytes:
    # A name may hold what came from a file's name, and that is no UTF-8.
    encoded = name.encode("utf-8", "surrogatepass")
    salt = index.to_bytes(16, "big")
    return hashlib.blake2b(encoded, digest_size=16, salt=salt, person=_PERSON).digest()


def _number(environ: Mapping[str, str], variable: str) -> int:
    text = environ.get(variable)
    if text is None:
        raise PolicyError(variable, None, "is not set in the environment")
    if not (text.isascii() and text.isdigit()):
        raise PolicyError(variable, text, "must be a whole number")
    return int(text)


def _ordinal(environ: Mapping[str, str], index_variable: str) -> int:
    host = environ.get(_HOST_VARIABLE)
    if host is None:
        raise PolicyError(_HOST_VARIABLE, None, f"is not set, and neither is {index_variable}")
    _, dash, ordinal = host.partition(".")[0].rpartition("-")
    if not (dash and ordinal.isascii() and ordinal.isdigit()):
        problem = f"does not end in -NUMBER, as in a StatefulSet; or set {index_variable}"
        raise PolicyError(_HOST_VARIABLE, host, problem)
    return int(ordinal)
