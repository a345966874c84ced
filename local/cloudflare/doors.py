"""Routes as a table: method and path on the left, what answers on the right."""

from collections.abc import Callable, Mapping
from pathlib import Path

from flask import Blueprint, Response

__all__ = ["PREFIX", "doors"]

PREFIX = "/client/v4"


def doors(
    name: str, table: Mapping[str, Callable[..., Response]], *, prefix: str = PREFIX
) -> Blueprint:
    """Build a blueprint; a key is like `GET /accounts/<a>/d1/database/<id>`.

    Views get the placeholders by name, but for `<a>`, which is checked before they are called.
    """
    # Flask looks for the folder of an import name, in vain where `local` is a namespace package.
    blueprint = Blueprint(name, __name__, root_path=str(Path(__file__).parent))
    for number, (route, view) in enumerate(table.items()):
        method, path = route.split(" ", 1)
        blueprint.add_url_rule(
            prefix + path,
            endpoint=str(number),
            view_func=view,
            methods=[method],
            provide_automatic_options=False,
        )
    return blueprint
