"""Lists of accounts in CSV, and accounts made and removed by them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from icefarm.contract import Role
from icefarm.control.sessions.roster import RosterEntry, parse_roster, written_roster
from icefarm.errors import InvalidArgument, NotAuthorized, Unavailable
from icefarm.testing.memory.control_harness import MemoryControl
from icefarm.testing.memory.store import MemoryStore


def test_a_list_has_names_groups_and_limits() -> None:
    text = "name,group,boards,seconds\nada,class-a,2,1800\n\nbob,,,\n"
    assert parse_roster(text) == [
        RosterEntry("ada", "class-a", {"boards": 2.0, "seconds": 1800.0}),
        RosterEntry("bob", "", {"boards": None, "seconds": None}),
    ]


def test_a_list_without_other_columns_leaves_groups_and_limits_as_they_are() -> None:
    assert parse_roster("name\nada\n") == [RosterEntry("ada", None, {})]


def test_lists_of_spreadsheets_are_read() -> None:
    assert parse_roster("\ufeffName;Group\r\nada;class-a\r\n") == [RosterEntry("ada", "class-a")]
    assert parse_roster('name,group\n"ada ",class-a\n') == [RosterEntry("ada", "class-a")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: it must name the columns"),
        ("group\nclass-a\n", "line 1: there is no column 'name'"),
        ("name,colour\nada,red\n", "line 1, column 2: there is no column 'colour'; there are name, group, "),
        ("name,name\nada,ada\n", "line 1, column 2: 'name' is there twice"),
        ("name\n", "there is no account below"),
        ("name\nada\na/b\n", "line 3, column name: must be 1 to 100 printable"),
        ("name\nada\n\nada\n", "line 4, column name: 'ada' is in line 2 already"),
        ("name,group\nada,a/b\n", "line 2, column group: must be"),
        ("name,boards\nada,2\nbob,two\n", "line 3, column boards: must be a number, not 'two'"),
        ("name,boards\nada,0\n", "line 2, column boards: the limit boards must be above 0"),
        ("name,boards\nada,nan\n", "line 2, column boards: "),
        ("name\nada,2\n", "line 2: it has 2 cells, and the first line 1 column"),
        ('name\n"ada\n', "line 2: it is not CSV"),
    ],
)
def test_a_fault_is_named_with_its_line_and_column(text: str, words: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        parse_roster(text)
    assert str(raised.value).startswith(words), str(raised.value)


names = st.text("abcdefgh -.", min_size=1, max_size=12).map(str.strip).filter(bool)


@given(st.dictionaries(names, st.tuples(st.one_of(st.just(""), names), st.none() | st.integers(1, 9)), min_size=1))
def test_a_list_that_was_written_is_read_as_the_same(found: dict[str, Any]) -> None:
    entries = [
        RosterEntry(name, group, {} if boards is None else {"boards": float(boards)})
        for name, (group, boards) in found.items()
    ]
    again = parse_roster(written_roster(entries))
    assert [(entry.name, entry.group) for entry in again] == [(entry.name, entry.group) for entry in entries]
    assert [entry.limits.get("boards") for entry in again] == [entry.limits.get("boards") for entry in entries]


# ---------------------------------------------------------------------------------------------------------- the store


def hashes(*names: str) -> dict[str, str]:
    return {name: f"hash of {name}" for name in names}


@ensureDeferred
async def test_accounts_are_made_once_and_changed_by_a_second_list() -> None:
    store = MemoryStore(Clock())
    first = parse_roster("name,group,boards\nada,class-a,2\nbob,class-a,\n")
    assert await store.import_accounts(first, hashes("ada", "bob"), lasts=60.0) == ["ada", "bob"]
    second = parse_roster("name,group,boards\nada,class-b,\ncem,class-b,1\n")
    assert await store.import_accounts(second, hashes("ada", "cem")) == ["cem"]
    assert await store.account_groups() == {"ada": "class-b", "bob": "class-a", "cem": "class-b"}
    assert await store.account_limits() == {"cem": {"boards": 1.0}}
    assert [(token.name, token.account, token.role) for token in await store.list_tokens()] == [
        (name, name, Role.CLIENT) for name in ("ada", "bob", "cem")
    ]


@ensureDeferred
async def test_where_one_account_cannot_be_made_none_is() -> None:
    store = MemoryStore(Clock())
    await store.add_token("shelf", Role.WORKER, "hash of shelf")
    entries = parse_roster("name,group\nada,class-a\nshelf,class-a\n")
    with pytest.raises(InvalidArgument, match="line 3, column name: there is a token 'shelf' already"):
        await store.import_accounts(entries, hashes("ada", "shelf"))
    assert [token.name for token in await store.list_tokens()] == ["shelf"]
    assert await store.account_groups() == {}


@ensureDeferred
async def test_removed_accounts_have_no_token_no_group_and_no_limit() -> None:
    store = MemoryStore(Clock())
    await store.import_accounts(parse_roster("name,group,boards\nada,a,1\nbob,a,1\n"), hashes("ada", "bob"))
    await store.add_token("ada-laptop", Role.CLIENT, "another", account="ada")
    await store.add_token("boss", Role.OPERATOR, "the boss's")
    with pytest.raises(InvalidArgument, match="there is no account cem; boss also signs in as worker or operator"):
        await store.remove_accounts(["ada", "cem", "boss"])
    assert await store.remove_accounts(["ada", "bob"]) == {"ada": 2, "bob": 1}
    assert [token.name for token in await store.list_tokens()] == ["boss"]
    assert (await store.account_groups(), await store.account_limits()) == ({}, {})


# ------------------------------------------------------------------------------------------- all of an account ends


@ensureDeferred
async def test_an_operator_ends_all_that_accounts_and_groups_have() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B", "C")
    await farm.store.set_account_groups({"ada": "class-a", "bob": "class-a"})
    ada, bob, cem = await farm.client("ada/1"), await farm.client("bob"), await farm.client("cem")
    await ada.call("reserve", 1, kind="pulsecount")
    await bob.call("reserve", 1, kind="pulsecount")
    await cem.call("reserve", 1, kind="pulsecount")
    waiting: list[Any] = []
    Deferred.fromCoroutine(ada.call("reserve", 1, kind="pulsecount", wait=True)).addBoth(waiting.append)
    farm.clock.advance(1)
    with pytest.raises(NotAuthorized):
        await ada.call("end_accounts", ["cem"])
    assert len(await farm.operator().call("end_accounts", ["class-a"])) == 2
    assert [record.client for record in await farm.store.active()] == ["cem"]
    assert waiting[0].check(Unavailable)
    assert ada.told[-1]["reason"] == "ended by operator op"
    assert await farm.operator().call("end_accounts", ["cem", "nobody"]) == ["C"]
    assert await ada.call("account_groups") == {"ada": "class-a", "bob": "class-a"}
