"""Making the decoders that need no training, from what is known of the neurons and of a recording."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from spikesorter.core.settings import Settings
from spikesorter.decoding.botm import BotmDecoder
from spikesorter.decoding.pursuit import LOW_LATENCY_LENGTHS, PursuitDecoder
from spikesorter.estimation.profile import Profile, conditioning_kernel
from spikesorter.estimation.units import Units
from spikesorter.signal.bank import Bank, make_bank, make_causal_bank
from spikesorter.signal.spans import to_samples

__all__ = ["make_botm", "make_low_latency_pursuit", "make_pursuit"]

LOW_LATENCY_PAST_MS = 24.0  # length of the causal whitening filter
LOW_LATENCY_LENGTH_MS = 8.0  # of a spike, whitened so: what comes later is little
LEAST_RATE = 0.02  # of the labelled one: a neuron that seems silent may still fire


def make_pursuit(units: Units, profile: Profile, settings: Settings, *, fs_hz: float) -> PursuitDecoder:
    """Return the pursuit for recordings of a profile."""
    spreads = np.array([np.std(amplitudes) for amplitudes in units.amplitudes])
    return PursuitDecoder(
        unit_ids=units.unit_ids,
        bank=_bank(units, profile, settings, fs_hz),
        log_odds=_log_odds(units, profile),
        spreads=np.hypot(spreads, np.hypot(settings.pursuit.least_spread, profile.activity.wander)),
        sweeps=settings.pursuit.sweeps,
        annealing_factor=settings.pursuit.annealing_factor,
        annealing_detectability=settings.pursuit.annealing_detectability,
        seed=settings.seed,
    )


def make_low_latency_pursuit(
    units: Units, profile: Profile, settings: Settings, *, fs_hz: float
) -> PursuitDecoder:
    """Return a pursuit that decides early, on what little of a spike it has seen by then."""
    bank = make_causal_bank(
        units.templates.scaled(profile.activity.gain),
        profile.noise,
        kernel=conditioning_kernel(settings.conditioning, fs_hz),
        past=to_samples(LOW_LATENCY_PAST_MS, fs_hz),
        length=to_samples(LOW_LATENCY_LENGTH_MS, fs_hz),
    )
    usual = make_pursuit(units, profile, settings, fs_hz=fs_hz)
    return replace(usual, bank=bank, lengths=LOW_LATENCY_LENGTHS)


def make_botm(units: Units, profile: Profile, settings: Settings, *, fs_hz: float) -> BotmDecoder:
    """Return the linear discriminants for recordings of a profile."""
    bank = _bank(units, profile, settings, fs_hz)
    return BotmDecoder(units.unit_ids, bank, _log_odds(units, profile))


def _bank(units: Units, profile: Profile, settings: Settings, fs_hz: float) -> Bank:
    return make_bank(
        units.templates.scaled(profile.activity.gain),
        profile.noise,
        kernel=conditioning_kernel(settings.conditioning, fs_hz),
        reach=to_samples(settings.matched_filter.whitening_reach_ms, fs_hz),
    )


def _log_odds(units: Units, profile: Profile) -> npt.NDArray[np.float64]:
    return np.asarray(np.log(np.maximum(profile.activity.rates, LEAST_RATE * units.rates)))
