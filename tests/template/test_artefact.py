"""The recipe of what ships to Lambda: only what runs, with usable bytecode, always the same."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shared.domain.worker import Role
from shared.usecases.worker_code import WorkerCode

ROOT = Path(__file__).parents[2]


def build(folder: Path) -> Path:
    """Make our part of the artefact in a folder."""
    folder.mkdir()
    subprocess.run(
        [
            "make",
            "--no-print-directory",
            "artefact-code",
            f"ARTIFACTS_DIR={folder}",
            f"BUILD_PYTHON={sys.executable}",
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return our part of the artefact."""
    return build(tmp_path_factory.mktemp("build") / "one")


def test_only_what_runs_ships(artefact: Path) -> None:
    """The functions, the library and the Workers' code, and nothing else."""
    assert {path.name for path in artefact.iterdir()} == {"functions", "shared", "worker"}
    assert {path.name for path in (artefact / "worker").iterdir()} == {"src"}
    files = [path for path in (artefact / "worker" / "src").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".js"}


@pytest.mark.parametrize("role", list(Role))
def test_all_of_a_workers_modules_ship(artefact: Path, role: Role) -> None:
    """What Lambda would upload for a role is what the tree has, under the same hash."""
    shipped, ours = WorkerCode(artefact / "worker" / "src"), WorkerCode()
    assert list(shipped.modules(role).items()) == list(ours.modules(role).items())
    assert next(iter(shipped.modules(role))) == "index.js"
    assert len(shipped.modules(role)) > 1
    assert shipped.hash_of(role) == ours.hash_of(role)


def test_each_module_counts_in_a_roles_hash(tmp_path: Path) -> None:
    """A changed, added or renamed module makes another hash; the other role keeps its own."""
    sources = shutil.copytree(ROOT / "worker" / "src", tmp_path / "src")
    router = sources / "router"
    hashes = [WorkerCode(sources).hash_of(Role.ROUTER)]
    (router / "errors.js").write_text("// changed")
    hashes.append(WorkerCode(sources).hash_of(Role.ROUTER))
    (router / "added.js").write_text("// added")
    hashes.append(WorkerCode(sources).hash_of(Role.ROUTER))
    (router / "added.js").rename(router / "another.js")
    hashes.append(WorkerCode(sources).hash_of(Role.ROUTER))
    assert len(set(hashes)) == len(hashes)
    assert WorkerCode(sources).hash_of(Role.SHARD) == WorkerCode().hash_of(Role.SHARD)


def test_bytecode_is_used_whatever_the_date_of_its_source(artefact: Path) -> None:
    """Every module has bytecode, and its flag word says: unchecked hash."""
    sources = list(artefact.rglob("*.py"))
    compiled = list(artefact.rglob("*.pyc"))
    assert len(sources) == len(compiled) > 50
    assert {file.read_bytes()[4:8] for file in compiled} == {b"\x01\x00\x00\x00"}


def test_every_function_gets_the_same_bytes(artefact: Path, tmp_path: Path) -> None:
    """Built into another folder the files are the same, so that SAM uploads once."""

    def digest(folder: Path) -> dict[str, str]:
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix != ".py"
        }

    assert digest(artefact) == digest(build(tmp_path / "another"))


def test_the_artefact_knows_nothing_of_where_it_was_built(artefact: Path) -> None:
    """Bytecode names its source as Lambda has it."""
    module = next(artefact.rglob("settings.*.pyc"))
    assert b"/var/task/shared/settings.py" in module.read_bytes()
    assert str(artefact).encode() not in module.read_bytes()
