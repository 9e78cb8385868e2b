"""Find what is to be diagnosed: files, folders or a description to recordings, with a channel of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from secateur.bundle.manifest import ChannelRecord
from secateur.core.errors import ConfigError, DataError
from secateur.signals.kinematics import FaultOrders
from secateur.signals.readers.archive import archived
from secateur.signals.readers.described import load_described
from secateur.signals.readers.files import recording_names
from secateur.signals.readers.open import known_layout, load_recordings
from secateur.signals.recording import Recording
from secateur.signals.series import channel_number
from secateur.signals.sources.open import SUFFIXES, open_source
from secateur.signals.sources.quantities import UNITS
from secateur.signals.sources.stated import SPEED_TOLERANCE, Statement, agreed
from secateur.workflow.diagnosis_folders import contents_of, unlisted_files

HOW = "--channel NAME"
UNKNOWN = ChannelRecord()


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the command line says of all recordings.

    Attributes
    ----------
    sampling_rate_hz : float or None
    channel : str or None
        Name or number.
    shaft_speed_rpm : float or None
    fault_orders : FaultOrders or None
    trained_on : ChannelRecord
        The channel that the bundle was trained on.
    """

    sampling_rate_hz: float | None = None
    channel: str | None = None
    shaft_speed_rpm: float | None = None
    fault_orders: FaultOrders | None = None
    trained_on: ChannelRecord = UNKNOWN


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One recording to diagnose.

    Attributes
    ----------
    recording : Recording
    channel : int
        Number of the channel that is read.
    chosen_by : str
        Why that one, in words.
    shaft_speed_rpm : float or None
    fault_orders : FaultOrders or None
    layout : str
        Name of the layout that knows the recording; empty for a file of none, read by what it says of itself.
    """

    recording: Recording
    channel: int
    chosen_by: str
    shaft_speed_rpm: float | None
    fault_orders: FaultOrders | None
    layout: str = ""

    @property
    def channel_name(self) -> str:
        """Name of the channel."""
        return self.recording.channels[self.channel]


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A file of a folder that cannot be diagnosed, and why.

    Attributes
    ----------
    name : str
        As its recording would be called.
    path : Path
    reason : str
    """

    name: str
    path: Path
    reason: str


def find_subjects(
    paths: Sequence[Path],
    given: Given,
    *,
    description: Path | None = None,
    passed_over: list[Unreadable] | None = None,
) -> list[Subject]:
    """Open everything that is to be diagnosed; waveforms stay on disk.

    Parameters
    ----------
    paths : sequence of Path
        Files of any format, original files of a known data set, folders, descriptions.
    given : Given
    description : Path, optional
        Describes the files, or, where no path is given, says which there are.
    passed_over : list of Unreadable, optional
        Receives the files of folders that cannot be read; without it the first of them is refused. Where none
        can be read it is refused too.

    Raises
    ------
    ConfigError
        If nothing is given, or a file twice.
    DataError
        If a file cannot be read, leaves a choice of channel, states no rate, or contradicts what is given.
    """
    if not paths and description is None:
        raise ConfigError("no recording was given; name files or folders, or --description recordings.yaml.")
    if description is not None:
        recordings = _described(description, paths)
        return [_subject(recording, given, "described") for recording in recordings]
    unreadable: list[Unreadable] = []
    subjects = [subject for path in paths for subject in _of_path(Path(path), given, unreadable)]
    if unreadable and (passed_over is None or not subjects):
        raise DataError(unreadable[0].reason)
    if passed_over is not None:
        passed_over += unreadable
    seen: set[Path] = set()
    for subject in subjects:
        path = (subject.recording.path or Path(subject.recording.recording_id)).resolve()
        if path in seen:
            raise ConfigError(f"{path} was given twice; name each recording once.")
        seen.add(path)
    return subjects


def _described(description: Path, paths: Sequence[Path]) -> list[Recording]:
    recordings = load_described(description)
    if not paths:
        return recordings
    by_path = {recording.path.resolve(): recording for recording in recordings if recording.path}
    for path in paths:
        if Path(path).resolve() not in by_path:
            raise DataError(
                f"{path} is not among the {len(recordings)} files of {description}; add it there."
            )
    return [by_path[Path(path).resolve()] for path in paths]


def _of_path(path: Path, given: Given, unreadable: list[Unreadable]) -> list[Subject]:
    if not path.exists():
        raise DataError(f"{path} does not exist; give a recording, or a folder of recordings.")
    if not path.is_dir():
        return _of_one(path, given, *recording_names([Path(path.name)]))
    contents = contents_of(path)
    if not contents.sets and not contents.files:
        raise DataError(f"{path} holds no waveform file; formats that are read: {', '.join(SUFFIXES)}.")
    subjects = []
    for folder in contents.sets:
        try:
            subjects += _of_set(folder, given, unreadable)
        except DataError as error:
            if folder == path:
                raise
            name = folder.relative_to(path).as_posix()
            unreadable.append(Unreadable(name=name, path=folder, reason=str(error)))
    names = recording_names([file.relative_to(path) for file in contents.files])
    for file, name in zip(contents.files, names, strict=True):
        try:
            subjects += _of_one(file, given, name)
        except DataError as error:
            unreadable.append(Unreadable(name=name, path=file, reason=str(error)))
    return subjects


def _of_set(folder: Path, given: Given, unreadable: list[Unreadable]) -> list[Subject]:
    """Open what an index lists; waveform files that it leaves out are named."""
    recordings, layout = load_recordings(folder), known_layout(folder)
    assert layout is not None, "what is read is of a layout"
    subjects = [_subject(recording, given, layout.name) for recording in recordings]
    left_out = unlisted_files(folder, recordings)
    names = recording_names([file.relative_to(folder) for file in left_out])
    unreadable += [
        Unreadable(
            name=name,
            path=file,
            reason=f"{file} lies beside the recordings that {folder} lists, and is none of them; add it "
            "there, move it elsewhere, or give the file by itself.",
        )
        for file, name in zip(left_out, names, strict=True)
    ]
    return subjects


def _of_one(path: Path, given: Given, name: str) -> list[Subject]:
    """Open a file: an original one of a known data set, a description, one of an archive, or any other."""
    if (layout := known_layout(path)) is not None:
        return [_subject(recording, given, layout.name) for recording in load_recordings(path)]
    if (indexed := archived(path)) is not None:
        return [_subject(indexed, given, "archive")]
    return [_of_file(path, given, name)]


def _of_file(path: Path, given: Given, name: str) -> Subject:
    """Open a file of no known data set."""
    wanted = () if given.channel is None else (given.channel,)
    opened = open_source(path, wanted, how=HOW, preferred=given.trained_on.name, may_name=False)
    rate = opened.rate(_said(given.sampling_rate_hz, "--sampling-rate"), str(path))
    if rate is None:
        raise DataError(
            f"{path} does not state its sampling rate{opened.why_no_rate}; give it with --sampling-rate, in "
            "Hz."
        )
    speed = agreed(
        [_said(given.shaft_speed_rpm, "--shaft-rpm", SPEED_TOLERANCE), opened.speed], "rpm", str(path)
    )
    recording = Recording(
        recording_id=name,
        source=opened.source,
        channels=opened.channels,
        sampling_rate_hz=rate.value,
        group_id=name,
        dataset="",
        path=path,
        unit=opened.unit,
        shaft_speed_rpm=None if speed is None else speed.value,
    )
    _require_same_quantity(recording, given.trained_on)
    if given.channel is not None:
        chosen_by = "--channel"
    elif opened.is_preferred:
        chosen_by = "the model was trained on it"
    else:
        chosen_by = "no other may be vibration"
    return Subject(
        recording=recording,
        channel=0,
        chosen_by=chosen_by,
        shaft_speed_rpm=recording.shaft_speed_rpm,
        fault_orders=given.fault_orders,
    )


def _subject(recording: Recording, given: Given, layout: str) -> Subject:
    """Choose the channel of a recording that a layout or a description knows."""
    where = str(recording.path or recording.recording_id)
    stated = Statement(value=recording.sampling_rate_hz, said_by="what describes it")
    agreed([stated, _said(given.sampling_rate_hz, "--sampling-rate")], "Hz", where)
    described = _said(recording.shaft_speed_rpm, "what describes it", SPEED_TOLERANCE)
    speed = agreed([_said(given.shaft_speed_rpm, "--shaft-rpm", SPEED_TOLERANCE), described], "rpm", where)
    _require_same_quantity(recording, given.trained_on)
    channel, chosen_by = _channel(recording, given, where)
    return Subject(
        recording=recording,
        channel=channel,
        chosen_by=chosen_by,
        shaft_speed_rpm=None if speed is None else speed.value,
        fault_orders=_orders(recording, given, where),
        layout=layout,
    )


def _channel(recording: Recording, given: Given, where: str) -> tuple[int, str]:
    if given.channel is not None:
        return channel_number(recording, given.channel), "--channel"
    if len(recording.channels) == 1:
        return 0, "there is no other"
    if given.trained_on.name in recording.channels:
        return recording.channels.index(given.trained_on.name), "the model was trained on it"
    raise DataError(
        f"{where} has the channels {', '.join(recording.channels)}, and the bundle does not name one of "
        f"them; choose one with {HOW}."
    )


def _orders(recording: Recording, given: Given, where: str) -> FaultOrders | None:
    described, option = recording.fault_orders, given.fault_orders
    if described is None or option is None:
        return option or described
    if not described.are_like(option):
        raise DataError(
            f"{where} is described with the fault orders {described} (BPFO, BPFI, 2 BSF, FTF), but the "
            f"bearing that was given has {option}; leave it out or correct the description."
        )
    return option


def _require_same_quantity(recording: Recording, trained_on: ChannelRecord) -> None:
    """Refuse velocity where the model was trained on acceleration: its spectrum falls with the frequency."""
    units = (recording.unit, trained_on.unit)
    quantities = [UNITS.get(unit.lower()) if unit else None for unit in units]
    if "voltage" in quantities or None in quantities or quantities[0] == quantities[1]:
        return
    raise DataError(
        f"{recording.path or recording.recording_id} holds a {quantities[0]} ({units[0]}), but the model was "
        f"trained on {quantities[1]} ({units[1]}); give a recording of that."
    )


def _said(value: float | None, said_by: str, tolerance: float | None = None) -> Statement | None:
    if value is None:
        return None
    return Statement(value=value, said_by=said_by, **({} if tolerance is None else {"tolerance": tolerance}))
