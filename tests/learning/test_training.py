from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from aldesign.errors import AldesignError, CheckpointError
from aldesign.learning.training import TrainingPlan, fit_network, learning_rate

PLAN = TrainingPlan(
    epochs=6, batch_size=16, learning_rate=1e-2, weight_decay=1e-3, patience=None, checkpoint_seconds=0.0
)


def problem(stop_after=None):
    torch.manual_seed(3)
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.2), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    data = torch.randn(96, 4, generator=torch.Generator().manual_seed(5))
    target = data.sum(1, keepdim=True).square()
    calls = [0]

    def batches(epoch, rng):
        order = rng.permutation(64)
        return [torch.from_numpy(order[i : i + 16]) for i in range(0, 64, 16)]

    def loss(rows):
        calls[0] += 1
        if stop_after is not None and calls[0] > stop_after:
            raise KeyboardInterrupt
        return torch.nn.functional.mse_loss(net(data[rows]), target[rows])

    def validate():
        return float(torch.nn.functional.mse_loss(net(data[64:]), target[64:]))

    return net, loss, batches, validate


def weights(net):
    return torch.cat([p.flatten() for p in net.state_dict().values()])


@pytest.mark.parametrize("stop_after", [1, 5, 8, 13])
def test_a_run_cut_off_and_resumed_ends_with_the_same_weights(tmp_path, stop_after):
    net, *rest = problem()
    whole = fit_network(net, *rest, PLAN, seed=7)
    broken, *rest = problem(stop_after)
    with pytest.raises(KeyboardInterrupt):
        fit_network(broken, *rest, PLAN, seed=7, checkpoint=tmp_path)
    resumed, *rest = problem()
    for parameter in resumed.parameters():  # the checkpoint, not the initial weights, must decide
        torch.nn.init.constant_(parameter, 9.0)
    history = fit_network(resumed, *rest, PLAN, seed=7, checkpoint=tmp_path)
    assert torch.equal(weights(net), weights(resumed))
    assert history.train == whole.train
    assert history.validation == whole.validation


def test_a_run_killed_by_sigkill_resumes_to_the_same_weights(tmp_path):
    script = textwrap.dedent(
        """
        import sys, time; sys.path.insert(0, sys.argv[2])
        from pathlib import Path
        from test_training import PLAN, problem, fit_network
        net, loss, batches, validate = problem()
        def slow(rows):
            time.sleep(0.05); return loss(rows)
        def show(line):
            print(line, flush=True)
        fit_network(net, slow, batches, validate, PLAN, seed=7, checkpoint=Path(sys.argv[1]), progress=show)
        """
    )
    command = [sys.executable, "-c", script, str(tmp_path), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        time.sleep(0.08)
        process.send_signal(signal.SIGKILL)
    net, *rest = problem()
    fit_network(net, *rest, PLAN, seed=7)
    resumed, *rest = problem()
    steps = []
    loss = rest[0]
    rest[0] = lambda rows: steps.append(1) or loss(rows)
    fit_network(resumed, *rest, PLAN, seed=7, checkpoint=tmp_path)
    assert 0 < len(steps) < 24  # it did go on, it did not begin anew
    assert torch.equal(weights(net), weights(resumed))


def test_early_stopping_restores_the_best_weights():
    net, loss, batches, _ = problem()
    figures = iter([3.0, 1.0, 2.0, 5.0, 4.0, 6.0])
    seen = []

    def validate():
        seen.append(weights(net).clone())
        return next(figures)

    history = fit_network(net, loss, batches, validate, replace(PLAN, epochs=50, patience=3))
    assert history.stopped == "patience"
    assert history.best_epoch == 2
    assert len(history.train) == 5
    assert torch.equal(weights(net), seen[1])


def test_a_finished_run_is_not_done_again(tmp_path):
    net, *rest = problem()
    fit_network(net, *rest, PLAN, checkpoint=tmp_path)
    again, *rest = problem(stop_after=0)
    history = fit_network(again, *rest, PLAN, checkpoint=tmp_path)
    assert torch.equal(weights(net), weights(again))
    assert len(history.train) == PLAN.epochs


@pytest.mark.parametrize(
    "change", [{"seed": 8}, {"plan": replace(PLAN, learning_rate=1.0)}, {"fingerprint": "other data"}]
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, change):
    net, *rest = problem(stop_after=5)
    with pytest.raises(KeyboardInterrupt):
        fit_network(net, *rest, PLAN, seed=7, checkpoint=tmp_path)
    settings = {"plan": PLAN, "seed": 7, **change}
    net, *rest = problem()
    with pytest.raises(CheckpointError, match="other data or settings"):
        fit_network(net, *rest, settings.pop("plan"), checkpoint=tmp_path, **settings)


def test_a_truncated_checkpoint_is_refused(tmp_path):
    net, *rest = problem()
    fit_network(net, *rest, PLAN, checkpoint=tmp_path)
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match="damaged"):
        fit_network(net, *rest, PLAN, checkpoint=tmp_path)


def test_a_loss_that_is_not_finite_is_an_error():
    net, loss, batches, validate = problem()
    with pytest.raises(AldesignError, match="epoch 1, step 1"):
        fit_network(net, lambda rows: loss(rows) * float("nan"), batches, validate, PLAN)


def test_global_randomness_is_left_alone():
    net, *rest = problem()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    fit_network(net, *rest, PLAN)
    assert torch.equal(torch.rand(3), expected)


def test_time_limit_stops_within_the_epoch():
    net, *rest = problem()
    history = fit_network(net, *rest, replace(PLAN, epochs=10**6, max_minutes=0.2 / 60))
    assert history.stopped == "time"
    assert history.seconds < 5


def test_schedule_rises_then_falls():
    rates = np.array([learning_rate(PLAN, s) for s in np.linspace(0, 1, 101)])
    assert rates.argmax() == 10
    assert rates.max() == pytest.approx(PLAN.learning_rate)
    assert (np.diff(rates[10:]) <= 0).all()
    assert rates[-1] == pytest.approx(PLAN.learning_rate * 1e-3)


def test_progress_gives_one_line_an_epoch():
    net, *rest = problem()
    lines = []
    fit_network(net, *rest, PLAN, progress=lines.append)
    assert len(lines) == PLAN.epochs
    assert lines[0].startswith("epoch 1/6")
    assert json.dumps(lines)


@pytest.fixture
def keyboard():
    """Let Ctrl-C be Python's own business; processes that share out tests have another handler."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("keyboard")
@pytest.mark.parametrize("where", ["loss", "step", "validate", "batches"])
@pytest.mark.parametrize("after", [1, 2, 3])
def test_ctrl_c_writes_a_checkpoint_to_go_on_from(tmp_path, monkeypatch, where, after):
    plan = replace(PLAN, checkpoint_seconds=3600.0)
    net, *rest = problem()
    whole = fit_network(net, *rest, plan, seed=7)
    calls = [0]

    def cut(work):
        def wrapped(*arguments, **options):
            made = work(*arguments, **options)
            calls[0] += 1
            if calls[0] == after:
                signal.raise_signal(signal.SIGINT)
            return made

        return wrapped

    broken, loss, batches, validate = problem()
    parts = {"loss": loss, "batches": batches, "validate": validate}
    with monkeypatch.context() as patch:
        if where == "step":  # half done: the weights have moved, the books have not
            patch.setattr(torch.optim.AdamW, "step", cut(torch.optim.AdamW.step))
        else:
            parts[where] = cut(parts[where])
        with pytest.raises(KeyboardInterrupt):
            fit_network(broken, parts["loss"], parts["batches"], parts["validate"], plan, seed=7, checkpoint=tmp_path)
    assert (tmp_path / "state.safetensors").is_file()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed, *rest = problem()
    counted = [0]

    def counting(rows):
        counted[0] += 1
        return rest[0](rows)

    history = fit_network(resumed, counting, *rest[1:], plan, seed=7, checkpoint=tmp_path)
    done = {"loss": after - 1, "step": after, "validate": 4 * after, "batches": 4 * (after - 1)}[where]
    assert counted[0] == 24 - done  # what had been done was not done again
    assert torch.equal(weights(net), weights(resumed))
    assert (history.train, history.validation) == (whole.train, whole.validation)


def test_a_step_cut_off_leaves_no_trace_in_running_averages(tmp_path):
    def normed():
        torch.manual_seed(3)
        net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 1))
        data = torch.randn(64, 4, generator=torch.Generator().manual_seed(5))
        return net, lambda rows: net(data[rows]).square().mean()

    def batches(epoch, rng):
        return [torch.from_numpy(rng.permutation(64)[:16]) for _ in range(4)]

    plan = replace(PLAN, checkpoint_seconds=3600.0)
    net, loss = normed()
    fit_network(net, loss, batches, None, plan, seed=7)
    broken, forward = normed()
    calls = [0]

    def cut(rows):
        made = forward(rows)
        calls[0] += 1
        if calls[0] == 6:
            raise KeyboardInterrupt
        return made

    with pytest.raises(KeyboardInterrupt):
        fit_network(broken, cut, batches, None, plan, seed=7, checkpoint=tmp_path)
    resumed, loss = normed()
    fit_network(resumed, loss, batches, None, plan, seed=7, checkpoint=tmp_path)
    assert torch.equal(weights(net), weights(resumed))
