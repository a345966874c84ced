"""Cold imports: a function, beside what its own code imports from outside, and nothing else.

What a function's modules import from outside is read from their source, statement by statement, so
that the reference follows the code. Both are run in fresh processes, in turn; the clock runs inside
the process, around the imports alone, so that the interpreter's own start dilutes nothing.
"""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from bench.rows import Row, Sample

__all__ = ["imports_from_outside", "measure_imports"]

ROOT: Final = Path(__file__).resolve().parents[1]
OURS: Final = ("functions", "shared")
_LIST: Final = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
files = [m.__file__ for n, m in sys.modules.items() if n.split(".")[0] in ("functions", "shared")]
print(json.dumps([f for f in files if f]))
"""
_TIME: Final = """
import sys, time
program = compile(sys.argv[1], "imports", "exec")
begun = time.perf_counter()
exec(program)
print(time.perf_counter() - begun)
"""


def imports_from_outside(source: str) -> set[str]:
    """Return a module's statements that import something from outside when it is imported itself.

    What stands in functions or under `if TYPE_CHECKING` runs later or never, and is left out.
    """
    found: set[str] = set()
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Import):
            found |= {f"import {alias.name}" for alias in statement.names if _outside(alias.name)}
        elif isinstance(statement, ast.ImportFrom):
            module = statement.module or ""
            if not statement.level and _outside(module):
                found |= {f"from {module} import {alias.name}" for alias in statement.names}
    return found


def _outside(module: str) -> bool:
    top = module.partition(".")[0]
    return top not in OURS and top not in sys.stdlib_module_names


def _run(program: str, argument: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, argument],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"this failed in a fresh process: {argument}\n{done.stderr}")
    return done.stdout


def _dependencies(function: str) -> list[str]:
    files: list[str] = json.loads(_run(_LIST, function))
    sources = (Path(file).read_text(encoding="utf-8") for file in files)
    return sorted(set().union(*map(imports_from_outside, sources)))


def _milliseconds(statements: list[str]) -> float:
    return float(_run(_TIME, "\n".join(statements))) * 1000


def measure_imports(times: int) -> list[Row]:
    """Import each function `times` times, and its dependencies as often."""
    rows = []
    for folder in sorted((ROOT / "functions").glob("*/app.py")):
        name = folder.parent.name
        function = f"functions.{name}.app"
        bare = _dependencies(function)
        _milliseconds(bare)  # the first writes bytecode, and warms the disk's cache
        ours, reference = [], []
        for _ in range(times):
            ours.append(_milliseconds([f"import {function}"]))
            reference.append(_milliseconds(bare))
        rows.append(
            Row(
                f"cold import of {name}",
                "ms",
                Sample.of(ours),
                Sample.of(reference),
                "its bare dependencies",
                extra={"dependencies": bare},
                paired=True,
            )
        )
    return rows
