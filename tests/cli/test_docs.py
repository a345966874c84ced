"""Every command and option is in docs/cli.md, and nothing else is."""

import re
from collections.abc import Iterator
from pathlib import Path

import click

from ops.cli import main

DOCS = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
EVERYWHERE = {"--json", "--profile", "--region", "--stack", "--help", "-h"}


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def sections() -> dict[str, str]:
    """The text of each `### d1fleet …` section by its command."""
    text = DOCS.read_text(encoding="utf-8")
    parts = re.split(r"^### `d1fleet ([^`\[<A-Z]+?)(?: [^`a-z][^`]*)?`\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_command_has_a_section() -> None:
    """A command that is not documented fails this, and so does a section of no command."""
    assert set(sections()) == {name for name, _ in commands(main)}


def test_every_option_is_named_in_its_section() -> None:
    """Options that every command has are said once, at the top."""
    for name, command in commands(main):
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                for option in set(parameter.opts) - EVERYWHERE:
                    assert f"`{option}" in sections()[name], f"{name}: {option}"
    top = DOCS.read_text(encoding="utf-8").partition("### ")[0]
    for option in EVERYWHERE - {"-h", "--help"}:
        assert f"`{option}" in top


def test_every_command_explains_itself() -> None:
    """Each has a help text, and each argument a name for people."""
    for name, command in commands(main):
        assert command.help, name
        for parameter in command.params:
            if isinstance(parameter, click.Argument):
                assert parameter.metavar, f"{name}: {parameter.name}"
