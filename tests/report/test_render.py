import csv
import io
import json
import os
import re
import tracemalloc
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from psm.report.model import (
    BadFile,
    Coverage,
    DuplicateFile,
    MissingAlbum,
    MissingTrack,
    Report,
    Summary,
    UnsureMatch,
)
from psm.report.render import clean, duration, render, shown_value, size
from psm.report.tables import Kind, tables

NASTY = "</script><script>alert(1)</script> \"'&\u202eevil\x00\x1b[31m\n\udcff <!-- =1+1 \u2028"
EVIL = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1")


def report(text: str = NASTY, *, rows: int = 1, path: bytes = b"/m/\xff<b>\n.flac") -> Report:
    return Report(
        Summary(1, 2, 3_000_000_000, 4, 1500, 6, 7, 8, 9, 10, 11_500_000, 12),
        tuple(MissingTrack(n, (text, "B"), text, text, 61.0, None, (text,)) for n in range(1, rows + 1)),
        (MissingAlbum(text, text, 1, 2, 3, (text,), (text,)),),
        (Coverage(text, 3, 2, 1, 2 / 3, "csv", path),),
        (UnsureMatch(text, text, 0.996, "low", "fuzzy", (text,), (text,), path),),
        (DuplicateFile(1, "audio", text, None, "flac", None, None, 5_000_000, path),),
        (BadFile((text,), path, None, (), None),),
    )


def files(given: Report, *formats: str) -> dict[str, bytes]:
    return {f.name: f.content for f in render(given, formats or ("html", "csv", "json"))}


class Page(HTMLParser):
    """What a browser makes of the page: elements, their attributes, and the text outside of scripts."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.inside = ""
        self.feed(content.decode("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag if tag in ("script", "style") else ""
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts[-1] += data
        elif not self.inside:
            self.text += data


def test_the_page_is_whole_and_escaped_whatever_the_titles_are() -> None:
    page = Page(files(report(), "html")["psm-report.html"])
    assert len(page.scripts) == 7  # the rows of six lists, and psm's own
    assert "alert(1)" not in page.scripts[-1]
    assert "</script><script>alert(1)</script> \"'&" in page.text
    assert "\\x00\\x1b[31m\\n\\xff" in page.text
    assert "/m/\\xff<b>\\n.flac" in page.text
    assert not {"b", "img"} & {tag for tag, _ in page.tags if tag != "b"}


def test_the_page_loads_nothing() -> None:
    content = files(report(), "html")["psm-report.html"]
    page = Page(content)
    assert {name for _, attributes in page.tags for name in attributes} & {"src", "srcset", "action", "data"} == set()
    links = [a["href"] for tag, a in page.tags if tag == "a"]
    assert all(link and link.startswith("#") for link in links)
    ids = {a.get("id") for _, a in page.tags}
    assert {link.removeprefix("#") for link in links if link} <= ids
    assert b"http://" not in content
    assert b"https://" not in content
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_the_policy_allows_the_pages_own_script() -> None:
    import base64
    import hashlib

    content = files(report(), "html")["psm-report.html"].decode()
    script = re.search(r"<script>(.*?)</script>\n</body>", content, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script.group(1).encode()).digest()).decode()
    assert f"'sha256-{digest}'" in content


def test_all_rows_are_data_and_the_first_are_there_without_a_script() -> None:
    content = files(report("song", rows=250), "html")["psm-report.html"]
    page = Page(content)
    rows = json.loads(page.scripts[0])
    assert len(rows) == 250
    assert rows[7][:6] == [8, 1, "song; B", "song", "song", 61.0]
    assert content.count(b"<tr>") == 6 + 100 + 5
    assert "The first 100 of 250 rows." in page.text
    assert "<noscript>" in content.decode()


def test_data_cannot_leave_its_element() -> None:
    page = Page(files(report(), "html")["psm-report.html"])
    for script in page.scripts[:-1]:
        assert not set("<>&") & set(script)
        json.loads(script)
    assert json.loads(page.scripts[0])[0][3].startswith("</script>")


def test_empty_lists_say_so() -> None:
    empty = Report(Summary(*[0] * 12), (), (), (), (), (), ())
    page = Page(files(empty, "html")["psm-report.html"])
    assert "Every track of every playlist has a file." in page.text
    assert "No file is there twice." in page.text
    assert [tag for tag, _ in page.tags].count("table") == 0


def test_every_heading_is_one_of_its_column() -> None:
    page = Page(files(report(), "html")["psm-report.html"])
    heads = [a for tag, a in page.tags if tag == "th"]
    assert all(a.get("scope") == "col" for a in heads)
    assert len(heads) == sum(len(t.columns) for t in tables(report()))


def cells(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))


def test_csv_has_one_file_per_section_with_names_of_columns() -> None:
    written = files(report("x"), "csv")
    assert sorted(written) == [
        f"psm-{n}.csv"
        for n in ("bad-files", "coverage", "duplicates", "missing-albums", "missing-tracks", "unsure-matches")
    ]
    heads = ["rank", "wanted_by", "artists", "title", "album", "duration_s", "isrc", "playlists"]
    assert cells(written["psm-missing-tracks.csv"]) == [heads, ["1", "1", "x; B", "x", "x", "61.0", "", "x"]]
    assert cells(written["psm-coverage.csv"])[1][:5] == ["x", "0.667", "3", "2", "1"]
    assert all(c.startswith(b"\xef\xbb\xbf") for c in written.values())
    assert b"\r\n" in written["psm-coverage.csv"]


@pytest.mark.parametrize("text", EVIL)
def test_no_cell_is_a_formula(text: str) -> None:
    for content in files(report(text), "csv").values():
        for row in cells(content)[1:]:
            assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)


def test_nasty_text_stays_in_its_cell() -> None:
    for table in tables(report()):
        content = files(report(), "csv")[f"psm-{table.name}.csv"]
        assert [len(row) for row in cells(content)] == [len(table.columns)] * 2


def test_json_is_one_document_that_keeps_every_byte() -> None:
    document: dict[str, Any] = json.loads(files(report(), "json")["psm-report.json"])
    assert document["psm"] == "report"
    assert document["summary"]["wanted"] == 1500
    assert os.fsencode(document["bad_files"][0]["path"]) == b"/m/\xff<b>\n.flac"
    assert document["missing_tracks"][0]["title"] == NASTY
    assert document["missing_tracks"][0]["playlists"] == [NASTY]
    assert set(document) == {
        "psm",
        "version",
        *("summary", "missing_tracks", "missing_albums", "coverage", "unsure_matches", "duplicates", "bad_files"),
    }


def test_only_the_formats_asked_for() -> None:
    assert list(files(report(), "json")) == ["psm-report.json"]
    assert list(files(report(), "html")) == ["psm-report.html"]


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, Kind.NUMBER, ""),
        (1234, Kind.NUMBER, "1,234"),
        (185.4, Kind.DURATION, "3:05"),
        (59.7, Kind.DURATION, "1:00"),
        (3723, Kind.DURATION, "1:02:03"),
        (0.999, Kind.SHARE, "99%"),
        (0.29, Kind.SHARE, "29%"),
        (1.0, Kind.SHARE, "100%"),
        (999, Kind.SIZE, "999 bytes"),
        (1_500, Kind.SIZE, "1.5 kB"),
        (2_000_000_000_000_000, Kind.SIZE, "2000.0 TB"),
        ("a\x07b", Kind.TEXT, "a\\x07b"),
    ],
)
def test_values_as_people_write_them(value: str | float | None, kind: Kind, text: str) -> None:
    assert shown_value(value, kind) == text


def test_small_helpers() -> None:
    assert duration(0) == "0:00"
    assert size(0) == "0 bytes"
    assert clean("plain 日本 🎵") == "plain 日本 🎵"
    assert clean("\ud800\u2028") == "\\ud800\\u2028"


@pytest.mark.parametrize("form", ["html", "csv", "json"])
def test_a_long_list_is_rendered_without_copies_of_it(form: str) -> None:
    long = report("Song of the long winters", rows=5_000)
    tracemalloc.start()
    try:
        written = files(long, form)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The templates and the little there is of each other list take 2 MB.
    assert peak < 1.5 * max(map(len, written.values())) + 2_000_000


def test_every_value_says_in_a_narrow_window_what_it_is() -> None:
    page = Page(files(report(), "html")["psm-report.html"])
    labels = [attributes.get("data-label") for tag, attributes in page.tags if tag == "td"]
    assert labels == [column.label for table in tables(report()) for column in table.columns]


def test_the_page_says_one_entry_in_the_singular() -> None:
    assert "6 of 1,500 playlist entries have a file" in Page(files(report(), "html")["psm-report.html"]).text
    one = replace(report(), summary=replace(report().summary, wanted=1, found=0))
    assert "0 of 1 playlist entry has a file" in Page(files(one, "html")["psm-report.html"]).text
