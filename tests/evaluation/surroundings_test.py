from sar2opt_jax.evaluation import surroundings


def test_surroundings_name_device_software_and_date():
    found = surroundings.surroundings()
    assert set(found) == {"Device", "Processor", "Software", "Commit", "Date"}
    assert found["Device"] == "4 × cpu"  # Four are simulated, see conftest.py.
    assert "JAX" in found["Software"]


def test_the_commit_is_unknown_outside_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(surroundings, "__file__", str(tmp_path / "surroundings.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "unknown" in surroundings.surroundings()["Commit"]
