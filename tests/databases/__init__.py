"""The databases that the suite's tests run on: SQLite always, PostgreSQL where Debian's is found."""
