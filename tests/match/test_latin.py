"""Latin readings of other alphabets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psm.match.latin import latin
from psm.normalize import normalize


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("Группа крови", "gruppa krovi"),
        ("Щегол", "shchegol"),
        ("Соль", "sol"),
        ("Љубав", "ljubav"),
        ("Ελλάδα", "ellada"),
        ("μπουζούκι", "bouzouki"),
        ("さくら", "sakura"),
        ("きっと", "kitto"),
        ("チョコレート", "chokoreto"),
        ("きゃりー", "kyari"),
        ("ファミリー", "famiri"),
        ("ティアラ", "tiara"),
        ("봄날", "bomnal"),
        ("방탄소년단", "bangtansonyeondan"),
        ("Кино 1988", "kino 1988"),
    ],
)
def test_a_name_is_written_by_its_sound(text: str, reading: str) -> None:
    assert latin(normalize(text)) == reading


@pytest.mark.parametrize("text", ["", "halo", "Sigur Rós", "宇多田ヒカル", "فيروز", "ℵ"])
def test_what_is_latin_or_has_no_one_reading_stays(text: str) -> None:
    assert latin(normalize(text)) is None


@given(st.text(max_size=20))
def test_no_text_is_too_odd(text: str) -> None:
    found = latin(normalize(text))
    assert found is None or (found.isascii() and latin(found) is None)
