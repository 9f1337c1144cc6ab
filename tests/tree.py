"""What the structure tests look at: the files of the project, as git would ship them, and their imports.

Reads source text only; nothing of the project is imported here.
"""

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("pipelines", "assets", "resources")


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name, absolute, with where it stands."""

    name: str
    where: str

    @property
    def top(self) -> str:
        """The package that the name begins with."""
        return self.name.partition(".")[0]

    def is_of(self, *modules: str) -> bool:
        """Whether the name is one of `modules` or lies in one."""
        return any(self.name == module or self.name.startswith(f"{module}.") for module in modules)


@cache
def shipped_files() -> tuple[Path, ...]:
    """Every file of the project that git knows or would add, relative to the root."""
    command = [
        "git",
        "-c",
        f"safe.directory={ROOT}",
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "-z",
    ]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    names = listed.stdout.decode().split("\0") if listed.returncode == 0 else unpacked_files()
    return tuple(Path(name) for name in sorted({*names} - {""}) if (ROOT / name).is_file())


def unpacked_files() -> list[str]:
    """The same where there is no git, as in an unpacked archive: all that is not made by tools."""
    names = (path.relative_to(ROOT) for path in ROOT.rglob("*"))
    made = {"__pycache__", "build", "dist"}
    return [
        name.as_posix()
        for name in names
        if name.parts[0] in {".ci", ".gitignore"}
        or not (made & {*name.parts} or name.parts[0].startswith("."))
    ]


@cache
def modules() -> tuple[Path, ...]:
    """The Python files of the three folders, relative to the root."""
    return tuple(path for path in shipped_files() if path.suffix == ".py" and path.parts[0] in FOLDERS)


@cache
def syntax(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), filename=str(path))


def imports(path: Path) -> Iterator[Import]:
    """Every import of a file, also those inside functions; `from a import b` counts as a.b."""
    for node in ast.walk(syntax(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, f"{path}:{node.lineno}")
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield Import(f"{node.module}.{alias.name}", f"{path}:{node.lineno}")


def module_name(path: Path) -> str:
    """The dotted name under which a file is imported."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
