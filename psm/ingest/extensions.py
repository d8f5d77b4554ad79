"""Which names are those of music. Apart from the reading of tags, so that a walk need not load that."""

AUDIO_EXTENSIONS: frozenset[bytes] = frozenset(
    {
        # MPEG audio and AAC
        *(b".mp3", b".mp2", b".mpga", b".aac", b".adts"),
        *(b".m4a", b".m4b", b".alac"),
        # Xiph
        *(b".flac", b".ogg", b".oga", b".opus", b".spx"),
        # Windows Media
        b".wma",
        # uncompressed
        *(b".wav", b".wave", b".aif", b".aiff", b".aifc", b".dsf", b".dff"),
        # lossless
        *(b".ape", b".wv", b".tta", b".tak", b".ofr", b".ofs"),
        # the rest
        *(b".mpc", b".mp+", b".mpp", b".ac3", b".eac3", b".ec3"),
    }
)
"""Lower case, with the dot: what mutagen reads and people keep music in.

Left out though mutagen could: ``.mp4``, ``.m4v``, ``.3gp`` and ``.asf``, which are videos (their sound alone is called
``.m4a`` and ``.wma``); ``.m4p``, bought with a copy protection that no player here can open; ``.m4r``, ring tones;
``.mid``, which holds no sound.
"""


def has_audio_name(name: bytes) -> bool:
    """Whether the name ends like an audio file's, in any case."""
    return name[name.rfind(b".") :].lower() in AUDIO_EXTENSIONS
