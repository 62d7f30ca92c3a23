"""storage/posix: whatever a disk may keep when the power fails, the brick starts on it and keeps what was promised."""

import random
import stat as mode_bits
import tempfile
from collections.abc import Callable, Iterator

import pytest

from tests.translators.storage.bricks import MODES, in_both_modes
from tests.translators.storage.ordinary_user import IN_MEMORY, in_a_process_of_its_own, users_folder
from volgraph.testing.power_loss import Report, explore, scratch_folder
from volgraph.testing.power_loss_model import ROOT, Born, Image, Log
from volgraph.testing.power_loss_mutants import MUTANTS, Mutant, hunt
from volgraph.testing.power_loss_workloads import recordings, starts, words

FILE, FOLDER = Born(mode_bits.S_IFREG | 0o600), Born(mode_bits.S_IFDIR | 0o755)
SEED = 1
Say = Callable[[str, object], None]


@pytest.fixture
def scratch() -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as folder:
        yield folder


def show(say: Say, what: str, mode: str, report: Report) -> None:
    say("power loss", f"{what}, {mode}: {report}")
    assert not report.violations, "\n".join(map(str, report.violations[:5]))


@in_both_modes
def test_every_fop_alone_is_whole_or_lost_and_what_was_synced_is_there(
    mode: str, scratch: str, record_property: Say
) -> None:
    report = explore(recordings(mode, scratch, words(1)), scratch, SEED, most=25)
    show(record_property, "single fops", mode, report)
    assert report.distinct > 400


@in_both_modes
def test_fops_in_pairs_are_whole_or_lost_and_what_was_synced_is_there(
    mode: str, scratch: str, record_property: Say
) -> None:
    """A part of all pairs, which `make soak` tries."""
    chosen = random.Random(SEED).sample(list(words(2)), 90)
    show(record_property, "pairs", mode, explore(recordings(mode, scratch, chosen), scratch, SEED, most=12))


@in_both_modes
def test_a_start_that_the_power_loss_meets_is_made_again(mode: str, scratch: str, record_property: Say) -> None:
    show(record_property, "starts", mode, explore(starts(mode, scratch), scratch, SEED, most=120, mendings=20))


def test_an_ordinary_users_brick_keeps_what_was_promised_too() -> None:
    """Of a mode that was lent to a file only the end of the process is tried: what a machine forgets of it is lost."""

    def judged() -> str:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            alone = [word for word in words(1) if word != ("heal",)]
            report = explore(recordings("sidecar", scratch, alone), scratch, SEED, most=8)
            healing = explore(recordings("sidecar", scratch, [("heal",)]), scratch, SEED, most=0, mendings=0)
            return "\n".join([str(report), str(healing), *map(str, report.violations + healing.violations)])

    with users_folder(IN_MEMORY) as folder:
        said = in_a_process_of_its_own(judged)
    print(f"power loss, ordinary user: {said}")
    assert said.count(" 0 violations") == 2, said


@pytest.mark.soak
@in_both_modes
def test_every_pair_of_fops_keeps_its_promises(mode: str, scratch: str, record_property: Say) -> None:
    show(
        record_property,
        "all pairs",
        mode,
        explore(recordings(mode, scratch, words(2)), scratch, SEED, most=40, mendings=3),
    )


@pytest.mark.soak
@in_both_modes
def test_many_triples_of_fops_keep_their_promises(mode: str, scratch: str, record_property: Say) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    chosen = random.Random(seed).sample(list(words(3)), 1000)
    show(
        record_property,
        f"triples, seed {seed}",
        mode,
        explore(recordings(mode, scratch, chosen), scratch, seed, most=40, mendings=3),
    )


# --- the mutants ------------------------------------------------------------------------------------------------------

can_be_planted = [mutant for mutant in MUTANTS if mutant.mode in MODES]


@pytest.mark.parametrize("mutant", can_be_planted, ids=lambda mutant: mutant.id)
def test_a_brick_that_syncs_too_little_or_too_late_is_found_out(mutant: Mutant) -> None:
    assert hunt(mutant).killed


@pytest.mark.parametrize("mutant", can_be_planted, ids=lambda mutant: mutant.id)
def test_the_unbroken_brick_passes_where_its_mutants_are_found_out(mutant: Mutant) -> None:
    assert not hunt(mutant, planted=False).report.violations


# --- the model of the disk --------------------------------------------------------------------------------------------


def log() -> Log:
    return Log(Image({ROOT: FOLDER}))


def made(log: Log, name: bytes, born: Born = FILE, above: int = ROOT) -> int:
    log.begin()
    thing = log.born(born)
    log.add({("name", above, name): thing})
    return thing


def changed(log: Log, *changes: dict[tuple[object, ...], object]) -> None:
    log.begin()
    for change in changes:
        log.add(change)


def images(log: Log) -> list[Image]:
    """Every distinct state that a crash now may leave."""
    found = {}
    for kept, torn in log.states(log.calls, random.Random(0), 0, every_max=1 << 12):
        image = log.image(kept, torn)
        found[image.key()] = image
    return list(found.values())


def names(image: Image) -> set[bytes]:
    return {name for _, name, _ in image.tree()}


def test_names_in_a_directory_are_kept_in_any_combination_until_it_is_synced() -> None:
    disk = log()
    made(disk, b"a")
    made(disk, b"b")
    assert {frozenset(names(image)) for image in images(disk)} == {
        frozenset(),
        frozenset({b"a"}),
        frozenset({b"b"}),
        frozenset({b"a", b"b"}),
    }
    disk.begin()
    disk.sync(ROOT)
    assert [names(image) for image in images(disk)] == [{b"a", b"b"}]


def test_a_rename_is_kept_whole_or_not_at_all() -> None:
    disk = log()
    file = made(disk, b"a")
    disk.begin()
    disk.sync_all()
    changed(disk, {("name", ROOT, b"a"): None, ("name", ROOT, b"b"): file})
    assert sorted(map(sorted, map(names, images(disk)))) == [[b"a"], [b"b"]]


def test_an_entry_comes_with_the_attributes_that_its_object_had_but_without_its_data() -> None:
    disk = log()
    file = made(disk, b"aside")
    changed(disk, {("attribute", file, "trusted.gfid"): b"g"})
    changed(disk, {("size", file): 4}, {("data", file, 0): b"data"})
    changed(disk, {("name", ROOT, b"a"): file})
    changed(disk, {("attribute", file, "user.later"): b"x"})
    found = [image for image in images(disk) if b"a" in names(image)]
    assert all(image.attributes[file, "trusted.gfid"] == b"g" for image in found)
    assert {image.data.get(file, b"") for image in found} == {b"", bytes(4), b"da\0\0", b"data"}
    assert {(file, "user.later") in image.attributes for image in found} == {True, False}


def test_fdatasync_pins_data_and_size_and_fsync_attributes_too() -> None:
    disk = log()
    file = made(disk, b"a")
    disk.begin()
    disk.sync(ROOT)
    changed(disk, {("size", file): 4}, {("data", file, 0): b"data"})
    changed(disk, {("attribute", file, "mode"): 0o640})
    disk.begin()
    disk.sync(file, data_only=True)
    assert {image.data[file] for image in images(disk)} == {b"data"}
    assert {(file, "mode") in image.attributes for image in images(disk)} == {True, False}
    disk.begin()
    disk.sync(file)
    assert len(images(disk)) == 1


def test_a_directory_goes_only_after_what_was_in_it() -> None:
    disk = log()
    folder = made(disk, b"d", FOLDER)
    made(disk, b"f", above=folder)
    disk.begin()
    disk.sync_all()
    changed(disk, {("name", folder, b"f"): None})
    changed(disk, {("name", ROOT, b"d"): None})
    assert sorted(map(sorted, map(names, images(disk)))) == [[], [b"d"], [b"d", b"f"]]


def test_a_crash_before_the_sync_returned_knows_nothing_of_it() -> None:
    disk = log()
    made(disk, b"a")
    before = disk.calls
    disk.begin()
    disk.sync(ROOT)
    assert disk.pinned(before) == set()
    assert disk.pinned(disk.calls) == {0}
    assert disk.until(before).pinned(before) == set()
