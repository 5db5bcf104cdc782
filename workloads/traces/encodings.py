"""Owns what the bytes of a text mean: UTF-8 where they are, UTF-16 and UTF-32 with and without their marks, and single
lines of another encoding in a file that is UTF-8 otherwise."""

import codecs

import pyarrow as pa

from workloads.traces.faults import Repairs, TraceError

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE_BYTES = 4_096


def to_utf8(data: bytes, encoding: str | None, repairs: Repairs) -> tuple[bytes, str]:
    """The text as UTF-8 without its mark, and the name of the encoding it had. Raises TraceError."""
    if encoding is not None:
        return _by_word(data, encoding), encoding
    found = next((name for mark, name in _MARKS if data.startswith(mark)), None) or _utf16_without_mark(data)
    if found is not None:
        repairs.add(f"{found[:6].replace('-', '')}_file_reencoded", 1, 1)
        return data.decode(found, errors="replace").removeprefix("\ufeff").encode(errors="replace"), found
    data = data.removeprefix(codecs.BOM_UTF8)
    if _is_utf8(data):
        return data, "utf-8"
    lines = [_line(line, number, repairs) for number, line in enumerate(data.split(b"\n"), 1)]
    return b"\n".join(lines), "utf-8, some lines windows-1252"


def _by_word(data: bytes, encoding: str) -> bytes:
    try:
        return data.decode(encoding).removeprefix("\ufeff").encode()
    except LookupError:
        raise TraceError(f"--encoding {encoding!r} is no encoding that is known") from None
    except (UnicodeError, ValueError) as error:
        at = data[: getattr(error, "start", 0)].count(b"\n") + 1
        raise TraceError(f"not readable as {encoding}, as --encoding says", line=at) from None


def _utf16_without_mark(data: bytes) -> str | None:
    """Latin text in UTF-16 has a NUL in every second byte, and UTF-8 text has none."""
    sample = data[:_SAMPLE_BYTES]
    half = len(sample) // 2
    low, high = sample[0::2].count(0), sample[1::2].count(0)
    if half < 4 or max(low, high) < half * 0.4 or min(low, high) > half * 0.05:
        return None
    return "utf-16-le" if high > low else "utf-16-be"


def _is_utf8(data: bytes) -> bool:
    try:
        pa.array([data], pa.large_binary()).cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True


def _line(line: bytes, number: int, repairs: Repairs) -> bytes:
    try:
        line.decode()
        return line
    except UnicodeDecodeError:
        repairs.add("lines_reencoded", 1, number)
    try:
        return line.decode("cp1252").encode()
    except UnicodeDecodeError:
        return line.decode("latin-1").encode()
