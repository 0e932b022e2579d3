"""The exceptions that spikesorter raises on purpose.

SpikeSorterError
├── InputError       a file, recording or labels that cannot be used
├── SettingsError    a setting that does not exist or has a value that makes no sense
└── ModelError       a saved model that is missing, damaged, or made for another kind of recording

Every message says what was wrong, where, what was expected and, if there is something to do, what.
The command line prints it as one line and exits with code 2.
"""

__all__ = ["InputError", "ModelError", "SettingsError", "SpikeSorterError"]


class SpikeSorterError(Exception):
    """Base of all errors that spikesorter raises on purpose."""


class InputError(SpikeSorterError):
    """A file, a recording or labels that cannot be used."""


class SettingsError(SpikeSorterError):
    """A setting that does not exist or has a value that makes no sense."""


class ModelError(SpikeSorterError):
    """A saved model that is missing, damaged, or made for another kind of recording."""
