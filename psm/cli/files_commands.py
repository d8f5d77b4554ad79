"""``psm files``."""

from typing import Annotated

import typer

from psm.cli.app import app
from psm.cli.session import JsonOption, session


@app.command(epilog="Examples:  psm files  ·  psm files kind of blue  ·  psm files --missing  ·  psm files --json | jq")
def files(
    context: typer.Context,
    query: Annotated[
        list[str] | None,
        typer.Argument(metavar="[QUERY]...", help="Words that all occur in title, artists, album or path."),
    ] = None,
    missing: Annotated[bool, typer.Option("--missing", help="Only files that are no longer on disk.")] = False,
    json: JsonOption = False,
) -> None:
    """List the files that psm knows, on disk and missing."""
    from psm.cli import match_render as render
    from psm.db import file_search, libraries
    from psm.errors import UsageError
    from psm.models import Status

    chosen = session(context)
    with chosen.database(chosen.config()) as db, db.snapshot() as connection:
        if not libraries.all_libraries(connection):
            raise UsageError("psm knows no music library yet. Add one with: psm library add FOLDER")
        found = file_search.search(connection, " ".join(query or ()), status=Status.MISSING if missing else None)
        if json:
            render.as_json_list(map(render.file_document, found))
        else:
            empty = "No file answers to that." if query or missing else "There are no files yet. Take them in: psm scan"
            render.show_table(render.FILE_HEADINGS, map(render.file_row, found), empty=empty)
