"""A burst of holds nobody paid, swept by real workers: how fast it is drained, and what buyers notice meanwhile."""
