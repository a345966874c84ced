"""The state table as `template.yaml` describes it, for tests that make their own."""

from functools import cache
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

TEMPLATE = Path(__file__).resolve().parents[2] / "template.yaml"
_CREATE = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")


@cache
def table_properties() -> dict[str, Any]:
    """Return what CreateTable takes of the template's table."""
    properties = yaml_parse(TEMPLATE.read_text())["Resources"]["Table"]["Properties"]
    return {name: properties[name] for name in _CREATE}
