"""What a release did lately: totals of past moments, the older the sparser."""

from serving.supervise.lately import Lately
from serving.tally import Tally


def test_it_goes_back_as_far_as_it_has_to() -> None:
    lately = Lately()
    for minute in range(1000):
        lately.mark(60.0 * minute, {"a": Tally(requests=minute + 1)})
        lately.mark(60.0 * minute + 30.0, {"a": Tally(requests=-1)})  # within a minute: left out
    now = {"a": Tally(requests=1000)}
    assert lately.did(now, "a", 10).requests in range(10, 13)
    assert lately.did(now, "a", 500).requests in range(500, 1000)  # older moments are few
    assert lately.did(now, "a", 5000).requests == 1000
    assert lately.did(now, "b", 10).requests == 0
