from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spikesorter.core.errors import InputError, SettingsError
from spikesorter.core.settings import (
    GROUPS,
    PRESETS,
    RENAMED,
    Settings,
    check_settings,
    describe_settings,
    load_settings,
)

KEPT = Path(__file__).with_name("kept_settings.json")
"""Every setting's default, limits and choices, and what presets change: what users' files rely on."""


def without_words(schema: Any) -> Any:
    """Leave out titles and meanings, which may be put better at any time."""
    if isinstance(schema, dict):
        words = {"title", "description"} if "type" in schema or "anyOf" in schema else set()
        if "const" in schema:
            words |= {"enum"}  # some versions of pydantic write a single choice both ways
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
    assert settings.output.refractory_scope == "unit"
    assert settings.tuning.on == "rehearsal"


def test_preset_published_makes_the_published_choices() -> None:
    settings = load_settings(preset="published")
    assert settings.classifier.unit_variance
    assert settings.detector.unit_variance
    assert settings.tuning.on == "labelled"
    assert settings.tuning.objective == "f1"
    assert settings.output.refractory_scope == "all"
    assert settings.output.threshold_grid == (0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
    samples = [25_000 * ms / 1000 for ms in settings.output.refractory_grid_ms]
    assert samples == pytest.approx([25, 30, 35, 40, 45, 50, 55, 60])


def test_refractory_periods_to_try_are_whole_samples_at_25_khz() -> None:
    samples = [25_000 * ms / 1000 for ms in Settings().output.refractory_grid_ms]
    assert samples == pytest.approx([0, 5, 10, 20, 40, 60])


def test_file_then_single_values_win(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("seed = 3\n[detector]\nsteps = 5\n[output]\nthreshold = 0.6\n")
    settings = load_settings(file, assignments=["output.threshold=0.8", "rehearsal.method=graft"])
    assert load_settings(str(file)) == load_settings(file)
    assert (settings.seed, settings.output.threshold, settings.detector.steps) == (3, 0.8, 5)
    assert settings.rehearsal.method == "graft"


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("output.treshold=0.8", "unknown setting 'output.treshold'; did you mean 'output.threshold'"),
        ("outpu.threshold=0.8", "did you mean 'output"),
        ("output.threshold=8", "output.threshold = 8"),
        ("output.threshold", "expected section.key=value"),
        ("output.threshold=", "expected section.key=value"),
        ("detector.steps=many", "detector.steps = 'many'"),
        ("denoise.wavelet=haar", "denoise.wavelet = 'haar'"),
        ("detector.kernel_samples=4", "must be odd"),
        ("detector.dilations=[0]", "detector.dilations.0 = 0"),
        ("output.threshold_grid=[2.0]", "output.threshold_grid.0 = 2.0"),
        ("output.refractory_grid_ms=[-5]", "output.refractory_grid_ms.0 = -5"),
        ("output.refractory_ms=1001", "output.refractory_ms = 1001"),
        ("output.refractory_scope=class", "Input should be 'unit' or 'all'"),
        ("matched_filter.kind=per_class", "Input should be 'per_unit', 'average' or 'off'"),
        ("seed=5000000000", "seed = 5000000000"),
        ("denoise.strength=-1.0", "denoise.strength"),
        ("detector=3", "detector = 3"),
    ],
)
def test_wrong_settings_are_refused_with_a_hint(assignment: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Settings().replace(assignment)


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_a_former_name_leads_to_the_present_one(old: str, new: str, tmp_path: Path) -> None:
    section, _, name = new.rpartition(".")
    known = Settings() if not section else getattr(Settings(), section)
    assert name in type(known).model_fields
    with pytest.raises(SettingsError, match=f"{old} is now called {new}"):
        Settings().replace(f"{old}=1")
    section, _, name = old.rpartition(".")
    file = tmp_path / "old.toml"
    file.write_text(f"[{section}]\n{name} = 1\n" if section else f"{name} = 1\n")
    with pytest.raises(SettingsError, match=rf"old\.toml: {old} is now called {new}"):
        load_settings(file)


def test_a_former_name_in_samples_leads_to_milliseconds() -> None:
    with pytest.raises(SettingsError, match=r"output\.refractory_ms, in milliseconds"):
        Settings(detector={"refractory_samples": 40})


def test_names_and_files_that_are_wrong_are_said(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text("[detector]\nwindow_sample = 5\n")
    with pytest.raises(SettingsError, match=r"my\.toml.*did you mean 'detector\.window_samples'"):
        load_settings(file)
    file.write_text("seed = = 3")
    with pytest.raises(InputError, match="invalid TOML"):
        load_settings(file)
    with pytest.raises(InputError, match="no such file; expected a settings file"):
        load_settings(tmp_path / "missing.toml")
    with pytest.raises(InputError, match="cannot be read"):
        load_settings(tmp_path)
    with pytest.raises(SettingsError, match="did you mean 'published'"):
        load_settings(preset="publishd")
    with pytest.raises(SettingsError, match=r"not a dict; Settings\(\*\*values\) takes a dict"):
        load_settings({"seed": 3})  # type: ignore[arg-type]


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
        Settings().replace(f"{'k' * 101}=1")


@pytest.mark.parametrize("objective", ["auto", "study", "strict", "f1", "precision=0.99", "precision=0.01"])
def test_objectives_are_taken(objective: str) -> None:
    assert Settings().replace(tuning={"objective": objective}).tuning.objective == objective


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ("precision=0", "between 0 and 1"),
        ("precision=1", "between 0 and 1"),
        ("precision=high", "between 0 and 1"),
        ("precision", "must be auto, study, strict, f1 or"),
        ("recall=0.9", "must be auto, study, strict, f1 or"),
    ],
)
def test_other_objectives_are_refused(objective: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Settings().replace(tuning={"objective": objective})


def test_an_objective_that_was_chosen_stays() -> None:
    assert Settings().tuned_for("strict").tuning.objective == "strict"
    chosen = Settings().replace("tuning.objective=f1")
    assert chosen.tuned_for("strict") == chosen


@pytest.mark.parametrize("preset", PRESETS)
def test_the_description_is_a_settings_file_that_gives_the_same_settings(preset: str, tmp_path: Path) -> None:
    settings = load_settings(preset=preset)
    file = tmp_path / "all.toml"
    file.write_text(describe_settings(settings))
    assert load_settings(file) == settings


def test_every_section_is_in_one_group_and_every_setting_has_a_meaning() -> None:
    sections = [name for names in GROUPS.values() for name in names]
    values = Settings().model_dump()
    assert sorted(sections) == sorted(name for name, value in values.items() if isinstance(value, dict))
    described = describe_settings(Settings()).splitlines()
    assert [line.strip("[]") for line in described if line.startswith("[")] == sections
    assert [line.strip("# -") for line in described if line.startswith("# ----")] == list(GROUPS)
    assert "# None" not in described
    assert not any(line == "# " for line in described)


def test_values_are_replaced_by_keywords_and_by_assignments() -> None:
    settings = Settings()
    changed = settings.replace(decoder="cnn", output={"threshold": 0.8})
    assert (changed.decoder, changed.output.threshold) == ("cnn", 0.8)
    assert changed.output.per_unit == settings.output.per_unit
    assert settings.replace("decoder=cnn").replace(["output.threshold=0.8"]) == changed
    assert settings.replace("output.threshold=0.9", decoder="cnn", output={"threshold": 0.8}) == changed
    assert settings == Settings()
    assert load_settings(assignments="decoder=cnn") == Settings(decoder="cnn")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda: Settings().replace({"decoder": "cnn"}),
            r"not \{'decoder': 'cnn'\}; give names and values as",
        ),
        (lambda: Settings().replace([1]), r"expected texts such as 'decoder=cnn', not \[1\]"),
        (lambda: Settings().replace(nonsense=1), "unknown setting 'nonsense'"),
        (lambda: Settings().replace(self=1), "unknown setting 'self'"),
        (lambda: Settings(seed="one"), "seed = 'one'"),
        (lambda: Settings(detector={"steps": 0}), "detector.steps = 0"),
        (lambda: check_settings({"seed": 3}), r"expected Settings, not a dict; Settings\(\*\*values\)"),
    ],
)
def test_what_settings_cannot_be_made_of_is_said(change: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        change()


def test_settings_cannot_be_changed_in_place() -> None:
    settings = Settings()
    with pytest.raises(SettingsError, match=r"decoder: .*settings\.replace\(decoder='cnn'\)"):
        settings.decoder = "cnn"
    with pytest.raises(SettingsError, match=r"threshold: .*settings\.replace\('output\.threshold=0\.8'\)"):
        settings.output.threshold = 0.8
    assert settings == Settings()
    assert hash(settings) == hash(Settings())


def test_a_settings_file_may_be_as_large_as_a_megabyte(tmp_path: Path) -> None:
    file = tmp_path / "large.toml"
    file.write_text("#" * (2**20 - 1) + "\n")
    assert load_settings(file) == Settings()
    file.write_text("#" * 2**20 + "\n")
    with pytest.raises(InputError, match="large.toml"):
        load_settings(file)


if __name__ == "__main__":
    KEPT.write_text(json.dumps(current(), indent=1) + "\n", encoding="utf-8")
