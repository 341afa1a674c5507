"""Which episodes belong together, and what is told where they do not."""

from __future__ import annotations

import pytest

from policypress.measurement.certificate.episode_files import Episodes
from policypress.measurement.certificate.pairing import matched, without_common_seeds
from policypress_runtime.errors import EpisodeFileError

BASE = Episodes((1.0, 2.0, 3.0), (7, 8, 9), source="base")


def test_seeds_are_paired_in_whatever_order_and_the_longer_file_may_go_on() -> None:
    base, own, paired = matched(BASE, Episodes((20.0, 10.0), (8, 7)), "seeds")
    assert paired
    assert (base.returns, own.returns) == ((1.0, 2.0), (10.0, 20.0))


def test_an_episode_that_is_missing_in_between_may_be_one_that_failed() -> None:
    with pytest.raises(EpisodeFileError, match="not played on the same seeds") as caught:
        matched(BASE, Episodes((10.0, 30.0), (7, 9), source="own"), "seeds")
    assert "may be one that failed" in str(caught.value)


def test_what_the_hints_say_works() -> None:
    other = Episodes((10.0, 20.0, 30.0), (1, 2, 3), source="own")
    with pytest.raises(EpisodeFileError, match="--pairing none"):
        matched(BASE, other, "seeds")
    assert matched(BASE, other, "none")[2] is False
    bare = Episodes((10.0, 20.0, 30.0), source="own")
    with pytest.raises(EpisodeFileError, match="Only one of the two"):
        matched(BASE, bare, "seeds")
    unseeded = Episodes(BASE.returns)
    assert matched(unseeded, bare, "seeds")[2] is False
    assert matched(unseeded, bare, "rows")[2] is True
    with pytest.raises(EpisodeFileError, match="Leave --pairing out"):
        matched(BASE, Episodes((1.0, 2.0, 3.0), (7, 9, 8)), "none")
    assert matched(BASE, Episodes((1.0, 2.0, 3.0), (7, 9, 8)), "seeds")[2] is True


def test_rows_are_as_many_and_of_the_same_seeds() -> None:
    with pytest.raises(EpisodeFileError, match="as many in both"):
        matched(BASE, Episodes((1.0, 2.0)), "rows")
    with pytest.raises(EpisodeFileError, match="different seeds"):
        matched(BASE, Episodes((1.0, 2.0, 3.0), (7, 9, 8)), "rows")


def test_random_actions_on_other_seeds() -> None:
    assert without_common_seeds(None, BASE)
    assert without_common_seeds(Episodes((1.0,)), BASE)
    assert without_common_seeds(Episodes((1.0,), (1,)), BASE)
    assert not without_common_seeds(Episodes((1.0,), (9,)), BASE)
