import pytest

from forecastlab.explanation.features import group_of, groups_of


@pytest.mark.parametrize(
    ("feature", "group"),
    [("WSR0", "WSR"), ("WSR_PK", "WSR"), ("T_PK", "T"), ("RH85", "RH"), ("Precp", "Precp"), ("Höhe2", "Höhe")],
)
def test_a_group_is_the_letters_before_digits_and_underscores(feature, group):
    assert group_of(feature) == group


@pytest.mark.parametrize("feature", ["24h", "_lag", "%"])
def test_a_name_that_begins_otherwise_is_its_own_group(feature):
    assert group_of(feature) == feature


def test_only_groups_of_several_features_are_given():
    assert groups_of(["T1", "RH85", "T0", "T_AV", "SLP"]) == {"T": ["T1", "T0", "T_AV"]}
