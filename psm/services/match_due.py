"""Whether matching has anything to do. Apart from the matching, which a build with nothing to do need not load."""

import json

from psm.config import MatchConfig
from psm.db import Connection, matches
from psm.match import ALGORITHM_VERSION


def is_due(connection: Connection, cfg: MatchConfig, *, version: str = ALGORITHM_VERSION) -> bool:
    """Whether the stage has anything to do. Costs a few look-ups."""
    return matches.consumed(connection) != inputs(connection, cfg, version=version) or not matches.is_queue_empty(
        connection
    )


def inputs(connection: Connection, cfg: MatchConfig, *, version: str = ALGORITHM_VERSION) -> matches.Consumed:
    """All that the stage goes by, as it is now."""
    settings = json.dumps({name: getattr(cfg, name) for name in sorted(MatchConfig.__slots__)})
    return matches.inputs(connection, settings=settings, version=version)
