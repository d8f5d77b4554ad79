"""Every SQL statement of psm, one module per table, and the connection they share."""

from sqlite3 import Connection

from psm.db.connection import Database, DatabaseError, explained

__all__ = ["Connection", "Database", "DatabaseError", "explained"]
