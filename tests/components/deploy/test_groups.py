"""What the model card says of groups: figures with intervals, words where there are none, no name of a small group."""

from components.deploy.groups import groups_in_markdown
from components.pages.markdown import html_of

GROUPS = {
    "measures": {"auc": "area", "accuracy": "share", "calibration": "difference"},
    "limits": {"auc": 0.05},
    "attributes": {
        "home_language": {
            "groups": [
                {
                    "group": "en|us",
                    "status": "ok",
                    "students": 120,
                    "measures": {"auc": {"status": "ok", "value": 0.71, "low": 0.69, "high": 0.73}},
                },
                {"group": "es", "status": "ok", "students": 40, "measures": {"auc": {"status": "too_few"}}},
                {"group": "only-one-pupil", "status": "too_few", "measures": {}},
            ],
            "too_few": 1,
            "gaps": {"auc": {"status": "not_estimable", "groups": 1}},
        }
    },
    "findings": [{"outcome": "warn", "reason": "home_language: one gap could not be judged"}],
}


def test_each_group_has_its_figures_and_small_ones_no_name() -> None:
    text = groups_in_markdown(GROUPS, "auc")
    assert "| home language | students | auc |" in text
    assert "| en/us | 120 | 0.710 (0.690 to 0.730) |" in text
    assert "| es | 40 | too few |" in text
    assert "only-one-pupil" not in text
    assert "too few students or answers to be shown: 1." in text
    assert "Gap of auc: not estimable." in text
    assert "- warn: home_language: one gap could not be judged" in text
    assert " 0.000" not in text
    assert html_of(text).count("<tr>") == 3


def test_no_groups_and_a_useless_model_are_said() -> None:
    text = groups_in_markdown({"attributes": {}, "useless": "The model gives everybody the same."}, "auc")
    assert "nothing is known about how groups of students are served" in text
    assert "The model gives everybody the same." in text
