"""Parts that somebody might write, each with one mistake."""

from __future__ import annotations

import json
import math
import random
import uuid
from typing import TYPE_CHECKING, Any

import trio_wsguard as wsguard

if TYPE_CHECKING:
    from random import Random


class GoodBackoff:
    """Doubles up to its cap; has no mistake."""

    cap = 60

    def delay(self, failures: int, rng: Random | None = None) -> float:
        return min(self.cap, 2 ** min(failures - 1, 6)) if failures else 0


class AboveCap(GoodBackoff):
    """Does not heed its cap."""

    def delay(self, failures: int, rng: Random | None = None) -> float:
        return 3.0 * min(failures, 1000)


class Falling(GoodBackoff):
    """Begins anew after ten failures."""

    def delay(self, failures: int, rng: Random | None = None) -> float:
        return float(failures % 10)


class Stateful(GoodBackoff):
    """Counts for itself, and comes to rest at its cap."""

    def __init__(self) -> None:
        self.calls = 0

    def delay(self, failures: int, rng: Random | None = None) -> float:
        self.calls += failures > 0
        return min(self.cap, self.calls) if failures else 0


class Overflowing(GoodBackoff):
    """Raises a float to any power."""

    def delay(self, failures: int, rng: Random | None = None) -> float:
        return min(self.cap, 2.0**failures) if failures else 0


class TakesAllMemory(GoodBackoff):
    """Raises an int to any power."""

    def delay(self, failures: int, rng: Random | None = None) -> float:
        return min(self.cap, 2**failures) if failures else 0


class TakesAllTime(GoodBackoff):
    """Counts up to any number."""

    def delay(self, failures: int, rng: Random | None = None) -> float:
        delay = 0.0
        for _ in range(failures):
            delay = min(self.cap, delay + math.fsum([0.01] * 500))
        return delay


class Negative(GoodBackoff):
    """Waits less than no time at first."""

    def delay(self, failures: int, rng: Random | None = None) -> float:
        return min(self.cap, failures - 2) if failures else 0


class NoNumber(GoodBackoff):
    """Tells no delay at all beyond five failures."""

    def delay(self, failures: int, rng: Random | None = None) -> Any:
        return None if failures > 5 else failures


class WaitsForNothing(GoodBackoff):
    """Waits without a failure."""

    def delay(self, failures: int, rng: Random | None = None) -> float:
        return 1.0


class Hammering(GoodBackoff):
    """Never waits."""

    def delay(self, failures: int, rng: Random | None = None) -> float:
        return 0.0


class GlobalChance(GoodBackoff):
    """Draws from the global source of chance."""

    def delay(self, failures: int, rng: Random | None = None) -> float:
        plain = super().delay(failures)
        return plain if rng is None else random.uniform(0, plain)


class ClippedJitter(GoodBackoff):
    """Draws beyond the cap, and clips: half of all clients wait just as long."""

    def delay(self, failures: int, rng: Random | None = None) -> float:
        plain = super().delay(failures)
        return plain if rng is None else min(self.cap, plain * rng.uniform(0.5, 1.5))


class JitterEatsWaits(GoodBackoff):
    """Leaves next to nothing of a wait."""

    def delay(self, failures: int, rng: Random | None = None) -> float:
        plain = super().delay(failures)
        return plain if rng is None else rng.uniform(0, plain / 1000)


class ShrinksWaits(wsguard.BackoffPolicy):
    """Takes Retry-After for an order, also where its own delay is longer."""

    def delay(
        self,
        kind: wsguard.FailureKind,
        failures: int,
        rng: Random | None = None,
        *,
        retry_after: float | None = None,
    ) -> float:
        return super().delay(kind, failures, rng) if retry_after is None else max(0, retry_after)


class OneForAll(wsguard.BackoffPolicy):
    """Waits the same whatever happened."""

    def delay(
        self,
        kind: wsguard.FailureKind,
        failures: int,
        rng: Random | None = None,
        *,
        retry_after: float | None = None,
    ) -> float:
        return super().delay(wsguard.FailureKind.OTHER, failures, rng, retry_after=retry_after)


class GoodHeartbeat:
    """Beats with an id, and reads carefully; has no mistake."""

    def request(self, rng: Random) -> tuple[Any, Any]:
        key = f"{rng.getrandbits(64):x}"
        return json.dumps({"op": "hb", "id": key}), key

    def read(self, message: str | bytes) -> Any:
        try:
            found = json.loads(message)
        except (ValueError, RecursionError):
            return None
        if not isinstance(found, dict) or found.get("op") != "hb-ok":
            return None
        key = found.get("id")
        return wsguard.Answer(key=key, code=found.get("code")) if isinstance(key, str) else None


def good_answer(message: str | bytes, code: object) -> str:
    """Answer a `GoodHeartbeat`."""
    refusal = {} if code is None else {"code": code}
    return json.dumps({"op": "hb-ok", "id": json.loads(message)["id"], **refusal})


class TakesAnything(GoodHeartbeat):
    """Takes any message for an answer."""

    def read(self, message: str | bytes) -> Any:
        return wsguard.Answer()


class TakesAnyObject(GoodHeartbeat):
    """Takes every JSON object but its own beats for an answer."""

    def read(self, message: str | bytes) -> Any:
        is_object = message[:1] in ("{", b"{")
        return wsguard.Answer() if is_object and message[:7] != '{"op": ' else None


class TakesBeats(GoodHeartbeat):
    """Takes the peer's beats for answers."""

    def read(self, message: str | bytes) -> Any:
        is_beat = isinstance(message, str) and message.startswith('{"op": "hb"')
        return wsguard.Answer() if is_beat else None


class NamesTheFirst(GoodHeartbeat):
    """Takes every beat of the peer's for the answer to our first."""

    def __init__(self) -> None:
        self.sent = 0

    def request(self, rng: Random) -> tuple[Any, Any]:
        self.sent += 1
        return f"hb {self.sent}", f"{self.sent}"

    def read(self, message: str | bytes) -> Any:
        is_beat = isinstance(message, str) and message.startswith("hb ")
        return wsguard.Answer(key="1") if is_beat else None


class RaisesOnOddInput(GoodHeartbeat):
    """Expects every JSON message to be an object with an operation."""

    def read(self, message: str | bytes) -> Any:
        try:
            found = json.loads(message)
        except (ValueError, RecursionError):
            return None
        return wsguard.Answer() if found["op"] == "hb-ok" else None


class RaisesOnDepth(GoodHeartbeat):
    """Does not expect that JSON may be too deep."""

    def read(self, message: str | bytes) -> Any:
        try:
            found = json.loads(message)
        except ValueError:
            return None
        return wsguard.Answer() if found == "hb-ok" else None


class ConstantKeys(GoodHeartbeat):
    """Gives every beat the same key."""

    def request(self, rng: Random) -> tuple[Any, Any]:
        return '{"op": "hb", "id": "1"}', "1"


class RandomIds(GoodHeartbeat):
    """Draws ids from the system, so that no run repeats another."""

    def request(self, rng: Random) -> tuple[Any, Any]:
        key = str(uuid.uuid4())
        return json.dumps({"op": "hb", "id": key}), key


class KeysOfNumbers(GoodHeartbeat):
    """Has a number for a key."""

    def request(self, rng: Random) -> tuple[Any, Any]:
        key = rng.getrandbits(64)
        return json.dumps({"op": "hb", "id": key}), key


class LoneSurrogate(GoodHeartbeat):
    """Beats with text that is no Unicode."""

    def request(self, rng: Random) -> tuple[Any, Any]:
        return f"hb \ud800 {rng.random()}", None


class ReadsTrue(GoodHeartbeat):
    """Answers with a bool."""

    def read(self, message: str | bytes) -> Any:
        return super().read(message) is not None


class ForgetsAnswers(GoodHeartbeat):
    """Knows an answer only the first time."""

    def __init__(self) -> None:
        self.seen: set[str | bytes] = set()

    def read(self, message: str | bytes) -> Any:
        answer = None if message in self.seen else super().read(message)
        self.seen.add(message)
        return answer


class OverlooksRefusals(GoodHeartbeat):
    """Reads no code."""

    def read(self, message: str | bytes) -> Any:
        answer = super().read(message)
        return answer and wsguard.Answer(key=answer.key)


class OverlooksAnswers(GoodHeartbeat):
    """Recognises no answer."""

    def read(self, message: str | bytes) -> Any:
        return None


class MixesKeysUp(GoodHeartbeat):
    """Reads another key than the beat had."""

    def read(self, message: str | bytes) -> Any:
        answer = super().read(message)
        return answer and wsguard.Answer(key=answer.key[::-1], code=answer.code)
