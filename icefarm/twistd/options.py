"""Options of the services in layers: a flag wins over the environment, that over a TOML file, that over a default.

A service's options class names its section of the file and its settings, nothing else::

    class Options(LayeredOptions):
        section = "control"
        settings = (
            Setting("http", "where to serve HTTP", metavar="HOST:PORT", default="127.0.0.1:8081", parse=host_and_port),
            Setting("router-ticket", "the ticket that control signs in with", secret=True),
        )

Values are then found under the setting's name, parsed: ``options["http"] == ("127.0.0.1", 8081)``.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from attrs import frozen
from twisted.logger import Logger
from twisted.python import usage

from icefarm.errors import IcefarmError
from icefarm.text.legacy_names import SERVICE_NAMES, translate_legacy_env
from icefarm.twistd.parsers import choice, existing_file, host_and_port, number, seconds, whole_number

__all__ = [
    "LayeredOptions",
    "Setting",
    "choice",
    "existing_file",
    "host_and_port",
    "number",
    "read_section",
    "resolve",
    "seconds",
    "whole_number",
]

#: Sections that a configuration file may have: one file can serve both services of a host.
SECTIONS = ("control", "worker")

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")

ReadText = Callable[[str], str]


@frozen
class Setting:
    """One thing that can be set.

    ``default`` is written as a user would write it, and parsed like other values; None means that there is none.
    ``parse`` turns text into the value and raises ValueError or `IcefarmError` with the end of a sentence
    ("must be ..., not ..."). A ``flag`` takes no value and is False by default. A ``secret`` is never given on the
    command line, where others could read it: the flag and the file name a file that holds it
    (``--router-ticket-file``), the environment may hold either.
    """

    name: str
    doc: str
    metavar: str | None = None
    default: str | None = None
    parse: Callable[[str], Any] = str
    flag: bool = False
    secret: bool = False

    @property
    def key(self) -> str:
        """Its name on the command line (after the dashes) and in the file."""
        return f"{self.name}-file" if self.secret else self.name

    @property
    def variable(self) -> str:
        return "ICEFARM_" + self.key.upper().replace("-", "_")

    @property
    def help(self) -> str:
        """The description for ``--help``: what it does, its form, its variable, its default."""
        doc = f"{self.doc} ({self.metavar})" if self.metavar else self.doc
        variable = f"{self.variable.removesuffix('_FILE')} or {self.variable}" if self.secret else self.variable
        default = f"; default: {self.default}" if self.default is not None else ""
        return f"{doc} [environment: {variable}{default}]"


CONFIG = Setting("config", "read settings from this TOML file", metavar="FILE")


class LayeredOptions(usage.Options):
    """Base class of the services' options; see the module."""

    section: ClassVar[str]
    settings: ClassVar[Sequence[Setting]] = ()
    _log = Logger()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        # The form that Twisted expects. Values stay text here: `resolve` parses every layer alike.
        every = (CONFIG, *cls.settings)
        cls.optParameters = [[item.key, None, None, item.help] for item in every if not item.flag]  # type: ignore[attr-defined]
        cls.optFlags = [[item.key, None, item.help] for item in every if item.flag]  # type: ignore[attr-defined]
        cls.longdesc = (  # type: ignore[attr-defined]
            "A flag wins over its environment variable, that over the [" + cls.section + "] section of the TOML file, "
            "where settings have the names of the flags (grace = 30)."
        )

    def __init__(self, environment: Mapping[str, str] | None = None, read_text: ReadText | None = None) -> None:
        """``environment`` and ``read_text`` (path to text, raises OSError) are the process's own by default."""
        super().__init__()
        given = os.environ if environment is None else environment
        self._environment, self._notes = translate_legacy_env(given, SERVICE_NAMES)
        self._read_text = _read_text if read_text is None else read_text
        self.update(resolve(self.settings, {}, {}, {}, "", self._read_text))

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse the command line and all lower layers.  Raises `usage.UsageError` with one line.

        Under twistd it raises SystemExit with that line instead.  Before 26.10, Twisted's own refusal ends with 0
        (its issue 12656), which a supervisor takes for a worker that was told to leave.
        """
        self.clear()
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            # twistd has imported it.
            from twisted.application.app import ServerOptions

            if not isinstance(self.parent, ServerOptions):
                raise
            service = self.parent.subCommand
            sys.exit(f"{service}: {error} (twistd {service} --help lists the options)")

    def postOptions(self) -> None:
        """Fill in the lower layers; a subclass that checks more calls this first."""
        for note in self._notes:
            self._log.warn("{note}", note=note)
        flags = {key: value for key, value in self.items() if value is not None}
        path = flags.pop(CONFIG.key, None) or self._environment.get(CONFIG.variable) or None
        file = {} if path is None else read_section(path, self.section, self.settings, self._read_text)
        self.clear()
        self.update(resolve(self.settings, flags, self._environment, file, path or "", self._read_text))
        self[CONFIG.key] = path


def _read_text(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


def read_section(path: str, section: str, settings: Sequence[Setting], read_text: ReadText) -> dict[str, object]:
    """Read one section of a TOML file; its keys are the names of the flags, with '-' or '_'.

    Raises `usage.UsageError` if the file can't be read, is not TOML, or has an unknown section or key.
    """
    try:
        document = tomllib.loads(read_text(path))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise usage.UsageError(f"configuration file {path}: {_reason(error)}") from None
    for name, table in document.items():
        if name not in SECTIONS or not isinstance(table, dict):
            raise usage.UsageError(
                f"{path}: {name!r} is not one of its sections, which are [{'] and ['.join(SECTIONS)}]"
            )
    known = {item.key for item in settings}
    found: dict[str, object] = {}
    for written, value in document.get(section, {}).items():
        key = written.replace("_", "-")
        if key not in known:
            raise usage.UsageError(
                f"{path}: [{section}] has no setting {written!r}; there are {', '.join(sorted(known))}"
            )
        if key in found:
            raise usage.UsageError(f"{path}: [{section}] sets {key} twice")
        found[key] = value
    return found


def resolve(
    settings: Sequence[Setting],
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    file: Mapping[str, object],
    file_name: str,
    read_text: ReadText,
) -> dict[str, Any]:
    """Return the value of every setting, from the highest layer that has one.

    Raises `usage.UsageError` with a line that says where a wrong value came from. Only the winning layer is read; an
    empty environment variable counts as unset.
    """
    values: dict[str, Any] = {}
    for item in settings:
        source, text = next(_layers(item, flags, environment, file, file_name, read_text), (None, None))
        if item.flag:
            values[item.name] = _truth(source, text)
        else:
            values[item.name] = None if text is None else _parsed(item, source, text)
    return values


def _layers(
    item: Setting,
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    file: Mapping[str, object],
    file_name: str,
    read_text: ReadText,
) -> Iterator[tuple[str | None, object]]:
    """Yield (where from, value) of each layer that sets the item, the highest first."""

    def read(source: str, path: object) -> tuple[str, object]:
        return source, _secret(source, path, read_text) if item.secret else path

    if flags.get(item.key) is not None:
        yield read(f"--{item.key}", flags[item.key])
    direct = item.variable.removesuffix("_FILE")
    if item.secret and environment.get(direct):
        yield direct, environment[direct].strip()
    if environment.get(item.variable):
        yield read(item.variable, environment[item.variable])
    if item.key in file:
        yield read(f"{file_name}: {item.key}", file[item.key])
    if item.default is not None:
        yield f"default of --{item.key}", item.default


def _secret(source: str, path: object, read_text: ReadText) -> str:
    if not isinstance(path, str):
        raise usage.UsageError(f"{source}: must be the name of a file, not {path!r}")
    try:
        text = read_text(path).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise usage.UsageError(f"{source}: {path}: {_reason(error)}") from None
    if not text:
        raise usage.UsageError(f"{source}: {path} is empty")
    return text


def _parsed(item: Setting, source: str | None, value: object) -> Any:
    # TOML has its own numbers; True is not one of them, though Python thinks so.
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise usage.UsageError(f"{source}: must be text or a number, not {value!r}")
    try:
        return item.parse(str(value))
    except (ValueError, IcefarmError) as error:
        raise usage.UsageError(f"{source}: {error}") from None


def _truth(source: str | None, value: object) -> bool:
    text = str(value).lower()
    if value is not None and text not in (*_TRUE, *_FALSE):
        raise usage.UsageError(f"{source}: must be true or false, not {value!r}")
    return text in _TRUE


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, UnicodeDecodeError):
        return "is not text (UTF-8)"
    return "is nested too deeply" if isinstance(error, RecursionError) else f"is not TOML: {error}"
