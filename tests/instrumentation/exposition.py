"""What an exposition says, read by Prometheus' own parsers."""

from __future__ import annotations

from typing import Any

from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families


def samples(text: str, *, is_openmetrics: bool = False) -> dict[tuple[str, str, str], float]:
    """Read an exposition as Prometheus does: by name, guard and other label."""
    parse: Any = openmetrics.text_string_to_metric_families if is_openmetrics else None
    families = (parse or text_string_to_metric_families)(text)
    found: dict[tuple[str, str, str], float] = {}
    for family in families:
        for sample in family.samples:
            labels = dict(sample.labels)
            guard = labels.pop("guard", "")
            at = (sample.name, guard, "".join(labels.values()))
            assert at not in found
            found[at] = sample.value
    return found
