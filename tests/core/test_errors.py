from __future__ import annotations

import pickle
import traceback

import pytest

import spikesorter
from spikesorter.core import errors
from spikesorter.core.errors import InputError, ModelError, SettingsError, SpikeSorterError, naming

OWN = [SpikeSorterError, InputError, SettingsError, ModelError]


def test_every_error_is_here() -> None:
    assert {kind.__name__ for kind in OWN} | {"made_by", "naming"} == set(errors.__all__)


@pytest.mark.parametrize("kind", OWN)
def test_a_traceback_names_an_error_as_it_is_imported(kind: type[SpikeSorterError]) -> None:
    name = f"spikesorter.{kind.__name__}"
    assert getattr(spikesorter, kind.__name__) is kind
    assert traceback.format_exception_only(kind("no spikes")) == [f"{name}: no spikes\n"]


@pytest.mark.parametrize("kind", OWN)
def test_an_error_comes_back_from_another_process(kind: type[SpikeSorterError]) -> None:
    again = pickle.loads(pickle.dumps(kind("no spikes")))
    assert (type(again), str(again)) == (kind, "no spikes")


def test_a_file_is_named_once() -> None:
    with pytest.raises(SettingsError, match=r"^a\.toml: wrong$"), naming("a.toml"), naming("a.toml"):
        raise SettingsError("wrong")
    with pytest.raises(ValueError, match="^other$"), naming("a.toml"):
        raise ValueError("other")
