from sar2opt_jax.report import index, report


def write(workdir, results, **settings) -> None:
    settings = {"title": "acd:smoke", "dataset": "simulated", "split": "test", "config": {}} | settings
    report.write(workdir / "report", results, **settings)


def test_a_folder_of_runs_lists_their_reports(tmp_path, fabricate):
    results = fabricate([("ddpm", 1000), ("lcm", 4)])
    write(tmp_path / "runs" / "first", results)
    write(tmp_path / "runs" / "a&b 1", results)
    page = (tmp_path / "runs" / "index.html").read_text()
    assert '<a href="first/report/report.html">first</a>' in page
    assert '<a href="a%26b%201/report/report.html">a&amp;b 1</a>' in page
    assert "Student, 4 steps" in page and "18.50" in page and "250×" in page
    assert "The student in 4 steps beats the original in 1,000 steps." in page


def test_no_other_folder_gets_an_index(tmp_path, fabricate):
    write(tmp_path / "first", fabricate([("lcm", 4)]))
    assert [path.name for path in tmp_path.iterdir()] == ["first"]


def test_a_damaged_report_does_not_hide_the_others(tmp_path, fabricate):
    write(tmp_path / "runs" / "good", fabricate([("lcm", 4)]))
    for name, content in (("torn", '{"about": '), ("foreign", "[]"), ("empty", '{"about": {}, "results": []}')):
        (tmp_path / "runs" / name / "report").mkdir(parents=True)
        (tmp_path / "runs" / name / "report" / "results.json").write_text(content)
    index.write(tmp_path / "runs")
    page = (tmp_path / "runs" / "index.html").read_text()
    assert "good" in page and "torn" not in page
