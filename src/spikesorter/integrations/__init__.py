"""Integrations with other programs; import a module to activate it."""
