"""Sections of the settings, each default and meaning written once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from spikesorter.core.errors import SettingsError

__all__ = [
    "MOST_REFRACTORY_MS",
    "ClassifierSettings",
    "ConditioningSettings",
    "DenoiseSettings",
    "DetectorSettings",
    "MatchedFilterSettings",
    "NoiseSettings",
    "OutlierSettings",
    "OutputSettings",
    "PursuitSettings",
    "RecordingSettings",
    "RehearsalSettings",
    "Section",
    "TemplateSettings",
    "TuningSettings",
    "UnlabelledSettings",
]

MOST_REFRACTORY_MS = 1000.0


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("must be odd")
    return value


def _objective(value: str) -> str:
    name, equals, number = value.partition("=")
    if name == "precision" and equals:
        try:
            if 0 < float(number) < 1:
                return value
        except ValueError:
            pass
        raise ValueError("precision must be a number between 0 and 1, such as precision=0.99")
    if value not in ("auto", "study", "strict", "f1"):
        raise ValueError("must be auto, study, strict, f1 or, for instance, precision=0.99")
    return value


Odd = Annotated[int, AfterValidator(_odd)]
Share = Annotated[float, Field(ge=0, le=1)]
RefractoryMs = Annotated[float, Field(ge=0, le=MOST_REFRACTORY_MS)]
Dilation = Annotated[int, Field(ge=1, le=4096)]
Strength = Annotated[float, Field(ge=0, le=10)]


class Section(BaseModel):
    """Frozen group of settings that refuses unknown names.

    Examples
    --------
    >>> from spikesorter import Settings
    >>> try:
    ...     Settings().output.threshold = 0.8
    ... except SettingsError as error:
    ...     print(str(error)[:51])
    threshold: settings cannot be changed in place; set
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    if not TYPE_CHECKING:  # type checkers infer this from `frozen`

        def __setattr__(self, name: str, value: object) -> None:
            raise SettingsError(
                f"{name}: settings cannot be changed in place; settings.replace(decoder='cnn') or "
                "settings.replace('output.threshold=0.8') returns a changed copy"
            )


class RecordingSettings(Section):
    """Values used for files that do not state them.

    Examples
    --------
    >>> from spikesorter import Settings
    >>> Settings(recording={"fs_hz": 30_000}).recording.fs_hz
    30000.0
    """

    fs_hz: float = Field(25_000.0, ge=100, le=1e7, description="sampling rate of files that do not state it")


class ConditioningSettings(Section):
    """Linear filters applied to every recording first.

    Examples
    --------
    >>> from spikesorter import Settings
    >>> settings = Settings(conditioning={"low_hz": 300, "high_hz": 6000})
    >>> settings.conditioning.low_hz, settings.conditioning.drift_window_ms
    (300.0, 40.0)
    """

    drift_window_ms: float = Field(
        40.0, ge=0, le=1000, description="length of the moving average subtracted to remove drift; 0: none"
    )
    low_hz: float = Field(0.0, ge=0, description="lower edge of the band-pass; 0: none")
    high_hz: float = Field(6000.0, ge=0, description="upper edge of the band-pass; 0: none")
    remove_hum: bool = Field(
        True, description="remove harmonics of 50 or 60 Hz that stand out from the spectrum"
    )
    taps: Odd = Field(101, ge=3, le=5001, description="length of the band-pass filter, odd")


class NoiseSettings(Section):
    """Noise estimation from the parts of a recording without spikes."""

    n_fft: int = Field(
        2048, ge=64, le=65536, multiple_of=2, description="transform length of the noise spectrum"
    )
    quiet_threshold: float = Field(
        4.5, gt=1, description="matched filter output (in noise SD) above which a sample may be in a spike"
    )


class TemplateSettings(Section):
    """Templates learnt from the labelled recording."""

    before_ms: float = Field(
        0.8,
        ge=0,
        le=80,
        description="part of a template before the spike's start; longer where waveforms begin before",
    )
    after_ms: float = Field(
        5.6,
        gt=0.1,
        le=160,
        description="part of a template after the spike's start; longer where waveforms have not faded",
    )


class MatchedFilterSettings(Section):
    """Matched filters whose outputs the networks receive along with the trace."""

    kind: Literal["per_unit", "average", "off"] = Field(
        "per_unit",
        description="per_unit: one filter for each unit, whitened by the target's noise; average: one "
        "filter, the mean template, not whitened (published); off: none",
    )
    whitening_reach_ms: float = Field(
        6.0,
        ge=0,
        le=200,
        description="reach of the whitening beyond the template, on each side; longer by two thirds "
        "where the noise's spectrum is steep",
    )


class DenoiseSettings(Section):
    """Wavelet denoising of the trace that the networks receive; matched filters use the original trace.

    Examples
    --------
    >>> from spikesorter import Settings
    >>> Settings(denoise={"strength": "auto"}).denoise.wavelet
    'sym4'
    """

    strength: Literal["auto"] | Strength = Field(
        0.0,
        description="factor on the universal threshold; 0: off; auto: the best for each target, by rehearsal",
    )
    wavelet: Literal["sym4", "db4"] = Field("sym4", description="wavelet")
    level: int = Field(4, ge=1, le=8, description="number of levels")


class RehearsalSettings(Section):
    """Simulated recordings like the target, with known spikes: for training, tuning and the forecast."""

    method: Literal["plant", "graft"] = Field(
        "graft",
        description="graft: the labelled trace with noise added to match the target (published); "
        "plant: templates at new times in noise like the target's",
    )
    training_seconds: float = Field(300.0, gt=1, le=36000, description="length of the rehearsal to train on")
    tuning_seconds: float = Field(120.0, gt=1, le=36000, description="length of the rehearsal to tune on")
    forecast_seconds: float = Field(
        120.0,
        gt=1,
        le=36000,
        description="length of the planted rehearsal for the expected precision and recall (grafted "
        "rehearsals hold out one part after the other)",
    )
    gain_jitter: float = Field(
        0.01,
        ge=0,
        le=0.5,
        description="SD of a rehearsal's gain from second to second, on top of the target's own",
    )


class PursuitSettings(Section):
    """The decoder that explains the trace by templates in noise of a known spectrum."""

    sweeps: int = Field(
        24,
        ge=1,
        le=10_000,
        description="posterior samples of each window, over which probabilities are averaged",
    )
    annealing_factor: float = Field(
        2.0, gt=1.01, le=100, description="factor between the temperatures of two steps of the annealing"
    )
    annealing_detectability: float = Field(
        6.0, gt=0, le=100, description="d' of the median unit at the temperature where annealing starts"
    )
    least_spread: float = Field(
        0.01, ge=0, le=1, description="least SD of a unit's relative amplitude (gains are not known exactly)"
    )


class DetectorSettings(Section):
    """The network that finds where spikes start."""

    window_samples: int = Field(120, ge=16, le=65536, description="length of a training window")
    curves: Literal["per_unit", "spike"] = Field(
        "per_unit",
        description="per_unit: one network gives a curve for each unit; spike: a detector gives one curve, "
        "a classifier assigns each candidate to a unit (published)",
    )
    label_samples: Odd = Field(3, ge=1, le=101, description="samples labelled as spike around its start, odd")
    filters: int = Field(32, ge=1, le=1024, description="convolution filters in each layer")
    kernel_samples: Odd = Field(7, ge=1, le=255, description="length of each convolution, odd")
    dilations: tuple[Dilation, ...] = Field(
        (1, 2, 4, 8), min_length=1, max_length=12, description="dilation of each layer"
    )
    unit_variance: bool = Field(
        False, description="scale each block of window_samples to unit variance (published)"
    )
    steps: int = Field(400, ge=1, description="training steps for a target, on top of the base network")
    base_steps: int = Field(1500, ge=1, description="training steps of the base network")
    batch_windows: int = Field(64, ge=1, description="windows in a training step")
    learning_rate: float = Field(2e-3, gt=0, le=1, description="initial learning rate of Adam; decays to 0")
    probability: Literal["spike_and_unit", "spike"] = Field(
        "spike_and_unit",
        description="with curves = spike, what the threshold applies to: the probability that a spike is "
        "there and of its unit, or that a spike is there (published)",
    )


class ClassifierSettings(Section):
    """The network that assigns a spike to a unit by its waveform (detector.curves = spike)."""

    before_samples: int = Field(20, ge=0, le=2000, description="waveform samples before the spike's start")
    after_samples: int = Field(44, ge=1, le=4000, description="waveform samples from the spike's start on")
    filters: int = Field(32, ge=1, le=1024, description="convolution filters in each layer")
    kernel_samples: Odd = Field(7, ge=1, le=255, description="length of each convolution, odd")
    layers: int = Field(3, ge=1, le=12, description="convolution layers")
    unit_variance: bool = Field(
        False, description="scale each waveform to unit variance, which loses its amplitude (published)"
    )
    jitter_samples: int = Field(
        3, ge=0, le=100, description="largest random offset of training waveforms from the spike's start"
    )
    steps: int = Field(1000, ge=1, description="training steps for a target, on top of the base network")
    base_steps: int = Field(1000, ge=1, description="training steps of the base network")
    batch_waveforms: int = Field(128, ge=1, description="waveforms in a training step")
    learning_rate: float = Field(2e-3, gt=0, le=1, description="initial learning rate of Adam; decays to 0")


class UnlabelledSettings(Section):
    """Units that fire in the labelled recording but have no labels."""

    learn: bool = Field(
        True,
        description="learn those that could be mistaken for labelled units, and leave their spikes out of "
        "results (not with outliers.mark)",
    )


class TuningSettings(Section):
    """Tuning of thresholds and refractory period.

    Examples
    --------
    >>> from spikesorter import Settings
    >>> Settings().replace("tuning.objective=precision=0.99").tuning.objective
    'precision=0.99'
    """

    on: Literal["rehearsal", "labelled"] = Field(
        "rehearsal", description="what to tune on; labelled: the clean labelled recording (published)"
    )
    objective: Annotated[str, AfterValidator(_objective)] = Field(
        "auto",
        description="what to maximise: study (the study's score), strict (each unit's F1 within 0.4 ms), "
        "f1 (of detection), or precision=0.99 (the most spikes at that precision); auto: study for a study "
        "folder, strict for all else",
    )
    least_precision: Share | None = Field(
        None,
        description="least precision of each unit on the rehearsal, if it can be reached, even where the "
        "objective would gain from more spikes; 0: none; unset: 0.5 with strict, 0 with other objectives",
    )


class OutputSettings(Section):
    """Selection of reported spikes, for all decoders.

    Examples
    --------
    Settings that are unset are tuned on the rehearsal:

    >>> from spikesorter import Settings
    >>> output = Settings(output={"threshold": 0.8}).output
    >>> output.threshold, output.refractory_ms
    (0.8, None)
    """

    threshold: float | None = Field(
        None, ge=0, le=1, description="least probability that a spike is there and of its unit; unset: tuned"
    )
    threshold_grid: tuple[Share, ...] = Field(
        (
            *(0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45),
            *(0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95),
        ),
        min_length=1,
        description="thresholds to try when tuning",
    )
    per_unit: bool = Field(True, description="whether each unit has a tuned threshold of its own")
    refractory_ms: RefractoryMs | None = Field(
        None,
        description="least distance between two spikes (see refractory_scope); unset: tuned for networks, 0 "
        "for other decoders, which know when spikes exclude each other",
    )
    refractory_grid_ms: tuple[RefractoryMs, ...] = Field(
        (0.0, 0.2, 0.4, 0.8, 1.6, 2.4),
        min_length=1,
        description="refractory periods to try when tuning networks",
    )
    refractory_scope: Literal["unit", "all"] = Field(
        "unit", description="unit: between spikes of the same unit; all: between any two spikes (published)"
    )


class OutlierSettings(Section):
    """Outlier spikes: spikes that fit no known unit.

    Examples
    --------
    >>> from spikesorter import Settings
    >>> Settings(outliers={"mark": True}).outliers.window_ms
    1.6
    """

    mark: bool = Field(
        False, description="report outlier spikes, as unit 0, rather than assign each to a known unit"
    )
    before_ms: float = Field(
        0.2, ge=0, le=50, description="start of the window whose residual is tested, before a spike's start"
    )
    window_ms: float = Field(1.6, ge=0.1, le=100, description="length of that window")
