"""Text of workerd's configuration: the few parts of Cap'n Proto's syntax that are needed."""

import json
from collections.abc import Iterable
from typing import Any

__all__ = ["bracket", "config", "json_text", "record", "text"]


def text(value: str) -> str:
    """Quote a string; control characters become escapes, other characters stay as they are."""
    out = ['"']
    for char in value:
        if char in '"\\':
            out.append("\\" + char)
        elif char < " " or char == "\x7f":
            out.append(f"\\x{ord(char):02x}")
        else:
            out.append(char)
    out.append('"')
    return "".join(out)


def json_text(value: Any) -> str:
    """Quote the JSON of a value."""
    return text(json.dumps(value))


def record(**fields: str) -> str:
    """Write a struct of fields that are already text; a trailing `_` of a name is dropped."""
    inner = ", ".join(f"{name.rstrip('_')} = {value}" for name, value in fields.items())
    return f"({inner})"


def bracket(items: Iterable[str]) -> str:
    """Write a list of items that are already text."""
    return "[" + ",\n".join(items) + "]"


def config(**fields: str) -> str:
    """Write a whole configuration file."""
    head = 'using Workerd = import "/workerd/workerd.capnp";'
    return f"{head}\nconst config :Workerd.Config = {record(**fields)};\n"
