"""The database of a study's results: SQLite, written by one driver, read by anyone."""
