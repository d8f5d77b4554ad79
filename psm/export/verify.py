"""Reading back what was written, the way the player would: does every line lead to a file?"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from psm.config import ExportConfig, ExportProfile, PlaylistFormat
from psm.db import Database, exports
from psm.export import manifest, paths
from psm.export.formats import MISSING_MARK, encoding_of, placeholder
from psm.export.manifest import ManifestDamaged, ManifestEntry, ManifestNewer, playlist_key
from psm.export.paths import Place
from psm.export.result import VerifyProblem, VerifyResult
from psm.owned import State, find
from psm.progress import NeverStop, Progress, ProgressCallback, StopSignal, no_progress

_XSPF = "{http://xspf.org/ns/0/}"


@dataclass(frozen=True, slots=True)
class Line:
    """A line that names music.

    ``number`` counts from 1; in XSPF it is the track's, and ``text`` has forward slashes.
    """

    number: int
    text: str


def verify(
    db: Database,
    cfg: ExportConfig,
    *,
    progress: ProgressCallback = no_progress,
    stop: StopSignal = NeverStop(),
) -> VerifyResult:
    """Resolves every line of the playlist files that the profiles in ``cfg`` should have, and names what leads nowhere.

    Placeholders of missing tracks are no lines in this sense. Nothing is changed.
    """
    playlists = {playlist_key(p.source): p.name for p in exports.to_write(db.connection)}
    problems: list[VerifyProblem] = []
    files = lines = 0
    for profile in cfg.profiles:
        entries, trouble = _entries(profile)
        problems += trouble
        place = Place.of(profile)
        folder = os.path.realpath(os.fsencode(profile.folder))
        listed = {e.playlist: e for e in entries if e.profile == profile.name}
        for key, name in playlists.items():
            if stop.is_set():
                return VerifyResult(files, lines, tuple(problems), complete=False)
            entry = listed.get(key)
            if entry is None:
                if not trouble:
                    at = os.path.join(folder, os.fsencode(name.encode("utf-8", "replace")))
                    problems.append(VerifyProblem(profile.name, at, None, "", "not written; run psm export"))
                continue
            checked, found = _verify_file(folder, entry, place)
            problems += found
            files += 1
            lines += checked
            progress(Progress("verify", files, len(cfg.profiles) * len(playlists), name))
    return VerifyResult(files, lines, tuple(problems))


def read_lines(content: bytes, profile: ExportProfile) -> Iterator[Line]:
    """The lines of a playlist file of psm's that name music. Raises ValueError when it is none."""
    if profile.format is PlaylistFormat.XSPF:
        import xml.etree.ElementTree as ET

        try:
            root = ET.fromstring(content)  # noqa: S314  (its hash is that of a file that psm wrote)
        except ET.ParseError as e:
            raise ValueError(str(e)) from e
        for number, track in enumerate(root.iter(f"{_XSPF}track"), start=1):
            if (location := track.findtext(f"{_XSPF}location")) is not None:
                yield Line(number, paths.from_uri(location))
        return
    placeholders: tuple[str, ...] = ()
    # Not splitlines(): a name may hold what Python takes for a line break.
    for number, line in enumerate(content.decode(encoding_of(profile), "surrogateescape").split("\n"), start=1):
        text = line.rstrip("\r")
        if text.startswith(MISSING_MARK):
            # A placeholder may follow, in the mode in which the file was written: that need not be today's.
            label = text.removeprefix(MISSING_MARK)
            placeholders = tuple(placeholder(label, backslashes=back) for back in (False, True))
        elif text and not text.startswith("#"):
            if text not in placeholders:
                yield Line(number, text)
            placeholders = ()


def _entries(profile: ExportProfile) -> tuple[tuple[ManifestEntry, ...], list[VerifyProblem]]:
    folder = os.path.realpath(os.fsencode(profile.folder))
    try:
        if (reason := paths.check(profile)) is None:
            return manifest.read(folder), []
    except (OSError, ManifestDamaged, ManifestNewer) as e:
        reason = f"the list of the files that psm wrote cannot be read: {e}"
    return (), [VerifyProblem(profile.name, folder, None, "", reason)]


def _verify_file(folder: bytes, entry: ManifestEntry, place: Place) -> tuple[int, list[VerifyProblem]]:
    path = os.path.join(folder, os.fsencode(entry.name))
    profile = place.profile

    def problem(line: int | None, text: str, reason: str) -> VerifyProblem:
        return VerifyProblem(profile.name, path, line, text, reason)

    state = find(folder, entry.name, entry.hashes).state
    if state is State.ABSENT:
        return 0, [problem(None, "", "the file is gone; run psm export")]
    problems = []
    if state is not State.OURS:
        problems.append(problem(None, "", "it was edited since psm wrote it"))
    checked = 0
    try:
        with open(path, "rb") as file:
            content = file.read()
        for line in read_lines(content, profile):
            checked += 1
            if paths.resolve(line.text, place) is None:
                problems.append(problem(line.number, line.text, "there is no such file"))
    except (OSError, ValueError) as e:
        problems.append(problem(None, "", f"it cannot be read: {e}"))
    return checked, problems
