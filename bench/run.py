"""One measure's turns: who takes part, how often, and where the figures go."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench import machine
from bench.peers.adapters import Adapter, Options, find
from bench.rows import Row

RESULTS = Path(__file__).parent / "results"
#: who is measured in every turn; the others in `peer_turns` of them, for they take long
REGULARS = ("domogik", "spawn")


@dataclass
class Run:
    """What a measure is handed.

    `who` are the contestants asked for, by name; empty: as the measure has it. `full` is the long
    form. `left_out` says why a contestant has no figures.
    """

    measure: str
    turns: int
    peer_turns: int = 1
    who: tuple[str, ...] = ()
    full: bool = False
    rows: list[Row] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    noise: list[dict[str, float]] = field(default_factory=list)

    def each_turn(self) -> Iterator[int]:
        """The numbers of the turns; notes how steady the machine is in each."""
        for turn in range(self.turns):
            stolen, busy = machine.stolen_and_busy()
            loop = machine.loop_ms()
            yield turn
            now_stolen, now_busy = machine.stolen_and_busy()
            share = (now_stolen - stolen) / max(1e-9, now_stolen - stolen + now_busy - busy)
            load = os.getloadavg()[0]
            self.noise.append({"loop_ms": loop, "stolen_share": share, "load": load})

    def contestants(self, turn: int, default: str) -> list[str]:
        """Those of this turn, begun at another one each time."""
        asked = self.who or tuple(default.split(","))
        present = [spec for spec in asked if self._is_there(spec)]
        if turn >= self.peer_turns:
            present = [spec for spec in present if spec.partition(":")[0] in REGULARS]
        if not present:
            return []
        begin = turn % len(present)
        return present[begin:] + present[:begin]

    def _is_there(self, spec: str) -> bool:
        missing = find(spec)[0].missing()
        if missing:
            self.left_out[spec] = f"{missing} is not installed"
        return not missing

    def adapter(self, spec: str, **options: object) -> Adapter:
        """A contestant, to be used once."""
        cls, variant = find(spec)
        return cls(variant, Options(**options))  # type: ignore[arg-type]

    def attempt(self, spec: str, action: Callable[[], None]) -> None:
        """One contestant's failure is told, and is not the end of the run."""
        try:
            action()
        except Exception as error:
            print(f"  {self.measure} {spec} failed: {error!r}", flush=True)
            self.left_out[spec] = f"failed: {error!r}"

    def add(
        self, who: str, figure: str, value: float, unit: str, turn: int, **params: object
    ) -> None:
        """One figure."""
        row = {"who": who, "figure": figure, "value": value, "unit": unit, "turn": turn}
        self.rows.append(row | {"params": params})

    def save(self) -> None:
        """Keep everything, for who wants to compare another day."""
        RESULTS.mkdir(exist_ok=True)
        content = {
            "measure": self.measure,
            "machine": machine.facts(),
            "noise": self.noise,
            "left_out": self.left_out,
            "rows": self.rows,
        }
        path = RESULTS / f"{self.measure}.json"
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
