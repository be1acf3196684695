"""Text from outside stays on its line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from icefarm.text.one_line import one_line, one_line_or_none


def test_a_text_is_cut_and_has_no_characters_that_control_a_terminal() -> None:
    assert one_line("all is well", 100) == "all is well"
    assert one_line("\x1b[2Jgone\n\u202eabc\u200b", 100) == "\ufffd[2Jgone\ufffd\ufffdabc\ufffd"
    assert one_line("two\u2028lines\u2029of text\x85") == "two\ufffdlines\ufffdof text\ufffd"
    assert one_line("x" * 1000, 10) == "x" * 10
    assert [one_line_or_none(text, 2) for text in (None, "", "a\nb")] == [None, "", "a\ufffd"]


@given(st.text(), st.integers(0, 20))
def test_it_is_one_line_that_can_be_encoded_and_of_the_same_length(text: str, longest: int) -> None:
    line = one_line(text, longest)
    assert line.splitlines() == ([line] if line else [])
    assert line.encode().decode() == line
    assert len(line) == min(len(text), longest)
