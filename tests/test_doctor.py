"""The commands that list what is here: short by default, complete on request, and whole names in any width."""

import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from geofm_eval.cli import app, application, here

pytestmark = pytest.mark.fast


def command(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done.output


def test_doctor_fits_a_screen_and_names_the_cheapest_step(monkeypatch):
    monkeypatch.delenv("GEOFM_HOME", raising=False)
    text = command("doctor")
    assert len(text.splitlines()) < 15
    assert "0 of 31 tasks with files" in text
    assert "Cheapest next step: export GEOFM_HOME=FOLDER, then geofm-eval fetch galileo_nano (4.2 MB)" in text
    assert "mae_vits16_random" not in text


def test_doctor_lists_every_pair_and_address_on_request(monkeypatch):
    monkeypatch.delenv("GEOFM_HOME", raising=False)
    text = command("doctor", "--all")
    assert "  eurosat_sim: moco_vits16_random, " in text
    assert "https://huggingface.co/wangyi111/SSL4EO-S12" in text


def test_models_lists_variants_on_request_only():
    short = command("models")
    assert "galileo_nano " in short
    assert "galileo_nano_random" not in short
    assert "random twins and RGB-only variants are not listed" in short
    assert "galileo_nano_random" in command("models", "--all")


@pytest.mark.parametrize("words", [("models", "--all"), ("tasks",)])
def test_lists_are_also_json(words: tuple[str, ...]):
    rows = {row[words[0][:-1]]: row for row in json.loads(command(*words, "--json"))}
    name = "galileo_nano_random" if "models" in words else "eurosat_sim"
    assert rows[name]["missing"] is None
    assert rows[name]["bands"]


def test_a_narrow_table_drops_columns_instead_of_cutting_names(monkeypatch, capsys):
    monkeypatch.setattr(here, "console", Console(width=60))
    here._show(("model", "a wide column", "another wide column", "files here"), [("m" * 30, "x" * 20, "y", "yes")])
    text = capsys.readouterr().out
    assert "m" * 30 in text
    assert "files here" in text
    assert "Columns without room: a wide column, another wide column" in " ".join(text.split())


def test_the_width_of_a_pipe_can_be_set(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert application._width() == 260
    monkeypatch.setenv("COLUMNS", "80")
    assert application._width() is None


def test_a_reader_that_ends_first_is_no_error(monkeypatch):
    def ends(_: Console) -> None:
        raise SystemExit(1)

    monkeypatch.setattr(Console, "on_broken_pipe", ends)
    with pytest.raises(SystemExit) as ended:
        application.Output().on_broken_pipe()
    assert ended.value.code == 0
