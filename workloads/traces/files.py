"""Owns getting a file's bytes off the disk: unpacked where it was packed, with bounds on every size, and told apart by
what is in it and not by its name."""

import bz2
import hashlib
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from workloads.traces.faults import TraceError, listed

FILE_BYTES_MAX = 2 << 30
# A packed table is seldom a twentieth of the table. A file that grows beyond this was made to fill a memory.
RATIO_MAX, RATIO_COUNTS_FROM_BYTES = 200, 64 << 20
CHUNK_BYTES = 1 << 20
ZSTD_PIECE_BYTES = 1 << 10
LAYERS_MAX = 2

_NOT_TABLES = {
    b"%PDF": "a PDF document",
    b"<!DOCTYPE": "an HTML page",
    b"<!doctype": "an HTML page",
    b"<html": "an HTML page",
    b"<?xml": "an XML document",
    b"SQLite format 3": "an SQLite database",
    b"\x7fELF": "a program",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x89PNG": "a picture",
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
    b"ARROW1": "an Arrow file",
}


@dataclass(slots=True)
class Content:
    """What is in a file once it is unpacked. `kind` is text, parquet or spreadsheet."""

    name: str
    data: bytes
    sha256: str
    file_bytes: int
    kind: str = "text"
    packed: list[str] = field(default_factory=list)


def read_content(path: Path) -> Content:
    """Raises TraceError, in one sentence, for what is no table or cannot be unpacked."""
    if not path.is_file():
        raise TraceError(f"{path} is a folder, not a file" if path.is_dir() else f"there is no file {path}")
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise TraceError(f"{path} is larger than {FILE_BYTES_MAX >> 20:,} MiB; split it by month")
        data = path.read_bytes()
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror}") from None
    content = Content(path.name, data, hashlib.sha256(data).hexdigest(), len(data))
    while (packing := _packing(content)) is not None:
        if len(content.packed) == LAYERS_MAX:
            raise TraceError(f"{path} is packed more than {LAYERS_MAX} times over")
        name, unpack = packing
        content.packed.append(name)
        content.data = unpack(content)
    content.kind = _kind(content)
    return content


def _packing(content: Content) -> tuple[str, Callable[[Content], bytes]] | None:
    head = content.data[:8]
    if head.startswith(b"\x1f\x8b"):
        return "gzip", lambda each: _unpacked(each, "gzip", _gunzip(each.data))
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return "zstd", lambda each: _unpacked(each, "zstd", _unzstd(each.data))
    if head.startswith(b"BZh"):
        return "bzip2", lambda each: _unpacked(each, "bzip2", _chunks(bz2.BZ2File(io.BytesIO(each.data))))
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz", lambda each: _unpacked(each, "xz", _chunks(lzma.LZMAFile(io.BytesIO(each.data))))
    if head.startswith(b"PK") and not _is_spreadsheet(content.data):
        return "zip", _unzip
    return None


def _unpacked(content: Content, name: str, chunks: Iterator[bytes]) -> bytes:
    """All chunks together, up to the bounds. Raises TraceError for a bomb, a torso and a damaged archive."""
    import zstandard

    whole = bytearray()
    try:
        for chunk in chunks:
            whole += chunk
            if len(whole) > _unpacked_max(len(content.data)):
                raise TraceError(
                    f"{content.name} unpacks to more than {len(whole) >> 20:,} MiB from {len(content.data):,} bytes; "
                    "that is no table, or split it by month"
                )
    except (EOFError, OSError, zlib.error, lzma.LZMAError, zstandard.ZstdError, ValueError):
        raise TraceError(f"{content.name} is a {name} archive that ends early or is damaged") from None
    return bytes(whole)


def _unpacked_max(packed_bytes: int) -> int:
    return min(FILE_BYTES_MAX, max(RATIO_COUNTS_FROM_BYTES, packed_bytes * RATIO_MAX))


def _gunzip(data: bytes) -> Iterator[bytes]:
    """All members one after the other; what follows the last one and is no member is left alone, as gzip does."""
    left = data
    while left.startswith(b"\x1f\x8b"):
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            chunk = member.decompress(left, CHUNK_BYTES)
            left = member.unconsumed_tail
            if not chunk and not left and not member.eof:
                raise EOFError
            yield chunk
        left = member.unused_data


def _unzstd(data: bytes) -> Iterator[bytes]:
    """All frames. Goes in by small pieces, since a frame may blow up thirty-thousandfold in one call."""
    import zstandard

    left = data
    while left:
        frame = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
        for start in range(0, len(left), ZSTD_PIECE_BYTES):
            yield frame.decompress(left[start : start + ZSTD_PIECE_BYTES])
            if frame.eof:
                left = frame.unused_data + left[start + ZSTD_PIECE_BYTES :]
                break
        else:
            raise EOFError


def _chunks(file: IO[bytes] | io.BufferedIOBase) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _unzip(content: Content) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content.data)) as archive:
            members = [each for each in archive.infolist() if _counts(each)]
            if len(members) != 1:
                names = listed([each.filename for each in members], most=5) if members else "none"
                raise TraceError(
                    f"{content.name} holds {len(members)} files ({names}); a trace is one: unpack it first"
                )
            if members[0].flag_bits & 1:
                raise TraceError(f"{content.name} is locked with a password; unpack it first")
            with archive.open(members[0]) as member:
                return _unpacked(content, "zip", _chunks(member))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError, zlib.error):
        raise TraceError(f"{content.name} is a zip archive that ends early or is damaged") from None


def _counts(member: zipfile.ZipInfo) -> bool:
    return not member.is_dir() and not member.filename.startswith("__MACOSX/")


def _is_spreadsheet(data: bytes) -> bool:
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        return True
    if not data.startswith(b"PK"):
        return False
    try:
        names = set(zipfile.ZipFile(io.BytesIO(data)).namelist())
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError):
        return False
    return bool(names & {"xl/workbook.xml", "xl/workbook.bin", "content.xml"})


def _kind(content: Content) -> str:
    head = content.data[:512]
    if head.startswith(b"PAR1"):
        return "parquet"
    if _is_spreadsheet(content.data):
        return "spreadsheet"
    if head[257:262] == b"ustar":
        raise TraceError(f"{content.name} is a tar archive; unpack it and give the one file")
    for magic, what in _NOT_TABLES.items():
        if head.lstrip(b"\xef\xbb\xbf \r\n").startswith(magic):
            raise TraceError(f"{content.name} is {what}; a trace is CSV, JSON, Parquet or a spreadsheet")
    return "text"
