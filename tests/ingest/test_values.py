import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from psm.ingest.values import (
    clean_text,
    clean_texts,
    decode_sensibly,
    first_number,
    first_uuid,
    first_year,
    is_true,
    isrcs,
)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("  So What  ", "So What"),
        ("So\t \nWhat\r\n", "So What"),
        ("So\x00 What\x07", "So What"),
        ("\ufeffSo What\u200b", "So What"),
        ("   ", ""),
        # UTF-8 read as Latin-1 or Windows-1252
        ("Björk".encode().decode("latin-1"), "Björk"),
        ("Sigur Rós – Ágætis".encode().decode("latin-1"), "Sigur Rós – Ágætis"),
        ("Don’t".encode().decode("cp1252"), "Don’t"),
        ("東京".encode().decode("latin-1"), "東京"),
        # Windows-1252 read as Latin-1
        ("Don\x92t Stop", "Don’t Stop"),
        # what is right stays
        ("Björk", "Björk"),
        ("Ænima", "Ænima"),
        ("Motörhead — “Ace”", "Motörhead — “Ace”"),
        ("Ã", "Ã"),
        # bytes that are no UTF-8, as a field that has to be UTF-8 gives them
        (b"Bj\xf6rk".decode("utf-8", "surrogateescape"), "Björk"),
        (b"Don\x92t \x81".decode("utf-8", "surrogateescape"), "Don\x92t \x81"),
        ("x" * 5_000, "x" * 2_000),
    ],
)
def test_text_is_cleaned_and_mended(raw: str, clean: str) -> None:
    assert clean_text(raw) == clean


@given(st.text(st.characters(exclude_categories=())))
@example("Â\x80")
@example("Â\x08\x80")
@example("a\ud800b\udcff")
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean_text(clean_text(text)) == clean_text(text)


@given(st.text(st.characters(codec="utf-8")))
def test_what_is_utf8_is_read_as_such(text: str) -> None:
    assert decode_sensibly(text.encode()) == text


@given(st.binary())
def test_what_is_not_is_read_byte_by_byte(data: bytes) -> None:
    assert len(decode_sensibly(data + b"\xff")) == len(data) + 1


def test_several_values_are_split_at_nul_and_named_once() -> None:
    assert clean_texts(["a\0b", " a ", "", "\0"]) == ("a", "b")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3", 3),
        ("03", 3),
        ("3/12", 3),
        (" 3 of 12", 3),
        ("0", None),
        ("A1", None),
        ("", None),
        ("123456", None),
        ("-3", None),
    ],
)
def test_a_place_is_the_number_in_front(text: str, number: int | None) -> None:
    assert first_number([text]) == number


@pytest.mark.parametrize(
    ("text", "year"),
    [
        *(("1999", 1999), ("1999-05-03", 1999), ("3.5.1999", 1999), ("19990503", 1999), ("May 1999", 1999)),
        *(
            ("2010-01-01T00:00:00Z", 2010),
            ("0000", None),
            ("99", None),
            ("12345", 1234),
            ("20199", 2019),
            ("9999", None),
        ),
    ],
)
def test_a_year_is_found_in_any_form_of_date(text: str, year: int | None) -> None:
    assert first_year([text]) == year


def test_the_first_plausible_year_counts() -> None:
    assert first_year(["0000", "unknown", "2001", "1999"]) == 2001


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["USRC17607839"], ("USRC17607839",)),
        (["us-rc1-76-07839"], ("USRC17607839",)),
        (["US RC1 76 07839"], ("USRC17607839",)),
        (["ISRC: USRC17607839"], ("USRC17607839",)),
        (["USRC17607839;GBAYE0601498"], ("USRC17607839", "GBAYE0601498")),
        (["USRC17607839 / GB-AYE-06-01498"], ("USRC17607839", "GBAYE0601498")),
        (["USRC17607839,GBAYE0601498 USRC17607839"], ("USRC17607839", "GBAYE0601498")),
        (["USRC17607839", "GBAYE0601498"], ("USRC17607839", "GBAYE0601498")),
        (["USRC1760783", "1SRC17607839", "USRC1760783X", "none", ""], ()),
    ],
)
def test_isrcs_are_normalised_and_valid(fields: list[str], expected: tuple[str, ...]) -> None:
    assert isrcs(fields) == expected


def test_a_musicbrainz_id_is_lower_case_and_valid() -> None:
    id_ = "0B8E0D4D-4F5A-4F49-8F0B-7D3F4E4E2C11"
    assert first_uuid(["nothing", f"https://musicbrainz.org/recording/{id_}"]) == id_.lower()
    assert first_uuid(["0b8e0d4d-4f5a-4f49-8f0b"]) is None


def test_flags() -> None:
    assert is_true(["1"])
    assert is_true(["True"])
    assert not is_true(["0", "", "no"])
