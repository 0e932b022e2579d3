"""The sorter inside other programs; each module is imported by those who want it."""
