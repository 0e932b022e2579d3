from __future__ import annotations

from pathlib import Path

import pytest

from spikesorter.core.errors import InputError, SettingsError, SpikeSorterError
from spikesorter.core.settings import load_settings
from spikesorter.core.toml import read_toml
from spikesorter.workflows.manifest import read_manifest

MODEL = Path("MODEL")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "night.toml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = " + "[" * 100_000, "nested too deeply"),
        ("a = " + "{a=" * 100_000, "nested too deeply"),
        ("a." * 100_000 + "a = 1", "a key of more than 32 parts"),
        ("[" + '"x" . ' * 100_000 + "a]", "a key of more than 32 parts"),
        ("'a,[b'." * 33 + "a = 1", "a key of more than 32 parts"),
        ('"a\\"b" . ' * 40 + "a = 1", "a key of more than 32 parts"),
        ("a = " + "9" * 5000, "invalid TOML: Exceeds the limit"),
        ("a = 'x", "invalid TOML"),
        ("#" * 2000, "larger than 0 MB|too large for a table"),
        ("a = \udcff", "invalid TOML: 'utf-8'"),
    ],
)
def test_files_that_would_take_long_or_too_deep_are_refused(text: str, message: str, path: Path) -> None:
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=message) as error:
        read_toml(path, what="table", most_bytes=1000 if text.startswith("#") else 1 << 20)
    assert str(error.value).startswith(str(path))


@pytest.mark.parametrize(
    "text",
    [
        ".".join("abcdefghijklmnopqrstuvwxyz") + " = 1",
        'a = "1.2.3.4.5.6.7.8.9.10.11"',
        "a = '''\n1.2.3.4.5.6.7.8.9.10.11'''",
        '"1.2.3.4.5.6.7.8.9.10" = 1',
        "# a.b.c.d.e.f.g.h.i.j.k\na = 1",
        'a = ["x.1", "x.2", "x.3", "x.4", "x.5", "x.6", "x.7", "x.8", "x.9", "./x", "y."]',
    ],
)
def test_dots_in_names_values_and_remarks_are_no_depth(text: str, path: Path) -> None:
    path.write_text(text)
    assert len(read_toml(path, what="table", most_bytes=1000)) == 1


def read_settings(path: Path) -> None:
    load_settings(path)


def read_jobs(path: Path) -> None:
    read_manifest(path, model=MODEL)


@pytest.mark.parametrize("read", [read_settings, read_jobs])
@pytest.mark.parametrize(
    "text",
    [
        "a" * 50_000 + " = 1",
        "seed = '" + "a" * 50_000 + "'",
        "".join(f"k{number} = 1\n" for number in range(2000)),
        "seed = " + "9" * 4000,
        "fs_hz = " + "9" * 4000,
        "segment = " + "9" * 4000 + "\nrecordings = ['a.mat']",
        "recordings = " + "9" * 4000,
        "decoder = " + "[" * 90 + "]" * 90,
        "recordings = [" + "{path = '" + "a/" * 5000 + "a'}]",
        "recordings = ['a.mat']\nfs_hz = nan",
        "recordings = ['a.mat']\nfs_hz = 1e300",
        "recordings = ['a.mat']\nchannels = 4_000_000_000",
        "[rehearsal]\ntraining_seconds = 1e400",
    ],
)
def test_what_is_wrong_is_said_in_a_few_words_however_large_it_is(
    read: object, text: str, path: Path
) -> None:
    path.write_text(text)
    with pytest.raises((InputError, SettingsError)) as error:
        read(path)  # type: ignore[operator]
    assert len(str(error.value)) < 2000
    assert issubclass(error.type, SpikeSorterError)


def test_an_assignment_of_thousands_of_brackets_is_a_word_that_no_setting_takes() -> None:
    with pytest.raises(SettingsError, match="decoder"):
        load_settings(assignments=["decoder=" + "[" * 5000])
