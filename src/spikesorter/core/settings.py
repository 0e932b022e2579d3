"""All settings: frozen, each default and meaning written once, unknown keys refused."""

from __future__ import annotations

import difflib
import reprlib
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tomlkit
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from spikesorter.core.errors import SettingsError
from spikesorter.core.toml import read_toml

__all__ = ["PRESETS", "Settings", "describe_settings", "load_settings"]


MOST_BYTES = 1 << 20
MOST_SHOWN = 5  # of all that is wrong
LONGEST_KEY = 100


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
Samples = Annotated[int, Field(ge=0, le=10_000)]
Dilation = Annotated[int, Field(ge=1, le=4096)]
Strength = Annotated[float, Field(ge=0, le=10)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class ConditioningSettings(_Section):
    """Linear filters run over every recording first."""

    drift_window_ms: float = Field(
        40.0, ge=0, le=1000, description="moving average that is subtracted to remove drift; 0: none"
    )
    low_hz: float = Field(0.0, ge=0, description="lower edge of the band-pass; 0: none")
    high_hz: float = Field(6000.0, ge=0, description="upper edge of the band-pass; 0: none")
    remove_hum: bool = Field(
        True, description="take out harmonics of 50 or 60 Hz that stand out of the spectrum"
    )
    taps: Odd = Field(101, ge=3, le=5001, description="length of the band-pass filter, odd")


class DenoiseSettings(_Section):
    """Wavelet denoising of the trace that the networks see (the matched filters see it as it was)."""

    strength: Literal["auto"] | Strength = Field(
        0.0,
        description="factor on the universal threshold; 0: off; auto: the best for each target, by rehearsal",
    )
    wavelet: Literal["sym4", "db4"] = Field("sym4", description="wavelet")
    level: int = Field(4, ge=1, le=8, description="number of levels")


class MatchedFilterSettings(_Section):
    """Matched filters whose outputs the networks see beside the trace."""

    kind: Literal["per_class", "average", "off"] = Field(
        "per_class",
        description="one filter a class, whitened by the target's noise; one unwhitened average; or none",
    )
    whitening_reach_ms: float = Field(
        6.0, ge=0, le=200, description="reach of the whitening beyond the template, each side"
    )


class NoiseSettings(_Section):
    """Estimation of a recording's noise from its quiet stretches."""

    n_fft: int = Field(2048, ge=64, le=65536, multiple_of=2, description="resolution of the noise spectrum")
    quiet_threshold: float = Field(
        4.5, gt=1, description="evidence (in noise SD) above which a sample may be a spike's"
    )


class TemplateSettings(_Section):
    """Spike shapes learnt from the labelled recording."""

    before_ms: float = Field(0.8, ge=0, le=80, description="part of a shape before the spike's start")
    after_ms: float = Field(5.6, gt=0.1, le=160, description="part of a shape from the spike's start on")


class RehearsalSettings(_Section):
    """Labelled recordings made by the program, as noisy as the target."""

    method: Literal["plant", "graft"] = Field(
        "graft",
        description="graft: the labelled trace itself, with the noise that it lacks (published); "
        "plant: learnt spikes at new times in noise like the target's",
    )
    training_seconds: float = Field(300.0, gt=1, le=36000, description="length of the rehearsal to train on")
    tuning_seconds: float = Field(120.0, gt=1, le=36000, description="length of the rehearsal to tune on")
    forecast_seconds: float = Field(
        120.0,
        gt=1,
        le=36000,
        description="length of the planted rehearsal that says how good the result will be (grafted ones say "
        "so themselves, each part by what was tuned on the others)",
    )
    gain_jitter: float = Field(
        0.01,
        ge=0,
        le=0.5,
        description="SD of the gain from second to second of a rehearsal, beside what the target shows",
    )


class PursuitSettings(_Section):
    """The decoder that explains the trace by known shapes in known noise."""

    sweeps: int = Field(
        24, ge=1, le=10_000, description="draws of each window that its probabilities average"
    )
    annealing_factor: float = Field(
        2.0, gt=1.01, le=100, description="by which certainty rises in each step from an uncertain start"
    )
    annealing_detectability: float = Field(
        6.0, gt=0, le=100, description="d' of a middling class at which annealing starts"
    )
    least_spread: float = Field(
        0.01, ge=0, le=1, description="SD of a class's relative size, at least: gains are a little off"
    )


class UnknownSettings(_Section):
    """Spikes of neurons that the labelled recording does not hold."""

    mark: bool = Field(
        False, description="mark spikes that fit no known neuron, as class 0, rather than force them into one"
    )
    learn: bool = Field(
        True,
        description="learn neurons that the labels leave out too, where they could be taken for a labelled "
        "one; results leave them out (not with mark)",
    )
    before_ms: float = Field(
        0.2, ge=0, le=50, description="start, before a spike, of the window in which little must be left"
    )
    window_ms: float = Field(1.6, ge=0.1, le=100, description="length of that window")


class DetectorSettings(_Section):
    """The network that says where spikes start, and how its curve becomes spikes."""

    window_samples: int = Field(120, ge=16, le=65536, description="length of a training window")
    curves: Literal["per_class", "spike"] = Field(
        "per_class",
        description="per_class: one network gives a curve for each class; spike: a detector gives one curve, "
        "a classifier names what is found (published)",
    )
    label_samples: Odd = Field(3, ge=1, le=101, description="samples labelled as spike around its start, odd")
    filters: int = Field(32, ge=1, le=1024, description="convolution filters in each layer")
    kernel_samples: Odd = Field(7, ge=1, le=255, description="length of each convolution, odd")
    dilations: tuple[Dilation, ...] = Field(
        (1, 2, 4, 8), min_length=1, max_length=12, description="dilation of each layer"
    )
    unit_variance: bool = Field(
        False, description="scale each stretch of window_samples to unit variance (published)"
    )
    steps: int = Field(800, ge=1, description="training steps for a target, on top of the base network")
    base_steps: int = Field(1500, ge=1, description="training steps of the base network")
    batch_windows: int = Field(64, ge=1, description="windows in a training step")
    learning_rate: float = Field(2e-3, gt=0, le=1, description="at the start; falls to 0 (Adam)")
    probability: Literal["spike_and_class", "spike"] = Field(
        "spike_and_class",
        description="with curves = spike, what the threshold is on: the probability that a spike is there "
        "and of its class, or that it is there (published)",
    )
    threshold: float | None = Field(
        None, ge=0, le=1, description="least probability that a spike is there and of its class; unset: tuned"
    )
    refractory_samples: int | None = Field(
        None, ge=0, le=10000, description="least distance of two spikes (see refractory_scope); unset: tuned"
    )
    refractory_scope: Literal["class", "all"] = Field(
        "class", description="whether the refractory period holds within a class or across all (published)"
    )


class ClassifierSettings(_Section):
    """The network that names a spike from its waveform."""

    before_samples: int = Field(20, ge=0, le=2000, description="waveform samples before the spike's start")
    after_samples: int = Field(44, ge=1, le=4000, description="waveform samples from the spike's start on")
    filters: int = Field(32, ge=1, le=1024, description="convolution filters in each layer")
    kernel_samples: Odd = Field(7, ge=1, le=255, description="length of each convolution, odd")
    layers: int = Field(3, ge=1, le=12, description="convolution layers")
    unit_variance: bool = Field(
        False, description="scale each waveform to unit variance, which loses its amplitude (published)"
    )
    jitter_samples: int = Field(
        3, ge=0, le=100, description="training waveforms are cut up to this far from the spike's start"
    )
    steps: int = Field(1000, ge=1, description="training steps for a target, on top of the base network")
    base_steps: int = Field(1000, ge=1, description="training steps of the base network")
    batch_waveforms: int = Field(128, ge=1, description="waveforms in a training step")
    learning_rate: float = Field(2e-3, gt=0, le=1, description="at the start; falls to 0 (Adam)")


class TuningSettings(_Section):
    """Grid search of threshold and refractory period."""

    on: Literal["rehearsal", "labelled"] = Field(
        "rehearsal", description="what to tune on; labelled: the clean labelled recording (published)"
    )
    objective: Annotated[str, AfterValidator(_objective)] = Field(
        "auto",
        description="what to maximise: study (the study's score), strict (each class's F1 within 0.4 ms), "
        "f1 (of detection), or precision=0.99 (the most spikes at that precision); auto: study for a study "
        "folder, strict for all else",
    )
    least_precision: Share = Field(
        0.5,
        description="what each class's reported spikes must reach on the rehearsal, whatever the objective "
        "would gain by reporting more; 0: nothing",
    )
    per_class: bool = Field(True, description="whether each class has a threshold of its own")
    thresholds: tuple[Share, ...] = Field(
        (
            0.02,
            0.04,
            0.07,
            0.1,
            0.15,
            0.2,
            0.25,
            0.3,
            0.35,
            0.4,
            0.45,
            0.5,
            0.55,
            0.6,
            0.65,
            0.7,
            0.75,
            0.8,
            0.85,
            0.9,
            0.95,
        ),
        min_length=1,
        description="probabilities to try",
    )
    refractory_samples: tuple[Samples, ...] = Field(
        (0, 5, 10, 20, 40, 60), min_length=1, description="refractory periods to try"
    )


class Settings(_Section):
    """All settings of a sorter.

    Raises
    ------
    SettingsError
        From `load_settings` and `Settings.replace`, if a key is unknown or a value makes no sense.

    Examples
    --------
    >>> Settings().detector.window_samples
    120
    >>> Settings().replace(["detector.threshold=0.8"]).detector.threshold
    0.8
    """

    seed: int = Field(0, ge=0, lt=2**31, description="same seed, same input, same settings: same result")
    decoder: Literal["auto", "pursuit", "cnn", "combined", "botm", "low_latency"] = Field(
        "auto",
        description="pursuit: known shapes in known noise; cnn: networks; both: the two together; "
        "botm: linear discriminants; early: a pursuit that decides within 5 ms, for closed loops; "
        "auto: whichever rehearses best",
    )
    enough: float = Field(
        0.8, ge=0, le=1, description="with decoder = auto: a rehearsed pursuit this good needs no networks"
    )
    fs_hz: float = Field(25_000.0, ge=100, le=1e7, description="sampling rate where a file does not say")
    conditioning: ConditioningSettings = Field(default_factory=ConditioningSettings)
    denoise: DenoiseSettings = Field(default_factory=DenoiseSettings)
    matched_filter: MatchedFilterSettings = Field(default_factory=MatchedFilterSettings)
    noise: NoiseSettings = Field(default_factory=NoiseSettings)
    templates: TemplateSettings = Field(default_factory=TemplateSettings)
    rehearsal: RehearsalSettings = Field(default_factory=RehearsalSettings)
    pursuit: PursuitSettings = Field(default_factory=PursuitSettings)
    unknown: UnknownSettings = Field(default_factory=UnknownSettings)
    detector: DetectorSettings = Field(default_factory=DetectorSettings)
    classifier: ClassifierSettings = Field(default_factory=ClassifierSettings)
    tuning: TuningSettings = Field(default_factory=TuningSettings)

    def replace(self, assignments: Sequence[str]) -> Settings:
        """Return the settings with single values changed.

        Parameters
        ----------
        assignments : sequence of str
            Each `section.key=value`, the value as in TOML.

        Returns
        -------
        Settings
        """
        values: dict[str, Any] = self.model_dump()
        for assignment in assignments:
            _merge(values, _parse_assignment(assignment))
        return _validated(values, "--set")

    def tuned_for(self, objective: str) -> Settings:
        """Return the settings with an objective in place of `auto`; one that was chosen stays."""
        if self.tuning.objective != "auto":
            return self
        tuning = self.tuning.model_copy(update={"objective": objective})
        return self.model_copy(update={"tuning": tuning})

    def get_params(self) -> dict[str, Any]:
        """Return all settings by name, as scikit-learn names parts of parts: `detector__threshold`."""
        single = {name: value for name, value, _ in _fields(self)}
        for section_name, section, _ in _fields(self, sections=True):
            single |= {f"{section_name}__{name}": value for name, value, _ in _fields(section)}
        return single

    def set_params(self, **params: Any) -> Settings:
        """Return the settings with some values changed; they themselves stay as they are.

        Parameters
        ----------
        **params
            By name, as `get_params` gives them.

        Returns
        -------
        Settings

        Raises
        ------
        SettingsError
            If a name is unknown or a value makes no sense.

        Examples
        --------
        >>> Settings().set_params(seed=7, detector__threshold=0.8).get_params()["detector__threshold"]
        0.8
        """
        values: dict[str, Any] = self.model_dump()
        for name, value in params.items():
            if "." in name:
                raise SettingsError(f"{name}: Python takes it as {name.replace('.', '__')}")
            *section, key = name.split("__")
            _merge(values, {section[0]: {key: value}} if section else {key: value})
        return _validated(values, "set_params")

    def to_toml(self) -> str:
        """Return the settings as TOML, without those that are unset."""
        return tomlkit.dumps(self.model_dump(mode="json", exclude_none=True))


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "published": {
        "decoder": "cnn",
        "conditioning": {"drift_window_ms": 20.0, "high_hz": 3000.0, "remove_hum": False},
        "denoise": {"strength": "auto"},
        "matched_filter": {"kind": "average"},
        "rehearsal": {"method": "graft"},
        "detector": {
            "unit_variance": True,
            "curves": "spike",
            "refractory_scope": "all",
            "probability": "spike",
            "steps": 1500,
            "base_steps": 2500,
        },
        "classifier": {"unit_variance": True},
        "unknown": {"learn": False},
        "tuning": {
            "on": "labelled",
            "objective": "f1",
            "least_precision": 0.0,
            "per_class": False,
            "thresholds": [0.7, 0.75, 0.8, 0.85, 0.9, 0.95],
            "refractory_samples": [25, 30, 35, 40, 45, 50, 55, 60],
        },
    },
}


def check_settings(settings: object) -> Settings:
    """Return settings, defaults for None; refuse anything else.

    Raises
    ------
    SettingsError
    """
    if settings is None:
        return Settings()
    if not isinstance(settings, Settings):
        raise SettingsError(
            f"expected Settings, not a {type(settings).__name__}; Settings(**values) takes a dict, "
            "spikesorter.load_settings a file"
        )
    return settings


def load_settings(
    path: str | Path | None = None, *, preset: str = "default", assignments: Sequence[str] = ()
) -> Settings:
    """Put settings together: defaults, then the preset, then a TOML file, then single values.

    Parameters
    ----------
    path : str or Path, optional
        TOML file.
    preset : {"default", "published"}
        `published` makes the published pipeline's own choices.
    assignments : sequence of str
        Each `section.key=value`.

    Returns
    -------
    Settings

    Raises
    ------
    InputError
        If the file cannot be read or is not TOML.
    SettingsError
        If a key or preset is unknown or a value makes no sense.
    """
    if preset not in PRESETS:
        raise SettingsError(
            f"unknown preset {preset!r}{_nearest(preset, PRESETS)}; known: {', '.join(PRESETS)}"
        )
    values = Settings().model_dump()
    _merge(values, PRESETS[preset])
    settings = _validated(values, f"preset {preset}")
    if path is not None:
        values = settings.model_dump()
        if not isinstance(path, (str, Path)):
            raise SettingsError(
                f"expected a TOML file's path, not a {type(path).__name__}; Settings(**values)"
            )
        _merge(values, read_toml(Path(path), what="settings file", most_bytes=MOST_BYTES))
        settings = _validated(values, str(path))
    return settings.replace(assignments)


def describe_settings(settings: Settings) -> str:
    """Return all settings with their meanings as commented TOML, ready to be saved and edited."""
    lines: list[str] = []
    for name, value, field in _fields(settings):
        lines += _described(name, value, field)
    for section_name, section, _ in _fields(settings, sections=True):
        lines += ["", f"# {(section.__doc__ or '').strip()}", f"[{section_name}]"]
        for name, value, field in _fields(section):
            lines += _described(name, value, field)
    return "\n".join(lines) + "\n"


def _fields(section: BaseModel, sections: bool = False) -> Iterator[tuple[str, Any, FieldInfo]]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel) == sections:
            yield name, value, field


def _described(name: str, value: Any, field: FieldInfo) -> list[str]:
    if value is None:
        return [f"# {field.description}", f"# {name} ="]
    listed = list(value) if isinstance(value, tuple) else value
    return [f"# {field.description}", f"{name} = {tomlkit.item(listed).as_string()}"]


def _parse_assignment(assignment: str) -> dict[str, Any]:
    key, equals, text = assignment.partition("=")
    key, text = key.strip(), text.strip()
    if not equals or not key or not text:
        raise SettingsError(
            f"--set {assignment!r}: expected section.key=value, such as detector.threshold=0.8"
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text  # a bare word, such as plant
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def _merge(values: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, change in changes.items():
        if isinstance(change, dict) and isinstance(values.get(key), dict):
            _merge(values[key], change)
        else:
            values[key] = change


def _validated(values: dict[str, Any], source: str) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        wrong = error.errors()
        more = [f"and {len(wrong) - MOST_SHOWN} more"] if len(wrong) > MOST_SHOWN else []
        explained = [_explain(one) for one in wrong[:MOST_SHOWN]]
        raise SettingsError(f"{source}: {'; '.join(explained + more)}") from None


def _explain(error: Any) -> str:
    location = [str(part) for part in error["loc"]]
    key = ".".join(location)[:LONGEST_KEY]
    if error["type"] == "extra_forbidden":
        return f"unknown setting {key!r}{_nearest(key, _known_keys())}"
    return f"{key} = {reprlib.repr(error['input'])}: {error['msg']}"


def _known_keys() -> list[str]:
    settings = Settings()
    keys = [name for name, _, _ in _fields(settings)]
    for section_name, section, _ in _fields(settings, sections=True):
        keys += [section_name, *(f"{section_name}.{name}" for name, _, _ in _fields(section))]
    return keys


def _nearest(word: str, known: Any) -> str:
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {found[0]!r}?" if found else ""
