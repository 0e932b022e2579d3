from __future__ import annotations

import os
from pathlib import Path

import pytest

from spikesorter.core.errors import InputError
from spikesorter.io.recording import RecordingOptions, read_recording
from spikesorter.workflows.manifest import read_batch

MODEL = Path("MODEL")


def manifest(folder: Path, text: str) -> Path:
    path = folder / "night.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_folders_recordings_are_its_jobs_in_order_of_name(tmp_path: Path) -> None:
    for name in ("b.mat", "a.ns5", "notes.txt", ".hidden.mat", "c.json"):
        (tmp_path / name).touch()
    items = read_batch(tmp_path, model=MODEL, options=RecordingOptions(channel=("7",)))
    assert [(item.name, item.recording, item.model) for item in items] == [
        ("a", tmp_path / "a.ns5", MODEL), ("b", tmp_path / "b.mat", MODEL)
    ]  # fmt: skip
    assert {item.options.channel for item in items} == {("7",)}


def test_json_files_are_skipped_and_said_to_be_unless_they_are_of_neuronexus(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("b.mat", "notes.json", "n.xdat.json", "n_data.xdat", "n_timestamp.xdat"):
        (tmp_path / name).touch()
    items = read_batch(tmp_path, model=MODEL)
    assert [item.recording.name for item in items] == ["b.mat", "n.xdat.json"]
    told = [record.getMessage().removeprefix(f"{tmp_path}: ") for record in caplog.records]
    assert told == [
        "skipped n_data.xdat, n_timestamp.xdat: is read with n.xdat.json",
        "skipped notes.json: such a file may describe a recording or anything else; if SpikeInterface saved "
        "a recording in it, name it in a manifest",
    ]


def test_what_a_manifest_says_of_one_recording_comes_before_what_it_says_of_all(tmp_path: Path) -> None:
    path = manifest(
        tmp_path,
        """
        model = "day"
        fs_hz = 30000
        channel = "e1"
        recordings = [
            "one.mat",
            { path = "deep/two.ns5", name = "second", model = "night", channel = ["e3", 4], group = 2 },
        ]
        """,
    )
    one, two = read_batch(path, model=MODEL, options=RecordingOptions(fs_hz=20_000.0, stream="s"))
    assert (one.name, one.recording, one.model) == ("one", tmp_path / "one.mat", tmp_path / "day")
    assert one.options == RecordingOptions(fs_hz=30_000.0, stream="s", channel=("e1",))
    assert (two.name, two.recording, two.model) == (
        "second", tmp_path / "deep" / "two.ns5", tmp_path / "night"
    )  # fmt: skip
    assert two.options == RecordingOptions(fs_hz=30_000.0, stream="s", channel=("e3", 4), group=2)


def test_paths_start_from_a_root_and_the_model_given_serves_where_none_is_named(tmp_path: Path) -> None:
    path = manifest(tmp_path, 'recordings = ["a.mat"]')
    (item,) = read_batch(path, model=MODEL, root=Path("/data"))
    assert (item.recording, item.model) == (Path("/data/a.mat"), MODEL)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recordings = [", "is not a manifest: invalid TOML"),
        ("", "recordings: Field required"),
        ("recordings = []", "lists no recordings"),
        ('recordings = ["a.mat"]', "recording 1: has no model; name it in the manifest or give --model"),
        ('model = "m"\nrecordings = [3]', "recordings 1: Input should be"),
        ('model = "m"\nrecordings = [{path = "a.mat", chanel = 1}]', "recordings 1 chanel: no such key"),
        ('model = "m"\nrecordings = [{path = "a.mat", fs_hz = 1e99}]', "recordings 1 fs_hz: Input should be"),
        ('model = "m"\nrecordings = [{path = "a.mat", fs_hz = nan}]', "recordings 1 fs_hz: Input should be"),
        ('model = "m"\nrecordings = [{path = "a.raw", channels = 4000000000}]', "recordings 1 channels"),
        ('model = "m"\nrecordings = ["a.mat", "b/A.ns5"]', "have the same name, A"),
        ('model = "m"\nrecordings = ["/etc/passwd"]', "recording 1: /etc/passwd: leads out of"),
        ('model = "m"\nrecordings = ["a/../../b.mat"]', "leads out of"),
        ('model = "m"\nrecordings = ["C:\\\\\\\\data\\\\\\\\b.mat"]', "leads out of"),
        (f'model = "m"\nrecordings = ["{"a" * 300}.mat"]', "is not a valid path: File name too long"),
        (f'model = "{"a" * 300}"\nrecordings = ["a.mat"]', "is not a valid path: File name too long"),
        ('model = "../m"\nrecordings = ["b.mat"]', "../m: leads out of"),
        ('model = "m"\nrecordings = [{path = "a.mat", name = "../a"}]', "cannot be a file name"),
        ('model = "m"\nrecordings = [{path = "a.mat", name = "a\\\\nb"}]', "cannot be a file name"),
        ('model = "m"\nrecordings = ["a\\\\u0000.mat"]', "is not a valid path|cannot be a file name|null"),
    ],
)
def test_manifests_that_make_no_sense_are_refused_in_words(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as refused:
        read_batch(manifest(tmp_path, text.replace("\\\\", "\\")))
    assert "night.toml" in str(refused.value)


def test_a_manifest_is_no_large_file(tmp_path: Path) -> None:
    path = tmp_path / "huge.toml"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="is larger than 4 MB, too large for a manifest"):
        read_batch(path, model=MODEL)


def test_there_must_be_something_to_sort_and_a_model_to_sort_it_with(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        read_batch(tmp_path / "nothing", model=MODEL)
    with pytest.raises(InputError, match="contains no recordings"):
        read_batch(tmp_path, model=MODEL)
    with pytest.raises(InputError, match="give the model for this folder with --model"):
        read_batch(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders")
@pytest.mark.parametrize("name", ["pipe.raw", "pipe.mat"])
def test_what_is_no_recording_is_skipped_and_listed(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.mat").touch()
    (tmp_path / "notes.txt").touch()
    os.mkfifo(tmp_path / name)  # to open it would wait for ever
    (tmp_path / "dead.mat").symlink_to("nowhere")
    (tmp_path / "loop.mat").symlink_to("loop.mat")
    assert [item.name for item in read_batch(tmp_path, model=MODEL)] == ["a"]
    told = caplog.text
    assert f"skipped {name}: is a pipe" in told
    assert "skipped dead.mat, loop.mat: is a link that leads nowhere" in told
    assert "skipped notes.txt: unknown ending .txt" in told
    with pytest.raises(InputError, match="is a pipe"):
        read_recording(tmp_path / name, format="raw")
