"""The real wrangler as the judge, over HTTP."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.emulator.api import Api

pytestmark = pytest.mark.workerd
WRANGLER = Path(__file__).parents[2] / "node_modules" / ".bin" / "wrangler"
Wrangler = Callable[..., str]

CODE = """export default { async fetch(_, env) {
  return Response.json((await env.DB.prepare("select name from pets order by name").all()).results)
} }"""
TRIGGER = """CREATE TABLE log (what TEXT);
CREATE TRIGGER adopted AFTER INSERT ON pets BEGIN
  INSERT INTO log VALUES (NEW.name || ';');
  INSERT INTO log VALUES ('done');
END;
-- the end"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a folder of a Worker with migrations."""
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "0001_pets.sql").write_text("CREATE TABLE pets (name TEXT);\n")
    (tmp_path / "migrations" / "0002_log.sql").write_text(TRIGGER)
    (tmp_path / "i.js").write_text(CODE)
    return tmp_path


@pytest.fixture
def wrangler(live: Api, project: Path) -> Wrangler:
    """Run wrangler in the project's folder against the emulator; a failure fails the test."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(project),
        "XDG_CONFIG_HOME": str(project / ".config"),
        "CLOUDFLARE_API_BASE_URL": live.emulator.base_url,
        "CLOUDFLARE_API_TOKEN": live.emulator.api_token,
        "CLOUDFLARE_ACCOUNT_ID": live.emulator.account.account_id,
        "WRANGLER_SEND_METRICS": "false",
        "WRANGLER_HIDE_BANNER": "true",
        "WRANGLER_LOG_PATH": str(project / "logs"),
        "CI": "1",
    }

    def run(*arguments: str, fails: bool = False) -> str:
        done = subprocess.run(
            [str(WRANGLER), *arguments],
            cwd=project,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done.stdout + done.stderr if fails else done.stdout

    return run


def configure(project: Path, **more: Any) -> None:
    config = {"name": "pets", "main": "i.js", "compatibility_date": "2026-04-01", **more}
    (project / "wrangler.json").write_text(json.dumps(config))


def test_a_database_from_birth_to_death(live: Api, wrangler: Wrangler, project: Path) -> None:
    """Create, list, query, migrate, export and delete a database with wrangler."""
    wrangler("d1", "create", "pets", "--location", "weur")
    listed = json.loads(wrangler("d1", "list", "--json"))
    (uuid,) = [item["uuid"] for item in listed if item["name"] == "pets"]
    binding = {"binding": "DB", "database_name": "pets", "database_id": uuid}
    configure(project, d1_databases=[binding])
    assert json.loads(wrangler("d1", "info", "pets", "--json"))["uuid"] == uuid

    pending = wrangler("d1", "migrations", "list", "pets", "--remote")
    assert "0001_pets.sql" in pending
    wrangler("d1", "migrations", "apply", "pets", "--remote")
    assert "No migrations to apply" in wrangler("d1", "migrations", "list", "pets", "--remote")

    command = "INSERT INTO pets VALUES ('Rex'); SELECT count(*) AS n FROM log"
    execute = ("d1", "execute", "pets", "--remote")
    answers = json.loads(wrangler(*execute, "--json", "--command", command))
    assert answers[1]["results"] == [{"n": 2}]
    assert "syntax error" in wrangler(*execute, "--command", "selec", fails=True)
    (project / "more.sql").write_text("INSERT INTO pets VALUES ('Mia');\nSELECT 1;\n")
    wrangler(*execute, "--yes", "--file", "more.sql")
    assert live.query(uuid, "select count(*) as n from pets") == [[{"n": 2}]]

    wrangler("d1", "export", "pets", "--remote", "--output", "dump.sql")
    dump = (project / "dump.sql").read_text()
    assert "INSERT INTO \"pets\" VALUES('Mia')" in dump
    bookmark = json.loads(wrangler("d1", "time-travel", "info", "pets", "--json"))
    assert bookmark["bookmark"]
    wrangler("d1", "delete", "pets", "--skip-confirmation")
    assert live.refusal("GET", "/d1/database/pets") == (404, 7404)


def test_a_worker_from_deploy_to_deploy(live: Api, wrangler: Wrangler, project: Path) -> None:
    """Deploy a Worker that answers from its database; deploy again; list what was deployed."""
    uuid = live.database("wrangled")
    live.query(uuid, "create table pets(name); insert into pets values ('Rex')")
    binding = {"binding": "DB", "database_name": "wrangled", "database_id": uuid}
    configure(project, d1_databases=[binding])
    assert ".workers.dev" in wrangler("deploy")
    assert live.emulator.settle()
    assert live.worker("pets").json() == [{"name": "Rex"}]

    (project / "i.js").write_text(CODE.replace("results)", "results.length)"))
    wrangler("deploy")
    assert live.emulator.settle()
    assert live.worker("pets").json() == 1
    versions = json.loads(wrangler("versions", "list", "--json"))
    assert [version["number"] for version in versions] == [1, 2]
    deployments = json.loads(wrangler("deployments", "list", "--json"))
    assert deployments[-1]["versions"][0]["version_id"] == versions[-1]["id"]

    live.result(
        "PUT",
        "/workers/scripts/pets/secrets",
        json={"name": "KEEP", "type": "secret_text", "text": "x"},
    )
    wrangler("deploy")
    assert [item["name"] for item in live.bindings("pets")] == ["DB", "KEEP"]
    assert "You are logged in" in wrangler("whoami")
    wrangler("delete", "--name", "pets", "--force")
    assert live.refusal("GET", "/workers/services/pets") == (404, 10090)
