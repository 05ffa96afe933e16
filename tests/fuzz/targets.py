"""The readers that are fuzzed: valid files, ways to change them, and what is done with the result."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.fuzz.mutations import mutate_bytes, mutate_picture
from tests.fuzz.pictures import make_masks, make_pictures, read_mask_file, read_picture_file
from tests.fuzz.settings import (
    make_configurations,
    make_controls,
    mutate_json,
    mutate_yaml,
    prepare_settings,
    read_configuration,
    read_control_file,
)
from tests.fuzz.tensors import (
    make_checkpoints,
    make_flows,
    make_weights,
    mutate_checkpoint,
    mutate_safetensors,
    prepare_run,
    read_checkpoint_file,
    read_flow_file,
    read_weights_file,
)


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        seeds: returns valid files.
        mutate: changes a file a little.
        read: reads a file in the current folder; an InputError means that it is refused.
        prepare: writes further files into the current folder.
    """

    seeds: Callable[[], list[bytes]]
    mutate: Callable[[Random, bytes], bytes]
    read: Callable[[bytes], object]
    prepare: Callable[[], object] = lambda: None


TARGETS: dict[str, Target] = {
    "image": Target(make_pictures, mutate_picture, read_picture_file),
    "mask": Target(make_masks, mutate_picture, read_mask_file),
    "flo": Target(make_flows, mutate_bytes, read_flow_file),
    "safetensors": Target(make_weights, mutate_safetensors, read_weights_file),
    "checkpoint": Target(make_checkpoints, mutate_checkpoint, read_checkpoint_file, prepare_run),
    "configuration": Target(make_configurations, mutate_yaml, read_configuration, prepare_settings),
    "control": Target(make_controls, mutate_json, read_control_file),
}
