"""Every SQL statement of psm, one module per table, and the connection they share."""

from psm.db.connection import Database, DatabaseError

__all__ = ["Database", "DatabaseError"]
