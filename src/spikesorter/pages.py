"""What notebooks show of a sorter."""

from __future__ import annotations

import numpy as np

from spikesorter import notebook
from spikesorter.config import Settings
from spikesorter.decoders.making import make_pursuit
from spikesorter.forecast import Forecast
from spikesorter.profile import Profile
from spikesorter.repertoire import Repertoire

__all__ = ["sorter_page"]


def sorter_page(
    title: str,
    repertoire: Repertoire,
    profile: Profile,
    settings: Settings,
    forecast: Forecast,
    *,
    fs_hz: float,
) -> str:
    """Return the neurons, how clear they are in recordings of a profile, and what to expect, as HTML.

    Parameters
    ----------
    title : str
    repertoire : Repertoire
    profile : Profile
    settings : Settings
    forecast : Forecast
    fs_hz : float

    Returns
    -------
    str
    """
    detectability = np.sqrt(make_pursuit(repertoire, profile, settings, fs_hz=fs_hz).bank.energies)
    rates, expected = profile.activity.rates, dict(zip(forecast.labels, forecast.f1, strict=True))
    counts = [len(sizes) for sizes in repertoire.sizes]
    rows = [
        (name, counts[k], f"{rates[k] * fs_hz:.2f}", f"{detectability[k]:.1f}", f"{expected[label]:.3f}")
        for k, (label, name) in enumerate(zip(repertoire.labels, repertoire.names, strict=True))
        if label in repertoire.known
    ]
    shapes = repertoire.templates.waveforms[: len(repertoire.known)]
    clearest = np.abs(shapes).max(axis=1).argmax(axis=1)
    score = f"{forecast.score:.3f} ({forecast.low:.3f} to {forecast.high:.3f})"
    return notebook.page(
        title,
        notebook.table(("expected score", "gain"), [(score, f"{profile.activity.gain:.2f}")]),
        notebook.table(("neuron", "labelled spikes", "per second", "d'", "expected F1"), rows),
        notebook.lines(shapes[np.arange(len(shapes)), :, clearest], repertoire.names[: len(shapes)]),
    )
