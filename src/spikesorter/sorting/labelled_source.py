"""Read the labelled recording that a sorter learns from: check it, choose channels, cut out what is bad."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spikesorter.core.bad_stretches import BadStretches
from spikesorter.core.errors import InputError, NothingToSortError
from spikesorter.core.settings import Settings
from spikesorter.core.spike import check_rate
from spikesorter.core.spikes import Spikes
from spikesorter.estimation.profile import conditioning_kernel, without_hum
from spikesorter.io.recording import check_recording
from spikesorter.io.samples import as_labels, centred, check_trace, read_samples, warn_of_silent_units
from spikesorter.signal.hum import find_hum
from spikesorter.signal.screen import Screen
from spikesorter.sorting.channels import ChannelChoice, choose_channels, select
from spikesorter.sorting.screening import Screened, check_good, described_source, screened
from spikesorter.sorting.screens import learn_screen

if TYPE_CHECKING:
    from spikeinterface import BaseRecording, BaseSorting

__all__ = ["LabelledSource", "check_channels", "read_labelled"]

logger = logging.getLogger(__name__)
FloatArray = npt.NDArray[np.float32]
MOST_CHANNELS = 32  # filters connect all pairs of channels, and distant channels record different units


@dataclass(frozen=True, eq=False)
class LabelledSource:
    """A checked labelled recording, from which its bad stretches and those that nobody labelled are cut out.

    Parameters
    ----------
    raw : ndarray, shape (samples, channels)
        Good samples of the channels that are used, in the recording's own data type if nothing is cut out.
    trace : ndarray of float32, shape (samples, channels)
        The same without offset and hum.
    labels : Spikes
        As samples of these.
    settings : Settings
    fs_hz : float
    kernel : ndarray of float64, shape (taps,)
        The conditioning filter.
    screen : Screen
        For recordings like it.
    choice : ChannelChoice
        Of its channels.
    bad : BadStretches
        Those that are cut out, in the recording's samples.
    """

    raw: npt.NDArray[Any]
    trace: FloatArray
    labels: Spikes
    settings: Settings
    fs_hz: float
    kernel: npt.NDArray[np.float64]
    screen: Screen
    choice: ChannelChoice
    bad: BadStretches

    def without(self, stretches: BadStretches) -> LabelledSource:
        """Return the source without some stretches more, which are given in its own samples."""
        labels = self.labels.outside(stretches)
        return replace(
            self,
            raw=stretches.without(self.raw),
            trace=np.asarray(stretches.without(self.trace), np.float32),
            labels=replace(labels, sample=stretches.moved(labels.sample)),
        )


def read_labelled(
    recording: BaseRecording,
    labels: Spikes | BaseSorting,
    settings: Settings,
    exclude: BadStretches | None,
    *,
    n_jobs: int,
) -> LabelledSource:
    """Read a labelled recording; parameters as for `Sorter.fit`.

    Raises
    ------
    InputError
        If the recording or its labels cannot be used.
    """
    check_recording(recording)
    check_channels(recording)
    fs_hz = check_rate(float(recording.get_sampling_frequency()))
    n_samples = recording.get_num_frames()
    spikes = as_labels(labels, fs_hz=fs_hz)
    _check_labels(spikes, n_samples)
    if len(spikes.bad):
        exclude = spikes.bad if exclude is None else exclude.joined(spikes.bad)
        spikes = replace(spikes, bad=BadStretches())  # which are cut out below
    spikes = _without_duplicates(spikes)
    warn_of_silent_units(spikes)
    raw = read_samples(recording, 0, n_samples)
    choice = _choose(recording, raw, spikes, exclude, fs_hz=fs_hz)
    if choice.words:
        logger.warning("labelled recording: %s", choice.words)
        recording, raw = select(recording, choice.used), raw[:, list(choice.used)]
    screen = learn_screen(raw, spikes, fs_hz=fs_hz, bad=exclude)
    source = screened(recording, screen, screen.offset, exclude=exclude, fs_hz=fs_hz, n_jobs=n_jobs)
    check_good(source, fs_hz=fs_hz)
    left_out = ""
    if len(source.bad):
        left_out = described_source(source, fs_hz=fs_hz)
        raw, spikes = _without_bad(source, spikes, left_out)
    check_trace(raw, settings, left_out=left_out)
    trace = centred(raw, np.median(raw, axis=0))
    if settings.conditioning.remove_hum:
        trace = without_hum(trace, find_hum(trace, fs_hz=fs_hz), fs_hz=fs_hz)
    kernel = conditioning_kernel(settings.conditioning, fs_hz)
    return LabelledSource(raw, trace, spikes, settings, fs_hz, kernel, screen, choice, source.bad)


def _choose(
    recording: BaseRecording,
    raw: npt.NDArray[Any],
    labels: Spikes,
    exclude: BadStretches | None,
    *,
    fs_hz: float,
) -> ChannelChoice:
    """Choose the channels of the labelled recording to learn from."""

    def screen_of(columns: tuple[int, ...]) -> Screen:
        return learn_screen(raw[:, list(columns)], labels, fs_hz=fs_hz, bad=exclude)

    return choose_channels(recording, screen_of, usual=None, as_it_is=False, exclude=exclude, fs_hz=fs_hz)


def _without_bad(source: Screened, labels: Spikes, left_out: str) -> tuple[FloatArray, Spikes]:
    """Cut the bad stretches out of the labelled recording, with the labels in them."""
    good = labels.outside(source.bad)
    if not len(good):
        raise NothingToSortError(f"labels: all {len(labels)} are in bad stretches; {left_out}")
    logger.warning("labelled recording: %s, with %d labels", left_out, len(labels) - len(good))
    trace = source.bad.without(source.read(0, source.recording.get_num_frames()))
    return np.asarray(trace, np.float32), replace(good, sample=source.bad.moved(good.sample))


def _without_duplicates(labels: Spikes) -> Spikes:
    """Drop duplicate labels, which have the same sample and unit."""
    again = (np.diff(labels.sample, prepend=-1) == 0) & (np.diff(labels.unit, prepend=-1) == 0)
    if again.any():
        many = "label is a duplicate" if again.sum() == 1 else "labels are duplicates"
        logger.warning("%d %s (same sample and unit); each is used once", again.sum(), many)
    return labels.select(~again)


def check_channels(recording: BaseRecording) -> None:
    """Refuse a recording of more channels than one sorter takes.

    Raises
    ------
    InputError
    """
    channels = recording.get_num_channels()
    if channels > MOST_CHANNELS:
        raise InputError(
            f"has {channels} channels; a sorter takes at most {MOST_CHANNELS}, which record the same units; "
            "select some, or set the recording's property group and use spikesorter.fit_groups"
        )


def _check_labels(labels: Spikes, n_samples: int) -> None:
    if len(labels) == 0:
        raise InputError("labels: there are no spikes")
    if labels.sample[-1] >= n_samples:
        raise InputError(
            f"labels: a spike starts at sample {labels.sample[-1]}, but the recording has {n_samples} samples"
        )
