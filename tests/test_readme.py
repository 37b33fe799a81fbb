"""What the README tells a newcomer to type is typed here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ELSEWHERE = ("make ",)  # the two first commands are run by a person and by CI


def steps() -> list[tuple[str, str]]:
    """Return the README's files and commands in order: (file name, content) or ("", command)."""
    found: list[tuple[str, str]] = []
    for kind, content in BLOCK.findall(README):
        first, _, rest = content.partition("\n")
        if kind in {"csv", "yaml", "python", "toml"} and re.fullmatch(r"# \S+\.\w+", first):
            found.append((first[2:].strip(), rest))
        elif kind == "sh":
            found += [("", line) for line in content.splitlines() if line and not line.startswith(ELSEWHERE)]
    return found


def run(command: str, directory: Path) -> subprocess.CompletedProcess[str]:
    site = directory / "site"
    command = command.replace("pip install ", f"{sys.executable} -m pip install --quiet --no-deps --target {site} ")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, shell=True, cwd=directory, env=environment, capture_output=True, text=True, timeout=280
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_command_of_the_readme_works(tmp_path: Path) -> None:
    commands = 0
    for name, text in steps():
        if name:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
            continue
        done = run(text, tmp_path)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        commands += 1
    assert commands >= 12
    assert (tmp_path / "runs" / "first" / "report.html").is_file()
    assert list((tmp_path / "exported").glob("*.csv"))


def test_the_two_first_commands_exist_and_come_first() -> None:
    first = next(content for kind, content in BLOCK.findall(README) if kind == "sh")
    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make run", "make test"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^run:", makefile, re.MULTILINE)
    assert re.search(r"^test:", makefile, re.MULTILINE)


def test_the_reference_names_every_key_of_a_campaign_file() -> None:
    from pydantic import BaseModel

    from aldesign.campaign.spec import CampaignSpec

    def keys(model: type[BaseModel]) -> set[str]:
        found: set[str] = set()
        for name, field in model.model_fields.items():
            found.add(name)
            for choice in (field.annotation, *getattr(field.annotation, "__args__", ())):
                if isinstance(choice, type) and issubclass(choice, BaseModel):
                    found |= keys(choice)
        return found

    reference = README.split("## The campaign file")[1].split("\n## ")[0]
    assert {key for key in keys(CampaignSpec) if f"`{key}`" not in reference and f"{key}:" not in reference} == set()


def test_links_and_pictures_exist() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_worked_campaign_is_the_shipped_one() -> None:
    shipped = (ROOT / "campaigns" / "quickstart.yaml").read_text(encoding="utf-8")
    assert shipped in [content for kind, content in BLOCK.findall(README) if kind == "yaml"]
