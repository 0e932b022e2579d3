"""Filters of finite reach, without delay, that make a recording's noise white.

The ideal filter of some noise reaches far where its spectrum is steep, as beside the edges of a band-pass
filter that was applied before. What is cut off of it makes some frequencies too loud. So a filter is told by
what it makes of the noise, and reaches as far as it has to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft

from spikesorter.signal.filters import response_at
from spikesorter.signal.hermitian import inverse_root
from spikesorter.signal.noise import NoiseSpectrum
from spikesorter.signal.templates import Templates

__all__ = [
    "LEAST_RESPONSE",
    "N_FFT",
    "POWER_FLOOR",
    "needed_reach",
    "response_of",
    "scaled_whitener",
    "whitening_filters",
    "without_offset",
]

Float64Array = npt.NDArray[np.float64]
Complex128Array = npt.NDArray[np.complex128]
POWER_FLOOR = 0.02  # of the noise's mean power, so that frequencies removed by a filter are not amplified
LEAST_POWER = 0.001  # of it at frequencies that were not removed, where spikes may stand out of little noise
CUT_OFF = (
    0.01  # share of the noise by which a filter of finite reach may be worse with the smaller least power
)
PASSED = 0.5  # share of the power from which on a frequency counts as not removed
LEAST_RESPONSE = 1e-3
TAPER = 0.5  # share of the whitening reach over which its filter fades out
N_FFT = 16_384
LONGER = 5 / 3  # times the least reach; 8 / 3 was worse after filters that ran both ways
ENOUGH = 0.98  # of the d' that the noise allows
NO_BETTER = 0.01  # share of d' that is not worth longer filters


@dataclass(frozen=True, eq=False)
class _Ideal:
    """Whitening of endless reach, for frequencies of some least power."""

    root: Complex128Array  # of the inverse of the noise, shape (frequencies, channels, channels)
    filters: Float64Array  # of the trace before the conditioning filter, shape (N_FFT, channels, channels)


def whitening_filters(
    templates: Templates, noise: NoiseSpectrum, *, kernel: Float64Array, reach: int
) -> Float64Array:
    """Return filters without delay that make the noise white.

    Parameters
    ----------
    templates : Templates
        As they are in the unfiltered trace. The filters are scaled for them: the mean energy of their
        whitened waveforms is the variance of matched filters' outputs in the noise.
    noise : NoiseSpectrum
        Of the trace after the filter `kernel`.
    kernel : ndarray, shape (taps,)
        Symmetric. The whitening filters remove what this filter removes, such as drift.
    reach : int
        Half their length, in samples.

    Returns
    -------
    ndarray of float64, shape (2 * reach + 1, channels, channels)
        Filters from each channel (last axis) to each whitened channel.

    Examples
    --------
    >>> templates = Templates((1,), np.float32([[[3], [4]]]), before=0)
    >>> noise = NoiseSpectrum.independent(np.full((65, 1), 4.0))
    >>> whitening_filters(templates, noise, kernel=np.ones(1), reach=1)[:, 0, 0].round(3) + 0
    array([0. , 0.5, 0. ])
    """
    response = response_of(kernel)
    short = _cut(_ideals(noise, kernel), noise, response, reach)
    return scaled_whitener(short, templates, noise, response)


def needed_reach(templates: Templates, noise: NoiseSpectrum, *, kernel: Float64Array, least: int) -> int:
    """Return how far whitening filters have to reach: as far as set, or farther if that tells spikes better.

    Only frequencies with noise count: templates are not known where a filter has removed noise and spikes.

    Parameters
    ----------
    templates, noise, kernel
        As for `whitening_filters`.
    least : int
        Samples. The reach is this, or five thirds of it.

    Returns
    -------
    int

    Examples
    --------
    >>> templates = Templates((1,), np.float32([[[3], [4]]]), before=0)
    >>> noise = NoiseSpectrum.independent(np.full((65, 1), 4.0))
    >>> needed_reach(templates, noise, kernel=np.ones(1), least=8)
    8
    """
    response, longer = response_of(kernel), round(LONGER * least)
    ideals = _ideals(noise, kernel)

    def share(reach: int) -> float:
        short = _cut(ideals, noise, response, reach)
        return _share_of_detectability(short, ideals[0].root, templates, noise, response)

    if not least < longer <= N_FFT // 4 or (own := share(least)) >= ENOUGH:
        return least
    return longer if share(longer) > own + NO_BETTER else least


def response_of(kernel: Float64Array) -> Float64Array:
    """Return the response of a symmetric filter at the frequencies of whitening filters."""
    return response_at(kernel, N_FFT)


def without_offset(short: Float64Array, taper: Float64Array, response: Float64Array) -> Float64Array:
    """Remove the filters' response to a constant, if the conditioning filter removes constants."""
    if response[0] >= LEAST_RESPONSE:
        return short
    return np.asarray(short - short.sum(axis=0) * (taper / taper.sum())[:, None, None])


def scaled_whitener(
    short: Float64Array, templates: Templates, noise: NoiseSpectrum, response: Float64Array
) -> Float64Array:
    """Scale the filters so that the outputs' noise variance agrees with the overlaps."""
    inside = slice(1, None)  # there is no signal at frequency 0
    filters = fft.rfft(short, N_FFT, axis=0)[inside]
    unfiltered = noise.at(N_FFT)[inside] / np.maximum(response, LEAST_RESPONSE)[inside, None, None] ** 2
    shapes = fft.rfft(templates.waveforms.astype(np.float64), N_FFT, axis=1)[:, inside]
    variance, expected = _outputs(filters, unfiltered, shapes)
    return np.asarray(short / np.sqrt(np.mean(variance / expected)))


def _ideals(noise: NoiseSpectrum, kernel: Float64Array) -> list[_Ideal]:
    """Return whitening for two least powers, the cautious one first; one where they cannot differ."""
    response = response_of(kernel)
    passed = np.where(response_at(kernel, noise.n_fft) ** 2 >= PASSED, LEAST_POWER, POWER_FLOOR)
    cautious, usual = noise.floored(POWER_FLOOR), noise.floored(passed)
    distinct = [cautious] if np.array_equal(cautious.density, usual.density) else [cautious, usual]
    roots = [inverse_root(one.at(N_FFT)) for one in distinct]
    return [_Ideal(root, fft.irfft(response[:, None, None] * root, N_FFT, axis=0)) for root in roots]


def _cut(ideals: list[_Ideal], noise: NoiseSpectrum, response: Float64Array, reach: int) -> Float64Array:
    """Return filters of finite reach, the less cautious ones if they whiten about as well."""
    taper, density = _taper(reach), noise.at(N_FFT)
    candidates, errors = [], []
    for ideal in ideals:
        short = np.roll(ideal.filters, reach, axis=0)[: 2 * reach + 1] * taper[:, None, None]
        candidates.append(without_offset(short, taper, response))
        errors.append(_unlike(_at_noise(candidates[-1], response), ideal.root, density))
    return candidates[-1] if errors[-1] <= errors[0] + CUT_OFF else candidates[0]


def _at_noise(short: Float64Array, response: Float64Array) -> Complex128Array:
    """Return the transform of filters of the trace, as filters of the noise after the kernel."""
    centred = np.concatenate([short, np.zeros((N_FFT - len(short), *short.shape[1:]))])
    transform = fft.rfft(np.roll(centred, -(len(short) // 2), axis=0), axis=0)
    known = (response > LEAST_RESPONSE)[:, None, None]
    return np.asarray(np.where(known, transform / np.maximum(response, LEAST_RESPONSE)[:, None, None], 0))


def _unlike(filters: Complex128Array, ideal: Complex128Array, density: Complex128Array) -> float:
    """Return how unlike the noise after some filters is to that after the ideal ones."""
    after, wanted = (
        np.einsum("fab,fbc,fac->f", one, density, one.conj()).real * np.any(filters != 0, axis=(1, 2))
        for one in (filters, ideal)
    )
    after *= wanted.sum() / max(after.sum(), 1e-30)
    return float(np.abs(after - wanted).sum() / max(wanted.sum(), 1e-30))


def _share_of_detectability(
    short: Float64Array,
    root: Complex128Array,
    templates: Templates,
    noise: NoiseSpectrum,
    response: Float64Array,
) -> float:
    """Return what share of d' filters leave to the unit that loses most, beside endless ones (`root`)."""
    density = noise.at(N_FFT)
    power = np.einsum("fcc->f", density).real
    shapes = fft.rfft(templates.waveforms.astype(np.float64), N_FFT, axis=1)
    shapes *= (response * (power >= POWER_FLOOR * power.mean()))[:, None]
    variance, expected = _outputs(_at_noise(short, response), density, shapes)
    best = (np.abs(np.einsum("fab,kfb->kfa", root, shapes)) ** 2).sum(axis=(1, 2))
    shares = expected / np.sqrt(np.maximum(variance * best, 1e-300))
    return float(shares[best > 0].min(initial=1.0))


def _outputs(
    filters: Complex128Array, density: Complex128Array, shapes: npt.NDArray[Any]
) -> tuple[Float64Array, Float64Array]:
    """Return the variance of each template's matched filter in the noise, and its output at the template."""
    white = np.einsum("fab,kfb->kfa", filters, shapes)
    matched = np.einsum("fba,kfb->kfa", filters.conj(), white)
    variance = np.einsum("kfa,fab,kfb->k", matched.conj(), density, matched, optimize=True).real
    return np.asarray(variance), np.asarray((np.abs(white) ** 2).sum(axis=(1, 2)))


def _taper(reach: int) -> Float64Array:
    ramp = int(TAPER * reach)
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(ramp) + 0.5) / max(ramp, 1))
    return np.concatenate([rise, np.ones(2 * reach + 1 - 2 * ramp), rise[::-1]])
