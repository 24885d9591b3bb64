"""`DeviceReading`: what the machine that trains a run is doing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeviceReading:
    """What the machine is doing; None for what can't be read here."""

    name: str
    cores: int | None = None
    cpu_percent: float | None = None
    """Use of the usable cores by all processes since the last reading, 0 to 100."""
    load: float | None = None
    """One-minute load average."""
    memory_used: int | None = None
    """Resident bytes of the run's process."""
    memory_total: int | None = None
    """Bytes this process may use (the machine's, or its container's limit)."""
    gpu_name: str | None = None
    gpu_percent: float | None = None
    gpu_memory_used: int | None = None
    """Bytes in use on the GPU, by all processes where NVML tells, else by this one."""
    gpu_memory_total: int | None = None
    temperature: float | None = None
    """Of the GPU, else of the processor, in °C."""
    power: float | None = None
    """Of the GPU, in watts."""
