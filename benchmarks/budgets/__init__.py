"""The gate: budgets declared in `benchmarks/budgets.toml`, measured on a stack of their own, judged, and proven to be
able to fail."""
