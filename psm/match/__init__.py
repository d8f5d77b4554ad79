"""Whether a track and a file are one recording: pure functions, no I/O.

A track is what a playlist asks for, a file what the library has. Over years a person forgives a gap, and never a
wrong song: so refusing is the hard part, and every piece of evidence is weighed by a rule that can be told to a music
lover.

**1. One spelling** (``psm.normalize``). "Sigur Rós", "SIGUR ROS" and the full-width form are the same words; ``$`` and
``!`` inside a name are letters (A$AP, P!nk). Every script keeps its letters.

**2. Titles are taken apart** (``titles``). "Halo (feat. Jay-Z) - Live at Wembley [2011 Remaster]" is the song *halo*,
it is *live*, Jay-Z is a guest, and the remaster says nothing: it is the same recording. Kinds of versions (live,
remix and whose, acoustic, instrumental, karaoke, demo, part 2, sped up …) are other recordings. Leading brackets
belong to the title ("(I Can't Get No) Satisfaction"); "Feather" has no "feat"; an addition that repeats the album
says nothing.

**3. Artists are a set** (``artists``). Order and separators vary, guests may stand in the title, and "AC/DC" is a
name. All names of the shorter list found in the longer one agree fully. Two songs that share a guest alone are not
the same.

**4. Several readings** (``views``). "03 Halo" is also "Halo"; "Beyoncé - Halo" in one field is also Beyoncé's Halo; a
file without tags is what its name says. A video called "Beyoncé - Halo" by "Somebody's Channel" is believed, with a
doubt. "Track 03" and "n.a." are no titles. "Группа крови" is also "gruppa krovi" (``latin``). The best pair of readings
counts.

**5. Candidates by keys** (``candidates``). A file is looked at for a track only if they share a key: an ISRC, a
MusicBrainz id, a path, the squashed name of the song, the beginnings of a word of the artist and a word of the title
(of two words, when it has more), or an artist's album. "Led Zepplin - Stairway to Heven" shares ``p:zepp|stai`` with
the right spelling; "xEvil" and "Track 03" are found by their album, ``a:inte|antics``. Keys depend on the item alone.
That is what makes it possible to match again only what a change can affect: the tracks that share an old or a new key
of a changed file. Candidates that cannot reach the threshold, by their duration or their artists alone, are let go
before any title is compared.

**6. Likeness** (``scoring``) is a product, from 0 to 1:

- title (``wording``): 1 for the same words, 0.97 when a subtitle is left out ("Brandy (You're a Fine Girl)"); else the
  share of words that both have, by weight, where a misspelt word counts and a *replaced* one counts twice against ("The
  Night of the Wolf" is not "The Night of the Fox") and, where it tells something, allows 0.75 at most: titles made from
  one pattern differ in a single word. Where only one album is live, and the durations do not agree, it is 0.85 at most.
  Another number in it, or a version on one side alone, is refused;
- artists: 1 when they agree, 0.4 when they are others, 0.8 when they share a guest alone, 0.75 or 0.88 when one side
  names nobody, or the title somebody else than the artist field;
- duration: 1 up to 3 s, 0.93 up to the tolerance (``match.duration_tolerance_s``), then falling: 0.9, 0.8, 0.75,
  0.65. Graded, never a window. An unknown duration is 0.97;
- the same album takes a tenth off what is missing to 1. Another album says next to nothing (0.98, and only where no
  duration is known): reissues differ rightly;
- the same place: on the same album something lasts equally long, to the second. There, of the same people, a title
  counts 0.9 that is only roughly the same ("the Sky", "Under the Sky"), and 0.85 where one side has none ("Track 03").
  The same title there, of other people, counts 0.85: one side may name the composer, the other one who plays.

  *Worked example.* Wanted: "Good Times - 2018 Remaster", CHIC, 486 s. File: "Good Times", Chic, 480 s: same title
  (1), same artist (1), 6 s shorter (0.93): 0.93, exact. File: "Good Times (Live)", 486 s: only the file is live, so
  the title counts half: 0.5, refused. File: "Good Times", Chic, 220 s (the single): 0.65, refused: a gap rather than
  another edit.

  *Another.* Wanted: "Furrow", Drudkh, "Swan Road", 551 s. File: "Track 04", Drudkh, "Swan Road", 551.4 s: no title,
  but the same place (0.85), and the same album (a tenth of what is missing): 0.865, accepted, of low confidence. Were
  it 2 s longer, or called "Sunwheel", it would be refused.

**7. The decision** (``decide``), surest first: a file chosen by hand; the file that the playlist names; an equal ISRC
or MusicBrainz recording, unless title or duration speak against it (one equal ISRC in a hundred belongs to another
song: then it is evidence only); then the best likeness at or above ``match.threshold``. A rejected file never
answers. Among equals the lossless file goes before the lossy one, the album before the compilation, the higher
bitrate, at last the path: never the number of a row, so that a database built anew answers the same.

**8. How sure** (``calibration``). A score is no probability. A fixed curve makes it one: of the matches that are said
to be 95 % sure, 95 % are right. It was found on labelled playlists, as all the weights were: docs/matching.md has the
measured tables, the command that makes them, and what was tried and left out.
"""

from psm.normalize import normalize, track_key

ALGORITHM_VERSION = "8"
"""Moves whenever the same inputs may give other keys or other matches: every track is then matched anew."""

__all__ = ["ALGORITHM_VERSION", "normalize", "track_key"]
