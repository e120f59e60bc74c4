"""Hypothesis without its wall-clock deadline: a busy machine is no failure of the core."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("core", settings.get_profile("default"), deadline=None)
if settings.get_current_profile_name() == "default":  # not "ci", nor one that was asked for
    settings.load_profile("core")
