"""Preparation: the same bytes every time, all or nothing, and bounded memory."""

import errno
import json
import multiprocessing
import os
import shutil
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from damage import DAMAGES, do_damage
from pictures import array, each, needs_real_images, paths_of, real_tree
from tausweep import data as datasets
from tausweep.data import preparation
from tausweep.data.pictures import square
from tausweep.data.prepared import FORMS
from tausweep.data.subset import balanced
from tausweep.study import DatasetSettings, Source, StudyError

SQUARES = FORMS["squares"].files


def tree(root: Path, per_class: int = 3, size: tuple[int, int] = (12, 10)) -> Path:
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("ant", "bee"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(per_class):
                array = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
                Image.fromarray(array).save(folder / f"{i}.png")
    return root


def settings(root: Path, **options: Any) -> DatasetSettings:
    return DatasetSettings(
        source=Source(kind="folder", path=str(root)), **({"image_size": 8} | options)
    )


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in (*SQUARES, "manifest.json")}


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_images_are_squares_in_source_order(tmp_path: Path) -> None:
    wanted = settings(tree(tmp_path / "in", 40))
    datasets.prepare(wanted, tmp_path / "out", threads=3)
    data, read = datasets.load(tmp_path / "out"), datasets.read(wanted.source, "train")
    assert np.array_equal(array(data.train_images), [square(i, 8) for i in each(read.images)])
    assert np.array_equal(data.train_labels, read.labels)


def test_twice_and_with_any_number_of_threads_the_same_bytes(tmp_path: Path) -> None:
    wanted = settings(tree(tmp_path / "in", 40))
    for name, threads in (("a", 1), ("b", 1), ("c", 4)):
        datasets.prepare(wanted, tmp_path / name, threads)
    assert content(tmp_path / "a") == content(tmp_path / "b") == content(tmp_path / "c")


def test_where_the_source_lies_and_when_it_was_made_leave_no_trace(tmp_path: Path) -> None:
    tree(tmp_path / "in")
    copy = tmp_path / "elsewhere" / "deep"
    for path in sorted((tmp_path / "in").rglob("*.png"), reverse=True):
        target = copy / path.relative_to(tmp_path / "in")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        os.utime(target, (1, 1))
    datasets.prepare(settings(tmp_path / "in"), tmp_path / "a")
    datasets.prepare(settings(copy), tmp_path / "b")
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert str(tmp_path) not in (tmp_path / "a" / "manifest.json").read_text()


def test_manifest_has_counts_sizes_and_digests(tmp_path: Path) -> None:
    manifest = datasets.prepare(settings(tree(tmp_path / "in")), tmp_path / "out")
    assert manifest == json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["classes"] == ["ant", "bee"]
    assert manifest["splits"]["test"] == {"images": 6, "per_class": {"ant": 3, "bee": 3}}
    for name in SQUARES:
        assert manifest["files"][name]["bytes"] == (tmp_path / "out" / name).stat().st_size
    assert visible(tmp_path / "out") == sorted([*SQUARES, "manifest.json"])


@pytest.mark.parametrize(
    "change", ["pixel", "label", "class name", "size", "limit", "nothing but the file names"]
)
def test_the_data_digest_changes_exactly_with_the_data(tmp_path: Path, change: str) -> None:
    root = tree(tmp_path / "in")
    before = datasets.prepare(settings(root), tmp_path / "a")["digest"]
    options = {"size": {"image_size": 9}, "limit": {"train_limit": 4}}.get(change, {})
    if change == "pixel":
        image = Image.open(root / "test" / "bee" / "2.png")
        image.putpixel((5, 5), (1, 2, 3))
        image.save(root / "test" / "bee" / "2.png")
    elif change == "label":
        (root / "train" / "ant" / "2.png").rename(root / "train" / "bee" / "00.png")
    elif change == "class name":
        for split in ("train", "test"):
            (root / split / "ant").rename(root / split / "ape")
    elif change.startswith("nothing"):
        (root / "train" / "ant" / "2.png").rename(root / "train" / "ant" / "3.png")
    after = datasets.prepare(settings(root, **options), tmp_path / "b")["digest"]
    assert (after == before) == change.startswith("nothing")


def test_what_is_complete_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = settings(tree(tmp_path / "in"))
    first = datasets.prepare(wanted, tmp_path / "out")
    monkeypatch.setattr(preparation, "_make", lambda *_: pytest.fail("it was made again"))
    assert datasets.prepare(wanted, tmp_path / "out") == first
    # Nor if the seed of subsets changes where there is none, nor if the originals are gone.
    assert datasets.prepare(wanted.model_copy(update={"subset_seed": 5}), tmp_path / "out") == first
    shutil.rmtree(tmp_path / "in")
    assert datasets.prepare(wanted, tmp_path / "out") == first


@pytest.mark.parametrize("name", [*SQUARES, "manifest.json"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_made_again(tmp_path: Path, name: str, damage: str) -> None:
    wanted = settings(tree(tmp_path / "in"))
    datasets.prepare(wanted, tmp_path / "out")
    whole, path = content(tmp_path / "out"), tmp_path / "out" / name
    do_damage(path, damage)
    datasets.prepare(wanted, tmp_path / "out")
    assert content(tmp_path / "out") == whole


@pytest.mark.parametrize("options", [{"image_size": 9}, {"train_limit": 2}, {"test_limit": 4}])
def test_other_settings_are_made_afresh(tmp_path: Path, options: Any) -> None:
    root = tree(tmp_path / "in")
    datasets.prepare(settings(root), tmp_path / "out")
    datasets.prepare(settings(root, **options), tmp_path / "out")
    datasets.prepare(settings(root, **options), tmp_path / "fresh")
    assert content(tmp_path / "out") == content(tmp_path / "fresh")


def test_a_changed_source_is_made_afresh(tmp_path: Path) -> None:
    root = tree(tmp_path / "in")
    datasets.prepare(settings(root), tmp_path / "out")
    shutil.copy(root / "train" / "ant" / "0.png", root / "train" / "ant" / "9.png")
    manifest = datasets.prepare(settings(root), tmp_path / "out")
    assert manifest["splits"]["train"]["per_class"] == {"ant": 4, "bee": 3}


def test_failure_in_the_middle_leaves_nothing_and_a_redo_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = settings(tree(tmp_path / "in", 40))
    write, calls = preparation._write, []

    def failing(path: Path, *rest: Any) -> Any:
        calls.append(path.name)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        return write(path, *rest)

    monkeypatch.setattr(preparation, "_write", failing)
    with pytest.raises(OSError, match="No space left"):
        datasets.prepare(wanted, tmp_path / "out")
    assert visible(tmp_path / "out") == []
    monkeypatch.undo()
    datasets.prepare(wanted, tmp_path / "out")
    datasets.prepare(wanted, tmp_path / "fresh")
    assert content(tmp_path / "out") == content(tmp_path / "fresh")


def _killed(wanted: DatasetSettings, folder: Path) -> None:
    replace = Path.replace

    def fatal(self: Path, target: Path) -> Path:
        if Path(target).name == "test_images.npy":
            os._exit(9)
        return replace(self, target)

    Path.replace = fatal  # type: ignore[assignment,method-assign]
    datasets.prepare(wanted, folder)


def test_killed_while_files_are_moved_into_place_there_is_no_manifest(tmp_path: Path) -> None:
    wanted = settings(tree(tmp_path / "in"))
    process = multiprocessing.get_context("spawn").Process(
        target=_killed, args=(wanted, tmp_path / "out")
    )
    process.start()
    process.join()
    assert process.exitcode == 9
    assert "manifest.json" not in visible(tmp_path / "out")
    with pytest.raises(StudyError, match="holds no prepared data"):
        datasets.load(tmp_path / "out")
    datasets.prepare(wanted, tmp_path / "out")
    datasets.prepare(wanted, tmp_path / "fresh")
    assert content(tmp_path / "out") == content(tmp_path / "fresh")
    assert visible(tmp_path / "out") == visible(tmp_path / "fresh")


def test_two_processes_at_once_make_one_whole(tmp_path: Path) -> None:
    wanted = settings(tree(tmp_path / "in", 40))
    context = multiprocessing.get_context("spawn")
    both = [
        context.Process(target=datasets.prepare, args=(wanted, tmp_path / "out", 1))
        for _ in range(2)
    ]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    datasets.load(tmp_path / "out", verify=True)


def test_unreadable_images_are_named_together(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", 40)
    for name in ("ant/3", "bee/9"):
        path = root / "train" / f"{name}.png"
        path.write_bytes(path.read_bytes()[:60])
    (root / "train" / "bee" / "20.png").write_bytes(b"")
    with pytest.raises(StudyError) as caught:
        datasets.prepare(settings(root), tmp_path / "out")
    for name in ("ant/3.png", "bee/9.png", "bee/20.png"):
        assert f"{root}/train/{name}: cannot be read as an image" in str(caught.value)
    assert "perhaps more" not in str(caught.value)
    assert visible(tmp_path / "out") == []


def test_of_many_unreadable_images_the_first_five_are_named(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", 40)
    for path in (root / "train" / "bee").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(StudyError, match=r"; and perhaps more$") as caught:
        datasets.prepare(settings(root), tmp_path / "out")
    assert str(caught.value).count("cannot be read") == 5


def test_an_image_outside_of_the_subset_need_not_be_readable(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", 40)
    wanted = settings(root, train_limit=10)
    split = datasets.read(wanted.source, "train")
    chosen = balanced(split.labels, split.classes, 10, 0, "train_limit")
    paths = paths_of(split)
    paths[next(i for i in range(80) if i not in chosen)].write_bytes(b"")
    assert datasets.prepare(wanted, tmp_path / "out")["splits"]["train"]["images"] == 10


def test_limits_are_balanced_and_seeded(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", 20)
    limits = {"train_limit": 10, "test_limit": 7}
    datasets.prepare(settings(root, **limits), tmp_path / "a")
    datasets.prepare(settings(root, **limits, subset_seed=1), tmp_path / "b")
    one, other = datasets.load(tmp_path / "a"), datasets.load(tmp_path / "b")
    assert np.bincount(one.train_labels).tolist() == [5, 5]
    assert np.bincount(one.test_labels).tolist() == [4, 3]
    assert not np.array_equal(array(one.train_images), array(other.train_images))


def pixels(images: Any) -> set[bytes]:
    return {image.tobytes() for image in images}


def test_seeds_with_their_own_training_images_share_the_test_images(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", 20)
    limits = {"train_limit": 10, "test_limit": 6, "test_subset_seed": 0}
    one, other = (
        datasets.load(tmp_path / name)
        for name, seed in (("a", 0), ("b", 1))
        if datasets.prepare(settings(root, **limits, subset_seed=seed), tmp_path / name)
    )
    assert not np.array_equal(array(one.train_images), array(other.train_images))
    assert np.array_equal(array(one.test_images), array(other.test_images))


def test_validation_images_are_training_images_that_are_not_trained_on(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", 20)
    options = {"train_limit": 20, "test_limit": 12, "validation": True}
    datasets.prepare(settings(root, **options), tmp_path / "a")
    datasets.prepare(settings(root), tmp_path / "all")
    data, everything = datasets.load(tmp_path / "a"), datasets.load(tmp_path / "all")
    assert len(data.test_images) == 12
    assert pixels(data.test_images) <= pixels(everything.train_images)
    assert not pixels(data.test_images) & pixels(data.train_images)
    assert np.bincount(data.test_labels).tolist() == [6, 6]
    with pytest.raises(StudyError, match=r"test_limit: 22 .* needs 11 images .* which has 10"):
        datasets.prepare(settings(root, **options | {"test_limit": 22}), tmp_path / "b")


def test_a_limit_that_is_too_large_is_told_before_anything_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(tmp_path / "in")
    monkeypatch.setattr(preparation, "_write", lambda *_: pytest.fail("something was written"))
    with pytest.raises(StudyError, match=r"test_limit: 10 .* needs 5 images of class 'ant'"):
        datasets.prepare(settings(root, test_limit=10), tmp_path / "out")


def test_what_is_not_accepted_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = settings(tree(tmp_path / "in"), train_limit=4)
    monkeypatch.setattr(preparation, "square", lambda *_: pytest.fail("an image was decoded"))
    asked = []

    def accept(counts: Mapping[str, Mapping[str, int]]) -> None:
        asked.append(counts)
        raise StudyError("not these")

    with pytest.raises(StudyError, match="not these"):
        datasets.prepare(wanted, tmp_path / "out", accept=accept)
    assert asked == [{"train": {"ant": 2, "bee": 2}, "test": {"ant": 3, "bee": 3}}]
    assert visible(tmp_path / "out") == []


def test_what_is_prepared_already_is_asked_for_as_well(tmp_path: Path) -> None:
    wanted = settings(tree(tmp_path / "in"))
    datasets.prepare(wanted, tmp_path / "out")
    before = content(tmp_path / "out")

    def refuse(counts: Mapping[str, Mapping[str, int]]) -> None:
        raise StudyError(f"not these {counts['train']['ant']}")

    with pytest.raises(StudyError, match="not these 3"):
        datasets.prepare(wanted, tmp_path / "out", accept=refuse)
    assert content(tmp_path / "out") == before


def test_prepared_data_serve_where_they_cannot_be_locked_or_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = settings(tree(tmp_path / "in"))
    first = datasets.prepare(wanted, tmp_path / "out")

    def refuse(folder: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(folder / ".lock"))

    monkeypatch.setattr(preparation, "locked", refuse)
    assert datasets.prepare(wanted, tmp_path / "out") == first
    for place in (tmp_path / "elsewhere", tmp_path / "out"):
        with pytest.raises(OSError, match="Read-only file system"):
            datasets.prepare(settings(tmp_path / "in", image_size=9), place)
    assert datasets.load(tmp_path / "out", verify=True).manifest == first


def test_memory_holds_a_few_images_and_not_all(tmp_path: Path) -> None:
    images = np.lib.format.open_memmap(
        tmp_path / "source.npy", mode="w+", dtype=np.uint8, shape=(3000, 64, 64, 3)
    )
    split = datasets.SourceSplit(images, np.arange(3000) % 2, ["a", "b"])
    rows = np.arange(3000)
    tracemalloc.start()
    for _ in preparation._squares(split, rows, 64, 2, "train split"):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # All 3,000 are 37 MB; in flight are 4 chunks of 32 images, in a list and stacked: 3 MB.
    assert peak < 8e6


@needs_real_images
def test_real_images_of_a_tree_are_prepared(tmp_path: Path) -> None:
    manifest = datasets.prepare(settings(real_tree(tmp_path), image_size=32), tmp_path / "out")
    assert manifest["splits"]["train"]["images"] == len(manifest["classes"]) == 100
    images = datasets.load(tmp_path / "out", verify=True).train_images
    assert array(images).std(axis=(1, 2, 3)).min() > 5
