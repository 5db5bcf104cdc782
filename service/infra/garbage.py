"""How often Python looks for cyclic garbage. By default a busy process looks through all of its memory again and again:
a hundred thousand objects that were made at start and stay for good, at moments when somebody waits for an answer."""

import gc

YOUNG_OBJECTS = 50_000  # a few megabytes of the objects that requests leave behind
YOUNG_LOOKS, MIDDLE_LOOKS = 20, 50


def freeze_gc() -> None:
    """To be called once, when everything is in place. What is made afterwards is still looked at, less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, YOUNG_LOOKS, MIDDLE_LOOKS)
