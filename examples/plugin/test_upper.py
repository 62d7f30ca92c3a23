"""What the project offers to test a translator with: one line for every contract, one for thousands of random steps."""

from upper import Upper

from volgraph import testing


def test_upper_keeps_every_contract_of_a_translator() -> None:
    testing.check(lambda child: Upper("upper", [child]))


def test_a_volume_below_upper_answers_like_a_plain_directory() -> None:
    testing.like_a_directory(lambda child: Upper("upper", [child]))
