"""Random changes of bytes and of trees of values."""

import copy
import struct
import zlib
from collections.abc import Sequence
from random import Random
from typing import Any

# Numbers at which the arithmetic of formats changes.
EDGES = (0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)

# Values of other types and ranges than are expected anywhere.
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    "",
    "a",
    "1e400",
    "0x10",
    "\0",
    "ä\u202e\n\x1b[31m",
    "x" * 5000,
    0,
    -1,
    1,
    3,
    2**31,
    2**63,
    10**400,
    0.5,
    -0.5,
    1e-320,
    1e308,
    float("nan"),
    float("inf"),
    float("-inf"),
    [],
    {},
    [None],
    [[[]]],
    {"a": 1},
    {"": None},
    [1, 2, 3],
    [0.1, "b"],
)


def mutate_bytes(random: Random, content: bytes) -> bytes:
    """Changes, removes, repeats or moves some bytes."""
    if not content:
        return random.randbytes(8)
    data, kind = bytearray(content), random.randrange(7)
    # Headers are at the beginning.
    place = random.randrange(len(data) if random.random() < 0.5 else min(len(data), 64))
    length = min(random.choice((1, 1, 2, 4, 8, 32)), len(data) - place)
    if kind == 0:
        data[place] ^= 1 << random.randrange(8)
    elif kind == 1:
        data[place : place + length] = random.randbytes(length)
    elif kind == 2:
        width = random.choice((1, 2, 4, 8))
        value = random.choice(EDGES) % 256**width
        data[place : place + width] = value.to_bytes(width, "little" if random.random() < 0.5 else "big")
    elif kind == 3:
        del data[place:]
    elif kind == 4:
        del data[place : place + length]
    elif kind == 5:
        data[place:place] = data[place : place + length] * random.choice((1, 2, 16))
    else:
        other = random.randrange(len(data))
        data[place : place + length] = data[other : other + length]
    return bytes(data)


def repair_png(content: bytes) -> bytes:
    """Computes the checksums of the chunks of a PNG, without which it is refused before anything else is read."""
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        return content
    parts, place = [content[:8]], 8
    while place + 12 <= len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        end = place + 8 + length
        if end + 4 > len(content):
            break
        parts.append(content[place:end] + struct.pack(">I", zlib.crc32(content[place + 4 : end])))
        place = end + 4
    return b"".join(parts) + content[place:]


def mutate_picture(random: Random, content: bytes) -> bytes:
    """Changes the bytes of a picture."""
    changed = mutate_bytes(random, content)
    return repair_png(changed) if random.random() < 0.9 else changed


def _list_places(tree: Any) -> list[tuple[Any, Any]]:
    """Lists each container of a tree with each of its keys."""
    keys: Sequence[Any] = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    places = [(tree, key) for key in keys]
    return places + [place for key in keys for place in _list_places(tree[key])]


def mutate_tree(random: Random, tree: Any, values: Sequence[Any] = ODD_VALUES) -> Any:
    """Returns a copy of nested lists and mappings in which one value is replaced, removed, moved or added.

    Args:
        random: draws what happens.
        tree: the values.
        values: from which a new one is drawn.
    """
    tree, new = copy.deepcopy(tree), copy.deepcopy(random.choice(values))
    places = _list_places(tree)
    if not places or random.random() < 0.02:
        return new
    container, key = random.choice(places)
    other, other_key = random.choice(places)
    kind = random.randrange(8)
    if kind == 0:
        del container[key]
    elif kind == 1:
        container[key] = copy.deepcopy(other[other_key])
    elif kind == 2 and isinstance(container, dict):
        container[random.choice((other_key, new)) if isinstance(new, str | int) else other_key] = container.pop(key)
    elif kind == 3 and isinstance(container, list):
        container.extend([container[key]] * random.choice((1, 10)))
    elif kind == 4:
        container[key] = {"a": container[key]} if random.random() < 0.5 else [container[key]]
    else:
        container[key] = new
    return tree
