"""A bucket's lifecycle as the API takes it, from the template's: moto skips it when it deploys."""

from collections.abc import Mapping
from typing import Any

__all__ = ["lifecycle_of"]


def lifecycle_of(
    properties: Mapping[str, Any], parameters: Mapping[str, str]
) -> dict[str, Any] | None:
    """Return a bucket's lifecycle configuration, None if it has none.

    `parameters` are the stack's: the template may leave days to them.
    """
    configured = properties.get("LifecycleConfiguration")
    if configured is None:
        return None
    return {"Rules": [_rule(rule, parameters) for rule in configured["Rules"]]}


def _rule(rule: Mapping[str, Any], parameters: Mapping[str, str]) -> dict[str, Any]:
    api = {"ID": rule["Id"], "Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")}}
    if (days := rule.get("ExpirationInDays")) is not None:
        api["Expiration"] = {"Days": _days(days, parameters)}
    if (older := rule.get("NoncurrentVersionExpiration")) is not None:
        found = _days(older["NoncurrentDays"], parameters)
        api["NoncurrentVersionExpiration"] = {"NoncurrentDays": found}
    if (unfinished := rule.get("AbortIncompleteMultipartUpload")) is not None:
        api["AbortIncompleteMultipartUpload"] = dict(unfinished)
    return api


def _days(value: Any, parameters: Mapping[str, str]) -> int:
    return int(parameters[value["Ref"]] if isinstance(value, Mapping) else value)
