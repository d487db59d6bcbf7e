"""A run is the same on any number of devices, and resumes on another number."""

import driver
import harness

FLAGS = {"steps": 12, "save_every": 2, "preview_every": 100, "seconds": 0.05}


def test_run_saved_on_eight_devices_goes_on_on_two_and_one_and_four_as_one_device_would(tmp_path):
    harness.run_to_end(harness.driver(tmp_path / "alone", **FLAGS), environment=harness.with_devices(1))
    workdir, said = tmp_path / "moved", []
    for devices in (8, 2, 1):  # Each takes two or three steps of the twelve, saves and leaves.
        process = harness.Process(harness.driver(workdir, **FLAGS), environment=harness.with_devices(devices))
        assert process.wait_for_step(2)
        process.popen.terminate()
        assert process.wait() == driver.INTERRUPTED_STATUS, process.said
        said.append(process.said)
    said.append(harness.run_to_end(harness.driver(workdir, **FLAGS), environment=harness.with_devices(4)).said)
    for (before, now), text in zip([(8, 2), (2, 1), (1, 4)], said[1:], strict=True):
        assert f"by 1 process(es) with {before} device(s); now it is 1 with {now}. The examples, their order" in text
    harness.assert_close(harness.remains(workdir), harness.remains(tmp_path / "alone"))
