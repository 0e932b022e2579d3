"""All settings, combined from defaults, presets, files and single values."""

from __future__ import annotations

import difflib
import reprlib
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import tomlkit
from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic.functional_validators import ModelWrapValidatorHandler

from spikesorter.core.errors import SettingsError, naming
from spikesorter.core.sections import (
    ClassifierSettings,
    ConditioningSettings,
    DenoiseSettings,
    DetectorSettings,
    MatchedFilterSettings,
    NoiseSettings,
    OutlierSettings,
    OutputSettings,
    PursuitSettings,
    RecordingSettings,
    RehearsalSettings,
    Section,
    TemplateSettings,
    TuningSettings,
    UnlabelledSettings,
)
from spikesorter.core.toml import read_toml

__all__ = ["GROUPS", "PRESETS", "Settings", "describe_settings", "load_settings"]


MOST_BYTES = 1 << 20
MOST_SHOWN = 5  # errors in one message
LONGEST_KEY = 100

GROUPS = {
    "What is known of the recording": ("recording", "conditioning", "noise", "templates"),
    "How spikes are learnt and decoded": (
        "rehearsal",
        "matched_filter",
        "denoise",
        "pursuit",
        "detector",
        "classifier",
        "unlabelled",
        "tuning",
    ),
    "What the result holds": ("output", "outliers"),
}
"""Sections by subject, in the order in which they are described."""

RENAMED = {
    "fs_hz": "recording.fs_hz",
    "detector.threshold": "output.threshold",
    "detector.refractory_samples": "output.refractory_ms",
    "detector.refractory_scope": "output.refractory_scope",
    "tuning.per_class": "output.per_unit",
    "tuning.thresholds": "output.threshold_grid",
    "tuning.refractory_samples": "output.refractory_grid_ms",
    "unknown.learn": "unlabelled.learn",
    "unknown.mark": "outliers.mark",
    "unknown.before_ms": "outliers.before_ms",
    "unknown.window_ms": "outliers.window_ms",
}
"""Former and present names of settings, for messages about old files and commands."""


class Settings(Section):
    """All settings of a sorter, in sections.

    The sections are of three groups: what is known of the recording (`recording`, `conditioning`, `noise`,
    `templates`), how spikes are learnt and decoded (`rehearsal` to `tuning`), and what the result holds
    (`output`, `outliers`).

    Raises
    ------
    SettingsError
        If a name is unknown or a value is invalid.

    See Also
    --------
    load_settings : from a preset, a file and single values.

    Examples
    --------
    >>> Settings().detector.window_samples
    120
    >>> Settings(decoder="pursuit").replace("output.threshold=0.8").output.threshold
    0.8
    """

    seed: int = Field(0, ge=0, lt=2**31, description="the same seed, input and settings give the same result")
    decoder: Literal["auto", "pursuit", "cnn", "combined", "botm", "trees", "low_latency"] = Field(
        "auto",
        description="pursuit: known templates in known noise; cnn: networks; combined: both; "
        "botm: linear discriminants; trees: their candidates, named by randomised trees; low_latency: a "
        "pursuit that decides within 5 ms, for closed loops; "
        "auto: the best of these on the rehearsal",
    )
    enough: float = Field(
        0.8,
        ge=0,
        le=1,
        description="with decoder = auto: no networks are tried if the pursuit's score reaches this",
    )
    recording: RecordingSettings = Field(default_factory=RecordingSettings)
    conditioning: ConditioningSettings = Field(default_factory=ConditioningSettings)
    noise: NoiseSettings = Field(default_factory=NoiseSettings)
    templates: TemplateSettings = Field(default_factory=TemplateSettings)
    rehearsal: RehearsalSettings = Field(default_factory=RehearsalSettings)
    matched_filter: MatchedFilterSettings = Field(default_factory=MatchedFilterSettings)
    denoise: DenoiseSettings = Field(default_factory=DenoiseSettings)
    pursuit: PursuitSettings = Field(default_factory=PursuitSettings)
    detector: DetectorSettings = Field(default_factory=DetectorSettings)
    classifier: ClassifierSettings = Field(default_factory=ClassifierSettings)
    unlabelled: UnlabelledSettings = Field(default_factory=UnlabelledSettings)
    tuning: TuningSettings = Field(default_factory=TuningSettings)
    output: OutputSettings = Field(default_factory=OutputSettings)
    outliers: OutlierSettings = Field(default_factory=OutlierSettings)

    @model_validator(mode="wrap")
    @classmethod
    def _raise_settings_error(cls, values: Any, make: ModelWrapValidatorHandler[Settings]) -> Settings:
        """Raise SettingsError rather than pydantic's own error."""
        if isinstance(values, dict):
            _refuse_former_names(values)
        try:
            return make(values)
        except ValidationError as error:
            wrong = error.errors()
            more = [f"and {len(wrong) - MOST_SHOWN} more"] if len(wrong) > MOST_SHOWN else []
            explained = [_explain(one) for one in wrong[:MOST_SHOWN]]
            raise SettingsError("; ".join(explained + more)) from None

    def replace(self, assignments: str | Sequence[str] = (), /, **values: Any) -> Settings:
        """Return a copy with some values changed.

        Parameters
        ----------
        assignments : str or sequence of str
            One or several `section.key=value`, the value as in TOML or a bare word.
        **values
            New values by name; those of a section as a dict.

        Returns
        -------
        Settings

        Raises
        ------
        SettingsError
            If a name is unknown or a value is invalid.

        Examples
        --------
        >>> settings = Settings().replace(decoder="pursuit", output={"threshold": 0.8})
        >>> settings.decoder, settings.output.threshold
        ('pursuit', 0.8)
        >>> settings == Settings().replace(["decoder=pursuit", "output.threshold=0.8"])
        True
        """
        changed: dict[str, Any] = self.model_dump()
        for assignment in _several(assignments):
            _merge(changed, _parse_assignment(assignment))
        _merge(changed, values)
        return Settings.model_validate(changed)

    def tuned_for(self, objective: str) -> Settings:
        """Return the settings with `auto` replaced by an objective; an objective that was chosen stays.

        Examples
        --------
        >>> Settings().tuned_for("strict").tuning.objective
        'strict'
        """
        if self.tuning.objective != "auto":
            return self
        return self.replace(tuning={"objective": objective})

    def to_toml(self) -> str:
        """Return the settings as TOML, without those that are unset.

        Examples
        --------
        >>> Settings(seed=7).to_toml().splitlines()[:2]
        ['seed = 7', 'decoder = "auto"']
        """
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
            "probability": "spike",
            "steps": 1500,
            "base_steps": 2500,
        },
        "classifier": {"unit_variance": True},
        "unlabelled": {"learn": False},
        "tuning": {"on": "labelled", "objective": "f1"},
        "output": {
            "per_unit": False,
            "threshold_grid": [0.7, 0.75, 0.8, 0.85, 0.9, 0.95],
            "refractory_grid_ms": [1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4],  # 25 to 60 samples at 25 kHz
            "refractory_scope": "all",
        },
    },
}


def check_settings(settings: object) -> Settings:
    """Return the settings, or the defaults for None; refuse anything else.

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
    path: str | Path | None = None, *, preset: str = "default", assignments: str | Sequence[str] = ()
) -> Settings:
    """Combine settings: defaults, then the preset, then a TOML file, then single values.

    Parameters
    ----------
    path : str or Path, optional
        TOML file; `spikesorter config` prints one to edit.
    preset : {"default", "published"}
        `published` has the choices of the published pipeline.
    assignments : str or sequence of str
        One or several `section.key=value`.

    Returns
    -------
    Settings

    Raises
    ------
    InputError
        If the file cannot be read or is not TOML.
    SettingsError
        If a name or preset is unknown or a value is invalid.

    Examples
    --------
    >>> settings = load_settings(preset="published", assignments=["output.threshold=0.8", "seed=7"])
    >>> settings.decoder, settings.output.threshold, settings.seed
    ('cnn', 0.8, 7)
    """
    if preset not in PRESETS:
        raise SettingsError(
            f"unknown preset {preset!r}{_nearest(preset, PRESETS)}; known: {', '.join(PRESETS)}"
        )
    settings = Settings().replace(**PRESETS[preset])
    if path is not None:
        if not isinstance(path, (str, Path)):
            raise SettingsError(
                f"expected a TOML file's path, not a {type(path).__name__}; Settings(**values) takes a dict"
            )
        values = read_toml(Path(path), what="settings file", most_bytes=MOST_BYTES)
        with naming(path):
            settings = settings.replace(**values)
    return settings.replace(assignments)


def describe_settings(settings: Settings) -> str:
    """Return all settings with their meanings as commented TOML, ready to be saved and edited.

    Examples
    --------
    >>> describe_settings(Settings()).splitlines()[:2]
    ['# the same seed, input and settings give the same result', 'seed = 0']
    """
    lines: list[str] = []
    for name, value, field in _fields(settings):
        lines += _described(name, value, field)
    for group, sections in GROUPS.items():
        lines += ["", f"# ---- {group} ----"]
        for section_name in sections:
            section = getattr(settings, section_name)
            summary = (section.__doc__ or "").partition("\n")[0]
            lines += ["", f"# {summary}", f"[{section_name}]"]
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


def _several(assignments: str | Sequence[str]) -> Sequence[str]:
    several = [assignments] if isinstance(assignments, str) else assignments
    if not isinstance(several, Sequence) or not all(isinstance(one, str) for one in several):
        raise SettingsError(
            f"expected texts such as 'decoder=cnn', not {reprlib.repr(assignments)}; give names "
            "and values as replace(decoder='cnn') or replace(**values)"
        )
    return several


def _parse_assignment(assignment: str) -> dict[str, Any]:
    key, equals, text = assignment.partition("=")
    key, text = key.strip(), text.strip()
    if not equals or not key or not text:
        raise SettingsError(f"{assignment!r}: expected section.key=value, such as output.threshold=0.8")
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


def _refuse_former_names(values: dict[str, Any]) -> None:
    for key, now in RENAMED.items():
        section, _, name = key.rpartition(".")
        inside = values.get(section) if section else values
        if isinstance(inside, dict) and name in inside:
            unit = ", in milliseconds" if name.endswith("_samples") else ""
            raise SettingsError(f"{key} is now called {now}{unit}")


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
