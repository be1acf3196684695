"""Device kinds: how a class becomes one, and which ones this worker offers.

A kind is a class in a file of its own.  A kind that measures declares the board's parameters and how to decode its
answer; the worker checks the arguments and the bitstream, lets clients join an evaluation, measures, and records the
result::

    @reservable("pulsecount", firmware="pulse_count")
    class PulseCount:
        \"\"\"Counts pulses.\"\"\"

        @frozen
        class Options:
            window: float = 1.0

        @frozen
        class EvaluationOptions:
            repeats: int = 1

        def __init__(self, device: DeviceHandle, options: Options) -> None: ...

        def parameters(self, options: EvaluationOptions) -> Parameters: ...

        def decode(self, content: bytes, options: EvaluationOptions) -> object: ...

Any other method for clients is a coroutine marked with `@register`; a kind may have both.  One instance serves one
reservation of one board.  Optional hooks: ``async started()`` each time the board becomes usable, ``board_lost()`` each
time it no longer is, ``message(type, payload)`` for what the firmware's application sends unprompted, ``stopped()``
when the reservation is over.

Several clients can share a board of a kind that only declares what it measures: one without further methods, and
without the first three hooks.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
from attrs import evolve, frozen

from icefarm.arguments import CheckedFunction, from_wire
from icefarm.errors import InvalidArgument, UnknownKind
from icefarm.kinds.handle import Evaluator

if TYPE_CHECKING:
    # Clients know kinds without Twisted.
    from importlib.metadata import EntryPoint

    from twisted.logger import Logger

__all__ = ["Kind", "Kinds", "load_kinds", "register", "reservable"]

ENTRY_POINTS = "icefarm.kinds"
_KIND = "__icefarm_kind__"
_METHOD = "__icefarm_method__"

#: The method that clients call on a kind that declares its measurement.
EVALUATE = "evaluate"
_DECLARED = ("parameters", "decode")
#: With these, a kind expects to be the only one that uses its board.
_BOARD_HOOKS = ("started", "board_lost", "message")

C = TypeVar("C", bound=type)
F = TypeVar("F", bound=Callable[..., Any])


@frozen
class Kind:
    """A device kind that clients can reserve."""

    name: str
    #: One line for users: the first line of the class's docstring.
    summary: str
    #: Name of the firmware image that it runs on.
    firmware: str
    #: Makes the instance that serves a reservation, from a `DeviceHandle` and options.
    make: Callable[[Any, Any], Any]
    #: attrs class of the reservation's options.
    options: type
    #: What clients call, by name, with checked arguments (without ``self``).
    methods: Mapping[str, CheckedFunction]
    #: Its own version, or that of its package.
    version: str = ""
    #: The first version of the firmware image that supports what this kind asks for; empty: any does.
    firmware_since: str = ""
    #: attrs class of an evaluation's options, if the kind declares what it measures; else None.
    evaluation_options: type | None = None
    #: Evaluations of several reservations can take turns on one board: it does nothing else with the board.
    shareable: bool = False

    def check_options(self, options: Mapping[str, Any]) -> Any:
        """Return a reservation's options as the kind's own class.  Raises `InvalidArgument`."""
        return from_wire(options, self.options, f"options of {self.name}")

    def method(self, name: str) -> CheckedFunction:
        """Return a method by name.  Raises `InvalidArgument`."""
        method = self.methods.get(name)
        if method is None:
            raise self.no_method(name)
        return method

    def no_method(self, name: str) -> InvalidArgument:
        """Return what to raise for a method that the kind does not have."""
        known = ", ".join(sorted(self.methods))
        return InvalidArgument(f"a {self.name} device has no method {name!r}; it has {known}")


def register(name: str) -> Callable[[F], F]:
    """Offer a coroutine method to clients under ``name``; its arguments are checked against its annotations."""

    def mark(method: F) -> F:
        setattr(method, _METHOD, name)
        return method

    return mark


def reservable(name: str, *, firmware: str, version: str = "", firmware_since: str = "") -> Callable[[C], C]:
    """Make a class a device kind that clients reserve as ``name``.

    ``version`` tells clients when the meaning of values changes; by default it is that of its package.
    ``firmware_since`` is the first version of the image that supports what the kind asks for, such as "1.1": if a
    board with an older one refuses an evaluation, the error says to update the images.
    Raises TypeError, at import, if the class lacks a docstring, attrs ``Options``, or both a registered method and
    the declaration of what it measures.
    """

    def mark(cls: C) -> C:
        setattr(cls, _KIND, _describe(cls, name, firmware, version, firmware_since))
        return cls

    return mark


def _describe(cls: type, name: str, firmware: str, version: str, firmware_since: str) -> Kind:
    options = getattr(cls, "Options", None)
    if options is None or not attrs.has(options):
        raise TypeError(f"{cls.__qualname__}: a device kind needs an attrs class 'Options'")
    summary = (inspect.getdoc(cls) or "").partition("\n")[0].strip()
    if not summary:
        raise TypeError(f"{cls.__qualname__}: a device kind needs a docstring; its first line is shown to clients")
    evaluation_options = _evaluation_options(cls)
    methods = {}
    if evaluation_options is not None:
        methods[EVALUATE] = _evaluate(evaluation_options)
    for _, function in inspect.getmembers(cls, inspect.iscoroutinefunction):
        if hasattr(function, _METHOD):
            methods[getattr(function, _METHOD)] = CheckedFunction.of(function, skip=1)
    if not methods:
        raise TypeError(
            f"{cls.__qualname__}: a device kind needs methods 'parameters' and 'decode', "
            "or a coroutine method marked with @register"
        )
    shareable = evaluation_options is not None and len(methods) == 1 and not _has_hooks(cls)
    return Kind(name, summary, firmware, cls, options, methods, version, firmware_since, evaluation_options, shareable)


def _has_hooks(cls: type) -> bool:
    return any(hasattr(cls, hook) for hook in _BOARD_HOOKS)


@frozen
class NoOptions:
    """An evaluation's options if the kind has none."""


def _evaluation_options(cls: type) -> type | None:
    """Return the class of an evaluation's options; None if the kind does not declare what it measures."""
    missing = [name for name in _DECLARED if not callable(getattr(cls, name, None))]
    if len(missing) == len(_DECLARED):
        return None
    if missing:
        raise TypeError(f"{cls.__qualname__}: a kind that measures needs a method {missing[0]!r} as well")
    options: type = getattr(cls, "EvaluationOptions", NoOptions)
    if not attrs.has(options):
        raise TypeError(f"{cls.__qualname__}: 'EvaluationOptions' must be an attrs class")
    try:
        options()
    except TypeError as error:
        raise TypeError(f"{cls.__qualname__}: each of 'EvaluationOptions' needs a default: {error}") from None
    return options


def _evaluate(options: type) -> CheckedFunction:
    """Return the method by which clients make a kind measure, for the class of its options."""
    function = CheckedFunction.of(Evaluator.evaluate, skip=1)
    return evolve(function, types={**function.types, "options": options | None})


def kind_of(cls: type) -> Kind:
    """Return what `reservable` made of a class.  Raises TypeError."""
    kind = getattr(cls, _KIND, None)
    if not isinstance(kind, Kind):
        raise TypeError(f"{cls!r} is not a device kind; mark it with @reservable")
    return kind


@frozen
class Kinds:
    """The device kinds that a worker offers, by name."""

    by_name: Mapping[str, Kind]

    @classmethod
    def of(cls, *classes: type) -> Kinds:
        return cls({kind.name: kind for kind in map(kind_of, classes)})

    def get(self, name: str) -> Kind:
        """Return a kind by name.  Raises `UnknownKind`, naming those that exist."""
        try:
            return self.by_name[name]
        except KeyError:
            known = ", ".join(sorted(self.by_name))
            raise UnknownKind(f"this worker does not offer kind {name!r}; it offers {known}", kind=name) from None


def load_kinds(builtin: Iterable[type], log: Logger, found: Iterable[EntryPoint] | None = None) -> Kinds:
    """Collect the built-in kinds and those of installed packages (entry points ``icefarm.kinds``).

    A kind that can't be loaded is logged and skipped; a built-in one can't be replaced.
    """
    # Imported on demand: it imports the modules of e-mail.
    from importlib.metadata import entry_points

    kinds = dict(Kinds.of(*builtin).by_name)
    for entry in entry_points(group=ENTRY_POINTS) if found is None else found:
        if entry.name in kinds:
            continue
        try:
            kind = kind_of(entry.load())
        except Exception:
            # A third-party package: its errors must not stop the worker.
            log.failure("device kind {name} ({value}) skipped", name=entry.name, value=entry.value)
            continue
        if kind.name in kinds:
            log.error("device kind {name} ({value}) skipped: the name is taken", name=kind.name, value=entry.value)
            continue
        package = "" if entry.dist is None else entry.dist.version
        kinds[kind.name] = evolve(kind, version=kind.version or package)
    return Kinds(kinds)
