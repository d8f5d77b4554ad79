"""The text of ``psm-overrides.yaml``: whatever is written comes back, and changes touch nothing else."""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from psm.models import DecisionKind
from psm.services.overrides_file import HEADER, Changes, Document, Entry, FileName, apply, parse
from psm.services.overrides_state import OverridesError

_texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
_paths = st.binary(min_size=1, max_size=12)
_entries = st.builds(
    Entry,
    kind=st.sampled_from([DecisionKind.SET, DecisionKind.REJECT]),
    file=st.builds(FileName, library=st.none() | _texts, path=_paths, fingerprint=st.none() | _texts),
    label=_texts,
    title=_texts,
    artists=st.lists(_texts, max_size=3).map(tuple),
    album=st.none() | st.just("") | _texts,
    decided_at=_texts,
)


def added(text: str, *entries: Entry) -> str:
    return apply(parse(text, name="x"), Changes({}, {}, entries), name="x")


def placeless(entry: Entry) -> Entry:
    return replace(entry, line=0, place=0)


@settings(max_examples=60, deadline=None)
@given(st.lists(_entries, min_size=1, max_size=3))
@example(
    [Entry(DecisionKind.SET, FileName(None, b"\xff%\x00"), "\x85\u2028\ufeff\x07🎵", title="null", artists=("~", ""))]
)
def test_entries_come_back_as_they_were_written(entries: list[Entry]) -> None:
    read = parse(added(HEADER, *entries), name="x")
    wanted = [replace(e, artists=tuple(a for a in e.artists if a)) for e in entries]
    assert [placeless(e) for e in read.entries] == wanted
    assert read.problems == ()


WRITTEN = [
    "decisions:\n- title: a\n  decision: none\n",
    "# 1\ndecisions:  # 2\n\n  # 3\n  - title: a  # 4\n    decision: none  # 5\n  # 6\n\n# 7\nother: 1 # 8\n",
    "decisions:\n-\n  title: a\n  decision: none\n"
    "-   title: >-\n      b\n\n    artists:\n    - c\n    - d\n    decision: none\n",
    "decisions: [{title: a, decision: none}, {title: b, decision: none}]\n",
    "---\ndecisions:\r\n- title: 'a'\r\n  decision: \"none\"\r\n",
    "other: |\n  decisions:\n  - no\ndecisions:\n- ? title\n  : a\n  decision: none\n",
]


@pytest.mark.parametrize("text", WRITTEN)
def test_adding_and_removing_again_leaves_the_text_as_it_was(text: str) -> None:
    entry = Entry(DecisionKind.SET, FileName("music", b"x.mp3"), "X", title="x", decided_at="now")
    before = parse(text, name="x")
    more = parse(added(text, entry), name="x")
    assert [placeless(e) for e in more.entries] == [*map(placeless, before.entries), entry]
    assert apply(more, Changes({len(before.entries): ()}, {}), name="x") == text


ODD = [
    *(
        "!!seq ",
        "!!map ",
        "!!str ",
        "!!null ",
        "!!binary ",
        "!x ",
        "! ",
        "&a ",
        "*a",
        "<<: *a",
        "? ",
        ": ",
        "- ",
        "-\n",
    ),
    *("[", "]", "{", "}", ",", "|\n", ">-\n", "'", '"', "#", "# c\n", "\n", "\r", "\r\n", "\t", "  ", "---\n", "...\n"),
    *("%YAML 1.2\n", "\ufeff", "\u2028", "\x85", "\\", '"\\0"', '"\\ud800"', "~", "null", "=", "@", "`", "decisions:"),
    *("path: ", "path_encoded: %00", "artists: [a, *a]", "isrc: x", "key: ", "title: ", "fingerprint: ", "[a]: 1\n"),
]
_odd_texts = st.one_of(
    st.lists(st.sampled_from([*ODD, *WRITTEN]), max_size=8).map("".join),
    st.builds(
        lambda text, parts: "".join(
            text[(n * len(text)) // (len(parts) + 1) : ((n + 1) * len(text)) // (len(parts) + 1)] + part
            for n, part in enumerate([*parts, ""])
        ),
        st.sampled_from(WRITTEN),
        st.lists(st.sampled_from(ODD), max_size=5),
    ),
    st.builds(
        lambda text, at, part: text[:at] + part + text[at:],
        st.sampled_from(WRITTEN),
        st.integers(0, 90),
        st.sampled_from(ODD),
    ),
)


@settings(max_examples=250, deadline=None)
@given(_odd_texts)
@example("decisions: !!seq\n  - title: a\n    decision: none\n")
@example("decisions: &a\n- !!map\n  title: a\n  decision: none\n")
@example("? " * 2_000)
def test_any_text_is_understood_or_refused_in_words(text: str) -> None:
    named = FileName("music", b"new\xff.mp3", "audio:1")
    new = Entry(DecisionKind.NONE, label="new", title="new", decided_at="now")
    try:
        document = parse(text, name="x")
    except OverridesError:
        return
    places = [entry.place for entry in document.entries]
    for changes in (
        Changes({}, {}, (new,)),
        *(Changes({place: several}, {}) for place in places for several in ((), (new,))),
        *(Changes({}, {place: named}) for place in places),
    ):
        with suppress(OverridesError):
            parse(apply(document, changes, name="x"), name="x")


@pytest.mark.parametrize("text", [*WRITTEN, "decisions: !!seq &a\n  - title: a\n    decision: none\n"])
def test_every_entry_can_be_replaced_by_several_or_none(text: str) -> None:
    new = [Entry(DecisionKind.NONE, label=f"{n}", title=f"{n}", decided_at="now") for n in "12"]
    before = parse(text, name="x")
    for place in range(len(before.entries)):
        rest = [placeless(e) for e in before.entries]
        for several in ((), tuple(new[:1]), tuple(new)):
            after = parse(apply(before, Changes({place: several}, {}), name="x"), name="x")
            assert [placeless(e) for e in after.entries] == [*rest[:place], *several, *rest[place + 1 :]]
            assert after.problems == () or before.problems


@pytest.mark.parametrize("text", WRITTEN)
def test_every_entry_can_be_told_the_names_of_its_file(text: str) -> None:
    entry = Entry(DecisionKind.SET, FileName(None, b"old.mp3"), "X", title="x", decided_at="now")
    document = parse(added(text, entry), name="x")
    place = len(document.entries) - 1
    named = FileName("music", b"new\xff.mp3", "audio:1")
    after = parse(apply(document, Changes({}, {place: named}), name="x"), name="x")
    assert [placeless(e) for e in after.entries[:-1]] == [placeless(e) for e in document.entries[:-1]]
    assert placeless(after.entries[-1]) == replace(entry, file=named)
    again = parse(apply(after, Changes({}, {place: FileName(None, b"old.mp3", None)}), name="x"), name="x")
    assert again.entries[-1].file == FileName("music", b"old.mp3", "audio:1")


def test_fields_that_are_there_but_empty_are_filled() -> None:
    text = "decisions:\n- title: a\n  library:\n  path: old # here\n  fingerprint: \n"
    named = FileName("music", b"new", "audio:1")
    changed = apply(parse(text, name="x"), Changes({}, {0: named}), name="x")
    assert changed == 'decisions:\n- title: a\n  library: "music"\n  path: "new" # here\n  fingerprint: "audio:1" \n'


def test_comments_of_an_entry_in_brackets_are_not_dropped() -> None:
    document = parse("decisions: [{title: a, # why\n decision: none}]", name="x")
    with pytest.raises(OverridesError, match="cannot change without losing"):
        apply(document, Changes({0: ()}, {}), name="x")


def test_an_empty_text_gets_its_list() -> None:
    assert apply(Document(""), Changes({}, {}, (Entry(DecisionKind.NONE, title="a"),)), name="x").startswith(
        "decisions:"
    )
