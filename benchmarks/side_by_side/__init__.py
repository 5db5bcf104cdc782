"""Holdfast beside the documented original stack: the same routes, the same documents, the same mongod, in one run."""
