"""Use the sorter inside other programs; each module must be imported to take effect."""
