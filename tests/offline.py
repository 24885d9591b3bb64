"""The presets that need nothing from the network: those that can be run anywhere."""

from __future__ import annotations

from fivestep.presets import registry
from fivestep.presets.catalogue import DATASETS
from fivestep.presets.recipe import load

OFFLINE = [name for name in registry.names() if not DATASETS[load(name).dataset.name].download]
