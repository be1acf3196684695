"""The verb ``completion``: the script that lets a shell complete verbs, options and file names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

__all__ = ["completion"]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of icefarm for a shell.

    bash: eval "$(icefarm completion bash)" in ~/.bashrc.  zsh: the same with zsh in ~/.zshrc.
    fish: icefarm completion fish > ~/.config/fish/completions/icefarm.fish.
    """
    from icefarm.cli import main

    scripts = get_completion_class(shell)
    assert scripts is not None  # The shells that click knows.
    click.echo(scripts(main, {}, "icefarm", "_ICEFARM_COMPLETE").source())
