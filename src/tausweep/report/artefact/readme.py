"""The README of an export, for whoever receives it without knowing tausweep."""

from __future__ import annotations

from collections.abc import Iterable

from tausweep import __version__
from tausweep.storage.layout import File, Folder
from tausweep.study import Study

FILE = "README.md"

_ROWS = {
    File.RECORDS: "one row per run: accuracies, geometry of the embeddings, digests",
    File.RECORDS_PARQUET: "the same, with the type of every column",
    f"{Folder.TABLES}/": "Table 1 and the full sweep, published beside measured",
    f"{Folder.FIGURES}/": "the figures",
    File.CLAIMS_MARKDOWN: "a verdict on each claim of the paper",
    File.REPORT: "all of it on one page",
    f"{Folder.RUNS}/": f"each run: `{File.RECORD}` says what made it, with digests of its files",
    File.STUDY: "the study, in canonical form",
}


def readme(study: Study, files: Iterable[str]) -> str:
    """The text, with the files that the export has.

    Args:
        study: The study.
        files: The files by path.
    """
    present = list(files)
    rows = {
        f"`{study.study}/{name}`": text
        for name, text in _ROWS.items()
        if any(file.startswith(f"{study.study}/{name}") for file in present)
    }
    rows |= {
        f"`{Folder.DATA}/`": "what the images were: digests, and Croissant metadata",
        "`workflow/`": "the Snakemake workflow of the version that wrote this",
        "`ro-crate-metadata.json`": "RO-Crate (Provenance Run Crate 0.5): what ran, when, with "
        "which code, packages and machine",
        "`codecheck.yml`": "which outputs to compare (codecheck.org.uk)",
        "`CONTENTS.json`": "size and SHA-256 of every file",
    }
    table = "\n".join(f"| {name} | {text} |" for name, text in rows.items())
    return f"""# Results of the study {study.study}

Written by tausweep {__version__}, a reproducibility harness for Wang & Liu, *Understanding the
Behaviour of Contrastive Loss* (CVPR 2021, arXiv:2012.09740).

| file | content |
|---|---|
{table}

## Check it

```console
pip install tausweep=={__version__}
tausweep verify .
```

`verify` recomputes every digest, compares tables, records and measures with each other, and the
numbers with the developers' own records of the study, if there are any. It runs and unpickles
nothing that is in this folder, and its exit code is 0 only if every check holds.

## Run it again

```console
tausweep run {study.study}/{File.STUDY}
tausweep verify . --against results/{study.study}/{File.RECORDS}
```
"""
