"""One claim for each benchmark, with its peers beside it in the same run."""
