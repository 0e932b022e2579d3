"""Names in older model formats, so that these can still be read."""

from __future__ import annotations

from typing import Any

__all__ = ["FORMAT_VERSION", "READABLE", "to_current"]

FORMAT_VERSION = 7
READABLE = (6, 7)
"""Readable formats; tests/models has a sample of each."""

# Former names of types and fields in format 6.
_TYPES_OF_6 = {
    "BothDecoder": "CombinedDecoder",
    "Outlook": "Diagnostics",
    "Prepared": "TunedDecoder",
    "Repertoire": "Units",
    "UnknownRule": "OutlierRule",
}
_FIELDS_OF_6 = {
    "Background": {"size": "amplitude"},
    "BotmDecoder": {"labels": "unit_ids"},
    "Calibration": {"labels": "unit_ids", "spike": "probability", "named": "unit_probability"},
    "Diagnostics": {"classes": "unit_ids"},
    "Forecast": {"labels": "unit_ids"},
    "Lengths": {"play": "leeway"},
    "Networks": {"labels": "unit_ids", "class_counts": "unit_counts"},
    "PursuitDecoder": {"labels": "unit_ids", "one_name": "one_unit"},
    "Sorter": {"repertoire": "units", "prepared": "tuned", "outlook": "diagnostics"},
    "Templates": {"labels": "unit_ids"},
    "Units": {"sizes": "amplitudes", "strangers": "unlabelled_ids"},
    "WorkingPoint": {"labels": "unit_ids", "within_class": "within_unit"},
}
_OUTPUT_OF_6 = ("threshold", "refractory_samples", "refractory_scope")
_VALUES_OF_6 = {
    "both": "combined",
    "class": "unit",
    "early": "low_latency",
    "per_class": "per_unit",
    "spike_and_class": "spike_and_unit",
}


def to_current(model: dict[str, Any], format_version: int) -> dict[str, Any]:
    """Return a model's description converted to the current format.

    Parameters
    ----------
    model : dict
        Description in a format of `READABLE`; `is` has the type of a value.
    format_version : int

    Returns
    -------
    dict

    Examples
    --------
    >>> to_current({"is": "Lengths", "block": 336, "play": 48}, 6)
    {'is': 'Lengths', 'block': 336, 'leeway': 48}
    """
    return dict(_from_6(model)) if format_version == 6 else model


def _from_6(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_6(item) for item in value]
    if not isinstance(value, dict):
        return value
    stated = str(value.get("is", ""))
    kind = _TYPES_OF_6.get(stated, stated)
    renamed = _FIELDS_OF_6.get(kind, {})
    current = {renamed.get(key, key): _from_6(item) for key, item in value.items()}
    if kind:
        current["is"] = kind
    if kind == "Sorter":
        current["settings"] = _settings_from_6(current["settings"], current["fs_hz"])
    if kind == "TunedDecoder":
        current["name"] = _VALUES_OF_6.get(current["name"], current["name"])
    return current


def _settings_from_6(settings: dict[str, Any], fs_hz: float) -> dict[str, Any]:
    """Move settings to their present sections, and convert refractory periods from samples to ms."""

    def in_ms(samples: float) -> float:
        return 1000 * samples / fs_hz

    known = {key: value for key, value in settings.items() if key not in ("fs_hz", "unknown")}
    detector, tuning, unknown = settings["detector"], settings["tuning"], settings["unknown"]
    period = detector["refractory_samples"]
    output = {
        "threshold": detector["threshold"],
        "threshold_grid": tuning["thresholds"],
        "per_unit": tuning["per_class"],
        "refractory_ms": None if period is None else in_ms(period),
        "refractory_grid_ms": [in_ms(samples) for samples in tuning["refractory_samples"]],
        "refractory_scope": detector["refractory_scope"],
    }
    sections = {
        "decoder": settings["decoder"],
        "recording": {"fs_hz": settings["fs_hz"]},
        "matched_filter": settings["matched_filter"],
        "detector": {key: value for key, value in detector.items() if key not in _OUTPUT_OF_6},
        "tuning": {key: tuning[key] for key in ("on", "objective")} | {"least_precision": 0.0},
        "unlabelled": {"learn": unknown["learn"]},
        "output": output,
        "outliers": {key: value for key, value in unknown.items() if key != "learn"},
    }
    return known | dict(_renamed_values(sections))


def _renamed_values(settings: Any) -> Any:
    if isinstance(settings, dict):
        return {key: _renamed_values(value) for key, value in settings.items()}
    return _VALUES_OF_6.get(settings, settings) if isinstance(settings, str) else settings
