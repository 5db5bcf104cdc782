"""The shape of the code in numbers, for `tests/test_architecture.py` to hold and for whoever compares two commits:
`python tests/shape.py [DIRECTORY]` prints them for any checkout."""

import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CODE = ("service", "workloads", "benchmarks")
PARAMETERS_MAX = 6
FUNCTION_LINES_MAX = 40
MAPPER = re.compile(r"^_?(to|from)_\w+$|^_?\w*_?(document|from_document|row)$")
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Source(NamedTuple):
    """A file of Python: where it lies below the checkout, its module's dotted name, and what is in it."""

    path: Path
    module: str
    tree: ast.Module
    lines: int


def sources(root: Path, *folders: str) -> list[Source]:
    """What is ours: nothing that npm installed."""
    return [_source(root, path) for folder in folders for path in sorted((root / folder).rglob("*.py")) if _ours(path)]


def _ours(path: Path) -> bool:
    return not {"node_modules", "__pycache__"} & {*path.parts}


def _source(root: Path, path: Path) -> Source:
    text, relative = path.read_text(), path.relative_to(root)
    module = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
    return Source(relative, module, ast.parse(text, str(path)), len(text.splitlines()))


def packages(code: list[Source]) -> dict[str, tuple[int, int]]:
    """Files and lines of every folder, by its path."""
    sizes: dict[str, tuple[int, int]] = {}
    for source in code:
        folder = str(source.path.parent)
        files, lines = sizes.get(folder, (0, 0))
        sizes[folder] = (files + 1, lines + source.lines)
    return sizes


def imports_between(code: list[Source], package: str) -> set[tuple[str, str]]:
    """The pairs of modules below `package` of which the first imports the second."""
    ours = {source.module for source in code if source.module.startswith(package)}
    return {
        (source.module, target)
        for source in code
        if source.module in ours
        for target in _imported(source.tree, ours)
        if target != source.module
    }


def _imported(tree: ast.Module, ours: set[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in ours)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield from [name for name in (whole, node.module) if name in ours][:1]


def functions(code: list[Source]) -> Iterator[tuple[Source, Function]]:
    for source in code:
        yield from ((source, node) for node in ast.walk(source.tree) if isinstance(node, Function))


def constructors_over(code: list[Source], most: int = PARAMETERS_MAX) -> list[str]:
    return sorted(
        f"{source.module}:{owner.name} takes {taken}"
        for source in code
        for owner in ast.walk(source.tree)
        if isinstance(owner, ast.ClassDef)
        for node in owner.body
        if isinstance(node, Function) and node.name == "__init__"
        if (taken := len(node.args.args) + len(node.args.kwonlyargs) - 1) > most
    )


def functions_over(code: list[Source], most: int = FUNCTION_LINES_MAX) -> list[str]:
    return sorted(f"{s.module}:{f.name} has {own_lines(f)}" for s, f in functions(code) if own_lines(f) > most)


def own_lines(function: Function) -> int:
    """Without the functions defined inside: a factory of handlers is as long as what it does itself."""
    inner = [node for statement in function.body for node in _outermost_functions(statement)]
    return _lines_of(function) - sum(_lines_of(node) for node in inner)


def _outermost_functions(node: ast.AST) -> Iterator[Function]:
    if isinstance(node, Function):
        yield node
    else:
        for child in ast.iter_child_nodes(node):
            yield from _outermost_functions(child)


def _lines_of(function: Function) -> int:
    first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
    return (function.end_lineno or function.lineno) - first + 1


def any_count(code: list[Source]) -> int:
    return sum(isinstance(node, ast.Name) and node.id == "Any" for source in code for node in ast.walk(source.tree))


def private_names(code: list[Source]) -> dict[str, set[str]]:
    """By module, the private names it uses that none of our own code defines: those of a library."""
    own = {name for source in code for name in _defined(source.tree)}
    found: dict[str, set[str]] = defaultdict(set)
    for source in code:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Attribute) and _is_private(node.attr) and node.attr not in own:
                found[source.module].add(node.attr)
            elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] not in CODE:
                found[source.module] |= {alias.name for alias in node.names if _is_private(alias.name)}
    return {module: names for module, names in found.items() if names}


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _defined(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, Function | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname for alias in node.names if alias.asname)


def mappers(code: list[Source]) -> list[str]:
    """Functions of the service's stores that turn a document into a model or back, by their names."""
    return sorted(
        f"{source.module}:{node.name}"
        for source, node in functions(code)
        if source.module.startswith("service.") and MAPPER.match(node.name) and "Mapping" not in node.name
    )


def classes_of_one_name(code: list[Source]) -> dict[str, list[str]]:
    """Public class names that mean different things in different modules."""
    homes: dict[str, list[str]] = defaultdict(list)
    for source in code:
        for node in source.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(source.module)
    return {name: modules for name, modules in sorted(homes.items()) if len(modules) > 1}


def table(root: Path) -> Iterator[str]:
    code = sources(root, *CODE)
    service = [source for source in code if source.module.startswith("service")]
    between = imports_between(code, "workloads")
    areas = {pair for pair in between if pair[0].rsplit(".", 1)[0] != pair[1].rsplit(".", 1)[0]}
    private, shared = private_names(code), classes_of_one_name(code)
    bootstrap = next(source for source in code if source.module == "service.bootstrap")
    sizes = packages(code)
    largest = sorted(sizes.items(), key=lambda item: -item[1][0])[:5]
    yield f"files {len(code)}, lines {sum(source.lines for source in code)}, folders {len(sizes)}"
    yield "most files in one folder: " + ", ".join(f"{folder} {files}" for folder, (files, _) in largest)
    yield f"imports between modules of workloads: {len(between)}, of them into another folder {len(areas)}"
    ours, everywhere = constructors_over(service), constructors_over(code)
    yield f"constructors over {PARAMETERS_MAX}: service {len(ours)}, all {len(everywhere)}"
    yield f"functions over {FUNCTION_LINES_MAX} lines: {len(functions_over(code))}"
    yield f"`Any`: service {any_count(service)}, all {any_count(code)}"
    yield f"private names of libraries: {len({n for names in private.values() for n in names})} in {len(private)} files"
    yield f"hand-written mappers: {len(mappers(code))}"
    yield f"lines of bootstrap: {bootstrap.lines}"
    yield f"class names with several meanings: {len(shared)}, classes {sum(len(homes) for homes in shared.values())}"
    counts = Counter({name: len(homes) for name, homes in shared.items()})
    yield "most often: " + ", ".join(f"{name} {count}" for name, count in counts.most_common(6))
    for folder, (files, lines) in sorted(sizes.items()):
        yield f"  {folder:<32} {files:>3} files {lines:>6} lines"


if __name__ == "__main__":
    for line in table(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1])):
        print(line)  # noqa: T201
