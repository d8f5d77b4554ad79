"""Measures matching on labelled data: ``python -m benchmarks.matching FOLDER``. Prints Markdown.

FOLDER is a set, or holds sets. A set is a folder with three CSV files:

- ``tracks.csv``: track_id, title, artist, album, duration_ms, isrc, year: what a playlist asks for;
- ``files.csv``: file_id, title, artist, album, albumartist, duration_s, year, isrc, path: what a library holds;
- ``truth.csv``: track_id, file_id, grade: ``match`` (this file is the recording; several are duplicates), ``accept``
  (too close to call, never counted against) or ``absent`` (the library does not hold it: any answer is a false match).

Several artists in one field stand with "; " between them. What is unknown is empty. Tracks without a line in
``truth.csv`` are left out.

The tracks are cut in two halves, by a hash of title and artist: what is found by looking at the errors of one half has
to hold on the other one.
"""

import argparse
import csv
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import md5
from itertools import pairwise
from pathlib import Path

from psm.config import MatchConfig
from psm.ingest.guess import fill_from_name
from psm.match.calibration import likelihood
from psm.match.candidates import file_keys, track_keys
from psm.match.decide import Candidate, Ruling, decide
from psm.match.views import describe_file, describe_track
from psm.models import Confidence, FileFacts, Method, Track, TrackTags

ANYTHING = 0.3
"""A threshold below which no candidate is worth a look."""

THRESHOLDS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.82, 0.85, 0.88, 0.9, 0.93, 0.96, 0.98, 1.0)
SURE = (0.0, 0.05, 0.2, 0.4, 0.6, 0.9, 0.95, 0.97, 0.99, 0.998, 1.01)


@dataclass(frozen=True, slots=True)
class Labelled:
    """A set. ``right`` are the files that answer a track, ``fine`` those that are too close to call, by track."""

    name: str
    tracks: dict[str, Track]
    files: dict[str, FileFacts]
    right: dict[str, set[str]]
    fine: dict[str, set[str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found for a track: ``verdict`` is right, wrong, unfound, false, refused or open (too close to call)."""

    half: str
    present: bool
    verdict: str
    score: float = 0.0
    method: Method = Method.FUZZY
    confidence: Confidence = Confidence.LOW


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    sets = [folder] if (folder / "tracks.csv").exists() else sorted(p.parent for p in folder.glob("*/tracks.csv"))
    if not sets:
        parser.error(f"{folder} holds no tracks.csv, and neither does any folder in it")
    cfg = MatchConfig()
    taken: dict[str, list[Answer]] = {}
    proposed: list[Answer] = []
    for one in map(read, sets):
        matcher = Matcher(one)
        taken[one.name] = list(matcher.answers(cfg))
        proposed += matcher.answers(MatchConfig(threshold=ANYTHING))
    print(f"{time.strftime('%Y-%m-%d')}, {len(sets)} sets, match.threshold {cfg.threshold}\n")
    print("\n".join([*sets_table(taken), "", *threshold_table(proposed), "", *sureness_table(proposed)]))
    print("\n".join(["", *confidence_table([a for answers in taken.values() for a in answers])]))


class Matcher:
    """A set's files under their keys, as the match stage finds them."""

    def __init__(self, labelled: Labelled) -> None:
        self._set = labelled
        self._names = {file.id: name for name, file in labelled.files.items()}
        self._candidates: dict[int, Candidate] = {}
        self._index: defaultdict[str, list[int]] = defaultdict(list)
        for file in labelled.files.values():
            candidate = self._candidates[file.id] = Candidate(file, describe_file(file))
            for key in file_keys(file, candidate.described):
                self._index[key].append(file.id)

    def answers(self, cfg: MatchConfig) -> Iterator[Answer]:
        """What is found for each labelled track."""
        for name, track in self._set.tracks.items():
            if name in self._set.right:
                yield self._answer(name, track, cfg)

    def _answer(self, name: str, track: Track, cfg: MatchConfig) -> Answer:
        described = describe_track(track)
        near = {i for key in track_keys(track, described) for i in self._index.get(key, ())}
        found = decide(track, described, [self._candidates[i] for i in sorted(near)], Ruling(), cfg)
        right, fine = self._set.right[name], self._set.fine[name]
        file = self._names[found.candidate.file.id] if found else None
        verdict = _verdict(file, right, fine)
        half = "AB"[md5(f"{track.title}|{'|'.join(track.artists)}".encode()).digest()[0] & 1]
        if found is None:
            return Answer(half, bool(right), verdict)
        return Answer(half, bool(right), verdict, found.score, found.method, found.confidence)


def read(folder: Path) -> Labelled:
    """A set from its CSV files."""
    tracks = {row["track_id"]: _track(n, row) for n, row in enumerate(_rows(folder / "tracks.csv"), start=1)}
    files = {row["file_id"]: _file(n, row) for n, row in enumerate(_rows(folder / "files.csv"), start=1)}
    right: defaultdict[str, set[str]] = defaultdict(set)
    fine: defaultdict[str, set[str]] = defaultdict(set)
    for row in _rows(folder / "truth.csv"):
        graded = {"match": right, "accept": fine}.get(row["grade"])
        right[row["track_id"]] |= set()
        fine[row["track_id"]] |= set()
        if graded is not None:
            graded[row["track_id"]].add(row["file_id"])
    return Labelled(folder.name, tracks, files, dict(right), dict(fine))


def sets_table(taken: dict[str, list[Answer]]) -> Iterator[str]:
    yield "| set | half | tracks there | tracks absent | precision | recall | F1 | false on absent | wrong on present |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name, answers in taken.items():
        for half in ("A", "B", "both"):
            yield f"| {name} | {half} | " + _figures([a for a in answers if half in (a.half, "both")]) + " |"


def threshold_table(proposed: Sequence[Answer]) -> Iterator[str]:
    yield "| cut | tracks there | tracks absent | precision | recall | F1 | false on absent | wrong on present |"
    yield "|---|---|---|---|---|---|---|---|"
    for threshold in THRESHOLDS:
        yield f"| {threshold:.2f} | " + _figures([_cut(a, threshold) for a in proposed]) + " |"


def sureness_table(proposed: Sequence[Answer]) -> Iterator[str]:
    yield "| told | half A: told | right | of | half B: told | right | of |"
    yield "|---|---|---|---|---|---|---|"
    for low, high in pairwise(SURE):
        cells = []
        for half in "AB":
            sure = [(likelihood(a.score, a.method), a.verdict) for a in proposed if a.half == half and _is_answer(a)]
            here = [(told, verdict) for told, verdict in sure if low <= told < high]
            told = sum(told for told, _ in here) / len(here) if here else 0.0
            right = sum(verdict in ("right", "open") for _, verdict in here) / len(here) if here else 0.0
            cells.append(f"{told:.1%} | {right:.1%} | {len(here)}" if here else "| | 0")
        yield f"| {low:.1%} to {min(high, 1.0):.1%} | " + " | ".join(cells) + " |"


def confidence_table(taken: Sequence[Answer]) -> Iterator[str]:
    yield "| confidence | matches | right |"
    yield "|---|---|---|"
    for confidence in Confidence:
        here = [a for a in taken if _is_answer(a) and a.confidence is confidence]
        right = sum(a.verdict in ("right", "open") for a in here)
        yield (
            f"| {confidence.value} | {len(here)} | {right / len(here):.1%} |"
            if here
            else f"| {confidence.value} | 0 | |"
        )


def _is_answer(answer: Answer) -> bool:
    return answer.score > 0.0


def _cut(answer: Answer, threshold: float) -> Answer:
    """The answer at a higher threshold. An equal id needs none."""
    if not _is_answer(answer) or answer.score >= threshold or answer.method not in (Method.FUZZY, Method.EXACT):
        return answer
    left = "open" if answer.verdict == "open" else "unfound" if answer.present else "refused"
    return Answer(answer.half, answer.present, left)


def _verdict(file: str | None, right: Collection[str], fine: Collection[str]) -> str:
    if right:
        return "unfound" if file is None else "right" if file in right or file in fine else "wrong"
    if fine and (file is None or file in fine):
        return "open"
    return "refused" if file is None else "false"


def _figures(answers: Iterable[Answer]) -> str:
    count = Counter(answer.verdict for answer in answers)
    present, absent = count["right"] + count["wrong"] + count["unfound"], count["false"] + count["refused"]
    given = count["right"] + count["wrong"] + count["false"]
    precision, recall = count["right"] / max(given, 1), count["right"] / max(present, 1)
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    false, wrong = count["false"] / max(absent, 1), count["wrong"] / max(present, 1)
    return f"{present} | {absent} | {precision:.3f} | {recall:.3f} | {f1:.3f} | {false:.2%} | {wrong:.2%}"


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _track(number: int, row: dict[str, str]) -> Track:
    return Track(
        number,
        row["track_id"],
        row["title"],
        tuple(filter(None, row["artist"].split("; "))),
        album=row["album"] or None,
        duration_s=float(row["duration_ms"]) / 1000 if row["duration_ms"] else None,
        isrc=row["isrc"] or None,
    )


def _file(number: int, row: dict[str, str]) -> FileFacts:
    relative = row["path"].encode()
    tags = TrackTags(
        title=row["title"] or None,
        artists=tuple(filter(None, row["artist"].split("; "))),
        album=row["album"] or None,
        album_artist=row["albumartist"] or None,
        year=int(row["year"]) if row["year"].isdigit() else None,
        duration_s=float(row["duration_s"]) if row["duration_s"] else None,
        isrcs=(row["isrc"],) if row["isrc"] else (),
    )
    return FileFacts(number, b"/music/" + relative, fill_from_name(tags, relative))


if __name__ == "__main__":
    main()
