"""Names in one spelling, and the key that names a track for manual decisions."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psm.normalize import normalize, track_key


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Beyoncé", "beyonce"),
        ("Björk", "bjork"),
        ("Sigur Rós – Ára bátur", "sigur ros ara batur"),
        ("Mø", "mo"),
        ("Straße", "strasse"),
        ("Ænima", "aenima"),
        ("Łódź", "lodz"),
        ("Don’t Stop", "dont stop"),
        ("Rock 'n' Roll", "rock n roll"),
        ("A$AP Rocky", "asap rocky"),
        ("$uicideboy$", "suicideboys"),
        ("P!nk", "pink"),
        ("Wow!", "wow"),
        ("100$", "100"),
        ("R.E.M.", "rem"),
        ("M.I.A", "mia"),
        ("Mr. Brightside", "mr brightside"),
        ("Simon & Garfunkel", "simon and garfunkel"),
        ("AC/DC", "ac dc"),
        ("ＦＵＬＬ　ｗｉｄｔｈ", "full width"),
        ("Кино — Группа крови", "кино группа крови"),
        ("ΑΣ", "ασ"),
        ("宇多田ヒカル", "宇多田ヒカル"),
        ("ガ", "ガ"),
        ("한국", "한국"),
        ("مُحَمَّد", "محمد"),
        ("हिन्दी", "हिन्दी"),
        ("!!!", "!!!"),
        ("", ""),
    ],
)
def test_names_get_one_spelling(text: str, expected: str) -> None:
    assert normalize(text) == expected


def test_marks_that_tell_words_apart_stay() -> None:
    assert normalize("か") != normalize("が")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30))
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalize(normalize(text)) == normalize(text)


@settings(max_examples=200, deadline=None)
@given(st.text(min_size=1, max_size=20))
def test_a_text_never_becomes_empty(text: str) -> None:
    assert normalize(text)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=20), st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_the_unicode_form_says_nothing(text: str, form: str) -> None:
    assert normalize(unicodedata.normalize(form, text)) == normalize(text)  # type: ignore[arg-type]


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.characters(codec="latin-1"), max_size=20))
def test_case_says_nothing(text: str) -> None:
    assert normalize(text.upper()) == normalize(text.upper().lower())


def key(**fields: object) -> str:
    defaults: dict[str, object] = {
        "title": "Halo",
        "artists": ("Beyoncé",),
        "album": None,
        "isrc": None,
        "mb_recording_id": None,
        "locations": (),
    }
    return track_key(**{**defaults, **fields})  # type: ignore[arg-type]


def test_a_key_names_the_recording_when_the_source_does() -> None:
    recording = "F7F6A1B0-0000-4000-8000-0123456789AB"
    assert key(isrc="us-rc1-76-07839", mb_recording_id=recording) == "isrc:USRC17607839"
    assert key(mb_recording_id=recording) == "mbid:f7f6a1b0-0000-4000-8000-0123456789ab"


def test_a_key_is_made_of_names_otherwise() -> None:
    assert key(album="I Am…", artists=("B", "A")) == "name:a,b|halo|i am"
    assert key(artists=("A", "B")) == key(artists=("b", "A", "a", ""))
    assert key(title="halo!") == key(title="HALO")


def test_punctuation_alone_cannot_make_two_tracks_one() -> None:
    assert key(title="|", artists=()) != key(title="", artists=("|",), album="")
    assert key(artists=("!,!",)) != key(artists=("!", "!"))


def test_a_guessed_title_gives_way_to_the_file() -> None:
    assert key(guessed=True, locations=(b"/m/a b\xff.mp3", b"/x")) == "path:/m/a%20b%FF.mp3"
    assert key(guessed=True) == "name:beyonce|halo|"
    assert key(locations=(b"/m/a.mp3",)) == "name:beyonce|halo|"
