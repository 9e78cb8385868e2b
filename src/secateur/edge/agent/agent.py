"""The agent: sources, one worker, an outbox and sinks, put together from the configuration."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from secateur.core.errors import DataError, SecateurError
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.consistency import OWN_SENSOR
from secateur.edge.agent.config.machines import Machine, Sensor
from secateur.edge.agent.config.settings import AgentConfig
from secateur.edge.agent.connect import open_sink, open_source
from secateur.edge.agent.entries import alarm_entry, result_entry
from secateur.edge.agent.events import Events
from secateur.edge.agent.intake import Intake, Submission
from secateur.edge.agent.models.bundles import Bundles, named_bundles
from secateur.edge.agent.outbox.database import Database, RunningClock, StorageError
from secateur.edge.agent.outbox.delivery import Delivery
from secateur.edge.agent.outbox.store import Outbox
from secateur.edge.agent.patience import all_at_once
from secateur.edge.agent.pipeline import Processed, SensorPath
from secateur.edge.agent.sources.base import Inlet, RunningSource
from secateur.edge.agent.state.alarms import Alarm, AlarmChange, AlarmStore
from secateur.edge.agent.state.baseline import baseline_file
from secateur.edge.agent.state.levels import Judgement, Level
from secateur.edge.agent.state.trends import Trends

log = logging.getLogger(__name__)

DATABASE_FILE, TRENDS_FILE = "agent.sqlite", "trends.sqlite"
LATENCIES_KEPT = 1000
_LONGEST_PAUSE_S = 5.0

Stored = TypeVar("Stored")


class Agent:
    """Watches the machines of a configuration.

    Parameters
    ----------
    config : AgentConfig

    Attributes
    ----------
    paths : dict
        What is kept of each sensor, by machine and sensor.
    bundles : Bundles
    storage_trouble : str
        Why nothing can be stored at present; empty while all is well.
    config_trouble : str
        Why the configuration file was not taken when it was read again last; empty if it was.
    """

    def __init__(self, config: AgentConfig) -> None:
        self.config = config
        folder = config.state_folder
        self.started_unix_s = time.time()
        self.database = Database(folder / DATABASE_FILE, on_repair=self._told_of_repair)
        self.clock = RunningClock(self.database)
        self.alarms = AlarmStore(self.database)
        self.trends = Trends(folder / TRENDS_FILE)
        self.events = Events()
        self.intake = Intake(self.handle)
        self.storage_trouble = self.config_trouble = ""
        self.latencies_ms: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self.twice = 0
        self._stopping = threading.Event()
        self._started = False
        self.bundles = Bundles(folder, config.models)
        self.paths: dict[tuple[str, str], SensorPath] = {}
        self.sources: list[RunningSource] = []
        self._earlier_counts: Counter[tuple[str, str]] = Counter()
        self.deliveries: list[Delivery] = []
        self._build(config)

    def _told_of_repair(self, damaged: Path) -> None:
        log.error("the database was damaged and was put together again; the damaged file is %s", damaged)

    def _build(self, config: AgentConfig) -> None:
        folder = config.state_folder
        if self.bundles.settings != config.models:  # bundles at work are judged anew by what holds now
            self.bundles = Bundles(folder, config.models)
        self.bundles.load(named_bundles(config))
        self.paths = {
            place: self._path(machine, sensor) for place, (machine, sensor) in config.places().items()
        }
        identity = self.database.identity()
        sinks = [
            open_sink(settings, config, self.database.next_number, identity=identity)
            for settings in config.sinks
        ]
        places = {place: path.sensor.burst_samples for place, path in self.paths.items()}
        self.inlet = Inlet(submit=self.intake.submit, set_speed=self.set_speed, places=places)
        sources = [
            open_source(settings, self.inlet, config, identity=identity) for settings in config.sources
        ]
        self._earlier_counts, self.sources = self.source_counts(), sources
        # last, once everything is open: what waits for a sink that is no longer named is given up
        self.outbox = Outbox(
            self.database,
            config.outbox,
            [sink.name for sink in sinks],
            alarms_only=[sink.name for sink in sinks if not sink.takes_results],
            clock=self.clock,
        )
        sent = {delivery.sink.name: delivery.sent for delivery in self.deliveries}
        self.deliveries = [
            Delivery(self.outbox, sink, replay_per_s=config.outbox.replay_per_s, sent=sent.get(sink.name, 0))
            for sink in sinks
        ]
        self._close_alarms_of_others(config.name)

    def _path(self, machine: Machine, sensor: Sensor) -> SensorPath:
        """Return the path of a sensor; after a reload that left it as it was, the one that it has."""
        model = None if sensor.bundle is None else self.bundles.slot(sensor.bundle)
        former = self.paths.get((machine.name, sensor.name))
        if former is not None and former.takes(machine, sensor, model):
            return former
        path = SensorPath(
            machine,
            sensor,
            baseline_file=baseline_file(self.database.path.parent, machine.name, sensor.name),
            model=model,
            since_running_s=self.clock.now_s(),
        )
        if path.baseline.trouble:
            log.error(
                "%s/%s is watched without its baseline: %s", machine.name, sensor.name, path.baseline.trouble
            )
        path.restore(self.alarms.open_causes(machine.name, sensor.name))
        return path

    def _close_alarms_of_others(self, name: str) -> None:
        """Close the alarms of sensors that are no longer watched: nobody else would."""
        watched = {*self.paths, (name, OWN_SENSOR)}
        with self.database.transaction():
            for change in self.alarms.close_all_but(watched, now_unix_s=time.time()):
                key = f"{change.alarm.id}:{change.event}:{time.time_ns()}"
                self.outbox.append([alarm_entry(self.config.name, change.alarm, change.event, key)])

    def start(self) -> None:
        """Start the worker, the deliveries and the sources."""
        self.intake.start()
        self._start_links()
        self._started = True
        log.info("watching %d sensors of %d machines", len(self.paths), len(self.config.machines))

    def _start_links(self) -> None:
        for delivery in self.deliveries:
            delivery.start()
        for source in self.sources:
            source.start()

    def source_counts(self) -> Counter[tuple[str, str]]:
        """Return what came from sources since the start, by source and outcome, over reloads."""
        found = self._earlier_counts.copy()
        for source in self.sources:
            status = source.status()
            for outcome, count in status["counts"].items():
                found[status["name"], outcome] += count
        return found

    @property
    def is_ready(self) -> bool:
        """Whether bursts are taken: started, not stopping, and results can be stored."""
        return self._started and not self._stopping.is_set() and not self.storage_trouble

    @property
    def is_serving(self) -> bool:
        """Whether those who follow live events are to wait for more."""
        return not self._stopping.is_set()

    @property
    def is_alive(self) -> bool:
        """Whether the worker was seen lately; it may be busy with one burst for some seconds."""
        return time.monotonic() - self.intake.beat_s < 60.0

    def stop(self) -> None:
        """Take no more, finish what waits, send what can be sent at once, and close all files."""
        self._stop_sources()
        self._stopping.set()
        self.intake.stop()
        all_at_once(delivery.stop for delivery in self.deliveries)
        for path in self.paths.values():
            self._saved(path)
        self.trends.close()
        self.database.checkpoint()
        self.database.close()
        log.info("stopped")

    def _stop_sources(self) -> None:
        all_at_once(source.stop for source in self.sources)
        if not self.intake.drain():
            log.warning("%d bursts still wait; their sources give them again", self.intake.waiting)

    @staticmethod
    def _saved(path: SensorPath) -> None:
        try:
            path.baseline.save()
        except OSError as error:
            log.error("a baseline could not be saved: %s", error)

    def reload(self, config: AgentConfig) -> list[str]:
        """Go over to another configuration; return what takes effect only after a restart.

        Bursts that arrive meanwhile wait at the broker or are asked for again; those that were taken are
        finished.

        Raises
        ------
        SecateurError
            If it cannot be used; the former one goes on.
        """
        former = self.config
        self._stop_sources()
        all_at_once(delivery.stop for delivery in self.deliveries)
        for path in self.paths.values():
            self._saved(path)
        address = {"host": former.http.host, "port": former.http.port}
        http = config.http.model_copy(update=address)
        kept = config.model_copy(update={"state_folder": former.state_folder, "http": http})
        failure: SecateurError | None = None
        try:
            self._build(kept)
            self.config = kept
        except (SecateurError, OSError) as error:
            failure = error if isinstance(error, SecateurError) else DataError(f"{error}.")
            self._until_stored(lambda: self._build(former))  # a full disk must not end the watch
        self._start_links()
        if failure is not None:
            raise failure
        log.info("configuration read again")
        moved = ["state_folder"] if config.state_folder != former.state_folder else []
        return moved + [
            f"http.{name}" for name, value in address.items() if getattr(config.http, name) != value
        ]

    def set_speed(self, machine: str, rpm: float) -> None:
        """Take a speed from a feed.

        Raises
        ------
        DataError
            If it is no finite number.
        """
        if not math.isfinite(rpm):
            raise DataError(f"the speed of {machine} is {rpm}; a number was expected.")
        for (name, _), path in self.paths.items():
            if name == machine:
                path.set_speed(rpm, self.clock.now_s())

    def handle(self, submission: Submission) -> None:
        """Process one burst and store what came of it; called by the worker.

        Raises
        ------
        DataError
            If there is no such sensor.
        StorageError
            If the agent stops before the disk takes the result.
        """
        burst = submission.burst
        path = self.paths.get(burst.place)
        if path is None:
            raise DataError(f"there is no sensor '{burst.machine}/{burst.sensor}' in the configuration.")
        if self._until_stored(lambda: self.outbox.knows(burst.key)):
            self.twice += 1
            return
        processed = path.process(burst, running_s=self.clock.now_s(), received_s=submission.received_s)
        change = self._until_stored(lambda: self._store(burst, processed, path))
        self.latencies_ms.append(1e3 * (time.monotonic() - submission.received_s))
        try:
            self._show(burst, processed, change)
        except Exception:  # the result is stored: nobody is to be told that it is not
            log.exception("burst %s of %s/%s is not shown", burst.key, *burst.place)

    def _show(self, burst: Burst, processed: Processed, change: AlarmChange | None) -> None:
        """Add a stored result to the trends, and tell those who watch."""
        level = processed.judgement.level if processed.judgement is not None else Level.NORMAL
        if processed.result["indicators"]:
            measured_unix_s = processed.result["measured_unix_s"]
            self.trends.add(*burst.place, measured_unix_s, level, processed.result["indicators"])
        self.events.publish("result", machine=burst.machine, sensor=burst.sensor, result=processed.result)
        self._tell(change)

    def _store(self, burst: Burst, processed: Processed, path: SensorPath) -> AlarmChange | None:
        entries = [result_entry(self.config.name, processed.result)]
        with self.database.transaction():
            change = None
            if processed.judgement is not None:
                change = self.alarms.apply(
                    burst,
                    processed.judgement,
                    now_unix_s=processed.result["measured_unix_s"],
                    reopen_within_s=path.sensor.limits.reopen_within_s,
                )
            if change is not None:
                entries.append(
                    alarm_entry(self.config.name, change.alarm, change.event, f"{burst.key}:alarm")
                )
            self.outbox.append(entries)
        return change

    def _until_stored(self, store: Callable[[], Stored]) -> Stored:
        """Try until the disk takes it; sources wait meanwhile, and nothing is acknowledged to them."""
        pause_s = 0.1
        while True:
            try:
                found = store()
            except StorageError as error:
                if not self.storage_trouble:
                    log.error("results cannot be stored: %s", error)
                self.storage_trouble = str(error)
                self.intake.beat_s = time.monotonic()  # it waits, it does not hang
                if self._stopping.wait(pause_s):
                    raise
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                continue
            if self.storage_trouble:
                log.info("results can be stored again")
            self.storage_trouble = ""
            return found

    def _tell(self, change: AlarmChange | None) -> None:
        if change is None:
            return
        alarm = change.alarm
        log.warning("alarm %s of %s/%s: %s", change.event, alarm.machine, alarm.sensor, alarm.level.word)
        self.events.publish("alarm", event=change.event, alarm=alarm.to_json())

    def acknowledge(self, alarm_id: str, *, author: str, comment: str) -> Alarm:
        """Note that a person has seen an alarm, and publish that.

        Raises
        ------
        DataError
            See :meth:`AlarmStore.acknowledge`.
        """
        with self.database.transaction():
            alarm = self.alarms.acknowledge(alarm_id, author=author, comment=comment, now_unix_s=time.time())
            self.outbox.append(
                [alarm_entry(self.config.name, alarm, "acknowledged", f"{alarm.id}:acknowledged")]
            )
        self.events.publish("alarm", event="acknowledged", alarm=alarm.to_json())
        return alarm

    def watch_itself(self) -> None:
        """Look after what nobody reports: sensors that are silent, an outbox that fills up."""
        now_s = self.clock.now_s()
        for place, path in self.paths.items():
            if now_s - path.last_sign_running_s > path.sensor.silent_after_s and not path.silent:
                log.warning("sensor %s/%s is silent", *place)
                self._publish_silent(path, now_s)
        status = self.outbox.status()
        level = Level.WARNING if status.filling else Level.NORMAL
        causes = {OWN_SENSOR: level} if level else {}
        self._raise_own(OWN_SENSOR, Judgement(level=level, causes=causes, score=status.share))

    def _publish_silent(self, path: SensorPath, now_s: float) -> None:
        machine, sensor = path.machine.name, path.sensor.name
        result = path.went_silent(now_s)
        self.outbox.append([result_entry(self.config.name, result)])
        self.events.publish("silent", machine=machine, sensor=sensor)

    def _raise_own(self, part: str, judgement: Judgement) -> None:
        """Open, continue or close an alarm about the agent itself."""
        burst = Burst(
            machine=self.config.name,
            sensor=part,
            samples=np.empty(0, dtype=np.float32),
            measured_unix_s=time.time(),
            said_key=str(time.time_ns()),
        )
        with self.database.transaction():
            change = self.alarms.apply(
                burst, judgement, now_unix_s=burst.measured_unix_s, reopen_within_s=0.0
            )
            if change is not None:
                self.outbox.append(
                    [alarm_entry(self.config.name, change.alarm, change.event, f"{burst.key}:alarm")]
                )
        self._tell(change)
