"""The typed description of a study: its settings with all defaults, and the runs that it defines.

Every default of the project is set in this package and nowhere else, with its source: *paper* is
Wang & Liu 2021, *author* the first author's public code, *InstDisc* Wu et al. 2018, *AU* Wang &
Isola 2020. Snakemake, every command and the tests read it; it must not import torch.

For a notebook: ``load`` reads a study file; ``Study.runs()`` gives its runs, each a ``Run``. The
other names are for the other rooms.
"""

from __future__ import annotations

from tausweep.study.canonical_form import canonical, digest
from tausweep.study.columns import ALONG
from tausweep.study.dataset import DatasetSettings, Source
from tausweep.study.encoder import SMALLEST_IMAGE, TRUNKS, EncoderSettings
from tausweep.study.errors import StudyError, did_you_mean
from tausweep.study.fields import (
    NAME,
    Count,
    Integer,
    Interval,
    Name,
    Number,
    Positive,
    Probability,
    Seed,
    Settings,
)
from tausweep.study.figures import FigureSettings
from tausweep.study.grid import RESERVED_FILES, RESERVED_STUDIES, DatasetEntry, Override, Study
from tausweep.study.loss import (
    BASELINES,
    HARD,
    HARD_NEGATIVES,
    LOSS_OPTIONS,
    LOSSES,
    TEMPERATURE_FREE,
    LossGrid,
    LossSettings,
)
from tausweep.study.loss_kinds import KINDS, RELATED, LossKind, NegativesFrom
from tausweep.study.measures import (
    MEASURED,
    MEASURES,
    OF_LABELS,
    OF_THE_LOSS,
    GeometrySettings,
    KnnSettings,
    LinearSettings,
    SeparationSettings,
)
from tausweep.study.pretrain import PretrainSettings
from tausweep.study.protocol import OF_THE_RUN, PROTOCOL, SECTIONS
from tausweep.study.reading import Model, check_nesting, content_of, load, parse, parse_settings
from tausweep.study.run import EVALUATED, RAW_SIDE, Run, RunSettings
from tausweep.study.views import ViewSettings

__all__ = ["Run", "Study", "load"]
