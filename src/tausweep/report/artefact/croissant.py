"""Croissant metadata of prepared data (https://mlcommons.org/croissant/1.0), from its manifest.

The images themselves are not in an export, because most datasets may not be passed on. The metadata
has the digest of every prepared file, so that whoever makes them again can compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SPECIFICATION = "http://mlcommons.org/croissant/1.0"

CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context that every Croissant file has."""


@dataclass(frozen=True)
class Origin:
    """A published dataset that images come from.

    Attributes:
        url: Its page.
        cite: How to cite it.
        licence: URL of its licence; none if its authors state none that has one.
    """

    url: str
    cite: str
    licence: str | None = None


_DIGITS = Origin(
    "https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
    "E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning "
    "Repository, 1998, doi:10.24432/C50P49; the test set, as in scikit-learn",
    "https://creativecommons.org/licenses/by/4.0/",
)
_CIFAR = Origin(
    "https://www.cs.toronto.edu/~kriz/cifar.html",
    "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
)
ORIGINS = {
    "digits": _DIGITS,
    "translated_digits": _DIGITS,
    "cifar10": _CIFAR,
    "cifar100": _CIFAR,
    "svhn": Origin(
        "http://ufldl.stanford.edu/housenumbers/",
        "Y. Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning, "
        "NIPS Workshop on Deep Learning and Unsupervised Feature Learning, 2011",
    ),
    "imagenet100": Origin(
        "https://www.image-net.org/",
        "J. Deng et al., ImageNet: A Large-Scale Hierarchical Image Database, CVPR 2009; the 100 "
        "classes of Y. Tian et al., Contrastive Multiview Coding, ECCV 2020",
    ),
}
"""Published datasets by the kind of a study's source; folders and plug-ins are the user's own."""


def croissant(name: str, manifest: Mapping[str, Any], published: str) -> dict[str, Any]:
    """The content of ``croissant.json`` for prepared data.

    Args:
        name: The folder of the data, ``<kind>-<digest>``.
        manifest: Its ``manifest.json``.
        published: The day in ISO 8601.
    """
    kind = str(manifest["source"]["kind"])
    size = manifest["preparation"]["image_size"]
    counts = {split: content["images"] for split, content in manifest["splits"].items()}
    said = " and ".join(f"{count:,} images to {split}" for split, count in counts.items())
    described: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": SPECIFICATION,
        "name": name,
        "description": f"Images of the source {kind}, prepared by tausweep for {size} x {size} "
        f"pixels: {said}, in {len(manifest['classes'])} classes. The image files are not "
        "included: `tausweep prepare STUDY` makes them, with the digests listed here. The digest "
        f"of all together is {manifest['digest']}.",
        "version": "1.0.0",
        "datePublished": published,
        "distribution": [_file(file, facts) for file, facts in sorted(manifest["files"].items())],
        "recordSet": [
            _table(
                "classes",
                "The classes by their label",
                {"label": "sc:Integer", "name": "sc:Text"},
                list(enumerate(manifest["classes"])),
            ),
            _table(
                "splits",
                "The splits and their number of images",
                {"split": "sc:Text", "images": "sc:Integer"},
                list(counts.items()),
            ),
        ],
    }
    origin = ORIGINS.get(kind)
    if origin is not None:
        described |= {"url": origin.url, "citeAs": origin.cite}
        if origin.licence is not None:
            described["license"] = origin.licence
    return described


def _file(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{facts['bytes']} B",
        "encodingFormat": "application/octet-stream",
        "sha256": facts["sha256"],
    }


def _table(
    name: str, text: str, fields: Mapping[str, str], rows: list[tuple[Any, ...]]
) -> dict[str, Any]:
    """A record set whose rows are written out; its first field is the key."""
    identifiers = [f"{name}/{field}" for field in fields]
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": text,
        "key": {"@id": identifiers[0]},
        "field": [
            {"@type": "cr:Field", "@id": identifier, "name": field, "dataType": kind}
            for identifier, (field, kind) in zip(identifiers, fields.items(), strict=True)
        ],
        "data": [dict(zip(identifiers, row, strict=True)) for row in rows],
    }
