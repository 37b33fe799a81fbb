"""The README's loop over CIFs, with a stand-in for the queue and for the calculation."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aldesign.campaign.reading import read_state
from aldesign.cli.app import run
from aldesign.records import TrialState

ROOT = Path(__file__).parents[2]
LAB = ("--set", "oracle.kind=external", "--set", "oracle.options.needs=structure", "--set", "execution={kind: serial}")
SBATCH = '#!/bin/bash\nSLURM_JOB_ID=17 bash "$@"\n'
ALDESIGN = """#!/bin/bash
if [ "$1" != dft ]; then exec {python} -m aldesign "$@"; fi
case "$4" in  # aldesign dft compute --input CIF --out DIR ...
  *{first}) mkdir -p "$6"; printf 'id,formula,gap_ev,seconds,error\\n1,{formula},4.25,31,\\n' > "$6/results.csv" ;;
esac
"""


def scripts() -> dict[str, str]:
    """Return the README's shell scripts by name."""
    blocks = re.findall(r"^```bash\n# (\w+\.sh): .*?\n(.*?)^```$", (ROOT / "README.md").read_text(), re.S | re.M)
    return dict(blocks)


@pytest.mark.slow
def test_the_loop_of_the_readme_submits_and_tells(tmp_path: Path) -> None:
    lab = tmp_path / "runs" / "lab"
    assert run(["run", str(ROOT / "tests" / "campaign" / "tiny.yaml"), *LAB, "--out", str(lab), "--quiet"]) == 0
    state, _ = read_state(lab)
    first, second = state.unasked[:2]
    programs = tmp_path / "bin"
    programs.mkdir()
    stub = ALDESIGN.format(python=sys.executable, first=f"{first.number:05d}_*.cif", formula=first.candidate.formula)
    for name, text in (("sbatch", SBATCH), ("aldesign", stub)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    found = scripts()
    for name, text in found.items():
        (tmp_path / name).write_text(text.replace("-n 10", "-n 2"))
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    bash = shutil.which("bash")
    assert bash is not None
    call = [bash, "submit.sh"]
    done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280)
    state, _ = read_state(lab)
    assert state.trials[first.number].prediction.value == 4.25, done.stderr
    assert state.trials[second.number].state is TrialState.FAILED
    assert state.trials[second.number].prediction.error == "job 17 ended without a result"
    assert not state.waiting
