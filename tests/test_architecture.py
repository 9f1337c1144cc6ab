"""The shape of the code, kept by tests: which way imports point, what is pure, what a file must say about itself.

Every failure names file and line. What these rules are for stands in docs/contributing.md.
"""

import ast
import graphlib
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tree import FOLDERS, ROOT, Import, imports, module_name, modules, shipped_files, syntax

MAY_IMPORT = {
    "pipelines": {"pipelines", "assets", "resources"},
    "assets": {"assets", "resources"},
    "resources": {"resources"},
}
RULES_MAY_IMPORT = {
    "assets", "pandas", "pandera", "pyarrow", "duckdb", "numpy",
    "idna", "sqlglot", "yaml", "msgspec", "isal",
}  # fmt: skip
PURE_RESOURCES = tuple(
    Path("resources/mailtrap") / name
    for name in ("wire.py", "complaints.py", "budget.py", "polls.py", "retries.py")
)
TOUCHES_THE_WORLD = (
    "socket",
    "http",
    "urllib.request",
    "subprocess",
    "asyncio",
    "multiprocessing",
)
ONLY_IN = {
    "adbc_driver_manager": ("resources/warehouses/",),
    "adbc_driver_postgresql": ("resources/warehouses/",),
    "google": ("resources/warehouses/bigquery.py",),
    "httpx": ("resources/mailtrap/", "resources/local_mailtrap/", "resources/alerts/"),
    "matplotlib": ("pipelines/picture.py",),
    "snowflake": ("resources/warehouses/snowflake.py",),
    "starlette": ("resources/local_mailtrap/",),
    "uvicorn": ("resources/local_mailtrap/",),
}
VAGUE_NAMES = {
    "util",
    "utils",
    "helper",
    "helpers",
    "common",
    "base",
    "manager",
    "misc",
    "tools",
    "shared",
    "core",
}
TOP_LEVEL = {
    ".ci", ".gitignore", "CHANGELOG.md", "LICENSE", "Makefile", "README.md", "assets", "benchmarks", "deploy", "docs",
    "SECURITY.md", "pipelines", "pyproject.toml", "requirements.lock", "resources", "tests", "workspace.yaml",
}  # fmt: skip
# Written so that this file does not find itself.
OF_ONE_MACHINE = re.compile(r"(?<![\w.})\]*])/(?:home|root|Users|wor[k])/\w|\b[A-Z]:\\\\?Users")
OF_A_REGISTRY = re.compile(
    r"pypi\.or[g]|pythonhosted\.or[g]|registry\.npmj[s]|--(?:extra-)?index-ur[l]|find-link[s]|\"resolved\": *\"http"
)


def listed(found: list[str]) -> str:
    """What was found, one a line, for a failure that says which."""
    return "\n" + "\n".join(sorted(found))


def foreign(path: Path) -> Iterator[Import]:
    """The imports of a file that are neither the standard library's nor ours."""
    return (
        each for each in imports(path) if each.top not in sys.stdlib_module_names and each.top not in FOLDERS
    )


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_point_one_way(folder: str) -> None:
    """Pipelines may use assets and resources, assets may use resources, resources use nothing of ours."""
    ours = {*FOLDERS, "tests", "benchmarks"}
    wrong = [
        f"{each.where}: {folder} imports {each.name}"
        for path in modules()
        if path.parts[0] == folder
        for each in imports(path)
        if each.top in ours - MAY_IMPORT[folder]
    ]
    assert not wrong, listed(wrong)


def test_no_module_imports_itself_by_a_detour() -> None:
    """Every module can be understood after the ones that it imports: there is no cycle."""
    names = {module_name(path) for path in modules()}
    graph = {
        module_name(path): {
            target
            for each in imports(path)
            for target in (each.name, each.name.rpartition(".")[0])
            if target in names and not target.endswith("__init__") and target != module_name(path)
        }
        - {module_name(path).rpartition(".")[0]}
        for path in modules()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as cycle:
        pytest.fail(" → ".join(cycle.args[1]))


def test_rules_decide_and_do_nothing_else() -> None:
    """Nothing in assets/rules knows Dagster, HTTP, our resources, or a library that talks to the outside."""
    wrong = [
        f"{each.where}: a rule imports {each.name}"
        for path in modules()
        if path.is_relative_to("assets/rules")
        for each in imports(path)
        if (each.top not in RULES_MAY_IMPORT and each.top not in sys.stdlib_module_names)
        or (each.top == "assets" and not each.is_of("assets.rules"))
        or each.is_of(*TOUCHES_THE_WORLD)
    ]
    assert not wrong, listed(wrong)


def test_protocol_knowledge_is_pure() -> None:
    """What Mailtrap's messages mean and what its limits allow is decided without any I/O."""
    pure = {module_name(path) for path in PURE_RESOURCES}
    wrong = [
        f"{each.where}: a pure module imports {each.name}"
        for path in PURE_RESOURCES
        if (ROOT / path).exists()
        for each in imports(path)
        if (each.top not in sys.stdlib_module_names and each.top != "msgspec" and not each.is_of(*pure))
        or each.is_of(*TOUCHES_THE_WORLD)
    ]
    assert not wrong, listed(wrong)


def test_decisions_have_no_clock_and_no_dice() -> None:
    """Time and randomness come into rules and protocol knowledge as parameters, so that tests can choose them."""
    asked = {"time.time", "time.monotonic", "time.sleep", "datetime.now", "datetime.utcnow", "date.today"}
    wrong = []
    for path in modules():
        if not (path.is_relative_to("assets/rules") or path in PURE_RESOURCES):
            continue
        wrong += [
            f"{each.where}: imports {each.name}" for each in imports(path) if each.is_of("random", "secrets")
        ]
        for node in ast.walk(syntax(path)):
            if isinstance(node, ast.Call) and ".".join(ast.unparse(node.func).split(".")[-2:]) in asked:
                wrong.append(f"{path}:{node.lineno}: calls {ast.unparse(node.func)}")
    assert not wrong, listed(wrong)


def test_resources_know_dagster_only_in_their_settings() -> None:
    """A resource is settings plus how to make a plain client: the client works without Dagster."""
    wrong = [
        f"{each.where}: imports {each.name}"
        for path in modules()
        if path.parts[0] == "resources"
        and (path.name != "settings.py" or path == Path("resources/settings.py"))
        for each in imports(path)
        if each.top.startswith("dagster")
    ]
    assert not wrong, listed(wrong)


@pytest.mark.parametrize("package", sorted(ONLY_IN))
def test_a_package_with_one_job_is_imported_in_one_place(package: str) -> None:
    """Optional drivers, HTTP and pictures stay behind their border, so that another one costs one file."""
    wrong = [
        each.where
        for path in modules()
        for each in imports(path)
        if each.top == package and not path.as_posix().startswith(ONLY_IN[package])
    ]
    assert not wrong, listed(wrong)


def test_annotations_stay_real_where_dagster_reads_them() -> None:
    """Dagster reads the annotation of `context`; `from __future__ import annotations` would turn it into text."""
    wrong = [
        each.where
        for path in modules()
        if any(each.top == "dagster" for each in imports(path))
        for each in imports(path)
        if each.name == "__future__.annotations"
    ]
    assert not wrong, listed(wrong)


def test_what_is_imported_is_declared() -> None:
    """Every package that the code imports is named in pyproject.toml, with a lower bound."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    unbound = [line for line in lines if not re.search(r">=", line) and "mailtrap-contacts" not in line]
    assert not unbound, f"without a lower bound: {unbound}"
    declared = {re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0].lower().replace("_", "-") for line in lines}
    providers = importlib.metadata.packages_distributions()
    wrong = []
    for path in modules():
        for each in foreign(path):
            names = {name.lower().replace("_", "-") for name in providers.get(each.top, [each.top])}
            optional = each.top in {"google", "snowflake"}  # not installed here; their extras are declared
            if not names & declared and not optional:
                wrong.append(f"{each.where}: {each.top} comes with {', '.join(sorted(names))}")
    assert not wrong, listed(wrong)


def test_what_is_declared_is_imported() -> None:
    """Nobody installs a library that the product does not use; the web server is started, not imported."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    providers = importlib.metadata.packages_distributions()
    used = {
        name.lower().replace("_", "-")
        for path in modules()
        for each in foreign(path)
        for name in providers.get(each.top, [each.top])
    }
    declared = {re.split(r"[\[<>=]", line, maxsplit=1)[0] for line in project["dependencies"]}
    assert declared - used == {"dagster-webserver"}


def test_every_module_draws_its_border() -> None:
    """A module begins with a docstring that says what belongs in it."""
    wrong = [str(path) for path in modules() if not ast.get_docstring(syntax(path))]
    assert not wrong, listed(wrong)


def test_every_public_name_says_what_it_promises() -> None:
    """Public functions, classes and methods have a docstring; a method made anew keeps the promise of its base."""
    wrong = []
    for path in modules():
        definitions = list(public_definitions(syntax(path)))
        promised = {
            node.name for node, inside_class in definitions if inside_class and ast.get_docstring(node)
        }
        for node, inside_class in definitions:
            settled = inside_class and (node.name.startswith("__") or node.name in promised)
            if not settled and not ast.get_docstring(node) and not is_overload(node):
                wrong.append(f"{path}:{node.lineno}: {node.name}")
    assert not wrong, listed(wrong)


def test_long_calls_name_their_arguments() -> None:
    """A public function takes at most three arguments by position, so that a call reads without its definition."""
    wrong = []
    for path in modules():
        for node, inside_class in public_definitions(syntax(path)):
            if isinstance(node, ast.ClassDef) or node.name.startswith("__"):
                continue
            names = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
            if len(names[1:] if inside_class and names[:1] in (["self"], ["cls"]) else names) > 3:
                wrong.append(f"{path}:{node.lineno}: {node.name}({', '.join(names)})")
    assert not wrong, listed(wrong)


def test_files_are_named_after_what_they_hold() -> None:
    """A file is a noun of the domain: no utils, no helpers, no manager."""
    wrong = [
        str(path)
        for path in shipped_files()
        if path.suffix == ".py" and VAGUE_NAMES & {*path.parts[:-1], path.stem.lower().removeprefix("test_")}
    ]
    assert not wrong, listed(wrong)


def test_the_top_level_is_what_a_reader_expects() -> None:
    """Nothing lies at the top of the repository but what the README explains."""
    assert {path.parts[0] for path in shipped_files()} - TOP_LEVEL == set()


def test_tests_mirror_the_tree() -> None:
    """A folder of tests stands for the folder of the same name."""
    wrong = {
        str(path.parent)
        for path in shipped_files()
        if path.parts[0] == "tests" and path.name.startswith("test_") and len(path.parts) > 2
        if not (ROOT / Path(*path.parts[1:-1])).is_dir()
    }
    assert not wrong, listed(sorted(wrong))


def test_nothing_names_one_machine_or_one_registry() -> None:
    """The repository works anywhere: it holds no home folders and no addresses of package registries."""
    wrong = []
    for path in shipped_files():
        try:
            lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        wrong += [
            f"{path}:{number}: {line.strip()[:100]}"
            for number, line in enumerate(lines, start=1)
            if OF_ONE_MACHINE.search(line) or OF_A_REGISTRY.search(line)
        ]
    assert not wrong, listed(wrong)


def public_definitions(
    tree: ast.Module,
) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, bool]]:
    """Public functions and classes of a module and the methods of the latter, with whether it is a method."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in tree.body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            yield node, False
            if isinstance(node, ast.ClassDef):
                for inner in node.body:
                    if isinstance(inner, kinds) and (
                        not inner.name.startswith("_") or inner.name.startswith("__")
                    ):
                        yield inner, True


def is_overload(node: ast.AST) -> bool:
    """Whether a definition is one of several signatures of the same function."""
    return any(ast.unparse(each).endswith("overload") for each in getattr(node, "decorator_list", ()))
