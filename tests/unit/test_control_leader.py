"""Which control leads: what each makes of what the database says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from icefarm.control.storage.leader import Election, ElectionVerdict, judge


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
