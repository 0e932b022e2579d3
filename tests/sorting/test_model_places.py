"""Where the parts of a model are, and what is refused in their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from spikesorter.core.errors import InputError, ModelError
from spikesorter.sorting.model_places import (
    adapted_folders,
    check_group_places,
    group_folders,
    group_place,
    read_channels,
    target_names,
    target_place,
    write_channels,
)


@pytest.mark.parametrize("stored", ["{", "[]", '{"channels": [{"id": 1}]}', '{"channels": [{"group": 5}]}'])
def test_a_damaged_list_of_channels_is_refused(stored: str, tmp_path: Path) -> None:
    write_channels(tmp_path, ["left", "right"], ["0", "1"])
    assert read_channels(tmp_path) == ["left", "right"]
    (tmp_path / "groups" / "channels.json").write_text(stored)
    with pytest.raises(ModelError, match=r"channels.json: is damaged .*train the model again"):
        read_channels(tmp_path)


@pytest.mark.parametrize("group", ["../left", ".hidden", "a/b"])
def test_a_groups_name_must_do_for_a_folder(group: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be the name of a folder"):
        check_group_places(tmp_path / "model", [group])


def test_a_model_of_groups_replaces_nothing_but_its_like(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(InputError, match=r"already contains model\.json"):
        check_group_places(tmp_path, ["left"])


def test_the_parts_of_a_model_are_found_in_order_of_name(tmp_path: Path) -> None:
    for name in ("D3", "D2", ".hidden"):
        target_place(tmp_path, name).mkdir(parents=True)
    assert target_names(tmp_path) == list(adapted_folders(tmp_path)) == ["D2", "D3"]
    assert group_folders(tmp_path) == {"": tmp_path}
    group_place(tmp_path, "left").mkdir(parents=True)
    assert group_folders(tmp_path) == {"left": group_place(tmp_path, "left")}
    with pytest.raises(ModelError, match=r"a model for each group .* give one of them, such as .*left"):
        adapted_folders(tmp_path)


def test_what_is_no_model_folder_is_refused_with_where_one_is(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model folder"):
        group_folders(tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="is a file; give a model folder"):
        target_names(tmp_path / "file")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").touch()
    with pytest.raises(ModelError, match="is not a model folder; its model is"):
        adapted_folders(tmp_path)
