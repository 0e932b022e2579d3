"""Measuring a recording's noise anew, once its spikes can be explained away.

Stretches that seem quiet hold spikes that were overlooked, and the shadows that drift removal casts beside
large ones; noise measured there is too strong. What is left when a likely set of spikes is taken out has
neither.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from spikesorter.config import Settings
from spikesorter.decoders.making import make_pursuit
from spikesorter.profile import Profile, conditioning_kernel
from spikesorter.recordings import centred
from spikesorter.repertoire import Repertoire
from spikesorter.signal.filters import fir_filter
from spikesorter.signal.gain import SILENT
from spikesorter.signal.noise import estimate_noise_spectrum
from spikesorter.signal.templates import plant

__all__ = ["refine_profile"]

ROUNDS = 2
SWEEPS = 4
MOST_SAMPLES = 1_500_000


def refine_profile(
    trace: npt.NDArray[np.generic],
    profile: Profile,
    repertoire: Repertoire,
    settings: Settings,
    *,
    fs_hz: float,
) -> Profile:
    """Return the profile with its noise measured on what the known neurons leave unexplained.

    Where there is background, the known neurons would be made to explain it: the profile stays as it is.

    Parameters
    ----------
    trace : ndarray, shape (samples, channels)
        Raw, in the recording's own data type.
    profile : Profile
        From `profile_recording`.
    repertoire : Repertoire
    settings : Settings
    fs_hz : float

    Returns
    -------
    Profile
    """
    if profile.background != SILENT:
        return profile
    kernel = conditioning_kernel(settings.conditioning, fs_hz)
    known = centred(trace[:MOST_SAMPLES], profile.offset)
    templates = repertoire.templates.scaled(profile.activity.gain)
    quick = settings.model_copy(update={"pursuit": settings.pursuit.model_copy(update={"sweeps": SWEEPS})})
    for _ in range(ROUNDS):
        pursuit = make_pursuit(repertoire, profile, quick, fs_hz=fs_hz)
        margin = pursuit.margin
        spikes, sizes = pursuit.draw(np.pad(known, ((margin.before, margin.after), (0, 0)), mode="edge"))
        left = fir_filter(known - plant(len(known), spikes, sizes, templates), kernel)
        everything = np.ones(len(left), bool)
        noise = estimate_noise_spectrum(left, everything, n_fft=settings.noise.n_fft)
        profile = replace(profile, noise=noise)
    return profile
