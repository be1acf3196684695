"""Pure: what each role may do at the router."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from icefarm.contract.names import (
    BOARDS,
    CONTROL_PROCEDURES,
    EVENT_PREFIX,
    OPERATOR_PROCEDURES,
    PREFIX,
    READING_TOPIC,
    Role,
    control_procedure,
)


@frozen
class Permission:
    """What a role may do under a URI; the router's configuration is made of these."""

    uri: str
    prefix: bool = False
    call: bool = False
    register: bool = False
    publish: bool = False
    subscribe: bool = False


def permissions() -> Mapping[Role, tuple[Permission, ...]]:
    """Return what each role may do.  The router refuses everything else."""
    client = (
        *(Permission(control_procedure(name), call=True) for name in CONTROL_PROCEDURES),
        Permission(BOARDS, prefix=True, call=True),
        Permission(EVENT_PREFIX, prefix=True, subscribe=True),
        Permission(READING_TOPIC, subscribe=True),
        # Everybody may subscribe; control publishes to the named client's sessions only.
        Permission(PREFIX + "client.", prefix=True, subscribe=True),
    )
    return {
        Role.CLIENT: client,
        Role.OPERATOR: (*client, *(Permission(control_procedure(name), call=True) for name in OPERATOR_PROCEDURES)),
        Role.WORKER: (
            Permission(PREFIX + "control.worker.", prefix=True, call=True),
            Permission(BOARDS, prefix=True, register=True),
            Permission(PREFIX + "worker.", prefix=True, register=True),
        ),
        Role.CONTROL: (
            Permission(PREFIX, prefix=True, call=True, register=True, publish=True, subscribe=True),
            Permission("wamp.", prefix=True, call=True, subscribe=True),
        ),
    }
