"""Catalogs of odd, deep, long and hostile values end in a short message, at once."""

import re
import time
from pathlib import Path

import pytest

from geofm_eval.catalog import load_catalog, toml_files
from geofm_eval.errors import ContractError
from geofm_eval.own_code import own_function

pytestmark = pytest.mark.fast

MODEL = """
[models.mine]
title = "Mine"
family = "control"
architecture = "band_statistics"
bands = ["B04", "B03"]
product = "any"
random_seed = 1
"""
FULL = f"{MODEL}depth = 2\nwidth = 8\nnormalisation = {{ high = 10000.0 }}\n"
TASK = '[tasks.eurosat_mine]\nlike = "eurosat_sim"\nvariant_of = "eurosat"\n'
MANY = '"x", ' * 5_000


def refusal(folder: Path, content: bytes | str) -> str:
    """Message about a catalog file, without its path, which the user chose."""
    path = folder / "own.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ContractError) as caught:
        load_catalog([path])
    return str(caught.value).replace(str(path), "own.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{FULL}options.{'.'.join('a' * 900)} = 1", "nested too deeply"),
        (f"{MODEL}depth.{'.'.join('a' * 900)} = 1", "nested too deeply"),
        (f"{FULL}options = {{ a = {'[' * 300}{']' * 300} }}", "nested too deeply"),
        (f"{FULL}options.{' . '.join('a' * 50_000)} = 1", "a key has more than 1,000 parts"),
        (f"[{'.'.join('a' * 50_000)}]\n", "a key has more than 1,000 parts"),
        (f"{FULL}image_size = 0x{'f' * 10_000}", "a whole number has more than 64 bits"),
        (f"[tasks.mine]\nlike = {'9' * 4_000}", "a whole number has more than 64 bits"),
        (f'{FULL}smallest = "{"a" * 100_000}"', "a text has more than 4,096 characters"),
        (f"{MODEL}depth = [{MANY}]", "field 'depth': Input should be a valid integer"),
        (f"{TASK}offset = [{MANY}]", "and 4999 more"),
        (f"{FULL}{''.join(f'f{n} = 1{chr(10)}' for n in range(2_000))}", "field 'f0' is unknown"),
        ('[tasks.mine]\nlike = ["eurosat"]\n', r"like = \['eurosat'\] is not an earlier entry"),
        (f'{FULL}"\\u001b[2J" = 1', r"field '\\x1b\[2J' is unknown"),
        (f'[models."a\\nb"]\n{FULL.split("]", 1)[1]}', r"\[models\.a\\nb\]"),
        (FULL.replace("models.mine", f"models.{'r' * 300}"), "should have at most 80 characters"),
        (f'{TASK}classes = ["{"c" * 300}", "d"]', "should have at most 200 characters"),
        (b"[models]\n\xff", "can't decode byte 0xff"),
    ],
)
def test_hostile_values_end_in_a_short_message(tmp_path: Path, text: bytes | str, words: str):
    before = time.process_time()
    message = refusal(tmp_path, text)
    assert time.process_time() - before < 1
    assert re.search(words, message), message
    assert len(message) <= 400
    assert message.startswith("own.toml: ")
    assert message.isprintable()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{MODEL}depth = 4611686018427387904\nwidth = 8\nnormalisation = {{ high = 1.0 }}", "'depth'.*equal to 1000 "),
        (f"{MODEL}depth = 2\nwidth = 8\nnormalisation = {{ high = nan }}", "high.*should be a finite number"),
        (f"{TASK}draws = 9223372036854775807", "'draws'.*equal to 1000 "),
        (f"{TASK}sizes = [9223372036854775807, 1, 1]", r"'sizes\.0'.*equal to 10000000 "),
        (f"{TASK}sizes = [-1, 1, 1]", r"'sizes\.0'.*greater than or equal to 0 "),
        (f"{TASK}scale = nan", "scale.*should be a finite number"),
        (f"{TASK}offset = inf", "offset.*should be a finite number"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(tmp_path: Path, text: str, words: str):
    assert re.search(words, refusal(tmp_path, text))


def test_a_file_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(toml_files, "MOST_BYTES", 1_000_000)
    with pytest.raises(ContractError, match="/dev/zero: not a readable TOML file: it is larger than 1 MB"):
        load_catalog([Path("/dev/zero")])


@pytest.mark.parametrize("code", ["utf-8-sig", "utf-8"])
def test_a_file_written_on_windows_is_read(tmp_path: Path, code: str):
    path = tmp_path / "own.toml"
    path.write_bytes(FULL.replace("\n", "\r\n").encode(code))
    assert load_catalog([path]).model("mine").title == "Mine"


def test_a_name_too_long_for_a_file_is_no_file(tmp_path: Path):
    path = tmp_path / "own.toml"
    path.write_text(FULL.replace("band_statistics", f"{'a' * 300}.py:build"))
    spec = load_catalog([path]).model("mine")
    with pytest.raises(ContractError, match=r"does not exist; the path is relative to the catalog file"):
        own_function(spec.slug, spec.architecture, "spec, channels")
