"""How many random examples a property test draws."""

from hypothesis import settings


def examples(count: int) -> int:
    """``count`` in the ordinary profile of conftest.py, as many times more in a search.

    A number in ``@settings`` overrides the profile's, so a test that wants fewer or more than the
    profile scales with it.
    """
    assert settings.default is not None
    return max(1, count * settings.default.max_examples // 100)
