"""``python -m icefarm``: the same as the ``icefarm`` command."""

from icefarm.cli import main

if __name__ == "__main__":
    main(prog_name="icefarm")
