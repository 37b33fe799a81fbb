"""Put a toy in the place of every code, in calculations whose PYTHONPATH names this folder; see `dft_toys`."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

if "ALDESIGN_TOY_CODE" in os.environ:
    from aldesign.dft import cells, codes
    from aldesign.dft.results import Result
    from aldesign.errors import CalculationError

    def misbehave(what, folder):
        if what == "slow":
            (folder / "toy.txt").write_text("iter:   1 10:00:00\niter:   7 10:00:01\n")
            time.sleep(300)
        if what == "greedy":
            held = []
            for _ in range(80):
                held.append(bytearray(os.urandom(1 << 20) * 8))
                time.sleep(0.02)
            time.sleep(300)
        if what == "huge":
            bytearray(1 << 50)
        if what == "parent":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
            (folder.parent / "child").write_text(str(child.pid))
            time.sleep(300)
        if what == "full":
            with Path("/dev/full").open("w") as file:
                file.write("density")
        if what == "quota":
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
            (folder / "density").write_bytes(bytes(5000))
        if what == "wrapped":
            try:
                raise OSError(errno.ENOSPC, "No space left on device")
            except OSError as error:
                raise RuntimeError("could not write the restart file") from error
        if what == "crash":
            raise ValueError("the Cholesky decomposition failed")
        if what == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        if what == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "quits":
            sys.stderr.write("pw.x: out of cheese\n")
            sys.stderr.flush()
            os._exit(3)
        if what == "stuck":
            raise CalculationError("convergence", "no self-consistency within 80 iterations", "allow more")

    class Toy:
        name = "toy"

        def missing(self):
            return os.environ["ALDESIGN_TOY_CODE"] if os.environ["ALDESIGN_TOY_CODE"] != "here" else None

        def lacking(self, symbols):
            return sorted({"Po", "At"} & set(symbols))

        def data_sets(self, symbols, settings):
            return {f"data set {symbol}": os.environ.get("ALDESIGN_TOY_SET", "1") for symbol in symbols}

        def run(self, crystal, settings, folder):
            if missing := self.missing():
                raise CalculationError("unavailable", missing)
            if lacking := self.lacking(crystal.species):
                raise CalculationError("element", f"no data set for {', '.join(lacking)}")
            with Path(os.environ["ALDESIGN_TOY_LOG"]).open("a") as log:
                log.write(f"{crystal.id}\n")
            time.sleep(float(os.environ.get("ALDESIGN_TOY_SECONDS", "0")))
            misbehave(crystal.id.split("-")[0], folder)
            cell = cells.primitive(crystal)
            formula = "".join(f"{symbol}{count}" for symbol, count in sorted(Counter(cell.species).items()))
            gap = 0.1 * len(cell) + 0.01 * cell.lattice[0]
            return Result(
                codes.canonical(formula),
                cell,
                settings,
                gap,
                gap,
                (0.0, 0.0, 0.0),
                (0.0, 0.0, 0.0),
                -3.5 * len(cell),
                0.0,
                False,
                8.0,
                4,
                9,
                None,
                0.5,
                0.1,
                {"toy": "1", **self.data_sets(cell.species, settings)},
            )

    codes.code = lambda name: Toy()
