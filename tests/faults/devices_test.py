"""A run is the same on any number of devices, and goes on under another one."""

import signal

import harness

FLAGS = {"steps": 6, "save_every": 2, "preview_every": 100, "seconds": 0.05}
INTERRUPTED_STATUS = 75


def test_run_saved_on_eight_devices_goes_on_on_two_one_and_four(tmp_path):
    harness.run_to_end(harness.driver(tmp_path / "alone", **FLAGS), environment=harness.with_devices(1))
    workdir, said = tmp_path / "moved", []
    for devices in (8, 2, 1):  # Each takes a few steps of the two times six, saves and leaves.
        process = harness.Process(harness.driver(workdir, **FLAGS), environment=harness.with_devices(devices))
        assert process.wait_for_step(3)
        process.popen.send_signal(signal.SIGTERM)
        assert process.wait() == INTERRUPTED_STATUS, process.said
        said.append(process.said)
    said.append(harness.run_to_end(harness.driver(workdir, **FLAGS), environment=harness.with_devices(4)).said)
    moves = [(8, 2), (2, 1), (1, 4)]
    for (before, now), text in zip(moves, said[1:], strict=True):
        assert f"by 1 process(es) with {before} device(s); now it is 1 with {now}. The examples, their order" in text
    # The steps they were stopped at are saved besides those that are multiples of two, and outlive other ones.
    last = {"teacher/checkpoints/6", "distill/checkpoints/6"}
    found, expected = (
        {name: value for name, value in harness.remains(run).items() if not _is_of_a_checkpoint_besides(name, last)}
        for run in (workdir, tmp_path / "alone")
    )
    harness.assert_close(found, expected)


def _is_of_a_checkpoint_besides(name, checkpoints):
    return "/checkpoints/" in name and not any(name.startswith(place) for place in checkpoints)
