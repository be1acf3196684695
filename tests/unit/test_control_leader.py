"""Which control leads: what each makes of what the database says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from icefarm.control.storage.leader import STRANDED, Election, ElectionVerdict, judge, may_claim, stranded_since

#: A standby that reaches a router.
ABLE = "control 2 on b"


def test_a_standby_waits_until_it_has_the_lock() -> None:
    assert judge(None, Election(locked=False, term=3, leader="control 1 on a")) is ElectionVerdict.WAIT
    assert judge(None, Election(locked=True, term=3)) is ElectionVerdict.LEAD
    assert judge(None, Election(locked=True)) is ElectionVerdict.LEAD


def test_a_leader_that_lost_its_lock_waits_while_its_term_goes_on_and_leads_on_with_the_lock() -> None:
    assert judge(3, Election(locked=False, term=3)) is ElectionVerdict.WAIT
    assert judge(3, Election(locked=True, term=3)) is ElectionVerdict.LEAD


def test_a_leader_is_out_once_another_term_has_begun_even_if_it_gets_the_lock_again() -> None:
    assert judge(3, Election(locked=False, term=4)) is ElectionVerdict.OUT
    assert judge(3, Election(locked=True, term=4)) is ElectionVerdict.OUT


def test_a_leader_yields_once_it_has_been_stranded_for_long_and_only_while_it_leads() -> None:
    assert judge(3, Election(locked=True, term=3, able=ABLE), STRANDED - 0.1) is ElectionVerdict.LEAD
    assert judge(3, Election(locked=True, term=3, able=ABLE), STRANDED) is ElectionVerdict.YIELD
    assert judge(3, Election(locked=False, term=3, able=ABLE), STRANDED) is ElectionVerdict.WAIT
    assert judge(3, Election(locked=True, term=4, able=ABLE), STRANDED) is ElectionVerdict.OUT
    assert judge(None, Election(locked=True, able=ABLE), STRANDED) is ElectionVerdict.LEAD


def test_a_standby_leaves_the_lock_to_another_one_that_alone_is_known_to_reach_a_router() -> None:
    assert not may_claim(None, False, ABLE)
    assert not may_claim(None, None, ABLE)
    assert may_claim(None, True, ABLE)


def test_a_standby_tries_for_the_lock_without_a_router_where_no_other_one_reaches_any() -> None:
    assert may_claim(None, False, "")
    assert may_claim(None, None, "")


def test_a_leader_in_doubt_tries_for_its_lock_whatever_it_reaches() -> None:
    assert may_claim(3, False, ABLE)


def test_a_leader_is_stranded_from_when_it_reaches_no_router_and_a_standby_does() -> None:
    assert stranded_since(None, 10.0, False, ABLE) == 10.0
    assert stranded_since(10.0, 12.0, False, ABLE) == 10.0


def test_a_leader_is_not_stranded_while_no_standby_can_do_better_or_it_does_not_know_what_it_reaches() -> None:
    assert stranded_since(10.0, 12.0, False, "") is None
    assert stranded_since(10.0, 12.0, True, ABLE) is None
    assert stranded_since(10.0, 12.0, None, ABLE) is None


@given(st.lists(st.booleans(), max_size=40), st.floats(0.1, STRANDED - 0.1))
def test_two_controls_to_which_a_router_is_the_same_never_change_places(looks: list[bool], pause: float) -> None:
    """What the leader sees of the standby is a look old."""
    since, said = None, False
    for number, reached in enumerate(looks):
        now = number * pause
        since = stranded_since(since, now, reached, ABLE if said else "")
        stranded_for = 0.0 if since is None else now - since
        assert judge(1, Election(locked=True, term=1), stranded_for) is ElectionVerdict.LEAD
        said = reached


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=60))
def test_whatever_connections_are_lost_no_two_controls_lead_in_one_term(steps: list[tuple[int, bool]]) -> None:
    """Model of the database: one holder of the lock, one row with the term; three controls that look or are cut off."""
    terms: list[int | None] = [None] * 3
    out = [False] * 3
    holder, newest = None, 0
    for who, is_cut_off in steps:
        if out[who]:
            terms[who], out[who] = None, False  # Started again, as a standby.
        if is_cut_off:
            holder = None if holder == who else holder
            continue
        holder = who if holder is None else holder
        verdict = judge(terms[who], Election(holder == who, newest or None))
        if verdict is ElectionVerdict.OUT:
            out[who], holder = True, None if holder == who else holder
        elif verdict is ElectionVerdict.LEAD and terms[who] is None:
            newest += 1
            terms[who] = newest
        leading = [term for term, ended in zip(terms, out, strict=True) if term is not None and not ended]
        assert len(leading) == len(set(leading))
        assert verdict is not ElectionVerdict.LEAD or terms[who] == newest
