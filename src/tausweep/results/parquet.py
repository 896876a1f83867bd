"""Tables of records as parquet, which keeps the type of every column.

Needs pyarrow, which ``pip install tausweep[parquet]`` installs.
"""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tausweep.study import StudyError

if TYPE_CHECKING:
    import pandas as pd


def available() -> bool:
    """Whether pyarrow is installed."""
    return find_spec("pyarrow") is not None


def to_parquet(table: pd.DataFrame) -> bytes:
    """A table as a parquet file; the same table and pyarrow give the same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)
    written = io.BytesIO()
    pq.write_table(columns, written)
    return written.getvalue()


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a table; missing texts are NA, missing numbers NaN.

    Raises:
        StudyError: It is not a parquet file, or pyarrow is not installed.
        FileNotFoundError: There is no such file.
    """
    if not available():
        raise StudyError(f"{path}: pyarrow is needed to read it; pip install tausweep[parquet]")
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        columns = pq.read_table(path)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise StudyError(f"{path}: not a parquet file: {str(error).splitlines()[0]}") from None
    text = pd.StringDtype()
    table: pd.DataFrame = columns.to_pandas(
        types_mapper={pa.string(): text, pa.large_string(): text}.get
    )
    return table
