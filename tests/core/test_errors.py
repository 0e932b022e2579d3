from __future__ import annotations

import pickle
import traceback

import pytest

import spikesorter
from spikesorter.core import errors
from spikesorter.core.errors import (
    InputError,
    ModelError,
    NothingToSortError,
    SettingsError,
    SpikeSorterError,
    naming,
)

OWN = [SpikeSorterError, InputError, NothingToSortError, SettingsError, ModelError]


def test_every_error_is_here() -> None:
    other = {"about_subject", "made_by", "naming", "subject"}
    assert {kind.__name__ for kind in OWN} | other == set(errors.__all__)


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


@errors.made_by("Pair.read(file) or Pair.of(a, b)")
class Pair:
    """Two values."""

    def __init__(self, a: int = 0, *, b: int = 0) -> None:
        """Keep them."""
        self.values = (a, b)


def test_a_class_without_its_arguments_says_how_it_is_made() -> None:
    with pytest.raises(InputError, match=r"^Pair\(\) needs arguments; use Pair\.read\(file\) or Pair\.of"):
        Pair()
    assert Pair(1).values == (1, 0)
    assert Pair(b=2).values == (0, 2)
    assert Pair(1, b=2).values == (1, 2)
    assert Pair.__init__.__doc__ == "Keep them."


def test_an_error_keeps_its_cause_and_kind_when_its_file_is_named() -> None:
    with pytest.raises(ModelError) as named, naming("model"):
        raise ModelError("is damaged")
    assert str(named.value) == "model: is damaged"
    assert isinstance(named.value.__cause__, ModelError)
