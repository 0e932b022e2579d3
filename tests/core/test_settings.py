from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from spikesorter.core.errors import InputError, SettingsError
from spikesorter.core.settings import PRESETS, Settings, describe_settings, load_settings

KEPT = Path(__file__).with_name("kept_settings.json")
"""Every setting's default, limits and choices, and what presets change: what users' files rely on."""


def without_words(schema: Any) -> Any:
    """Leave out titles and meanings, which may be put better at any time."""
    if isinstance(schema, dict):
        words = {"title", "description"} if "type" in schema or "anyOf" in schema else set()
        return {key: without_words(value) for key, value in schema.items() if key not in words}
    return [without_words(value) for value in schema] if isinstance(schema, list) else schema


def current() -> dict[str, Any]:
    presets = {name: load_settings(preset=name).model_dump(mode="json") for name in PRESETS}
    return {"presets": presets, "schema": without_words(Settings.model_json_schema())}


def test_defaults_limits_and_choices_change_on_purpose_only() -> None:
    meant = "if the change is meant, keep it: python -m tests.core.test_settings"
    assert current() == json.loads(KEPT.read_text(encoding="utf-8")), meant


def test_defaults_follow_the_published_numbers() -> None:
    settings = Settings()
    assert settings.detector.window_samples == 120
    assert settings.detector.label_samples == 3
    assert (settings.classifier.before_samples, settings.classifier.after_samples) == (20, 44)
    assert settings.classifier.unit_variance is False
    assert settings.detector.refractory_scope == "class"
    assert settings.tuning.on == "rehearsal"


def test_preset_published_makes_the_published_choices() -> None:
    settings = load_settings(preset="published")
    assert settings.classifier.unit_variance
    assert settings.detector.unit_variance
    assert settings.tuning.on == "labelled"
    assert settings.tuning.objective == "f1"
    assert settings.detector.refractory_scope == "all"
    assert (min(settings.tuning.thresholds), max(settings.tuning.thresholds)) == (0.7, 0.95)
    assert (min(settings.tuning.refractory_samples), max(settings.tuning.refractory_samples)) == (25, 60)


def test_file_then_single_values_win(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("seed = 3\n[detector]\nthreshold = 0.6\nsteps = 5\n")
    settings = load_settings(file, assignments=["detector.threshold=0.8", "rehearsal.method=graft"])
    assert load_settings(str(file)) == load_settings(file)
    assert (settings.seed, settings.detector.threshold, settings.detector.steps) == (3, 0.8, 5)
    assert settings.rehearsal.method == "graft"


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("detector.treshold=0.8", "did you mean 'detector.threshold'"),
        ("detecto.threshold=0.8", "did you mean 'detector"),
        ("detector.threshold=8", "detector.threshold = 8.0|detector.threshold = 8"),
        ("detector.threshold", "expected section.key=value"),
        ("detector.threshold=", "expected section.key=value"),
        ("detector.steps=many", "detector.steps = 'many'"),
        ("denoise.wavelet=haar", "denoise.wavelet = 'haar'"),
        ("detector.kernel_samples=4", "must be odd"),
        ("detector.dilations=[0]", "detector.dilations.0 = 0"),
        ("tuning.thresholds=[2.0]", "tuning.thresholds.0 = 2.0"),
        ("tuning.refractory_samples=[-5]", "tuning.refractory_samples.0 = -5"),
        ("seed=5000000000", "seed = 5000000000"),
        ("denoise.strength=-1.0", "denoise.strength"),
        ("detector=3", "detector = 3"),
    ],
)
def test_wrong_settings_are_refused_with_a_hint(assignment: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Settings().replace([assignment])


def test_unknown_keys_in_a_file_name_the_file(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text("[detector]\nwindow_sample = 5\n")
    with pytest.raises(SettingsError, match=r"my\.toml.*did you mean 'detector\.window_samples'"):
        load_settings(file)


def test_unreadable_files_and_presets_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "broken.toml"
    file.write_text("seed = = 3")
    with pytest.raises(InputError, match="not a TOML file"):
        load_settings(file)
    with pytest.raises(InputError, match="no such file; expected a settings file"):
        load_settings(tmp_path / "missing.toml")
    with pytest.raises(InputError, match="cannot be read"):
        load_settings(tmp_path)
    with pytest.raises(SettingsError, match="did you mean 'published'"):
        load_settings(preset="publishd")


@pytest.mark.parametrize("preset", PRESETS)
def test_the_description_is_a_settings_file_that_gives_the_same_settings(preset: str, tmp_path: Path) -> None:
    settings = load_settings(preset=preset)
    file = tmp_path / "all.toml"
    file.write_text(describe_settings(settings))
    assert load_settings(file) == settings


def test_every_setting_has_a_meaning() -> None:
    for section in Settings().model_dump():
        assert f"[{section}]" in describe_settings(Settings()) or section in {
            "seed",
            "decoder",
            "enough",
            "fs_hz",
        }
    described = describe_settings(Settings()).splitlines()
    assert "# None" not in described


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().seed = 3


def test_settings_go_by_scikit_learns_names() -> None:
    settings = Settings().set_params(seed=3, detector__threshold=0.8)
    assert (settings.seed, settings.detector.threshold) == (3, 0.8)
    assert Settings().seed == 0
    assert Settings().set_params(**settings.get_params()) == settings
    assert not any(isinstance(value, BaseModel) for value in settings.get_params().values())
    with pytest.raises(SettingsError, match="nonsense"):
        Settings().set_params(detector__nonsense=1)
    with pytest.raises(SettingsError, match="seed"):
        Settings().set_params(seed="one")
    with pytest.raises(SettingsError, match=r"detector\.threshold: Python takes it as detector__threshold"):
        Settings().set_params(**{"detector.threshold": 0.5})


def test_of_much_that_is_wrong_the_first_five_are_said() -> None:
    wrong = [f"detector.wrong{k}=1" for k in range(7)]
    with pytest.raises(SettingsError) as error:
        Settings().replace(wrong)
    said = str(error.value).split("; ")
    assert [text for text in said if text.startswith("and")] == ["and 2 more"]
    assert sum("unknown setting" in text for text in said) == 5
    with pytest.raises(SettingsError) as error:
        Settings().replace(wrong[:5])
    assert "more" not in str(error.value)
    with pytest.raises(SettingsError, match=f"unknown setting '{'k' * 100}'"):
        Settings().replace([f"{'k' * 101}=1"])


@pytest.mark.parametrize("objective", ["study", "strict", "f1", "precision=0.99", "precision=0.01"])
def test_objectives_are_taken(objective: str) -> None:
    assert Settings().set_params(tuning__objective=objective).tuning.objective == objective


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ("precision=0", "between 0 and 1"),
        ("precision=1", "between 0 and 1"),
        ("precision=high", "between 0 and 1"),
        ("precision", "must be study, strict, f1 or"),
        ("recall=0.9", "must be study, strict, f1 or"),
    ],
)
def test_other_objectives_are_refused(objective: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Settings().set_params(tuning__objective=objective)


if __name__ == "__main__":
    KEPT.write_text(json.dumps(current(), indent=1) + "\n", encoding="utf-8")
