"""The fixed word lists of matching."""


def _list(text: str) -> frozenset[str]:
    return frozenset(text.split())


COMMON_WORDS = _list("""
    a an the of to in on at by for and or is it i im you u me my your we us be no not all with from this that
    la le les el los las de del der die das und et y en o os do da un une una ein eine il lo
""")
"""Words that tell no song from another."""

COMMON_TITLES = _list("""
    intro outro interlude prelude skit untitled unknown introduction overture finale epilogue prologue reprise
""")
"""Names that hundreds of recordings share, squashed."""

SAYS_NOTHING = _list("""
    remaster remastered remastering mastered master remasterizado remasterise digital digitally deluxe edition expanded
    explicit clean
    album single version ver original official music video clip audio lyric lyrics visualizer visualiser hd hq 4k mono
    stereo mix edit bonus track radio anniversary
    re issue reissue reissued full main ost soundtrack motion picture
    the a and in on of special super inch vinyl lp ep cd promo
    new high definition mv m v vocal theme film cast recording
""")
"""Words of which an addition to a title may be made without meaning another recording."""

NO_CREDIT = _list("""
    remix remixed rmx mix edit rework reworked bootleg refix mashup dub flip vip the version by radio extended club
    original re work mash up remake mixed official live at from in 12 7
""")
"""Words of a version that do not say whose it is."""

NOBODY = _list("""
    unknown unknownartist various variousartists va diverse diverseinterpreten none na artist noartist unbekannt
    unbekannterinterpret artistasvarios soundtrack originalsoundtrack
""") | {""}
"""Artists that are nobody, squashed."""

COMMON_ALBUMS = _list("""
    greatesthits thegreatesthits bestof thebestof theverybestof verybestof thecollection collection theessential
    essential essentials thesingles singles platinumcollection theplatinumcollection definitivecollection
    thedefinitivecollection anthology theanthology rarities originalsoundtrack soundtrack acoustic unplugged christmas
    merrychristmas christmassongs christmashits
""")
"""Names that many albums share, squashed."""

UNKNOWN_ALBUMS = frozenset(["", "unknown", "unknown album", "no album", "none", "n a", "unbekanntes album"])
"""Albums that are none, normalised."""
