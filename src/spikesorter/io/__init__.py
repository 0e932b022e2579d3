"""Reading and writing files; one file a format, and the only rooms that open data files."""
