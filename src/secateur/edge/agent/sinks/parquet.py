"""Results as Parquet, one file an hour; those of the hour at hand lie beside them as JSON lines."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from secateur.core.errors import ConfigError
from secateur.edge.agent.config.connections import LogSink as LogSettings
from secateur.edge.agent.sinks.log import COLUMNS, CsvLog, append_lines

_NUMBERS = ("measured_unix_s", "stated_unix_s", "score", "speed_rpm", "confidence")
_BOOLEANS = ("historical", "redelivered")
_ROWS_AT_ONCE = 4096


class ParquetLog(CsvLog):
    """Appends to ``FOLDER/YYYY-MM-DDTHH.jsonl``, which becomes ``...-SEQUENCE.parquet`` when the hour ends.

    A Parquet file cannot be appended to, and one a result would be a million files a week.

    Raises
    ------
    ConfigError
        If pyarrow is not installed.
    """

    period, suffix = "%Y-%m-%dT%H", ".jsonl"
    own_name = re.compile(r"(\d{4}-\d\d-\d\d)T\d\d(-\d{12,}\.parquet|\.jsonl)", re.ASCII)

    def __init__(self, settings: LogSettings) -> None:
        super().__init__(settings)
        try:
            self._pyarrow, self._parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
        except ImportError:
            raise ConfigError("a parquet log needs pyarrow; run: pip install pyarrow, or use csv.") from None
        kinds = {"sequence": self._pyarrow.int64()}
        kinds |= dict.fromkeys(_NUMBERS, self._pyarrow.float64()) | dict.fromkeys(
            _BOOLEANS, self._pyarrow.bool_()
        )
        self._schema = self._pyarrow.schema(
            [(name, kinds.get(name, self._pyarrow.string())) for name in COLUMNS]
        )

    def _append(self, path: Path, rows: list[dict[str, Any]]) -> None:
        append_lines(path, [json.dumps(row, separators=(",", ":")) + "\n" for row in rows])

    def be_ready(self) -> None:
        """End the hour also while nothing comes."""
        with self._writing():
            self._turn()

    def _end_earlier(self, current: Path) -> None:
        """Make Parquet of earlier hours; done twice it gives the same file, so it may be cut short."""
        for path in sorted(self._settings.folder.glob(f"*{self.suffix}")):
            if path != current and self.own_name.fullmatch(path.name):
                self._converted(path)

    def _converted(self, path: Path) -> None:
        rows = _rows(path)
        first = next(rows, None)
        if first is not None:
            target = path.with_name(f"{path.stem}-{first['sequence']:012d}.parquet")
            aside = target.with_name(f".{target.name}")
            with aside.open("wb") as file:
                with self._parquet.ParquetWriter(file, self._schema) as writer:
                    some = [first, *islice(rows, _ROWS_AT_ONCE - 1)]
                    while some:
                        writer.write_table(self._pyarrow.Table.from_pylist(some, schema=self._schema))
                        some = list(islice(rows, _ROWS_AT_ONCE))
                file.flush()
                os.fsync(file.fileno())
            aside.replace(target)
        path.unlink()


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of an hour; one that was cut short was never acknowledged, and comes again."""
    with path.open("rb") as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and row.keys() == set(COLUMNS):
                yield row
