import itertools
import random
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psm.export.names import MAX_NAME_BYTES, Wanted, assign, fold, safe_stem


@pytest.mark.parametrize(
    ("title", "stem"),
    [
        ("Road trip", "Road trip"),
        ("AC/DC: Live?", "AC_DC_ Live_"),
        ('a<b>c"d|e*f\\g', "a_b_c_d_e_f_g"),
        ("two\nlines\ttabs\u2028x", "two lines tabs x"),
        ("  spaces  ", "spaces"),
        ("dots...", "dots"),
        ("...", "_"),
        (".hidden", "_hidden"),
        ("CON", "CON_"),
        ("nul.mix", "nul_.mix"),
        ("com1", "com1_"),
        ("LPT¹", "LPT¹_"),
        ("conin$", "conin$_"),
        ("CONTROL", "CONTROL"),
        ("", "playlist"),
        ("\x00\x1f", "playlist"),
        ("half \udce9 letter", "half _ letter"),
        ("Café", "Café"),
        (unicodedata.normalize("NFD", "Café"), "Café"),
        ("日本語 🎵", "日本語 🎵"),
    ],
)
def test_a_name_is_safe_on_every_system(title: str, stem: str) -> None:
    assert safe_stem(title) == stem


def test_a_long_name_is_cut_between_letters() -> None:
    stem = safe_stem("é" * 300)
    assert stem == "é" * 119
    assert len(safe_stem("a" * 236 + "e\u0328\u0301" * 9).encode()) < MAX_NAME_BYTES
    assert not unicodedata.combining(safe_stem("x" * 237 + "q\u0323\u0307")[-1])


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_any_name_becomes_a_safe_one(title: str) -> None:
    stem = safe_stem(title)
    assert stem
    assert len(stem.encode()) <= MAX_NAME_BYTES
    assert not set('<>:"/\\|?*\0\n') & set(stem)
    assert stem[-1] not in ". "
    assert not stem.startswith((".", " "))
    assert safe_stem(stem) == stem


def want(title: str, playlist: str, *labels: str, profile: str = "p", suffix: str = ".m3u8") -> Wanted:
    return Wanted(profile, playlist, title, suffix, labels)


def test_playlists_of_one_name_all_say_where_they_come_from() -> None:
    wanted = [
        want("Mix", "a", "rock", "x"),
        want("mix", "b", "jazz", "y"),
        want("MIX", "c", "jazz", "z?"),
        want("Other", "d", "o"),
    ]
    expected = {"a": "Mix (rock).m3u8", "b": "mix (y).m3u8", "c": "MIX (z_).m3u8", "d": "Other.m3u8"}
    for order in itertools.permutations(wanted):
        assert {playlist: name for (_, playlist), name in assign(order, kept={}).items()} == expected


SOURCES = st.tuples(*[st.sampled_from(["", "a", "b", "c"])] * 2)


@settings(max_examples=60, deadline=None)
@given(st.lists(SOURCES, min_size=1, max_size=5, unique=True), st.randoms(use_true_random=False))
def test_a_name_never_comes_to_mean_another_playlist(sources: list[tuple[str, str]], chance: random.Random) -> None:
    wanted = [want("Mix", f"{n}", *filter(None, labels), f"key{n}") for n, labels in enumerate(sources)]
    rebuilt = assign(wanted, kept={})
    names: dict[tuple[str, str], str] = {}
    arrived: list[Wanted] = []
    for newcomer in chance.sample(wanted, len(wanted)):
        arrived.append(newcomer)
        names = assign(arrived, kept=names)
    assert assign(arrived, kept={}) == rebuilt
    owners = {name: key for key, name in rebuilt.items()}
    assert all(owners.get(name, key) == key for key, name in names.items())


def test_where_a_label_is_taken_by_a_title_the_next_one_is_used() -> None:
    wanted = [want("Mix", "a", "x", "2nd"), want("Mix", "b", "y"), want("Mix (x)", "c", "z")]
    for order in itertools.permutations(wanted):
        assert {playlist: name for (_, playlist), name in assign(order, kept={}).items()} == {
            "a": "Mix (2nd).m3u8",
            "b": "Mix (y).m3u8",
            "c": "Mix (x).m3u8",
        }


def test_without_labels_numbers_tell_them_apart() -> None:
    names = assign([want("Mix", "a"), want("mix", "b")], kept={})
    assert list(names.values()) == ["Mix (2).m3u8", "mix (3).m3u8"]


def test_a_renamed_playlist_does_not_keep_what_only_looks_like_a_label() -> None:
    kept = {("p", "a"): "Mix (live).m3u8"}
    assert assign([want("Mix", "a", "rock")], kept=kept) == {("p", "a"): "Mix.m3u8"}
    assert assign([want("Mix", "a", "live")], kept=kept) == kept


def test_other_formats_do_not_compete() -> None:
    names = assign([want("Mix", "a"), want("Mix", "a", profile="q", suffix=".xspf")], kept={})
    assert list(names.values()) == ["Mix.m3u8", "Mix.xspf"]


def test_a_name_once_given_stays_whoever_comes_and_goes() -> None:
    kept = {("p", "b"): "Mix.m3u8", ("p", "a"): "Mix (2).m3u8"}
    names = assign([want("Mix", "0"), want("Mix", "a"), want("Mix", "b")], kept=kept)
    assert names == {("p", "b"): "Mix.m3u8", ("p", "a"): "Mix (2).m3u8", ("p", "0"): "Mix (3).m3u8"}
    assert assign([want("Mix", "a")], kept=kept) == {("p", "a"): "Mix (2).m3u8"}


def test_a_renamed_playlist_gets_its_new_name() -> None:
    assert assign([want("Mox", "a")], kept={("p", "a"): "Mix.m3u8"}) == {("p", "a"): "Mox.m3u8"}
    assert assign([want("Mix", "a", suffix=".m3u")], kept={("p", "a"): "Mix.m3u8"}) == {("p", "a"): "Mix.m3u"}


def test_a_name_that_differs_in_case_only_is_spelt_as_before() -> None:
    assert assign([want("MIX", "a")], kept={("p", "a"): "Mix.m3u8"}) == {("p", "a"): "Mix.m3u8"}
    # The old playlist is gone and a new one takes its place: on Windows both names are one file.
    assert assign([want("MIX", "b")], kept={("p", "a"): "Mix.m3u8"}) == {("p", "b"): "Mix.m3u8"}


def test_a_number_in_the_title_is_not_taken_for_one_of_ours() -> None:
    assert assign([want("Mix (2) x", "a")], kept={("p", "a"): "Mix (2).m3u8"}) == {("p", "a"): "Mix (2) x.m3u8"}
    assert assign([want("Mix (2)", "a")], kept={("p", "a"): "Mix (2).m3u8"}) == {("p", "a"): "Mix (2).m3u8"}


def test_names_of_others_are_not_taken() -> None:
    assert assign([want("Mix", "a")], kept={}, taken=["MIX.m3u8"]) == {("p", "a"): "Mix (2).m3u8"}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["Mix", "mix", "Mi/x", "Mi?x", "é", "e\u0301", "CON", "x" * 400, "x" * 401, "."])))
def test_no_two_names_are_ever_equal_and_all_are_stable(titles: list[str]) -> None:
    wanted = [want(title, str(number)) for number, title in enumerate(titles)]
    names = assign(wanted, kept={})
    assert len({fold(n) for n in names.values()}) == len(titles)
    assert all(len(n.encode()) <= MAX_NAME_BYTES for n in names.values())
    assert assign(wanted[::-1], kept=names) == names
