"""Random changes of bytes and of trees of values."""

import struct
import zlib
from random import Random
from typing import Any

# Numbers at which the arithmetic of formats changes.
EDGES = (0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)


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
        width, order = random.choice((1, 2, 4, 8)), random.choice(("little", "big"))
        value = random.choice(EDGES) % 256**width
        data[place : place + width] = value.to_bytes(width, order)  # type: ignore[arg-type]
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
