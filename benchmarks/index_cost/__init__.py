"""What each index costs an order, so that one can decide against it."""
