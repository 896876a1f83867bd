"""`tausweep measure`: judge embeddings or an encoder, alone or against another."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tausweep.commands import flags
from tausweep.commands.json_document import print_document
from tausweep.commands.messages import say
from tausweep.storage.atomic import write_text
from tausweep.storage.layout import File
from tausweep.study import KnnSettings, StudyError

if TYPE_CHECKING:
    import torch

    from tausweep.commands.embedded import Embedded
    from tausweep.measures.quality import Quality
    from tausweep.report.quality import Measurement

K = KnnSettings().k
DESCRIPTION = """\
INPUT is a file of embeddings (.npy, .npz, .parquet, .safetensors), or with --images an encoder: a
state dict of torchvision (.pth, .safetensors), a folder of a timm or Hugging Face model or of a
run, or a Python file with make() -> nn.Module, which is run. Nothing is downloaded, and nothing but
tensors is unpickled."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = f"{parser.description} {DESCRIPTION}"
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT",
        help="what is measured; a second one of the same instances gives differences",
    )  # fmt: skip
    parser.add_argument(
        "--images", metavar="DIR", type=Path,
        help="images for an encoder: train/<class> and test/<class>, <class>, or images alone",
    )  # fmt: skip
    parser.add_argument(
        "--labels", metavar="FILE", type=Path,
        help="a CSV or .npy file, one label a row; for images a CSV with the columns path, label",
    )  # fmt: skip
    parser.add_argument("--label-column", metavar="NAME", help="the labels' column or array")
    parser.add_argument("--key", metavar="NAME", help="the embeddings' array or column")
    parser.add_argument("--arch", metavar="NAME", help="a model of torchvision that is no ResNet")
    parser.add_argument(
        "--image-size", metavar="PIXELS", type=flags.whole(8), help="side of the encoder's images"
    )
    parser.add_argument(
        "--k", type=flags.whole(1), default=K, help="neighbours that vote (%(default)s)"
    )
    flags.add_json(parser)
    parser.add_argument(
        "--html", metavar="FILE", type=Path, help="write a page with the picture too"
    )
    flags.add_threads(parser)
    flags.add_device(parser)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    from tausweep.machine import devices

    if len(options.inputs) > 2:
        raise StudyError(f"INPUT: {len(options.inputs)} given; one or two are allowed")
    _check_flags([Path(name) for name in options.inputs], options)
    devices.set_threads(options.threads)
    with devices.device(options.device, say=say) as device:
        inputs = [_embedded(Path(name), options, device) for name in options.inputs]
    names = [found.name for found in inputs]
    if len(names) == 2 and names[0] == names[1]:
        inputs = [replace(f, name=f"{f.name} ({x})") for f, x in zip(inputs, "AB", strict=True)]
    if len(inputs) == 2 and len(inputs[0].x) != len(inputs[1].x):
        raise StudyError(
            f"{names[0]} and {names[1]} have {len(inputs[0].x):,} and {len(inputs[1].x):,} "
            "embeddings; a difference is paired, so both need the same instances in the same order"
        )
    if len(inputs) == 2 and all(one.train is None for one in inputs):
        # Both have the same instances, so the labels of one hold for both.
        own = next((one.labels for one in inputs if one.labels is not None), None)
        inputs = [replace(one, labels=own) if one.labels is None else one for one in inputs]
    found = _measured(inputs, options.k, say)
    if options.html is not None:
        from tausweep.report.quality.page import page

        write_text(options.html, page(found))
        say(f"the page is {options.html}")
    if options.json:
        print_document("measure", found.to_json())
    else:
        print(found)


def measure(
    embeddings: Any,
    labels: Any = None,
    *,
    against: Any = None,
    train: Any = None,
    train_labels: Any = None,
    views: tuple[Any, Any] | None = None,
    name: str = "embeddings",
    k: int = K,
) -> Measurement:
    """Measure embeddings: every measure with its 95% interval over instances, and flags.

    Args:
        embeddings: n x d numbers, an array or a tensor. Rows are normalised, except for the linear
            classifier.
        labels: n integers or texts; without them nothing about classes is measured.
        against: n x d' embeddings of the same instances by another encoder, for differences.
        train: N x d embeddings from which kNN and the linear classifier learn; without them the n
            rows are split into 5 folds. Not allowed together with ``against``.
        train_labels: N labels.
        views: Two arrays m x d, embeddings of two views of the same m images, for alignment.
        name: Name of the embeddings in the output.
        k: Number of neighbours that vote.

    Returns:
        An object that prints as text; ``row()`` is a DataFrame with one row, ``to_json()`` has
        everything.

    Raises:
        StudyError: The embeddings are not n x d numbers with n >= 2, a row is zero or not finite,
            or the labels have another length.

    Examples:
        >>> import numpy as np
        >>> import tausweep
        >>> draws = np.random.default_rng(0)
        >>> labels = np.arange(300) % 3
        >>> centres = draws.normal(size=(3, 16))
        >>> embeddings = centres[labels] + draws.normal(size=(300, 16))
        >>> found = tausweep.measure(embeddings, labels)
        >>> found.row().loc[0, "n"].item(), found.inputs[0].classes
        (300, 3)
    """
    import numpy as np
    import torch

    from tausweep.commands.embedded import Embedded, codes, matrix

    x = matrix(embeddings, name)
    if train is not None and (train_labels is None or labels is None or against is not None):
        raise StudyError("train needs labels and train_labels, and cannot be used with against")
    own = theirs = learnt = None
    if train is not None:
        learnt = matrix(train, "train")
        both = np.concatenate([_plain(labels), _plain(train_labels)])
        every = codes(both, len(x) + len(learnt), "labels, train_labels", name)
        own, theirs = torch.from_numpy(every).split([len(x), len(learnt)])
    elif labels is not None:
        own = torch.from_numpy(codes(_plain(labels), len(x), "labels", name))
    pair = None if views is None else (matrix(views[0], "views"), matrix(views[1], "views"))
    if pair is not None and pair[0].shape != pair[1].shape:
        sizes = " and ".join(" x ".join(map(str, view.shape)) for view in pair)
        raise StudyError(f"views: {sizes} given; both need the same images and dimensions")
    inputs = [Embedded(name, x, own, learnt, theirs, pair)]
    if against is not None:
        inputs.append(Embedded("against", matrix(against, "against"), own))
    return _measured(inputs, k, lambda line: None)


def _measured(inputs: list[Embedded], k: int, say: Callable[[str], None]) -> Measurement:
    from tausweep.measures.quality import differences
    from tausweep.report.quality import Measurement

    found = []
    for one in inputs:
        say(f"{one.name}: measuring {len(one.x):,} embeddings of {one.x.shape[1]:,} numbers")
        found.append(_assessed(one, k))
    gaps = {}
    if len(found) == 2:
        try:
            gaps = differences(found[0], found[1])
        except ValueError as error:
            raise StudyError(str(error)) from None
    return Measurement(tuple(found), gaps)


def _assessed(one: Embedded, k: int) -> Quality:
    from tausweep.measures.assess import assess

    try:
        quality = assess(
            one.x, one.labels, one.train, one.train_labels, one.views, name=one.name, k=k
        )
    except ValueError as error:
        raise StudyError(f"{one.name}: {error}") from None
    return replace(quality, what=one.what, views=one.compares)


def _check_flags(inputs: list[Path], options: argparse.Namespace) -> None:
    """Refuse flags that no input would use, and a page that cannot be written.

    Raises:
        StudyError: There is such a flag, or an input does not exist.
    """
    from tausweep.commands import encoder_file, state_dict

    for path in inputs:
        if not path.exists():
            raise StudyError(f"{path}: there is no such file or folder")
    always = (*state_dict.PICKLES, ".py")
    perhaps = () if options.images is None else encoder_file.SUFFIXES
    encoders = [
        path
        for path in inputs
        if path.suffix.lower() in (*always, *perhaps) or (path.is_dir() and options.images)
    ]
    given = {
        "--images": options.images, "--arch": options.arch, "--image-size": options.image_size
    }  # fmt: skip
    for flag, value in given.items():
        if value is not None and not encoders:
            raise StudyError(f"{flag}: {inputs[0]} is a file of embeddings; it is for encoders")
    if options.key is not None and len(encoders) == len(inputs):
        raise StudyError(f"--key: {inputs[0]} is an encoder; it is for files of embeddings")
    if options.html is not None and options.html.is_dir():
        raise StudyError(f"--html {options.html}: is a folder; it should be a file")


def _embedded(path: Path, options: argparse.Namespace, device: torch.device) -> Embedded:
    """One input: a file of embeddings is read, an encoder is applied to the images."""
    from tausweep.commands import embeddings_file

    suffix = path.suffix.lower()
    embedded = path / File.EMBEDDINGS
    if path.is_dir() and options.images is None and embedded.is_file():
        found = embeddings_file.read(embedded, options.key, options.labels, options.label_column)
        return replace(found, name=str(path), what=f"{File.EMBEDDINGS} of the run")
    from tausweep.commands import encoder_file, state_dict

    if options.images is None and (path.is_dir() or suffix in (*state_dict.PICKLES, ".py")):
        raise StudyError(f"{path}: is an encoder; --images DIR names images to embed with it")
    as_weights = path.is_dir() or suffix in encoder_file.SUFFIXES
    if options.images is None or not as_weights:
        if suffix not in embeddings_file.SUFFIXES:
            known = ", ".join(embeddings_file.SUFFIXES)
            raise StudyError(
                f"{path}: files of this kind are not read; embeddings are {known}, encoders "
                f"{', '.join(encoder_file.SUFFIXES)} or folders, with --images"
            )
        return embeddings_file.read(path, options.key, options.labels, options.label_column)
    from tausweep.commands import image_tree
    from tausweep.commands.embedding import embed

    tree = image_tree.read(options.images)
    if options.labels is not None:
        tree = image_tree.labelled(tree, options.images, options.labels, options.label_column)
    encoder = encoder_file.read(path, options.arch, options.image_size)
    return embed(tree, encoder, str(path), device, options.threads, say)


def _plain(labels: Any) -> Any:
    """Labels as an array, from a tensor, a list or a column of a table."""
    import numpy as np

    return labels.detach().cpu().numpy() if hasattr(labels, "detach") else np.asarray(labels)
