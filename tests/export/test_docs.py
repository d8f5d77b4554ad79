"""docs/exporting.md: every configuration in it is valid and gives the line that is printed below it."""

import re
from pathlib import Path

import pytest

from psm.config import load_config
from psm.export import formats, paths
from psm.export.formats import Entry
from psm.export.paths import Place

DOCS = Path(__file__).parents[2] / "docs" / "exporting.md"
FILE = "/srv/music/Björk/Post/01 Army of Me.flac".encode()
SECTIONS = re.findall(
    r"^## ([^\n]+)\n(?:(?!^## ).)*?^```yaml\n(.*?)^```\n\n```text\n(.*?)\n```$",
    DOCS.read_text(),
    re.DOTALL | re.MULTILINE,
)


def test_every_player_has_its_example() -> None:
    assert [title for title, _, _ in SECTIONS] == [
        *("MPD", "Navidrome", "Jellyfin", "Plex", "A phone", "A car, or any USB stick", "Windows and a NAS")
    ]
    assert DOCS.read_text().count("```yaml") == len(SECTIONS)


@pytest.mark.parametrize(("yaml", "line"), [(y, t) for _, y, t in SECTIONS], ids=[s for s, _, _ in SECTIONS])
def test_an_example_is_valid_and_gives_the_line_it_shows(yaml: str, line: str, tmp_path: Path) -> None:
    (tmp_path / "psm.yaml").write_text(yaml)
    (profile,) = load_config(tmp_path / "psm.yaml", env={}).export.profiles
    assert paths.check(profile) is None
    place = Place.of(profile)
    target = paths.target(FILE, place)
    formats.check(target, profile)
    content = formats.render("Mix", [Entry("Army of Me", ("Björk",), target=target)], place)
    assert content.decode(formats.encoding_of(profile)).splitlines()[-1] == line
