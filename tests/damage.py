"""Damage to a file, for the tests that it is noticed."""

from pathlib import Path

DAMAGES = ("removed", "truncated", "altered")


def do_damage(path: Path, damage: str) -> None:
    """Remove a file, cut off its last five bytes, or turn a bit nine bytes before its end."""
    content = path.read_bytes()
    if damage == "removed":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(content[:-5])
    else:
        turn_bit(path, -9)


def turn_bit(path: Path, place: int) -> None:
    """Turn the lowest bit of one byte of a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
