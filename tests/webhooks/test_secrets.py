"""Secrets out of Secrets Manager, on moto."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities.parameters import SecretsProvider
from botocore.config import Config
from moto import mock_aws

from shared.aws.secrets import SecretStore, secret_store
from shared.errors import Permanent, Transient


class Shelf:
    """Hold a store over moto, its clock, and the way to what is stored."""

    def __init__(self) -> None:
        self.client = boto3.client("secretsmanager", region_name="us-east-1")
        self.seconds = [0.0]
        self.calls = 0
        self.client.meta.events.register("before-call", self._count)
        self.store = SecretStore(
            SecretsProvider(boto3_client=self.client), "stack/", clock=lambda: self.seconds[0]
        )

    def _count(self, model: Any, **_: Any) -> None:
        self.calls += model.name == "GetSecretValue"

    def put(self, name: str, value: str | bytes) -> None:
        kind = "SecretBinary" if isinstance(value, bytes) else "SecretString"
        try:
            self.client.create_secret(Name=name, **{kind: value})
        except self.client.exceptions.ResourceExistsException:
            self.client.put_secret_value(SecretId=name, **{kind: value})


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield Shelf()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("whsec_abc", ("whsec_abc",)),
        ("  whsec_abc\n", ("whsec_abc",)),
        ('["new", "old"]', ("new", "old")),
        ('["a","b","c"]', ("a", "b", "c")),
        (b"bytes", ("bytes",)),
        ("[]", ()),
        (" ", ()),
    ],
)
def test_one_string_or_a_list(shelf: Shelf, value: str | bytes, expected: tuple[str, ...]) -> None:
    """A value is one secret, or a JSON list of them in their order; blanks around are no part."""
    shelf.put("stack/auth/clerk", value)
    assert shelf.store.get("auth/clerk") == expected


@pytest.mark.parametrize(
    "value", ['["a","b","c","d"]', "[1]", '[""]', '["a"', '{"secret":"a"}', b"\xff\xfe"]
)
def test_another_form_is_told_without_the_value(shelf: Shelf, value: str | bytes) -> None:
    """A value of another form is a mistake of configuration; the error names the secret only."""
    shelf.put("stack/auth/clerk", value)
    with pytest.raises(Permanent) as caught:
        shelf.store.get("auth/clerk")
    assert caught.value.reason == (
        "the secret stack/auth/clerk is neither a string nor a JSON list of at most 3 strings"
    )
    assert caught.value.__cause__ is None


def test_a_missing_secret_is_no_secret_and_asked_for_once_a_minute(shelf: Shelf) -> None:
    """No such secret gives none; strangers' requests do not become calls; a new one is found."""
    assert shelf.store.get("auth/clerk") == ()
    assert shelf.store.get("auth/clerk") == ()
    assert shelf.calls == 1
    shelf.put("stack/auth/clerk", "whsec_abc")
    shelf.seconds[0] = 59.9
    assert shelf.store.get("auth/clerk") == ()
    assert shelf.store.refreshed("auth/clerk") is None
    shelf.seconds[0] = 60
    assert shelf.store.get("auth/clerk") == ("whsec_abc",)


def test_a_secret_without_a_value_or_marked_for_deletion_is_none(shelf: Shelf) -> None:
    """What the stack made but nobody filled, and what is about to go, count as not there."""
    shelf.client.create_secret(Name="stack/auth/workos")
    shelf.put("stack/auth/auth0", "a-static-token")
    shelf.client.delete_secret(SecretId="stack/auth/auth0")
    assert shelf.store.get("auth/workos") == ()
    assert shelf.store.get("auth/auth0") == ()


def test_values_are_cached(shelf: Shelf) -> None:
    """Many readings are one call."""
    shelf.put("stack/auth/clerk", "old")
    for _ in range(5):
        assert shelf.store.get("auth/clerk") == ("old",)
    assert shelf.calls == 1


def test_a_rotated_secret_is_found_at_once_but_read_at_most_once_a_minute(shelf: Shelf) -> None:
    """Who fails to verify may look anew, once a minute; nothing changed is None."""
    shelf.put("stack/auth/clerk", "old")
    assert shelf.store.get("auth/clerk") == ("old",)
    shelf.put("stack/auth/clerk", json.dumps(["new", "old"]))
    assert shelf.store.get("auth/clerk") == ("old",)
    assert shelf.store.refreshed("auth/clerk") == ("new", "old")
    assert shelf.store.get("auth/clerk") == ("new", "old")
    shelf.put("stack/auth/clerk", "newest")
    assert shelf.store.refreshed("auth/clerk") is None
    before = shelf.calls
    shelf.seconds[0] += 60
    assert shelf.store.refreshed("auth/clerk") == ("newest",)
    assert shelf.store.refreshed("auth/clerk") is None
    assert shelf.calls == before + 1
    shelf.seconds[0] += 60
    assert shelf.store.refreshed("auth/clerk") is None
    assert shelf.calls == before + 2


def test_a_secret_that_must_be_there(shelf: Shelf) -> None:
    """`get_text` gives the first value, the one that signs, or says where to put one."""
    shelf.put("stack/router-admin", '["first", "second"]')
    assert shelf.store.get_text("router-admin") == "first"
    with pytest.raises(Permanent) as caught:
        shelf.store.get_text("cloudflare-token")
    assert caught.value.reason == "put a value into the secret stack/cloudflare-token"


def test_no_answer_is_transient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that nobody takes is worth another try; the error names the secret only."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    client = boto3.client(
        "secretsmanager",
        region_name="us-east-1",
        endpoint_url="http://127.0.0.1:9",
        config=Config(connect_timeout=0.2, retries={"total_max_attempts": 1}),
    )
    store = SecretStore(SecretsProvider(boto3_client=client), "stack")
    with pytest.raises(Transient, match="stack/auth/clerk: EndpointConnectionError"):
        store.get("auth/clerk")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("AccessDeniedException", Permanent),
        ("DecryptionFailure", Permanent),
        ("InternalServiceError", Transient),
        ("ThrottlingException", Transient),
    ],
)
def test_errors_of_aws_become_ours(shelf: Shelf, code: str, error: type[Exception]) -> None:
    """What a person must mend is permanent, everything else may pass."""

    class Wire:
        status_code, headers = 400, {"x-amzn-errortype": code}
        content = json.dumps({"__type": code, "message": "no"}).encode()
        text = content.decode()

    def refuse(**_: Any) -> tuple[Wire, dict[str, Any]]:
        parsed = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {}}
        return Wire(), parsed

    # botocore's own seam for answers that never were on a wire: moto knows none of these
    config = Config(retries={"total_max_attempts": 1})
    client = boto3.client("secretsmanager", region_name="us-east-1", config=config)
    client.meta.events.register("before-call.secrets-manager.GetSecretValue", refuse)
    with pytest.raises(error, match=code):
        SecretStore(SecretsProvider(boto3_client=client), "stack").get("auth/clerk")


def test_the_real_store_reads_the_environment(shelf: Shelf) -> None:
    """The wired store finds region and credentials as every AWS client does."""
    shelf.put("stack/auth/clerk", "whsec_abc")
    assert secret_store("stack").get("auth/clerk") == ("whsec_abc",)
