"""Black-box tests of whole stacks. A package, so that its fixtures end with it."""
