"""Scripts and styles, read once, under names that change with their content, so that clients may keep them for good."""

import hashlib
import re
from graphlib import TopologicalSorter
from pathlib import Path

from sanic import Blueprint

from service.errors import NotFound
from service.web.http.access import Access
from service.web.http.operation import Call, Nothing, Reply, operation

TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
FOLDER = Path(__file__).parent / "static"
FOR_GOOD = "public, max-age=31536000, immutable"


IMPORT = re.compile(rb'(?:from|import) "\./([\w.-]+)"')


def _in_order(folder: Path) -> list[Path]:
    """What others import comes first, so that its served name is known."""
    imports = {path.name: {name.decode() for name in IMPORT.findall(path.read_bytes())} for path in folder.iterdir()}
    return [folder / name for name in TopologicalSorter(dict(sorted(imports.items()))).static_order()]


class StaticFiles:
    def __init__(self, folder: Path = FOLDER) -> None:
        self._files: dict[str, tuple[bytes, str]] = {}
        self._names: dict[str, str] = {}
        for path in _in_order(folder):
            content = self._with_served_imports(path.read_bytes())
            served = f"{path.stem}-{hashlib.sha256(content).hexdigest()[:12]}{path.suffix}"
            self._files[served], self._names[path.name] = (content, TYPES[path.suffix]), served

    def _with_served_imports(self, content: bytes) -> bytes:
        for name, served in self._names.items():
            content = content.replace(f'"./{name}"'.encode(), f'"./{served}"'.encode())
        return content

    def url(self, name: str) -> str:
        return f"/static/{self._names[name]}"

    def routes(self) -> Blueprint:
        blueprint = Blueprint("static_files", url_prefix="/static")

        @operation(
            blueprint,
            "GET",
            "/<name:str>",
            "A script, a style or an icon",
            returns={200: None},
            access=Access.PUBLIC,
            limit="read",
            errors=(NotFound,),
        )
        async def static_file(call: Call[Nothing], name: str) -> Reply:
            if name not in self._files:
                raise NotFound()
            content, kind = self._files[name]
            return Reply(200, content, {"Cache-Control": FOR_GOOD}, content_type=kind)

        return blueprint
