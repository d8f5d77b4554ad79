"""docs/configuration.md says what the program knows: every setting with its default and variable, and nothing else."""

import re
from pathlib import Path

import pytest

from psm.config import keys, load_config
from psm.config.keys import Key
from psm.config.template import default_in_yaml

DOCS = Path(__file__).parents[1] / "docs/configuration.md"
TEXT = DOCS.read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### `([^`\n]+)`\n(.*?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL))
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_every_setting_is_documented_and_nothing_else() -> None:
    assert list(SECTIONS) == [key.dotted for key in keys()]


@pytest.mark.parametrize("key", keys(), ids=lambda key: key.dotted)
def test_default_and_variable_of_each_setting_are_right(key: Key) -> None:
    text = SECTIONS[key.dotted]
    assert re.findall(r"^- Default: `([^`]*)`", text, re.MULTILINE) == [default_in_yaml(key, Path("<data>"))]
    assert re.findall(r"^- Environment: `([^`]*)`$", text, re.MULTILINE) == [key.variable]


@pytest.mark.parametrize("key", keys(), ids=lambda key: key.dotted)
def test_each_setting_is_in_its_own_example(key: Key) -> None:
    (example,) = re.findall(r"^```yaml\n(.*?)^```$", SECTIONS[key.dotted], re.MULTILINE | re.DOTALL)
    assert re.search(rf"^ +{key.path[-1]}:", example, re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_valid(example: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(example, encoding="utf-8")
    load_config(file, env={"HOME": "/home/ann"})


def test_every_variable_in_the_text_is_one() -> None:
    known = {key.variable for key in keys()} | {"PSM__EXPORT__PROFILES__PHONE__FOLDER"}
    assert set(re.findall(r"PSM__\w+", TEXT)) == known
