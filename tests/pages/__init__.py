"""Tests of the pages. A package, so that its fixtures end with it."""
