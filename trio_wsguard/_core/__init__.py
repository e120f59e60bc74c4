"""The decisions: synchronous, deterministic, without I/O, clock or global randomness.

Time (``now``, monotonic seconds; ``time``, Unix seconds) and randomness
(`random.Random`) are arguments. Called too early, a function is a no-op.
"""
