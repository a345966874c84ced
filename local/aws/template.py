"""Read `template.yaml`, check that it holds together, and make plain CloudFormation of it.

What AWS would find out while deploying (a reference to nothing, a queue that nobody consumes, a
setting that no function gets) is found here, before anything starts, and named.
"""

import copy
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse
from yaml import YAMLError

from shared.settings import Settings

__all__ = ["Compiled", "TemplateRefused", "compile_template", "setting_name", "setting_names"]

CODE_BUCKET: Final = "d1fleet-local-code"
CODE_KEY: Final = "artefact.zip"
REGION: Final = "us-east-1"

_IN_TEXT: Final = re.compile(r"\$\{([^!}][^}]*)\}")


class TemplateRefused(Exception):  # noqa: N818
    """Say in one line, by its name, what is wrong with the template or the settings."""


@dataclass(frozen=True)
class Compiled:
    """Hold the CloudFormation template and what is known before anything exists.

    `routes` are (logical id of the function, method, path).
    """

    template: Mapping[str, Any]
    parameters: Mapping[str, str]
    routes: tuple[tuple[str, str, str], ...]


def setting_name(parameter: str) -> str:
    """Return the name by which a parameter is set from outside: `PoolTarget` is `POOL_TARGET`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", parameter).upper()


def setting_names(path: Path) -> frozenset[str]:
    """Return the names of all settings that the template takes.

    Raises:
        TemplateRefused: it can't be read.
    """
    return frozenset(setting_name(parameter) for parameter in _read(path)["Parameters"])


def compile_template(path: Path, settings: Mapping[str, str]) -> Compiled:
    """Compile the SAM template with these settings (names as in the functions' environment).

    Raises:
        TemplateRefused: it can't be read, it refers to something that is not there, or a setting is
        not one of its own.
    """
    source = _read(path)
    _check_references(path.name, source)
    _check_settings_are_passed(path.name, source)
    _check_queues_are_consumed(path.name, source)
    parameters = _parameters(path.name, source, settings)
    sam = copy.deepcopy(source)
    functions = sam["Globals"]["Function"]
    functions["CodeUri"] = f"s3://{CODE_BUCKET}/{CODE_KEY}"
    # The session only names the region. Managed policies are not asked for: the functions' roles
    # are their own.
    translator = Translator(None, Parser(), boto_session=boto3.Session(region_name=REGION))
    template = translator.translate(sam, dict(parameters), get_managed_policy_map=dict)
    return Compiled(json.loads(json.dumps(template)), parameters, tuple(_routes(source)))


def _read(path: Path) -> Any:
    try:
        return yaml_parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TemplateRefused(f"{path.name} can't be read: {error.strerror}") from error
    except YAMLError as error:
        raise TemplateRefused(f"{path.name} is not YAML: {error}") from error


def _parameters(
    name: str, source: Mapping[str, Any], settings: Mapping[str, str]
) -> dict[str, str]:
    known = {setting_name(parameter): parameter for parameter in source["Parameters"]}
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise TemplateRefused(f"{name} has no parameter for {', '.join(unknown)}")
    given = {known[setting]: value for setting, value in settings.items()}
    values = {}
    for parameter, declared in source["Parameters"].items():
        if parameter not in given and "Default" not in declared:
            raise TemplateRefused(f"{name}: set {setting_name(parameter)}, it has no default")
        # All of them as text, the defaults too: as such they reach a function on AWS, but not on
        # moto.
        value = str(given.get(parameter, declared.get("Default")))
        if (wanted := _wanted(declared, value)) is not None:
            raise TemplateRefused(f"{setting_name(parameter)} is {value!r}; it must be {wanted}")
        values[parameter] = value
    return values


def _wanted(declared: Mapping[str, Any], value: str) -> str | None:
    """Return what a parameter's value must be, if it is not."""
    allowed = [str(each) for each in declared.get("AllowedValues", [value])]
    if value not in allowed:
        return f"one of {', '.join(allowed)}"
    pattern = declared.get("AllowedPattern")
    if pattern and not re.search(pattern, value):
        return str(pattern)
    least, most = declared.get("MinValue", -math.inf), declared.get("MaxValue", math.inf)
    if declared["Type"] == "Number":
        try:
            if least <= float(value) <= most:
                return None
        except ValueError:
            return "a number"
        return f"from {least} to {most}"
    return None


def _check_references(name: str, source: Mapping[str, Any]) -> None:
    """Refuse what names a resource that is not there: moto would hand on the name itself."""
    resources = set(source["Resources"])
    known = resources | set(source["Parameters"])
    for section in ("Globals", "Resources", "Outputs"):
        for owner, body in source.get(section, {}).items():
            for target in _references(body):
                if target not in known and not target.startswith("AWS::"):
                    raise TemplateRefused(
                        f"{name}: {section}.{owner} refers to {target}, which is not there"
                    )


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "Ref":
                yield value
            elif key == "Fn::GetAtt":
                yield value.split(".")[0] if isinstance(value, str) else value[0]
            elif key == "Fn::Sub":
                text = value if isinstance(value, str) else value[0]
                yield from (found.split(".")[0] for found in _IN_TEXT.findall(text))
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for each in node:
            yield from _references(each)


def _functions(source: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for logical_id, resource in source["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            yield logical_id, resource["Properties"]


def _check_settings_are_passed(name: str, source: Mapping[str, Any]) -> None:
    """Refuse a function that lacks one of the settings, also one that has a default."""
    everywhere = source["Globals"]["Function"].get("Environment", {}).get("Variables", {})
    for logical_id, properties in _functions(source):
        own = properties.get("Environment", {}).get("Variables", {})
        missing = [
            field.upper()
            for field in Settings.model_fields
            if field.upper() not in everywhere and field.upper() not in own
        ]
        if missing:
            raise TemplateRefused(
                f"{name}: {logical_id} lacks the environment variable {', '.join(missing)}"
            )


def _check_queues_are_consumed(name: str, source: Mapping[str, Any]) -> None:
    """Refuse a queue whose messages would lie there for ever: no function takes them."""
    consumed = {
        target
        for _, properties in _functions(source)
        for event in properties.get("Events", {}).values()
        if event["Type"] == "SQS"
        for target in _references(event["Properties"]["Queue"])
    }
    for logical_id, resource in source["Resources"].items():
        is_queue = resource["Type"] == "AWS::SQS::Queue"
        if is_queue and "RedrivePolicy" in resource["Properties"] and logical_id not in consumed:
            raise TemplateRefused(f"{name}: no function consumes the queue {logical_id}")


def _routes(source: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for logical_id, properties in _functions(source):
        for event in properties.get("Events", {}).values():
            if event["Type"] == "HttpApi":
                yield logical_id, event["Properties"]["Method"], event["Properties"]["Path"]
