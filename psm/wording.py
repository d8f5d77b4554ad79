"""How sentences for people are put together."""


def counted(number: int, thing: str, things: str | None = None) -> str:
    """ "1 file", "2,000 files"; ``things`` where the plural is more than an s."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"
