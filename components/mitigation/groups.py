"""Which groups of students may have a map of the answers of their own, and what is told where they have.

A map for each group takes the difference of two groups' calibration away, which a map for everybody cannot. It needs
each student's group with every request, and gives two students who answered alike different probabilities.

Shapes: V validation students.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from components.app import Codec, GroupCodec
from components.errors import ConfigError, NotEnoughDataError
from components.mitigation.config import MapGroupsConfig, PostprocessConfig

ARRAY = "window_group"
"""Name of the array of group indices, one for each window, where answers may be mapped by group."""
INPUT = "group"
"""Name of the model's input (B,) int64, and of what a batch has."""
KEY = "preprocess.map_groups.by"
"""The setting that names the attribute."""
MOST_GROUPS = 50
"""More maps than these nobody looks at one by one."""
CAUTION = (
    "Answers hang on a group attribute: two students who answered alike get different ones. In some places, and for "
    "some uses, law or policy forbids that, or thresholds by group, which come to the same: ask whoever is responsible "
    "before this model serves."
)


def groups_to_map(group_V: Sequence[str | None], config: MapGroupsConfig) -> tuple[str, ...]:
    """Return the groups with enough validation students for a map of their own, by name.

    Args:
        group_V: the group of each validation student with a scored answer; None where it is not known, which is no
            group: those students take the map for everybody.
        config: how many are enough.

    Raises:
        NotEnoughDataError: fewer than two groups are large enough.
        ConfigError: more are than anybody would look at.
    """
    students = Counter(group for group in group_V if group is not None)
    large = sorted(group for group, count in students.items() if count >= config.min_students)
    if len(large) < 2:
        raise NotEnoughDataError(
            f"{KEY} = {config.by!r}: {len(large)} of its {len(students)} groups have {config.min_students} students "
            "or more with a scored answer in the validation split; expected at least two, else a map for everybody "
            "does as well. Hold out more students (preprocess.valid_share), or leave it out. "
            "preprocess.map_groups.min_students can be lowered to 10."
        )
    if len(large) > MOST_GROUPS:
        raise ConfigError(
            f"{KEY} = {config.by!r} makes {len(large)} groups of enough students; at most {MOST_GROUPS} have maps of "
            "their own. Name an attribute with fewer groups, or raise preprocess.map_groups.min_students."
        )
    return tuple(large)


def with_groups(codec: Codec, by: str, groups: Sequence[str]) -> Any:  # Any: a Codec that is a GroupCodec too
    """Return the codec that reads these groups.

    Raises:
        ConfigError: the application's codec knows of no groups.
    """
    if not isinstance(codec, GroupCodec):
        raise ConfigError(
            f"{KEY} is {by!r}, but the application's codec takes no group with a request; expected what GroupCodec in "
            "components/app.py has. Leave it out, or give the codec these methods."
        )
    return codec.with_groups(by, groups)


def disagreement(by: str, config: PostprocessConfig) -> str | None:
    """Return why the two sections of a configuration that make maps by group do not fit together, None if they do.

    Args:
        by: `preprocess.map_groups.by`, or what a dataset was made with.
        config: of the post-processor.
    """
    if config.kind == "affine_by_group" and not by:
        return (
            f"train.postprocess.kind is 'affine_by_group', but {KEY} names no attribute; expected one that the logs "
            "have. Name it, or set kind to 'affine', a map for everybody."
        )
    if by and config.kind != "affine_by_group":
        return (
            f"{KEY} is {by!r}, so that the service would ask for a group, but train.postprocess.kind is "
            f"{config.kind!r}, which maps nothing by it. Set kind to 'affine_by_group', or leave {KEY} out."
        )
    return None
