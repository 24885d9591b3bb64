"""A device's phases are read from events in its queue, without waiting for any of them."""

from __future__ import annotations

import pytest

from fivestep.core.protocol.steps import FIVE, Step
from fivestep.core.session.clock import IN_FLIGHT, Clock, EventClock


class Device:
    """A queue that runs behind: work is done only when the test says so."""

    def __init__(self):
        self.queued_ms = 0.0
        self.done_ms = 0.0
        self.made = 0

    def event(self):
        device = self
        self.made += 1

        class Event:
            at = 0.0

            def record(self):
                self.at = device.queued_ms

            def query(self):
                return self.at <= device.done_ms

            def elapsed_time(self, end):
                assert end.query()
                return end.at - self.at

        return Event()


COST = dict(zip((Step.DATA, *FIVE, Step.OTHER), (1, 0.5, 3, 0.5, 6, 2, 0), strict=True))


def batch(clock: EventClock, device: Device) -> None:
    for step, ms in COST.items():
        clock.gate(step)
        device.queued_ms += ms


def test_each_phase_gets_the_devices_time_once_the_device_has_passed_it():
    device = Device()
    clock = EventClock(device.event)
    batch(clock, device)
    clock.gate(Step.DATA)
    clock.read()
    assert clock.batches == 0  # queued, not done: and nobody waited
    device.done_ms = device.queued_ms
    clock.read()
    assert clock.batches == 1
    assert [s * 1000 for s in clock.spent] == pytest.approx([COST.get(s, 0) for s in Step])


def test_a_queue_that_runs_far_ahead_is_sampled_with_few_events():
    device = Device()
    clock = EventClock(device.event)
    for k in range(500):
        batch(clock, device)
        if k % 50 == 49:
            device.done_ms = device.queued_ms
    clock.read()
    assert 10 <= clock.batches <= 50
    assert device.made <= (IN_FLIGHT + 1) * 9
    share = clock.spent[Step.BACKWARD] / sum(clock.spent)
    assert share == pytest.approx(6 / 13)


def test_validation_batches_are_told_apart_from_training_ones():
    device = Device()
    clock = EventClock(device.event)
    batch(clock, device)
    for _ in range(2):
        clock.gate(Step.VALIDATE)
        device.queued_ms += 4
        device.done_ms = device.queued_ms
    clock.gate(Step.DATA)
    clock.read()
    assert clock.batches == 1
    assert clock.spent[Step.VALIDATE] == pytest.approx(0.008)


def test_a_clock_with_events_tells_phases_by_the_device():
    device = Device()
    clock = Clock(EventClock(device.event))
    clock.mark(0, 0)
    batch(clock.events, device)
    clock.events.gate(Step.DATA)
    device.done_ms = device.queued_ms
    phases = clock.phases(1)
    assert phases[Step.BACKWARD].share == pytest.approx(6 / 13)
    assert phases[Step.BACKWARD].seconds == pytest.approx(0.006)
