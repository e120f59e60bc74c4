"""Imports go one way, and the core stays without I/O."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import trio_wsguard

ROOT = Path(trio_wsguard.__file__).parent
FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
CORE = [name for name in FILES if name.startswith("_core/")]
BASE = [*CORE, "_errors.py", "_policy.py"]
STDLIB_OF_CORE = {"collections", "collections.abc", "enum", "math", "typing", "bisect", "random"}
STDLIB_OF_CORE |= {"array"}  # a thousand numbers of every guard, in a fifth of the memory
WITH_TRIO = ("_shell/", "cli/", "testing/", "instrumentation/")
# What each layer may import of the package; a layer not named here may import all.
BENEATH = ("_errors", "_policy", "_core", "_shell")
ALLOWED = {
    "base": ("_errors", "_policy", "_core"),
    "_shell/": BENEATH,
    "__init__.py": BENEATH,
}
# The parts on top: none of them is needed by what lies beneath, and
# instrumentation needs no other of them.
ON_TOP = {"cli", "testing", "instrumentation"}


def tree(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_text(encoding="utf-8"))


def imports(name: str) -> set[str]:
    """Every module that a file imports anywhere, those for type checking included."""
    found: set[str] = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            module = node.module or ""
            is_bare = module == "trio_wsguard"
            found |= {f"{module}.{alias.name}" for alias in node.names} if is_bare else {module}
    return found


def own(name: str) -> set[str]:
    """The parts of the package that a file imports."""
    return {module.split(".")[1] for module in imports(name) if module.startswith("trio_wsguard.")}


def layer(name: str) -> str | None:
    if name in BASE:
        return "base"
    return next((key for key in ALLOWED if name.startswith(key)), None)


def test_core_was_found() -> None:
    """The files of the core are where these tests look for them."""
    assert "_core/liveness.py" in CORE
    assert {"_errors.py", "_policy.py"} < set(FILES)


@pytest.mark.parametrize("name", [name for name in FILES if layer(name)])
def test_imports_go_one_way(name: str) -> None:
    """A layer imports only itself and what lies beneath it."""
    assert own(name) <= set(ALLOWED[layer(name) or ""])


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("instrumentation/")])
def test_instrumentation_stands_alone(name: str) -> None:
    """Instrumentation imports what is public, and helpers beneath it; no test kit, no commands."""
    assert own(name) & ON_TOP <= {"instrumentation"}


@pytest.mark.parametrize("name", BASE)
def test_core_imports_no_io(name: str) -> None:
    """The core imports attrs, seven pure modules of the library, and itself."""
    foreign = {module for module in imports(name) if not module.startswith("trio_wsguard.")}
    assert foreign <= STDLIB_OF_CORE | {"__future__", "attrs"}


@pytest.mark.parametrize("name", BASE)
def test_core_is_synchronous(name: str) -> None:
    """No coroutine is defined or awaited in the core."""
    asynchronous = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    assert not [node for node in ast.walk(tree(name)) if isinstance(node, asynchronous)]


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith(WITH_TRIO)])
def test_trio_stays_in_the_shell(name: str) -> None:
    """Only the shell and what stands on it import trio."""
    assert not [module for module in imports(name) if module.split(".")[0] == "trio"]


EXTRAS = {
    "python_socks",
    "click",
    "coredis",
    "rich",
    "websockets",
    "hypothesis",
    "pytest",
    "h11",
    "httpx",
    "prometheus_client",
    "opentelemetry",
    "structlog",
    "trio_websocket",
    "trio_wsguard.instrumentation",
}


@pytest.mark.parametrize(
    ("module", "extras"),
    [
        ("trio_wsguard", EXTRAS),
        ("trio_wsguard.instrumentation", EXTRAS - {"trio_wsguard.instrumentation"}),
    ],
)
def test_importing_imports_no_extra(module: str, extras: set[str]) -> None:
    """Importing needs none of the extras, nor the transport before it is used."""
    code = f"import sys, {module}; print(sorted({extras!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - our own code
    assert done.stdout.strip() == "[]"
