"""What processes use, and what else the machine did meanwhile: read from /proc, nothing else."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local.processes import children

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Snapshot:
    """One look.

    Attributes:
        at_s: when, s since 1970.
        cpu_s: CPU seconds of each program with its children, user and system.
        peak_mib: most memory each was seen to hold since `forget_peaks`, MiB.
        busy_s: of the whole machine, all cores.
        stolen_s: what the hypervisor gave to others.
        load: load average of the last minute.
    """

    at_s: float
    cpu_s: dict[str, float]
    peak_mib: dict[str, float]
    busy_s: float
    stolen_s: float
    load: float


@dataclass(frozen=True)
class Used:
    """The difference of two looks: CPU seconds by program, cores, and who else was there."""

    seconds: float
    cpu_s: dict[str, float]
    peak_mib: dict[str, float]
    cores_busy: float
    cores_ours: float
    cores_stolen: float
    load_before: float
    load_after: float

    def to_json(self, events: int) -> dict[str, Any]:
        """As it stands in the results, CPU also by event."""
        return {
            "seconds": round(self.seconds, 2),
            "events": events,
            "cpu_s": {name: round(used_s, 2) for name, used_s in self.cpu_s.items()},
            "cpu_us_per_event": {
                name: round(used_s / max(1, events) * 1e6, 1) for name, used_s in self.cpu_s.items()
            },
            "peak_mib": {name: round(peak) for name, peak in self.peak_mib.items()},
            "cores_busy": round(self.cores_busy, 2),
            "cores_of_others": round(max(0.0, self.cores_busy - self.cores_ours), 2),
            "cores_stolen": round(self.cores_stolen, 2),
            "load_before": self.load_before,
            "load_after": self.load_after,
        }


def look(pids: Mapping[str, int]) -> Snapshot:
    """Look at programs by the process id of each; one that has ended counts nothing."""
    trees = {name: [pid, *(child for child, _ in children(pid))] for name, pid in pids.items()}
    ticks = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, _idle, _wait, interrupt, soft, stolen = ticks
    return Snapshot(
        at_s=time.time(),
        cpu_s={name: sum(map(_cpu_s, tree)) for name, tree in trees.items()},
        peak_mib={name: sum(map(_peak_mib, tree)) for name, tree in trees.items()},
        busy_s=(user + nice + system + interrupt + soft) / _TICKS,
        stolen_s=stolen / _TICKS,
        load=os.getloadavg()[0],
    )


def between(before: Snapshot, after: Snapshot) -> Used:
    """What was used between two snapshots; a program that was restarted counts from its start."""
    seconds = after.at_s - before.at_s
    cpu_s = {
        name: max(0.0, used_s - before.cpu_s.get(name, 0.0)) for name, used_s in after.cpu_s.items()
    }
    return Used(
        seconds=seconds,
        cpu_s=cpu_s,
        peak_mib=after.peak_mib,
        cores_busy=(after.busy_s - before.busy_s) / seconds,
        cores_ours=sum(cpu_s.values()) / seconds,
        cores_stolen=(after.stolen_s - before.stolen_s) / seconds,
        load_before=before.load,
        load_after=after.load,
    )


def forget_peaks(pids: Mapping[str, int]) -> None:
    """Reset the peak memory of each process."""
    for pid in pids.values():
        for each in (pid, *(child for child, _ in children(pid))):
            with suppress(OSError):
                Path(f"/proc/{each}/clear_refs").write_text("5")


def machine() -> dict[str, Any]:
    """What this runs on."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    kib = int(Path("/proc/meminfo").read_text().split(None, 2)[1])
    return {
        "cores": os.cpu_count(),
        "cpu": names[0] if names else platform.machine(),
        "memory_gib": round(kib / 2**20, 1),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
    }


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _peak_mib(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(found[0].split()[1]) / 1024 if found else 0.0
