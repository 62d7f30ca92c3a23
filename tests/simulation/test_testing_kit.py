"""What `volgraph.testing` offers is there, under the names that others rely on."""

import re
import subprocess
import sys
from pathlib import Path

from volgraph import testing
from volgraph.testing.meanings import MEANINGS

ID = re.compile(r"\bI[0-9]{2}\b")


def test_everything_promised_is_there() -> None:
    for name in testing.__all__:
        assert getattr(testing, name) is not None, name


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    assert not hasattr(testing, "nonsense")


def test_every_id_of_an_invariant_is_explained() -> None:
    """Wherever the kit or a test names one."""
    folders = Path(testing.__file__).parent, Path(__file__).parents[1]
    used = {each for folder in folders for file in folder.rglob("*.py") for each in ID.findall(file.read_text())}

    assert used <= MEANINGS.keys()


def test_hypothesis_is_only_loaded_for_strategies() -> None:
    script = "import sys; from volgraph import testing; testing.simulate; assert 'hypothesis' not in sys.modules"

    subprocess.run([sys.executable, "-c", script], check=True)


def test_strategies_without_hypothesis_say_what_to_install() -> None:
    script = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "from volgraph import testing\n"
        "try: testing.trees\n"
        "except ModuleNotFoundError as error: print(error)\n"
    )

    printed = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout

    assert "pip install 'volgraph[test]'" in printed
