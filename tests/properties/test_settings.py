from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikesorter import InputError, Settings, SettingsError, SpikeSorterError, load_settings


def flat(settings: Settings) -> dict[str, Any]:
    """Return all values by `section.key`."""
    values = settings.model_dump()
    single = {key: value for key, value in values.items() if not isinstance(value, dict)}
    sections = {key: value for key, value in values.items() if isinstance(value, dict)}
    return single | {f"{name}.{key}": one for name, inside in sections.items() for key, one in inside.items()}


def nested(values: dict[str, Any]) -> dict[str, Any]:
    """Return values by `section.key` as `Settings.replace` takes them."""
    whole: dict[str, Any] = {}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        (whole.setdefault(section, {}) if section else whole)[name] = value
    return whole


KEYS = sorted(flat(Settings()))
JUNK = st.one_of(
    st.text(max_size=8), st.floats(), st.integers(), st.none(), st.booleans(), st.lists(st.integers())
)
SOME = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.integers(0, 1000),
        "recording.fs_hz": st.floats(100, 1e7),
        "decoder": st.sampled_from(["auto", "pursuit", "cnn", "combined", "botm", "trees"]),
        "output.threshold": st.floats(0, 1),
        "detector.steps": st.integers(1, 5000),
        "outliers.mark": st.booleans(),
        "rehearsal.tuning_seconds": st.floats(5, 500),
        "tuning.objective": st.sampled_from(["study", "strict", "f1", "precision=0.99"]),
    },
)


@given(SOME, st.sampled_from(["default", "published"]))
def test_settings_come_back_from_a_file_whatever_the_preset(some: dict[str, Any], preset: str) -> None:
    settings = load_settings(preset=preset).replace(**nested(some))
    for key, value in some.items():
        assert flat(settings)[key] == value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "settings.toml"
        path.write_text(settings.to_toml(), encoding="utf-8")
        again = load_settings(path)
    unset = {key for key, value in flat(settings).items() if value is None}
    assert {k: v for k, v in flat(again).items() if k not in unset} == {
        k: v for k, v in flat(settings).items() if k not in unset
    }


@given(SOME)
def test_changing_settings_changes_no_others(some: dict[str, Any]) -> None:
    one = Settings()
    before = flat(one)
    other = one.replace(**nested(some))
    assert flat(one) == before
    changed = {key for key, value in flat(other).items() if value != before[key]}
    assert changed <= set(some)
    assert other.replace(**nested({key: before[key] for key in changed})) == one


@given(st.text(max_size=20))
def test_an_unknown_key_is_named(key: str) -> None:
    if key in Settings.model_fields:
        return
    with pytest.raises(SettingsError, match="unknown|is now called"):
        Settings().replace(**{key: 1})


@given(st.sampled_from(KEYS), JUNK)
def test_a_value_is_taken_or_refused_by_its_key(key: str, value: Any) -> None:
    try:
        taken = Settings().replace(**nested({key: value}))
    except SettingsError as error:
        assert key in str(error)  # noqa: PT017
    else:
        assert set(flat(taken)) == set(KEYS)


@given(st.lists(st.text(max_size=30), max_size=3), st.text(max_size=60))
def test_any_text_is_settings_or_refused_in_words(assignments: list[str], toml: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "settings.toml"
        path.write_text(toml, encoding="utf-8", errors="surrogatepass", newline="")
        for given_ in ({"assignments": assignments}, {"path": path}, {"preset": toml}):
            try:
                load_settings(**given_)  # type: ignore[arg-type]
            except (SettingsError, InputError):
                pass
            except SpikeSorterError as error:  # pragma: no cover
                raise AssertionError(f"{error!r} is of the wrong kind") from error
