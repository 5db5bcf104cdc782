"""Every codec and level that was a candidate, on one body: bytes against CPU. This is what the choice rests on."""

import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import brotli
from isal import isal_zlib
from zlib_ng import zlib_ng
from zstandard import ZstdCompressor

from benchmarks.kit.cpu_time import cpu_ms

GZIP_CONTAINER = 31
REPEATS = 20


def compare(content: str, body: bytes) -> list[dict[str, Any]]:
    return [_row(content, body, *candidate) for candidate in _candidates()]


def _candidates() -> Iterator[tuple[str, int, Callable[[bytes], bytes]]]:
    for level in (1, 4, 6, 9):
        yield "zlib", level, partial(zlib.compress, level=level, wbits=GZIP_CONTAINER)
    for level in (0, 1, 2, 3):
        yield "isal", level, partial(isal_zlib.compress, level=level, wbits=GZIP_CONTAINER)
    for level in range(1, 10):
        yield "zlib-ng", level, partial(zlib_ng.compress, level=level, wbits=GZIP_CONTAINER)
    for quality in (1, 3, 4, 5, 6, 8):
        yield "brotli", quality, partial(brotli.compress, mode=brotli.MODE_TEXT, quality=quality)
    for level in (1, 3, 5, 6, 7, 9, 12):
        yield "zstd", level, ZstdCompressor(level=level).compress


def _row(content: str, body: bytes, codec: str, level: int, compress: Callable[[bytes], bytes]) -> dict[str, Any]:
    size = len(compress(body))
    return {
        "content": content,
        "codec": codec,
        "level": level,
        "bytes": size,
        "reduction": round(100 - 100 * size / len(body), 1),
        "cpuMsPer100Kb": round(cpu_ms(lambda: compress(body), REPEATS) / len(body) * 100_000, 3),
    }
