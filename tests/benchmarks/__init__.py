"""The benchmarks' own tests: whether what they say is what was measured."""
