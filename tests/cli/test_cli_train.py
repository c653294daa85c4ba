"""The command `train` itself; what it writes is tested in tests/end_to_end."""

import pytest
from command_case import TINY, call

from fsrf_jax.cli import train


def test_the_printed_config_needs_no_data_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call("train", *TINY, "--print_config")
    assert (done.status, done.err) == (0, "")
    assert "epochs: 2\n" in done.out
    assert not list(tmp_path.iterdir())


def test_overwrite_is_an_option_of_train():
    assert "--overwrite" in call("train", "--help").out


@pytest.mark.parametrize("shown", ["true", "false"])
def test_progress_can_be_switched_off(trained, shown):
    done = call("train", *trained.argv, "--output.progress", shown)
    assert done.status == 0
    assert ("label mean" in done.out) == (shown == "true")
    assert "Protocol corrkd" in done.out


def test_results_of_another_epoch_are_not_the_finished_ones(tmp_path):
    path = tmp_path / "results.json"
    assert train._finished_results(tmp_path, 2) is None
    path.write_text('{"epochs_trained": 2}')
    assert train._finished_results(tmp_path, 2) == {"epochs_trained": 2}
    assert train._finished_results(tmp_path, 3) is None
