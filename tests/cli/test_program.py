"""How the program ends: one line and a status that scripts can use, never a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "No such command 'nothing'"),
        (["tenants", "shw"], "Did you mean 'show'?"),
        (["tenants", "show"], "Missing argument 'TENANT'"),
        (["tenants", "list", "--nope"], "No such option"),
        (["pool", "fill", "--wait", "soon"], "not a valid integer"),
        (["reconcile", "--sweep", "--dry-run"], "no dry run"),
        (["drift", "--now", "--policy"], "give --now or --policy"),
        (["tenants"], "Usage: d1fleet tenants"),
        ([], "Usage: d1fleet"),
    ],
)
def test_wrong_usage_ends_with_64(
    nowhere: Path, cli: Any, arguments: list[str], words: str
) -> None:
    """The line names what is wrong; nothing is printed to standard output."""
    ran = cli(*arguments)
    assert (ran.status, ran.stdout) == (64, "")
    assert words in ran.stderr


def test_without_a_stack_the_line_says_how_to_get_one(nowhere: Path, cli: Any) -> None:
    """Neither a local stack nor a name: status 1, one line."""
    ran = cli("tenants", "list")
    assert (ran.status, ran.stdout) == (1, "")
    assert ran.stderr.count("\n") == 1
    assert "`d1fleet up`" in ran.stderr
    assert "--stack" in ran.stderr


def test_with_json_an_error_is_json_too(nowhere: Path, cli: Any) -> None:
    """Scripts find the reason and the status in what they parse."""
    ran = cli("tenants", "list", "--json")
    assert (ran.status, ran.data["exit_status"]) == (1, 1)
    assert "d1fleet up" in ran.data["error"]
    assert cli("tenants", "show", "--json").data["exit_status"] == 64


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"aws": {}}', '{"aws": {"endpoint_url": 3}}', "{"]
)
def test_a_broken_stack_file_is_named(nowhere: Path, cli: Any, content: str) -> None:
    """Half a file, or another program's, is an error that names it."""
    (nowhere / ".d1fleet").mkdir()
    (nowhere / ".d1fleet" / "stack.json").write_text(content)
    ran = cli("tenants", "list")
    assert ran.status == 1
    assert "stack.json" in ran.stderr


def test_a_stack_that_has_stopped_is_said_to_have_stopped(nowhere: Path, cli: Any) -> None:
    """A file that outlived its stack says how to start it, and no request leaves the machine."""
    (nowhere / ".d1fleet").mkdir()
    (nowhere / ".d1fleet" / "stack.json").write_text(
        json.dumps({"aws": {"endpoint_url": "http://127.0.0.1:9", "region": "us-east-1"}})
    )
    ran = cli("pool", "status")
    assert ran.status == 1
    assert "the local stack does not answer: start it with `d1fleet up`" in ran.stderr


def test_a_profile_that_is_not_there_is_named(nowhere: Path, cli: Any) -> None:
    """The line says where profiles are listed."""
    ran = cli("tenants", "list", "--stack", "prod", "--profile", "nobody")
    assert ran.status == 1
    assert "nobody" in ran.stderr
    assert "aws configure list-profiles" in ran.stderr


def test_a_missing_region_is_asked_for(nowhere: Path, cli: Any) -> None:
    """boto3's own complaint would not say which option helps."""
    ran = cli("tenants", "list", "--stack", "prod")
    assert (ran.status, ran.stderr) == (
        1,
        "d1fleet: no region: give --region, or set one in the profile\n",
    )


def test_without_credentials_the_line_says_so(nowhere: Path, cli: Any) -> None:
    """No key anywhere is an expected error."""
    ran = cli("--region", "eu-west-1", "tenants", "list", "--stack", "prod")
    assert ran.status == 1
    assert "credentials" in ran.stderr.lower()
    assert "Traceback" not in ran.stderr


@pytest.mark.workerd
class TestOnAws:
    """With --stack the same commands work on a deployed stack."""

    def given(self, stack: Any) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": stack.endpoint_url,
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "a",
        }

    def test_a_stack_is_found_by_its_name(
        self, stack: Any, cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No file is needed; options may stand before or after the subcommand, or in a variable."""
        monkeypatch.chdir(tmp_path)
        given = self.given(stack)
        where = ("--stack", "cli-test", "--region", "us-east-1")
        after = cli("pool", "status", "--json", *where, **given)
        assert after.status == 0, after.stderr
        before = cli(*where, "pool", "status", "--json", **given)
        named = cli(
            "pool", "status", "--json", "--region", "us-east-1", D1FLEET_STACK="cli-test", **given
        )
        assert [row["class"] for row in after.data] == ["weur", "eu"]
        assert after.data == before.data == named.data

    def test_another_name_is_an_error(self, stack: Any, cli: Any) -> None:
        """A stack that is not there is named, with the options that choose it."""
        ran = cli(
            "pool", "status", "--stack", "other", "--region", "us-east-1", **self.given(stack)
        )
        assert ran.status == 1
        assert "no stack other here: see --stack and --region" in ran.stderr

    def test_a_stack_of_somebody_else_is_refused(self, stack: Any, cli: Any) -> None:
        """A stack that is not d1fleet's is not touched."""
        stack.aws("cloudformation").create_stack(
            StackName="theirs",
            TemplateBody=json.dumps({"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}}),
        )
        try:
            ran = cli(
                "pool", "status", "--stack", "theirs", "--region", "us-east-1", **self.given(stack)
            )
        finally:
            stack.aws("cloudformation").delete_stack(StackName="theirs")
        assert ran.status == 1
        assert "not one of d1fleet's" in ran.stderr


def test_a_reader_that_has_seen_enough_is_no_error_message() -> None:
    """`d1fleet --help | true` prints no traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", "from ops.cli import main; main()", "--help"],
            cwd=ROOT,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    finally:
        os.close(writer)
    assert "Traceback" not in ended.stderr


def test_the_installed_program_is_this_one() -> None:
    """The console script runs, and knows its version."""
    ended = subprocess.run(
        [Path(sys.executable).parent / "d1fleet", "--version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ended.stdout.startswith("d1fleet, version ")
