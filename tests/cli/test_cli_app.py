"""The command line as a whole: speed, exit codes, words on standard error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aldesign.cli import app
from aldesign.errors import InputError, InterruptedRunError

COMMANDS = """run resume check inspect explain export report ask tell
predict train evaluate screen generate structures data list replay reproduce"""


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f" {name} " in shown for name in COMMANDS.split())


@pytest.mark.parametrize("command", [*COMMANDS.split(), "data mp", "data matbench", "list oracles"])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run([*command.split(), "--help"]) == 0
    assert "Usage: aldesign " + command in capsys.readouterr().out


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom aldesign.cli.app import run\nrun(['--help'])\n"
        "heavy = {'torch', 'pymatgen', 'pandas', 'matplotlib', 'sklearn', 'scipy', 'smact', 'plotly', 'chgnet'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("HEAVY []")


@pytest.mark.parametrize("arguments", [["--bogus"], ["predicct"], ["predict", "--bogus"], ["data", "mp"], ["generate"]])
def test_wrong_usage_is_bad_input(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(arguments) == 2
    assert "Usage" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raised", "code", "words"),
    [
        (InputError("got\nthis", "do that"), 2, "error: got this\nhint: do that\n"),
        (InterruptedRunError("stopped"), 130, "error: stopped\n"),
        (KeyboardInterrupt(), 130, "error: interrupted"),
        (OSError(28, "No space left on device", "x.csv"), 1, "error: No space left on device (x.csv)\nhint: the disk"),
        (PermissionError(13, "Permission denied", "x.csv"), 1, "hint: choose a place"),
        (RuntimeError("a bug"), 1, "error: RuntimeError: a bug\nhint: set ALDESIGN_DEBUG=1"),
    ],
)
def test_errors_become_two_lines_and_a_code(
    raised: BaseException,
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.delenv("ALDESIGN_DEBUG", raising=False)
    monkeypatch.setattr("aldesign.registry.load_oracle", fail)
    assert app.run(["predict", "NaCl"]) == code
    shown = capsys.readouterr()
    assert shown.err.startswith(words) or words in shown.err
    assert len(shown.err.splitlines()) <= 2
    assert not shown.out


def test_the_debug_variable_shows_tracebacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALDESIGN_DEBUG", "1")
    with pytest.raises(InputError):
        app.run(["predict", "--oracle", "no such oracle", "NaCl"])


def test_the_installed_command_and_the_module_agree(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "aldesign", "predict", "--input", "absent.csv"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "ALDESIGN_DEBUG"},
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: there is no file absent.csv\nhint: check the path given to --input\n"


def test_a_reader_that_leaves_is_not_an_accident(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("NaCl\n" * 50_000)
    command = f"{sys.executable} -m aldesign screen --input in.txt | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stdout.startswith("formula,neutral")
    assert done.stderr == ""
