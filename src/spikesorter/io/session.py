"""What NWB files and archives such as DANDI want to know of a recording: subject, session, electrodes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from spikesorter.core.errors import InputError
from spikesorter.core.toml import read_toml

__all__ = ["Electrodes", "Session", "SessionFacts", "Subject", "read_session", "session_of"]

MOST_BYTES = 1 << 20
MOST_SHOWN = 3
YAML_ENDINGS = (".yaml", ".yml")
SPECIES = r"^([A-Z][a-z]+ [a-z][a-z. -]*|http://purl\.obolibrary\.org/obo/NCBITaxon_\d+)$"
DURATION = r"P(?=[\dT])(?:\d+Y)?(?:\d+M)?(?:\d+W)?(?:\d+(?:\.\d+)?D)?(?:T(?=\d)(?:\d+H)?(?:\d+M)?(?:\d+S)?)?"
AGE = re.compile(rf"{DURATION}(?:/(?:{DURATION})?)?")
PERSON = r"^[^,]+, [^,]+$"


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _as_duration(value: str) -> str:
    if not AGE.fullmatch(value):
        raise ValueError("no duration")
    return value


Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Words = Annotated[tuple[Text, ...], BeforeValidator(_as_list)]
Person = Annotated[str, StringConstraints(pattern=PERSON)]


class _Table(BaseModel):
    """A table of the file; unknown names are refused, as they would be lost."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Subject(_Table):
    """The animal or person that was recorded, `[subject]`."""

    id: Annotated[str, StringConstraints(min_length=1, pattern=r"^[^/\s][^/]*$")]
    species: Annotated[str, StringConstraints(pattern=SPECIES)]
    sex: Literal["M", "F", "O", "U"]
    age: Annotated[str, AfterValidator(_as_duration)] | None = None
    date_of_birth: date | None = None
    description: Text | None = None
    genotype: Text | None = None
    strain: Text | None = None
    weight_kg: Annotated[float, Field(gt=0, lt=1e6)] | None = None

    @model_validator(mode="after")
    def _has_an_age(self) -> Subject:
        if self.age is None and self.date_of_birth is None:
            raise ValueError("give age, such as P90D, or date_of_birth")
        return self


class Session(_Table):
    """The recording session, `[session]`."""

    start: AwareDatetime | None = None
    experimenter: Annotated[tuple[Person, ...], BeforeValidator(_as_list)] = ()
    institution: Text | None = None
    lab: Text | None = None
    id: Text | None = None
    description: Text | None = None
    experiment: Text | None = None
    keywords: Words = ()


class Electrodes(_Table):
    """Where the electrodes were and what they were, `[electrodes]`."""

    location: Text = "unknown"
    device: Text = "device of the recording: not known"
    manufacturer: Text | None = None
    group: Text = "channels of the recording"


class _File(_Table):
    subject: Subject
    session: Session = Session()
    electrodes: Electrodes = Electrodes()


@dataclass(frozen=True)
class SessionFacts:
    """What is known of a recording beside its samples."""

    subject: Subject | None = None
    session: Session = field(default_factory=Session)
    electrodes: Electrodes = field(default_factory=Electrodes)
    path: Path | None = None

    def start(self, recorded: datetime | None) -> datetime | None:
        """Return the start of the session, as stated here or by the recording, which must agree.

        Raises
        ------
        InputError
        """
        stated = self.session.start
        if stated is not None and recorded is not None and stated != recorded:
            raise InputError(
                f"{self.path}: session.start is {stated.isoformat()}, but the recording states "
                f"{recorded.isoformat()}; correct it, or leave it out"
            )
        return stated or recorded

    def fields(self) -> dict[str, Any]:
        """Return the arguments of `pynwb.NWBFile` that this determines, apart from the start."""
        session = self.session
        named = {
            "experimenter": list(session.experimenter) or None,
            "institution": session.institution,
            "lab": session.lab,
            "session_id": session.id,
            "session_description": session.description,
            "experiment_description": session.experiment,
            "keywords": list(session.keywords) or None,
        }
        known = {name: value for name, value in named.items() if value is not None}
        return known if self.subject is None else known | {"subject": _nwb_subject(self.subject)}

    def facts(self) -> dict[str, Any]:
        """Return everything as JSON can store it, for comparison with another run."""
        tables = {"subject": self.subject, "session": self.session, "electrodes": self.electrodes}
        return {name: table.model_dump(mode="json") for name, table in tables.items() if table is not None}


def read_session(path: Path) -> SessionFacts:
    """Read a file with the tables `subject`, `session` and `electrodes`: TOML, or YAML if it is so named.

    Parameters
    ----------
    path : Path

    Returns
    -------
    SessionFacts

    Raises
    ------
    InputError
        If it cannot be read, lacks what archives require (a subject's id, species, sex, and age or date of
        birth), or has names or values that are not known.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "subject.toml"
    ...     _ = path.write_text('subject = {id = "M17", species = "Mus musculus", sex = "F", age = "P90D"}')
    ...     read_session(path).subject.age
    'P90D'
    """
    read_values = _read_yaml if path.suffix.lower() in YAML_ENDINGS else read_toml
    values = read_values(path, what="file of subject and session", most_bytes=MOST_BYTES)
    try:
        read = _File(**values)
    except ValidationError as error:
        found = error.errors()
        told = "; ".join(_told(one) for one in found[:MOST_SHOWN])
        more = f"; and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else ""
        raise InputError(f"{path}: {told}{more}") from None
    return SessionFacts(read.subject, read.session, read.electrodes, path)


def _read_yaml(path: Path, *, what: str, most_bytes: int) -> dict[str, Any]:
    """Read a YAML file as `read_toml` reads TOML; all values are text, which the tables' types interpret."""
    try:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError
    except ImportError:  # pynwb brings it
        raise InputError(
            f"{path}: reading YAML needs pynwb: pip install 'neural-spike-sorter[nwb]'; or write TOML"
        ) from None
    try:
        if path.stat().st_size > most_bytes:
            raise InputError(f"{path}: is larger than {most_bytes >> 20} MB, too large for a {what}")
        values = YAML(typ="base", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected a {what} (YAML)") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except RecursionError:
        raise InputError(f"{path}: is not a {what}: lists or tables are nested too deeply") from None
    except (YAMLError, ValueError) as error:
        raise InputError(f"{path}: is not a {what}: invalid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: is not a {what}: expected the tables subject, session and electrodes")
    return {str(name): value for name, value in values.items()}


def session_of(given: str | Path | SessionFacts | None) -> SessionFacts:
    """Return the facts of a file, or those given; none are known for None."""
    if isinstance(given, SessionFacts):
        return given
    return SessionFacts() if given is None else read_session(Path(given))


TABLES: dict[str, type[BaseModel]] = {
    "": _File,
    "subject": Subject,
    "session": Session,
    "electrodes": Electrodes,
}
EXPECTED = {
    "species": "the Latin name, such as Mus musculus, or its address in the NCBI taxonomy",
    "age": "an ISO 8601 duration, such as P90D or P12W",
    "experimenter": "names as Family, Given",
    "start": "a time with its offset from UTC, such as 2026-11-29T10:00:00+00:00",
    "id": "a name without slashes",
}


def _told(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"] if not isinstance(part, int))
    if error["type"] == "missing":
        return f"{place} is missing"
    if error["type"] == "extra_forbidden":
        table = TABLES[error["loc"][0] if len(error["loc"]) > 1 else ""]
        return f"{place} is not known; known are {', '.join(table.model_fields)}"
    expected = next((EXPECTED[part] for part in error["loc"] if part in EXPECTED), None)
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{place}: expected {expected}" if expected else f"{place}: {message}"


def _nwb_subject(subject: Subject) -> Any:
    from pynwb.file import Subject as NwbSubject

    born = subject.date_of_birth
    return NwbSubject(
        subject_id=subject.id,
        species=subject.species,
        sex=subject.sex,
        age=subject.age,
        date_of_birth=None if born is None else datetime.fromisoformat(f"{born.isoformat()}T00:00:00+00:00"),
        description=subject.description,
        genotype=subject.genotype,
        strain=subject.strain,
        weight=None if subject.weight_kg is None else f"{subject.weight_kg:g} kg",
    )
