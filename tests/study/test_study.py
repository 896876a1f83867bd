"""The study file: defaults, validation, expansion into runs."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tausweep.storage.layout import prepared_name
from tausweep.study import (
    DatasetSettings,
    PretrainSettings,
    RunSettings,
    Study,
    StudyError,
    canonical,
    load,
    parse,
)

SMALL: dict[str, Any] = {
    "study": "small",
    "seeds": [0, 1],
    "datasets": {
        "digits": {},
        "photos": {
            "source": {"kind": "folder", "path": "data/photos"},
            "image_size": 16,
            "views": {"flip": True},
        },
    },
    "baselines": False,
    "losses": {
        "contrastive": {"temperature": [0.07, 0.1, 1]},
        "hard_contrastive": {"temperature": [0.07], "negatives": 100},
        "simple": None,
        "hard_simple": {},
    },
    "encoder": {"width": 16},
    "pretrain": {"epochs": 10, "weight_decay": "5e-4"},
    "overrides": [{"dataset": "digits", "loss": "hard_simple", "negatives": 50}],
}


LISTS = ("seeds", "temperature")


def changed(path: str, value: Any) -> dict[str, Any]:
    """The small study with one value set; a list's place is a number in the path."""
    study = copy.deepcopy(SMALL)
    *parents, last = (int(p) if p.isdecimal() else p for p in path.split("/"))
    place: Any = study
    for part in parents:
        if isinstance(place, dict) and place.get(part) is None:
            place[part] = {}
        place = place[part]
    place[last] = value
    return study


def run(study: Study, run_id: str) -> RunSettings:
    return {r.id: r.settings for r in study.runs()}[run_id]


def test_runs_are_the_product_of_datasets_losses_temperatures_and_seeds() -> None:
    ids = [r.id for r in parse(SMALL).runs()]
    assert len(ids) == len(set(ids)) == 2 * (3 + 1 + 1 + 1) * 2
    assert ids[0] == "digits/contrastive/0.07/seed0"
    assert "photos/contrastive/1.0/seed1" in ids
    assert "digits/simple/none/seed0" in ids


def test_defaults_are_the_papers() -> None:
    """docs/protocol.md, column by column."""
    study = parse(
        {
            "study": "defaults",
            "datasets": {"cifar10": {}, "svhn": {}, "imagenet100": {}},
            "baselines": False,
            "losses": {"contrastive": {"temperature": 0.3}, "hard_simple": {}},
        }
    )
    assert study.seeds == (0, 1, 2)
    cifar = run(study, "cifar10/contrastive/0.3/seed0")
    assert (cifar.encoder.trunk, cifar.encoder.stem, cifar.encoder.dim) == (
        "resnet18",
        "cifar",
        128,
    )
    assert cifar.pretrain.weight_decay == 5e-4
    assert (cifar.pretrain.epochs, cifar.pretrain.batch_size) == (200, 128)
    assert (cifar.views.crop_scale, cifar.views.crop_ratio) == ((0.2, 1.0), (3 / 4, 4 / 3))
    assert (cifar.views.hue, cifar.views.jitter_probability, cifar.views.grayscale) == (0.4, 1, 0.2)
    assert not cifar.views.flip
    assert cifar.linear.views == "flip"
    assert (cifar.knn.k, cifar.knn.temperature, cifar.geometry.t) == (200, 0.07, 2.0)
    assert run(study, "cifar10/hard_simple/none/seed0").loss.negatives == 4095
    assert run(study, "svhn/contrastive/0.3/seed0").linear.views == "colour"
    imagenet = run(study, "imagenet100/contrastive/0.3/seed0")
    assert (imagenet.encoder.trunk, imagenet.encoder.stem) == ("resnet50", "imagenet")
    assert imagenet.pretrain.weight_decay == 1e-4
    assert (imagenet.dataset.image_size, imagenet.dataset.form) == (224, "originals")
    assert cifar.dataset.form == "squares"
    views = imagenet.views
    assert (views.hue, views.jitter_probability, views.blur_probability) == (0.1, 0.8, 0.5)
    assert views.flip


def test_form_of_the_images_leaves_the_digests_of_squares_as_they_were() -> None:
    """Settings that were resolved before there was another form; the digest is of that time."""
    source = {"kind": "folder", "path": "images"}
    squares, originals = (
        DatasetSettings.model_validate({"source": source, "image_size": 16} | form)
        for form in ({}, {"form": "originals"})
    )
    wanted = {"source": {"extra": False, "kind": "folder", "path": "images"}, "image_size": 16}
    assert squares.identity_json() == wanted | {"subset_seed": 0}
    assert originals.identity_json() == wanted | {"subset_seed": 0, "form": "originals"}
    assert prepared_name(squares) == "folder-d15606377eba9df7"


def limited(**options: Any) -> Study:
    dataset = {"source": {"kind": "folder", "path": "images"}, **options}
    losses = {"contrastive": {"temperature": [0.3]}}
    return parse({"study": "s", "seeds": [0, 3], "datasets": {"d": dataset}, "losses": losses})


def test_each_seed_can_have_its_own_training_images() -> None:
    runs = limited(train_limit=60, test_limit=40, subset_seed="run").runs()
    chosen = {r.seed: (r.settings.dataset.subset_seed, r.settings.dataset.test_subset_seed)
              for r in runs}  # fmt: skip
    assert chosen == {0: (0, 0), 3: (3, 0)}
    one = limited(train_limit=60, test_limit=40, subset_seed=3).runs()[0].settings.dataset
    assert "test_subset_seed" not in one.identity_json()
    assert "validation" not in one.identity_json()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"subset_seed": "run"}, "datasets.d.subset_seed: run .* needs a train_limit"),
        ({"train_limit": 60, "subset_seed": "ran"}, r"datasets\.d\.subset_seed: \"ran\""),
        ({"train_limit": 60, "validation": True}, "validation needs train_limit and test_limit"),
        (
            {"train_limit": 60, "test_limit": 40, "validation": True, "subset_seed": "run"},
            "set subset_seed to a number",
        ),
    ],
)  # fmt: skip
def test_choices_of_images_that_cannot_be_made_are_refused(options: Any, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        limited(**options)


def test_originals_are_prepared_once_for_views_of_every_size() -> None:
    source = {"kind": "folder", "path": "images"}
    names = [
        prepared_name(
            DatasetSettings.model_validate({"source": source, "form": form, "image_size": size})
        )
        for form in ("squares", "originals")
        for size in (32, 224)
    ]
    assert names[0] != names[1]
    assert names[2] == names[3]


def test_learning_rate_falls_at_160_and_190_of_200_epochs() -> None:
    lr = PretrainSettings().lr_at
    assert [lr(e) for e in (0, 159, 160, 189, 190, 199)] == pytest.approx(
        [0.03, 0.03, 0.003, 0.003, 0.0003, 0.0003]
    )


def test_probe_learning_rate_is_what_it_says() -> None:
    lr = run(parse(SMALL), "digits/simple/none/seed0").linear.lr_at
    assert [lr(e) for e in (0, 39, 40, 59, 60, 79, 80, 99)] == pytest.approx(
        [30, 30, 6, 6, 1.2, 1.2, 0.24, 0.24]
    )


def test_later_layers_win() -> None:
    study = parse(SMALL)
    assert run(study, "digits/hard_simple/none/seed0").loss.negatives == 50
    assert run(study, "photos/hard_simple/none/seed0").loss.negatives == 4095
    assert run(study, "photos/simple/none/seed0").views.flip
    assert not run(study, "digits/simple/none/seed0").views.flip
    assert run(study, "digits/simple/none/seed0").dataset.image_size == 8


def test_a_hard_set_overridden_for_a_dataset_leaves_the_other_losses_alone() -> None:
    study = parse(changed("overrides", [{"dataset": "digits", "negatives": 30}]))
    assert run(study, "digits/hard_simple/none/seed0").loss.negatives == 30
    assert run(study, "digits/contrastive/0.1/seed0").loss.negatives is None


def test_an_empty_section_says_nothing_in_an_override_too() -> None:
    empty = parse(changed("overrides", [{"dataset": "digits", "pretrain": None, "negatives": 30}]))
    bare = parse(changed("overrides", [{"dataset": "digits", "negatives": 30}]))
    assert [r.settings.digest for r in empty.runs()] == [r.settings.digest for r in bare.runs()]


def test_null_says_something_where_the_default_is_not_null() -> None:
    whole = run(parse(changed("views", {"crop_scale": None})), "digits/simple/none/seed0")
    assert whole.views.crop_scale is None
    assert whole.pretrain_json()["views"]["crop_scale"] is None
    assert (
        RunSettings.model_validate(whole.pretrain_json() | whole.evaluate_json()).digest
        == whole.digest
    )


def test_code_of_a_users_loss_counts_and_its_comments_do_not(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"

    def digest_now(code: str) -> str:
        file.write_text(code)
        study = parse(changed("losses", {"mine": {"module": str(file)}}) | {"overrides": []})
        return study.runs()[0].settings.digest

    first = digest_now("def make(temperature, negatives): return None")
    assert digest_now("def make(temperature, negatives): return None  # no change") == first
    assert digest_now("def make(temperature, negatives): return 1") != first


def test_override_changes_only_what_it_names() -> None:
    before = {r.id: r.settings.digest for r in parse(SMALL).runs()}
    study = changed("overrides", [*SMALL["overrides"], {"temperature": 0.1, "knn": {"k": 7}}])
    after = {r.id: r.settings.digest for r in parse(study).runs()}
    different = {i for i in before if before[i] != after[i]}
    assert different == {i for i in before if "/0.1/" in i}


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("pretrain/epoch", 3, "pretrain.epoch: unknown key; did you mean epochs"),
        ("datset", {}, "datset: unknown key; did you mean datasets"),
        ("datasets/photos/sorce", {}, "datasets.photos.sorce: unknown key; did you mean source"),
        ("datasets/photos/views/flp", True, "datasets.photos.views.flp: unknown key"),
        ("losses/hard_contrastive/negativs", 3, "did you mean negatives"),
        ("losses/simpel", {}, "losses.simpel: unknown loss; did you mean simple"),
        ("losses/contrastive/temperature", [0.1, 0], "temperature[1]: 0 is not allowed"),
        ("losses/contrastive/temperature", [-0.1], "-0.1 is not allowed; it should be greater"),
        ("losses/contrastive/temperature", ["abc"], '"abc" is not allowed'),
        ("losses/contrastive/temperature", [float("inf")], "inf is not allowed"),
        ("losses/contrastive/temperature", [0.1, "0.10"], "0.1 is listed twice"),
        ("losses/contrastive/temperature", [1, 1.0], "1.0 is listed twice"),
        ("losses/contrastive/temperature", None, "at least one temperature is needed"),
        (
            "losses/simple",
            {"temperature": 0.1},
            "losses.simple.temperature: simple has no temperature",
        ),
        ("losses/simple", {"negatives": 3}, "losses.simple.negatives: only the hard losses"),
        ("losses/hard_simple", {"negatives": 3, "alpha": 0.1}, "not both"),
        ("losses/hard_simple", {"alpha": 2}, "losses.hard_simple.alpha: 2 is not allowed"),
        ("pretrain/batch_size", 0, "pretrain.batch_size: 0 is not allowed"),
        ("pretrain/milestones", [0.9, 0.8], "the milestones must increase"),
        ("seeds", [0, 1, 0], "seed 0 is listed twice"),
        ("seeds", [], "at least one seed is needed"),
        ("seeds", [1.5], "seeds[0]: 1.5 is not allowed"),
        ("seeds", [True], "seeds[0]: true is not allowed"),
        ("datasets/photos/image_size", 4, "datasets.photos.image_size: 4 is too small for"),
        ("datasets/photos/source", {"kind": "folder"}, "a source of kind folder needs a path"),
        ("datasets/photos/source", {"kind": "fodler"}, '"fodler" is not allowed'),
        ("datasets/photos/source", None, "datasets.photos.source.kind: is required"),
        ("datasets", {}, "datasets: {} is not allowed: at least one is needed"),
        ("study", "a b", 'study: "a b" is not allowed'),
        ("overrides/0/dataset", "digit", "overrides[0]: no run has"),
        ("encoder/width", True, "encoder.width: true is not allowed"),
        ("encoder", 3, "encoder: 3 is not allowed"),
        ("measures", {"record": "m.py"}, "measures.record: this name is reserved"),
        ("measures", {"mine": "none.py"}, "measures.mine: there is no file none.py"),
        ("losses/mine", {"module": "none.py"}, "losses.mine.module: there is no file none.py"),
        ("study", "data", "study: data is reserved for a folder of results"),
        ("study", "store", "study: store is reserved for a folder of results"),
        ("datasets/photos/views/crop_scale", [1.0, 0.2], "the lower end comes first"),
    ],
)
def test_bad_input_is_one_sentence_naming_field_and_value(
    path: str, value: Any, sentence: str
) -> None:
    with pytest.raises(StudyError) as caught:
        parse(changed(path, value))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("study: [", "line 1"),
        ("study: a\nstudy: b", "the key 'study' is listed twice"),
        ("- 1", "must be a mapping of settings"),
        ("", "must be a mapping of settings"),
        ("study: {[a]: b}", "a key must be a word or a number"),
        ("study: \x00", "special characters are not allowed"),
    ],
)
def test_unreadable_study_file_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(StudyError, match=r"study\.yaml") as caught:
        load(path)
    assert sentence in str(caught.value)


def test_missing_study_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"none\.yaml: cannot be read: No such file"):
        load(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("spelling", "text"),
    [
        ("0.10", "0.1"),
        ("1", "1.0"),
        ("1e-1", "0.1"),
        ("5e-3", "0.005"),
        ("0.00001", "0.00001"),
        ("100", "100.0"),
        ("0.30000000000000004", "0.30000000000000004"),
    ],
)
def test_temperature_has_one_spelling_whatever_the_file_says(spelling: str, text: str) -> None:
    losses = {"contrastive": {"temperature": yaml.safe_load(f"[{spelling}]")}}
    study = {"study": "x", "datasets": {"digits": {}}, "losses": losses, "baselines": False}
    assert {canonical(r.temperature) for r in parse(study).runs()} == {text}


@given(st.floats(min_value=1e-6, max_value=1e6))
def test_canonical_temperature_reads_back_exactly(temperature: float) -> None:
    text = canonical(temperature)
    assert float(text) == temperature
    assert set(text) <= set("0123456789.")


@given(st.randoms(use_true_random=False))
def test_order_of_the_file_changes_nothing(random: Any) -> None:
    def shuffled(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        items = list(value.items())
        random.shuffle(items)
        return {k: shuffled(v) for k, v in items}

    one, two = parse(SMALL), parse(shuffled(SMALL))
    assert one.canonical_json() == two.canonical_json()
    digests = [{r.id: r.settings.digest for r in s.runs()} for s in (one, two)]
    assert digests[0] == digests[1]


def test_canonical_form_is_the_same_study() -> None:
    study = parse(SMALL)
    again = parse(json.loads(study.canonical_json()))
    assert again.canonical_json() == study.canonical_json()
    assert {r.id: r.settings for r in again.runs()} == {r.id: r.settings for r in study.runs()}


def test_measures_settings_leave_the_pretraining_digest_alone() -> None:
    one = run(parse(SMALL), "digits/simple/none/seed0")
    two = run(parse(changed("knn", {"k": 5})), "digits/simple/none/seed0")
    assert one.pretrain_digest == two.pretrain_digest
    assert one.digest != two.digest


def test_place_of_a_published_archive_does_not_count_but_that_of_a_folder_does() -> None:
    def digest_of(source: dict[str, Any]) -> str:
        datasets = {"a": {"source": source}}
        study = {"study": "x", "datasets": datasets, "losses": {"simple": {}}, "baselines": False}
        return parse(study).runs()[0].settings.digest

    here = digest_of({"kind": "cifar10", "path": "here", "download": True})
    assert here == digest_of({"kind": "cifar10"})
    one = digest_of({"kind": "folder", "path": "one"})
    assert one != digest_of({"kind": "folder", "path": "two"})


def test_hard_set_is_bounded_by_the_bank_and_may_be_a_share() -> None:
    loss = run(parse(SMALL), "digits/hard_simple/none/seed0").loss
    assert loss.hard_set_size(51) == 50
    with pytest.raises(StudyError, match=r"negatives: 50 is more than the bank's 49 negatives"):
        loss.hard_set_size(50)
    share = parse(changed("losses/hard_simple", {"alpha": 0.0819}))
    assert run(share, "photos/hard_simple/none/seed0").loss.hard_set_size(50_000) == 4095


def test_reading_a_study_imports_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, tausweep.study, tausweep.storage.layout, tausweep.data, tausweep.cli;"
        "sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'sklearn', 'PIL')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
