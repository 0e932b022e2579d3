"""Low-latency decoder: a pursuit that decides within milliseconds of a spike, for closed loops."""

from __future__ import annotations

from dataclasses import replace

from spikesorter.decoding.bench import DecoderKind, untrained
from spikesorter.decoding.pursuit import LOW_LATENCY_LENGTHS, PursuitDecoder, make_pursuit
from spikesorter.estimation.context import Context
from spikesorter.estimation.profile import Profile
from spikesorter.signal.bank import make_causal_bank

__all__ = ["make_low_latency_pursuit"]

PAST_MS = 24.0  # length of the causal whitening filter
LENGTH_MS = 8.0  # of a whitened template; little of it comes later


def make_low_latency_pursuit(context: Context, profile: Profile) -> PursuitDecoder:
    """Return a pursuit with causal filters that decides on the first part of a spike."""
    bank = make_causal_bank(
        context.units.templates.scaled(profile.factors),
        profile.noise,
        kernel=context.kernel,
        past=context.samples(PAST_MS),
        length=context.samples(LENGTH_MS),
    )
    return replace(make_pursuit(context, profile), bank=bank, lengths=LOW_LATENCY_LENGTHS)


KIND = DecoderKind("low_latency", PursuitDecoder, untrained(make_low_latency_pursuit, follows=False), rank=15)
"""Entry of the registry of decoders."""
