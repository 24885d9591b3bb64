"""Devices: choosing one, naming it, and live readings. What can't be read is absent."""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import psutil
import torch
from torch import Tensor, nn

from ..protocol.device_reading import DeviceReading


def choose_device(name: str = "auto") -> torch.device:
    """The device called `name`: "auto" takes cuda, then mps, then cpu.

    Raises:
        ValueError: the name is unknown or that device is not available here.
    """
    if name == "auto":
        for kind in ("cuda", "mps"):
            if _available(kind):
                return torch.device(kind)
        return torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"unknown device {name!r}: use auto, cpu, cuda, cuda:N or mps") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"unknown device {name!r}: use auto, cpu, cuda, cuda:N or mps")
    if not _available(device.type):
        raise ValueError(f"device {name!r} is not available here: use auto or cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {name!r}: this machine has {torch.cuda.device_count()} of them")
    return device


def _available(kind: str) -> bool:
    if kind == "cuda":
        return torch.cuda.is_available()
    return kind == "cpu" or torch.backends.mps.is_available()


def describe_device(device: torch.device) -> str:
    """A person's name for the device, such as "cpu, 2 cores" or "cuda:0 NVIDIA H100"."""
    if device.type == "cuda":
        return f"{device} {torch.cuda.get_device_name(device)}"
    if device.type == "mps":
        return f"mps {platform.processor() or 'Apple GPU'}"
    cores = usable_cores()
    return f"{device}, {cores} core" + ("" if cores == 1 else "s")


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class DeviceProbe:
    """Takes readings, in about a millisecond each: not for the training thread."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._name = describe_device(device)
        self._process = psutil.Process()
        self._nvml = _open_nvml(device)
        # To look for sensors where there are none takes longer than all the rest.
        self._has_sensors = _cpu_temperature() is not None
        self._total: float | None = None
        """Of memory, in bytes, once it was read."""
        psutil.cpu_percent()  # the first call only begins the span that the next one measures

    def read(self) -> DeviceReading:
        """Everything that can be read now."""
        reading: dict[str, Any] = {"name": self._name, "cores": usable_cores()}
        with contextlib.suppress(psutil.Error, OSError):
            reading["cpu_percent"] = psutil.cpu_percent()
        with contextlib.suppress(OSError, AttributeError):
            reading["load"] = os.getloadavg()[0]
        with contextlib.suppress(psutil.Error, OSError):
            reading["memory_used"] = self._process.memory_info().rss
            if self._total is None:
                self._total = min(psutil.virtual_memory().total, _container_limit())
            reading["memory_total"] = self._total
        if self._has_sensors:
            reading["temperature"] = _cpu_temperature()
        if self._device.type == "cuda":
            reading |= self._read_cuda()
        elif self._device.type == "mps":
            reading["gpu_name"] = "Apple GPU"
            reading["gpu_memory_used"] = torch.mps.driver_allocated_memory()
        return DeviceReading(**reading)

    def _read_cuda(self) -> dict[str, Any]:
        properties = torch.cuda.get_device_properties(self._device)
        reading: dict[str, Any] = {
            "gpu_name": properties.name,
            "gpu_memory_total": properties.total_memory,
            "gpu_memory_used": torch.cuda.memory_reserved(self._device),
            "temperature": None,
        }
        if self._nvml is None:
            return reading
        nvml, handle = self._nvml
        for key, read in (
            ("gpu_percent", lambda: float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)),
            ("gpu_memory_used", lambda: int(nvml.nvmlDeviceGetMemoryInfo(handle).used)),
            ("temperature", lambda: float(nvml.nvmlDeviceGetTemperature(handle, 0))),
            ("power", lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000),
        ):
            with contextlib.suppress(nvml.NVMLError):
                reading[key] = read()
        return reading


def device_reader(find: Callable[[], torch.device]) -> Callable[[], DeviceReading]:
    """Takes readings of the device that a run is on by then; the first one takes longer."""
    probes: dict[torch.device, DeviceProbe] = {}

    def read() -> DeviceReading:
        device = find()
        if device not in probes:
            probes[device] = DeviceProbe(device)
        return probes[device].read()

    return read


def _open_nvml(device: torch.device) -> tuple[Any, Any] | None:
    """NVML and its handle for the device, found by UUID; None without nvidia-ml-py or a driver."""
    if device.type != "cuda":
        return None
    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
        uuid = torch.cuda.get_device_properties(device).uuid
        return nvml, nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
    except Exception:  # the binding is optional and its errors are its own: then nothing is read
        return None


def _cpu_temperature() -> float | None:
    sensors = getattr(psutil, "sensors_temperatures", None)
    if sensors is None:
        return None
    with contextlib.suppress(OSError, ValueError):
        found = sensors()
        for name in ("coretemp", "k10temp", "zenpower", "cpu_thermal"):
            if found.get(name):
                return float(found[name][0].current)
    return None


@cache
def _container_limit() -> float:
    """Memory limit of the container in bytes, infinity without one."""
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            return float(int(Path(path).read_text()))
    return float("inf")


@contextlib.contextmanager
def computing_with(threads: int | None) -> Iterator[None]:
    """Have torch compute with so many threads in the block; None leaves what the process has."""
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


WORTH_SHARING: Final = 200e6
"""Multiply-adds of a forward pass from which more threads pay even when a core is busy elsewhere.

Measured on 2 cores: at 80e6 a second thread gains 1.4 on a quiet machine and loses 3 and more on
a busy one, and a screen alone keeps a machine of 2 cores from being quiet.
"""

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def auto_threads(model: nn.Module, features: Tensor) -> int:
    """One thread for small work, every usable core for large.

    Args:
        model: not run, only looked at.
        features: one batch, (B, ...).
    """
    return 1 if estimate_work(model, features) < WORTH_SHARING else usable_cores()


def estimate_work(model: nn.Module, features: Tensor) -> float:
    """Rough multiply-adds of a forward pass: each weight once a sample, or once a position.

    Convolutions meet every position of an image (B, C, H, W) or signal (B, C, L), all layers
    every token of a sequence of integers (B, T).
    """
    batch = features.shape[0]
    places = features[0, 0].numel() if features.dim() > 2 else 1  # H x W
    tokens = features.shape[1] if not features.is_floating_point() and features.dim() == 2 else 1
    work = 0
    for module in model.modules():
        own = sum(p.numel() for p in module.parameters(recurse=False))
        work += own * (places if isinstance(module, _CONVOLUTIONS) else 1)
    return float(work * batch * tokens)
