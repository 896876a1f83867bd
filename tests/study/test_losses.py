"""Settings of losses: what each takes, its defaults, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tausweep.study import KINDS, RELATED, LossSettings, StudyError
from tiny_run import study


def loss_of(name: str, grid: dict[str, Any] | None = None) -> LossSettings:
    return study(losses={name: grid or {}}).runs()[0].settings.loss


def given(loss: LossSettings) -> dict[str, Any]:
    return loss.model_dump(mode="json", exclude_none=True)


def test_the_papers_losses_say_no_more_than_they_did() -> None:
    """So the digests of finished runs stay as they are."""
    assert given(loss_of("contrastive", {"temperature": 0.3})) == {
        "name": "contrastive",
        "temperature": 0.3,
    }
    assert given(loss_of("hard_simple", {"negatives": 20})) == {
        "name": "hard_simple",
        "negatives": 20,
    }
    explicit = {"temperature": 0.3, "negatives_from": "bank", "kind": "contrastive"}
    assert loss_of("contrastive", explicit) == loss_of("contrastive", {"temperature": 0.3})


@pytest.mark.parametrize("name", RELATED)
def test_every_related_loss_has_all_its_defaults_filled_in(name: str) -> None:
    kind = KINDS[name]
    found = loss_of(name, {"temperature": 0.3} if kind.temperature else {})
    assert found.shipped == name
    assert found.source == kind.negatives_from[0]
    assert found.sees_labels == kind.supervised
    expected = kind.options().model_dump(mode="json") if kind.options else None
    assert found.options == expected


def test_a_queue_has_its_length_and_momentum() -> None:
    found = loss_of("contrastive", {"temperature": 0.3, "negatives_from": "queue"})
    assert (found.queue, found.key_momentum, found.view_count) == (4096, 0.99, 2)


def test_a_free_name_stands_for_a_shipped_loss() -> None:
    found = loss_of("moco", {"kind": "contrastive", "temperature": 0.3, "negatives_from": "queue"})
    assert (found.name, found.shipped, found.source) == ("moco", "contrastive", "queue")


def test_a_loss_of_ones_own_may_have_the_name_of_a_shipped_one() -> None:
    found = loss_of("decoupled", {"module": __file__, "temperature": 0.3})
    assert found.shipped is None


@pytest.mark.parametrize(
    ("name", "grid", "says"),
    [
        ("decouplet", {}, r"losses\.decouplet: unknown loss; did you mean decoupled; known are"),
        ("mine", {"kind": "hlc", "temperature": 1}, r"losses\.mine\.kind: unknown loss hlc"),
        ("simple", {"kind": "hcl", "temperature": 1}, r"simple is a loss of its own; take another"),
        ("hcl", {}, r"losses\.hcl\.temperature: at least one temperature is needed"),
        (
            "cosine_tau",
            {"temperature": 1},
            r"losses\.cosine_tau\.temperature: cosine_tau has no temp",
        ),
        ("hcl", {"temperature": 1, "negatives": 3}, r"losses\.hcl\.negatives: only the hard"),
        ("hcl", {"temperature": 1, "lr": 3}, r"losses\.hcl\.lr: hcl has no parameters"),
        ("hcl", {"temperature": 1, "views": 2}, r"losses\.hcl\.views: only a loss with a module"),
        ("hcl", {"temperature": 1, "clamp": {}}, r"losses\.hcl\.clamp: only a loss with a module"),
        ("hcl", {"temperature": 1, "queue": 9}, r"losses\.hcl\.queue: only a loss with `negatives"),
        (
            "nt_xent",
            {"temperature": 1, "negatives_from": "bank"},
            r"losses\.nt_xent\.negatives_from: bank is not allowed; nt_xent takes batch",
        ),
        (
            "untrained",
            {"negatives_from": "batch"},
            r"losses\.untrained\.negatives_from: untrained has no negatives",
        ),
        (
            "hard_simple",
            {"literal_topk": True, "negatives_from": "queue"},
            r"losses\.hard_simple\.literal_topk: it is for negatives from the bank alone",
        ),
        (
            "hcl",
            {"temperature": 1, "options": {"betta": 1}},
            r"losses\.hcl\.options\.betta: unknown key; did you mean beta; known keys are beta",
        ),
        (
            "hcl",
            {"temperature": 1, "options": {"tau_plus": 1}},
            r"losses\.hcl\.options\.tau_plus: 1 is not allowed; it should be less than 1",
        ),
        (
            "cosine_tau",
            {"options": {"low": 2, "high": 1}},
            r"losses\.cosine_tau\.options\.low: 2.0 is more than high: 1.0",
        ),
        ("simple", {"options": {"beta": 1}}, r"losses\.simple\.options: simple has none"),
        ("mine", {"module": __file__, "kind": "hcl"}, r"losses\.mine\.kind: a loss with a module"),
        (
            "mine",
            {"module": __file__, "clamp": {"scale": [2, 1]}},
            r"losses\.mine\.clamp\.scale: the lower bound comes first",
        ),
        ("mine", {"module": __file__, "views": 3}, r"losses\.mine\.views: 3 is not allowed"),
    ],
)
def test_what_a_loss_does_not_take_is_refused(name: str, grid: dict[str, Any], says: str) -> None:
    with pytest.raises(StudyError, match=says):
        study(losses={name: grid})
