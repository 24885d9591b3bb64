"""Devices are chosen by name, and what can't be read is absent."""

from __future__ import annotations

import sys
import types

import pytest
import torch
from torch import nn

from fivestep.core.training import device as devices
from fivestep.core.training.device import (
    DeviceProbe,
    auto_threads,
    choose_device,
    describe_device,
    estimate_work,
)


def test_auto_takes_the_best_device_there_is(monkeypatch):
    for present, expected in (({"cuda", "mps"}, "cuda"), ({"mps"}, "mps"), (set(), "cpu")):
        monkeypatch.setattr(devices, "_available", lambda kind, p=present: kind in p)
        assert choose_device("auto").type == expected


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "meta", "cpu:", "xla"])
def test_an_unknown_device_is_refused_with_the_names_there_are(name):
    with pytest.raises(ValueError, match="use auto, cpu, cuda, cuda:N or mps"):
        choose_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one here")
def test_a_device_that_is_not_there_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match="not available here: use auto or cpu"):
        choose_device("cuda")


def test_readings_are_plausible_and_what_is_not_there_is_absent():
    reading = DeviceProbe(torch.device("cpu")).read()
    assert reading.name == describe_device(torch.device("cpu"))
    assert reading.cores >= 1
    assert 0 <= reading.cpu_percent <= 100
    assert 0 < reading.memory_used < reading.memory_total
    assert reading.gpu_name is reading.gpu_percent is reading.power is None


def test_a_reading_that_fails_is_absent(monkeypatch):
    probe = DeviceProbe(torch.device("cpu"))

    def fail(*_):
        raise OSError("not here")

    monkeypatch.setattr(devices.psutil, "cpu_percent", fail)
    monkeypatch.setattr(devices.psutil, "virtual_memory", fail)
    reading = probe.read()
    assert reading.cpu_percent is None
    assert reading.memory_total is None


def test_small_work_gets_one_thread_and_large_work_every_core(monkeypatch):
    monkeypatch.setattr("fivestep.core.training.device.usable_cores", lambda: 4)
    small, large = nn.Linear(64, 128), nn.Linear(4096, 4096)
    assert auto_threads(small, torch.zeros(32, 64)) == 1
    assert auto_threads(large, torch.zeros(32, 4096)) == 4
    assert auto_threads(large, torch.zeros(1, 4096)) == 1  # it depends on the batch too


def test_work_counts_pixels_and_tokens():
    conv = nn.Conv2d(1, 8, 3)
    assert estimate_work(conv, torch.zeros(2, 1, 10, 10)) == (8 * 9 + 8) * 100 * 2
    embedding = nn.Embedding(10, 4)
    assert estimate_work(embedding, torch.zeros(2, 7, dtype=torch.long)) == 40 * 7 * 2


@pytest.fixture
def _card(monkeypatch):
    card = types.SimpleNamespace(name="NVIDIA Test", total_memory=80 * 2**30, uuid="1-2")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: card.name)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 7)


@pytest.mark.usefixtures("_card")
def test_an_nvidia_cards_readings_come_from_nvml_and_its_refusals_are_absent(monkeypatch):
    class NVMLError(Exception):
        pass

    def refuse(_):
        raise NVMLError("not supported on this card")

    nvml = types.SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetUtilizationRates=lambda handle: types.SimpleNamespace(gpu=37),
        nvmlDeviceGetMemoryInfo=lambda handle: types.SimpleNamespace(used=5 * 2**30),
        nvmlDeviceGetTemperature=lambda handle, sensor: 61,
        nvmlDeviceGetPowerUsage=refuse,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    reading = DeviceProbe(torch.device("cuda:0")).read()
    assert (reading.gpu_name, reading.gpu_percent, reading.temperature) == ("NVIDIA Test", 37, 61)
    assert (reading.gpu_memory_used, reading.gpu_memory_total) == (5 * 2**30, 80 * 2**30)
    assert reading.power is None


@pytest.mark.usefixtures("_card")
def test_without_nvml_a_card_tells_what_torch_knows_and_nothing_else(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)  # importing it fails
    reading = DeviceProbe(torch.device("cuda:0")).read()
    assert (reading.gpu_name, reading.gpu_memory_used) == ("NVIDIA Test", 7)
    assert reading.gpu_percent is reading.temperature is reading.power is None
