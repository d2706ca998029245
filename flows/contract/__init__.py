"""What homeroom asks of every application, as tests: a subclass of `ApplicationContract` in a test file asks it of one.

`pip install 'homeroom[testing]'` brings what it needs.
"""

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in ("application", "sequences", "writing", "answers")))

from flows.contract.application import ApplicationContract  # noqa: E402  # after the line above, so that failures tell
from flows.contract.released import Released, release_application  # noqa: E402

__all__ = ["ApplicationContract", "Released", "release_application"]
