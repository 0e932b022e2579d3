"""Registry of decoders: every module of this folder that defines `KIND`.

A new decoder is one new file with a frozen class that implements `Decoder`, a function that makes it, and a
`KIND` that names both. Its name joins the choices of `settings.decoder` (a test compares the two). Model
files can then contain it, and `auto` tries it if `KIND.in_auto` is set.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any

import spikesorter.decoding
from spikesorter.core.errors import SettingsError
from spikesorter.core.settings import Settings
from spikesorter.decoding.bench import DecoderKind

__all__ = ["AUTO", "decoder_kinds", "decoder_types", "wanted_kinds"]

AUTO = "auto"
"""Value of `settings.decoder` that tries several decoders and takes the best."""


@cache
def decoder_kinds() -> tuple[DecoderKind, ...]:
    """Return all kinds of decoders, in the order in which they are made.

    Examples
    --------
    >>> sorted(kind.name for kind in decoder_kinds() if not kind.uses_networks)
    ['botm', 'low_latency', 'pursuit', 'trees']
    """
    files = [module for module in pkgutil.iter_modules(spikesorter.decoding.__path__) if not module.ispkg]
    modules = [importlib.import_module(f"spikesorter.decoding.{file.name}") for file in files]
    kinds = [module.KIND for module in modules if hasattr(module, "KIND")]
    return tuple(sorted(kinds, key=lambda kind: kind.rank))


def decoder_types() -> tuple[type[Any], ...]:
    """Return the classes of all decoders, each once: those that a model file may contain.

    Examples
    --------
    >>> [kind.__name__ for kind in decoder_types()]
    ['PursuitDecoder', 'BotmDecoder', 'TreesDecoder', 'CnnDecoder', 'CombinedDecoder']
    """
    return tuple(dict.fromkeys(kind.decoder for kind in decoder_kinds()))


def wanted_kinds(settings: Settings, *, units_vary: bool = False) -> tuple[DecoderKind, ...]:
    """Return the kinds of decoders to make for some settings, in order.

    Parameters
    ----------
    settings : Settings
    units_vary : bool
        Whether waveforms of the labelled recording vary. `auto` then tries no networks: trees are as good
        there, and are fitted in a fifth of the time.

    Returns
    -------
    tuple of DecoderKind
        All that `auto` tries, or the decoder that is set and those that it needs.

    Raises
    ------
    SettingsError
        If other settings exclude the decoder that is set.

    Examples
    --------
    The combined decoder needs two others, which are made before it:

    >>> [kind.name for kind in wanted_kinds(Settings(decoder="combined"))]
    ['pursuit', 'cnn', 'combined']
    """
    if settings.decoder == AUTO:
        tried = (kind for kind in decoder_kinds() if kind.in_auto and kind.fits(settings))
        return tuple(kind for kind in tried if not (units_vary and kind.uses_networks))
    wanted = next(kind for kind in decoder_kinds() if kind.name == settings.decoder)
    if not wanted.fits(settings):
        raise SettingsError(
            f"decoder = {wanted.name} does not go with detector.curves = {settings.detector.curves}; "
            "set that to per_unit, or choose another decoder"
        )
    return tuple(kind for kind in decoder_kinds() if kind.name in (wanted.name, *wanted.needs))
