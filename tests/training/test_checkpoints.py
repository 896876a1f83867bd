"""Checkpoints survive what kills a run, and are never mistaken for another run's."""

import json
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from tausweep.storage.atomic import replacing, write_json
from tausweep.storage.layout import remove_checkpoints
from tausweep.training import checkpoints
from tausweep.training.checkpoints import (
    CheckpointFile,
    DamagedFileError,
    load_tensors,
    save_tensors,
)

TENSORS = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.tensor([1, 2]), "n": torch.tensor(3)}


@pytest.fixture
def said() -> list[str]:
    return []


def identity(lr: float = 0.03) -> dict[str, Any]:
    return {"settings": {"pretrain": {"lr": lr}}, "data_digest": "d"}


def test_tensors_and_metadata_come_back_exactly(tmp_path: Path) -> None:
    position = {"loss": 0.1 + 0.2, "epoch": 3, "name": "ä"}
    save_tensors(tmp_path / "x", TENSORS, position)
    tensors, metadata = load_tensors(tmp_path / "x")
    assert metadata == position
    assert tensors.keys() == TENSORS.keys()
    for name in TENSORS:
        assert torch.equal(tensors[name], TENSORS[name])


def test_same_tensors_give_the_same_bytes(tmp_path: Path) -> None:
    metadata = {"b": 1, "a": [0.1]}
    save_tensors(tmp_path / "x", TENSORS, metadata)
    save_tensors(tmp_path / "y", dict(reversed(TENSORS.items())), dict(reversed(metadata.items())))
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


@settings(max_examples=examples(60))
@given(place=st.floats(0, 1, exclude_max=True), cut=st.booleans())
def test_truncated_or_altered_file_is_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, place: float, cut: bool
) -> None:
    path = tmp_path_factory.mktemp("x") / "encoder.safetensors"
    save_tensors(path, TENSORS, {"epoch": 1})
    content = bytearray(path.read_bytes())
    at = int(place * len(content))
    path.write_bytes(
        content[:at] if cut else content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    )
    try:
        tensors, metadata = load_tensors(path)
    except DamagedFileError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        # What still loads (a bit of the header's padding, say) holds exactly what was saved.
        assert metadata == {"epoch": 1}
        assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def fail_halfway(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt


def test_killed_while_saving_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", 1)
    with pytest.raises(KeyboardInterrupt):
        fail_halfway(tmp_path / "x.json")
    assert json.loads((tmp_path / "x.json").read_text()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002])
def test_whatever_is_written_by_way_of_a_temporary_file_keeps_the_umasks_mode(
    tmp_path: Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        (tmp_path / "plain").write_text("")
        save_tensors(tmp_path / "tensors", TENSORS, {})
        CheckpointFile(tmp_path, {}).save(TENSORS, {"steps": 1})
        write_json(tmp_path / "json", 1)
        with replacing(tmp_path / "moved") as temporary:
            private, name = tempfile.mkstemp(dir=tmp_path)
            os.close(private)
            Path(name).replace(temporary)
    finally:
        os.umask(before)
    modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in tmp_path.iterdir()}
    assert len(modes) == 5
    assert set(modes.values()) == {oct(0o666 & ~umask)}


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not any(tmp_path.iterdir())


def test_the_newest_whole_checkpoint_is_used(tmp_path: Path, said: list[str]) -> None:
    file = CheckpointFile(tmp_path, identity())
    assert file.load(said.append) is None
    for steps in (1, 2, 3):
        file.save(TENSORS, {"steps": steps})
    found = file.load(said.append)
    assert found is not None
    assert found.position == {"steps": 3}
    assert not said


def test_truncated_checkpoint_is_named_and_the_previous_one_used(
    tmp_path: Path, said: list[str]
) -> None:
    file = CheckpointFile(tmp_path, identity())
    for steps in (1, 2):
        file.save(TENSORS, {"steps": steps})
    file.path.write_bytes(file.path.read_bytes()[:-5])
    found = file.load(said.append)
    assert found is not None
    assert found.position == {"steps": 1}
    assert str(file.path) in said[0]
    assert "damaged" in said[0]


def test_save_that_fails_keeps_what_was_there(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = CheckpointFile(tmp_path, identity())
    file.save(TENSORS, {"steps": 1})

    def full(tensors: Any, path: Path, metadata: Any) -> None:
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        file.save(TENSORS, {"steps": 2})
    found = file.load(said.append)
    assert found is not None
    assert found.position == {"steps": 1}
    assert [p.name for p in tmp_path.iterdir()] == [file.path.name]


@pytest.mark.parametrize("killed_after", [0, 1])
def test_killed_between_the_renames_of_a_save_loses_nothing(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch, killed_after: int
) -> None:
    file = CheckpointFile(tmp_path, identity())
    for steps in (1, 2):
        file.save(TENSORS, {"steps": steps})
    replace, renames = Path.replace, iter(range(10))

    def dying(self: Path, target: Path) -> Path:
        # The first rename makes the new file whole, the others rotate.
        if next(renames) > killed_after:
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", dying)
    with pytest.raises(KeyboardInterrupt):
        file.save(TENSORS, {"steps": 3})
    monkeypatch.undo()
    found = file.load(said.append)
    assert found is not None
    assert found.position == {"steps": 3}
    remove_checkpoints(tmp_path)
    assert not any(tmp_path.iterdir())


def test_checkpoint_of_other_settings_is_refused_by_name(tmp_path: Path, said: list[str]) -> None:
    CheckpointFile(tmp_path, identity(lr=0.03)).save(TENSORS, {"steps": 9})
    assert CheckpointFile(tmp_path, identity(lr=0.05)).load(said.append) is None
    assert "settings.pretrain.lr was 0.03, is 0.05" in said[0]


def test_checkpoint_of_other_data_is_refused_by_name(tmp_path: Path, said: list[str]) -> None:
    CheckpointFile(tmp_path, identity()).save(TENSORS, {"steps": 9})
    assert CheckpointFile(tmp_path, identity() | {"data_digest": "e"}).load(said.append) is None
    assert 'data_digest was "d", is "e"' in said[0]


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "x")
    with pytest.raises(DamagedFileError):
        load_tensors(tmp_path / "x")


@pytest.fixture(autouse=True)
def _no_leftovers(tmp_path: Path) -> Iterator[None]:
    yield
    assert not list(tmp_path.glob("*.tmp"))
