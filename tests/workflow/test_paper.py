"""The whole paper is planned by Snakemake before any of its data is there."""

from pathlib import Path

from checkout import Checkout, DryRuns, jobs_of
from tausweep.study import load

REPOSITORY = Path(__file__).parents[2]
TEMPERATURES = ("0.05", "0.07", *(f"0.{tenth}" for tenth in range(1, 10)), "1.0")


def test_dry_run_plans_all_runs_of_the_paper_without_its_data(tmp_path: Path, dry: DryRuns) -> None:
    """4 datasets x (12 + 12 temperatures, 3 losses without, 2 baselines) x 5 seeds = 580 runs."""
    runs = {
        f"{dataset}/{cell}/seed{seed}"
        for dataset in ("cifar10", "cifar100", "svhn", "imagenet100")
        for cell in (
            *(f"contrastive/{tau}" for tau in TEMPERATURES),
            *(f"hard_contrastive/{tau}" for tau in TEMPERATURES),
            "simple/none",
            "hard_simple/none",
            "nearest_negative/none",
            "untrained/none",
            "raw_pixels/none",
        )
        for seed in range(5)
    }
    assert len(runs) == 580
    checkout = Checkout.new(tmp_path / "checkout")
    assert not (checkout.folder / "data").exists()
    jobs = jobs_of(dry(checkout, study="benchmarks/paper.yaml"))
    assert {job.split()[1] for job in jobs if job.startswith("pretrain ")} == runs
    assert {job.split()[1] for job in jobs if job.startswith("evaluate ")} == runs
    assert {run.id for run in load(REPOSITORY / "benchmarks/paper.yaml").runs()} == runs
    prepared = {job.split()[1].rpartition("-")[0] for job in jobs if job.startswith("prepare ")}
    assert prepared == {"cifar10", "cifar100", "svhn", "imagenet100"}
    stages = {job for job in jobs if " " not in job}
    assert stages == {"study", "collect", "tables", "figures", "claims", "report", "all"}
