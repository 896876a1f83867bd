"""Evaluation of one run: its embeddings, every measure, its record.

Evaluation does not change encoder or bank. Each measure's file has a digest of what it was made
from, so a changed setting recomputes only that measure. The same holds for embeddings.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tausweep.data.prepared import Prepared
from tausweep.data.sources import SPLITS
from tausweep.machine.devices import free_bytes
from tausweep.machine.repeatable import set_repeatable
from tausweep.measures import geometry, knn, linear, own_measure, penalty, separation
from tausweep.measures.embed import PROBE_VIEWS, Embedder
from tausweep.measures.json_values import finite
from tausweep.measures.trained_weights import trained_weights
from tausweep.model.encoder import Encoder, set_tf32
from tausweep.storage.atomic import write_json
from tausweep.storage.layout import File
from tausweep.storage.provenance import code_version
from tausweep.study import MEASURED, OF_LABELS, OF_THE_LOSS, RunSettings, StudyError, digest
from tausweep.training.checkpoints import (
    DamagedFileError,
    Message,
    load_tensors,
    save_tensors,
    tensors_digest,
)
from tausweep.views import rendering
from tausweep.views.batches import KeptImages, resident

Values = dict[str, Any]

SHOWN_NEGATIVES = 10
"""Number of negatives in Fig. 8."""

CORRECT = {"linear": ("linear",), "knn": ("knn", "knn_bank")}
"""For each measure, the names of its tensors in ``correct.safetensors`` (which test images it gets
right)."""


PER_FEATURE = 32
"""Bytes of device memory for each value of the training features: themselves and both versions of
the probe in float32, a float64 copy and its square for the converged classifier, and the rest."""

PENALTY_ANCHORS = 256
"""Enough for means over anchors; the time of the penalties grows with it and with the bank."""


@dataclass
class Evaluation:
    """A trained run that is being measured.

    Attributes:
        settings: Its resolved settings.
        folder: Its folder, with ``encoder.safetensors``.
        data: The prepared data that it was trained on.
        device: The device for the trunk and the measures.
        say: Receives progress messages.
    """

    settings: RunSettings
    folder: Path
    data: Prepared
    device: torch.device
    say: Message

    @property
    def weights(self) -> Path:
        """The file of encoder and bank."""
        return self.folder / File.ENCODER

    @cached_property
    def _trained(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return trained_weights(self.weights, self.settings.pretrain_digest, self.data.digest)

    def __post_init__(self) -> None:
        set_repeatable()

    @property
    def outcome(self) -> str:
        """``complete`` or ``diverged``."""
        return str(self._trained[1]["outcome"])

    @property
    def is_trained(self) -> bool:
        """Whether training has changed the encoder and the bank from their random start."""
        return self.settings.pretrain.epochs > 0

    @cached_property
    def bank(self) -> Tensor:
        """N x d float32, as training left it."""
        return self._trained[0]["bank"]

    @cached_property
    def embedder(self) -> Embedder:
        """The trained encoder; its keys are checked, so random weights are never evaluated."""
        encoder = Encoder(
            self.settings.encoder, self.settings.seed, self.settings.pretrain.bn_group
        )
        encoder.load_state_dict({k: t for k, t in self._trained[0].items() if k != "bank"})
        encoder.to(self.device).to(memory_format=torch.channels_last)
        # Measured in float32, whatever the precision of training.
        set_tf32(False)
        size, data = self.settings.dataset.image_size, self.data
        embedder = Embedder(encoder, size, data.mean, data.std, self.device)
        probe, trunk = self.settings.linear, embedder.encoder.trunk
        needed = PER_FEATURE * len(data.train_images) * trunk.features
        if probe.views in PROBE_VIEWS:
            needed += 4 * probe.versions * len(data.train_images) * trunk.features
        if (free := free_bytes(self.device)) is not None and needed > free:
            # The probe then runs on the CPU, as without a GPU.
            self.say(f"features stay in main memory: {needed:,} bytes, {free:,} are free")
            embedder.kept_on = torch.device("cpu")
        return embedder

    @cached_property
    def made_by(self) -> list[str]:
        """Digests of the training: its settings, its data and its result."""
        tensors, metadata = self._trained
        return [metadata["settings_digest"], metadata["data_digest"], tensors_digest(tensors)]

    @cached_property
    def _made_of(self) -> str:
        """Digest of all that embeddings depend on."""
        return digest([*self.made_by, code_version("embed")])

    @cached_property
    def features(self) -> tuple[Tensor, Tensor]:
        """Pooled features without augmentation, on the device: training N x D, test M x D.

        Raises:
            FloatingPointError: A feature is not finite, so the run diverged in its last steps.
        """
        self.say("features")
        found = tuple(self.embedder.features(self._images[split]) for split in SPLITS)
        if not all(torch.isfinite(part).all() for part in found):
            raise FloatingPointError("features are not finite")
        return found[0], found[1]

    @cached_property
    def _images(self) -> dict[str, KeptImages]:
        """The images of both splits; squares are copied to the device unless it is the CPU."""
        images: dict[str, KeptImages] = {s: getattr(self.data, f"{s}_images") for s in SPLITS}
        if self.device.type == "cpu":
            return images  # read as they are needed
        return {split: resident(found, self.device) for split, found in images.items()}

    @cached_property
    def embeddings(self) -> dict[str, Tensor]:
        """The content of ``embeddings.safetensors``, which is made if it does not exist."""
        path = self.folder / File.EMBEDDINGS
        try:
            tensors, metadata = load_tensors(path)
            if metadata["made_of"] == self._made_of:
                return tensors
        except FileNotFoundError:
            pass
        except DamagedFileError as error:
            self.say(f"{error}; made again")
        tensors = self.embedded()
        save_tensors(path, tensors, {"made_of": self._made_of})
        return tensors

    def embedded(self) -> dict[str, Tensor]:
        """Embeddings of both splits and their labels, and the bank."""
        train, test = self.features
        return {
            "train": self._embedded(train).cpu(),
            "test": self._embedded(test).cpu(),
            "train_labels": self._labels("train"),
            "test_labels": self._labels("test"),
            "bank": self.bank,
        }

    @cached_property
    def placed(self) -> dict[str, Tensor]:
        """Embeddings of both splits, and the bank, on the device."""
        e = self.embeddings
        return {name: e[name].to(self.device) for name in (*SPLITS, "bank")}

    def _embedded(self, features: Tensor) -> Tensor:
        """Embeddings of pooled features, on the device.

        Raises:
            FloatingPointError: An embedding is not finite, or is zero and so has no direction.
        """
        found = self.embedder.embeddings(features)
        # A row whose length is not 1 is not finite, or was too small to be normalised.
        if not (found.square().sum(dim=1) > 0.5).all():
            raise FloatingPointError("embeddings have no direction: zero or not finite")
        return found

    @property
    def is_labelled(self) -> bool:
        """Whether the test images have labels; without them no accuracy is measured."""
        return bool((self.data.test_labels >= 0).all())

    def with_labels(self, rows: Tensor, dim: int = 0) -> Tensor:
        """Of rows of all training images, those of images with a label."""
        known = self._labels("train") >= 0
        if known.all():
            return rows
        return rows.index_select(dim, known.nonzero()[:, 0].to(rows.device))

    def _labels(self, split: str) -> Tensor:
        return torch.from_numpy(getattr(self.data, f"{split}_labels").copy())

    def _sample(self, count: int) -> Tensor:
        """A sample of instances, for measures that would take too long on all.

        It is in random order, so that its first few are a sample too.
        """
        order = rendering.order(count, self.settings.seed, self.settings.pretrain.epochs)
        return order[: self.settings.separation.anchors]

    def view_embeddings(self, split: str, number: int, stream: str) -> tuple[Tensor, Tensor]:
        """Embeddings of one augmented view of a sample of a split's instances, and the sample."""
        images = self._images[split]
        index = self._sample(len(images))
        drawn = self.embedder.draw(images, self.settings.views, self.settings.seed, number, stream)
        features = self.embedder.view_features(images, drawn, index)
        return self._embedded(features), index

    @cached_property
    def anchors(self) -> tuple[Tensor, Tensor]:
        """Augmented training embeddings, on the device, and their instances, for Fig. 8."""
        return self.view_embeddings("train", 0, "separation")

    def linear(self) -> Values:
        """Linear probe and the converged classifier, on the same features."""
        train, test = self.features
        settings, seed = self.settings.linear, self.settings.seed
        labels = self.with_labels(self._labels("train")), self._labels("test")
        versions = self.embedder.probe_versions(self._images["train"], train, settings, seed)
        versions, train = self.with_labels(versions, 1), self.with_labels(train)
        probed = linear.probe(versions, labels[0], test, labels[1], settings, seed)
        converged = linear.converged(train, labels[0], test, labels[1])
        self._keep_correct("linear", {} if probed.diverged else {"linear": probed.correct})
        return {"probe": probed.to_json(), "converged": converged.to_json()}

    def knn(self) -> Values:
        """Weighted kNN, with the training embeddings as keys, and also with a trained bank."""
        right = {"knn": self.knn_correct("train")}
        if self.is_trained:
            right["knn_bank"] = self.knn_correct("bank")
        self._keep_correct("knn", right)
        return {n.replace("knn", "accuracy"): knn.percentage(r) for n, r in right.items()}

    def knn_correct(self, keys: str) -> Tensor:
        """Which test images kNN classifies correctly (M bool), with keys ``train`` or ``bank``.

        Raises:
            StudyError: k is larger than the number of keys.
        """
        settings, known = self.settings.knn, self.with_labels(self.placed[keys])
        if settings.k > len(known):
            raise StudyError(
                f"knn.k: {settings.k} is more than the {len(known)} keys; allowed is "
                f"1 to {len(known)}"
            )
        labels, truth = (self.embeddings[f"{split}_labels"] for split in SPLITS)
        labels = self.with_labels(labels)
        return knn.correct(
            known, labels, self.placed["test"], truth, settings.k, settings.temperature
        )

    @cached_property
    def _correct(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The content of ``correct.safetensors``, and what each measure's part was made from."""
        try:
            tensors, metadata = load_tensors(self.folder / File.CORRECT)
            made_of: dict[str, str] = metadata["made_of"]
        except FileNotFoundError:
            return {}, {}
        except DamagedFileError as error:
            self.say(f"{error}; made again")
            return {}, {}
        return tensors, made_of

    def _keep_correct(self, measure: str, right: dict[str, Tensor]) -> None:
        """Save which test images a measure classifies correctly (M bool), beside other measures."""
        tensors, made_of = self._correct
        tensors = {n: t for n, t in tensors.items() if n not in CORRECT[measure]} | right
        made_of = made_of | {measure: self._measure_digest(measure)}
        save_tensors(self.folder / File.CORRECT, tensors, {"made_of": made_of})
        self._correct = tensors, made_of

    def geometry(self) -> Values:
        """Geometry of both splits; alignment on a sample of each."""
        return {
            split: geometry.measure(
                self.placed[split],
                self.embeddings[f"{split}_labels"],
                self.settings.geometry.t,
                (
                    self.view_embeddings(split, 0, "alignment")[0],
                    self.view_embeddings(split, 1, "alignment")[0],
                ),
            )
            for split in ("test", "train")
        }

    def separation(self) -> Values:
        """Positive and ten nearest negatives of augmented training images against the bank."""
        anchors, index = self.anchors
        k, labels = min(SHOWN_NEGATIVES, len(self.bank) - 1), self._labels("train")
        known = labels if (labels >= 0).all() else None
        found = separation.separation(
            anchors, self.placed["bank"], index, k, known, self._hard_set_size
        )
        return found.to_json()

    def penalty(self) -> Values:
        """Penalties and identities of the loss on this run's anchors and bank."""
        anchors, index = self.anchors
        loss = self.settings.loss
        return penalty.measure(
            anchors[:PENALTY_ANCHORS],
            self.placed["bank"],
            index[:PENALTY_ANCHORS],
            temperature=loss.temperature,
            negatives=self._hard_set_size,
        )

    @property
    def _hard_set_size(self) -> int | None:
        return self.settings.loss.hard_set_size(len(self.bank))

    def measured(self, name: str) -> Values:
        """A measure's values, from its file if that is up to date, else computed now."""
        path = self.folder / f"{name}.json"
        wanted = self._measure_digest(name)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            whole = name not in CORRECT or self._correct[1].get(name) == wanted
            if content["made_of"] == wanted and whole:
                values: Values = content["values"]
                return values
        except (OSError, ValueError, KeyError, TypeError):
            pass  # missing, damaged or in another format: compute the measure, which replaces it
        self.say(name)
        own = (self.settings.measures or {}).get(name)
        taken = (
            own_measure.take(name, own, self.embeddings, self.say) if own else getattr(self, name)()
        )
        values = finite(taken)
        write_json(path, {"made_of": wanted, "values": values})
        return values

    def _measure_digest(self, name: str) -> str:
        section = "separation" if name == "penalty" else name
        own = (self.settings.measures or {}).get(name)
        if own:
            return digest([self._made_of, (self.settings.measure_digests or {})[name]])
        asked = getattr(self.settings, section).model_dump(mode="json")
        code = [code_version("evaluate", alone=True), code_version(name)]
        return digest([self._made_of, asked, *code])


def evaluate(evaluation: Evaluation) -> dict[str, Values]:
    """All measures of a run by name, including plug-ins; a diverged run has none."""
    if evaluation.outcome != "complete":
        return {}
    own = [name for name in MEASURED if evaluation.is_trained or name not in OF_THE_LOSS]
    if not evaluation.is_labelled:
        own = [name for name in own if name not in OF_LABELS]
        evaluation.say(f"left out, as the images have no labels: {', '.join(OF_LABELS)}, tolerance")
    names = [*own, *(evaluation.settings.measures or {})]
    try:
        found = {name: evaluation.measured(name) for name in names}
        own_measure.refuse_shared({n: found[n] for n in evaluation.settings.measures or {}})
        # Made even if no measure needed them, because embeddings are a result themselves.
        _ = evaluation.embeddings
        return found
    except FloatingPointError as error:
        evaluation.say(f"diverged: {error}")
        return {}
