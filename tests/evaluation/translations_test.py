import dataclasses
import itertools
import time
import zlib

import jax
import numpy as np
import pytest

from sar2opt_jax.data.scaling import to_float, to_uint8
from sar2opt_jax.evaluation import translations
from sar2opt_jax.evaluation.batches import Batches
from sar2opt_jax.evaluation.gallery import Gallery


def translate(contender, examples, directory, *, batch_size=8, seed=0):
    """The translations of one contender."""
    gallery = Gallery(directory)
    gallery.open(made_by={})
    translations.translate_missing(
        [contender],
        {contender.folder: gallery},
        examples,
        batches=Batches(batch_size),
        rng=jax.random.key(seed),
        timing_repeats=1,
    )
    return gallery


@pytest.mark.usefixtures("untimed")
@pytest.mark.parametrize("batch_size", [1, 5, 8])
def test_translations_do_not_depend_on_the_batch_size_or_the_company(
    tmp_path, contender, from_noise, examples, batch_size
):
    method = contender("ddpm", 10, model=from_noise)
    together = translate(method, examples(6), tmp_path / "together", batch_size=4).read([f"p{i}" for i in range(6)])
    alone = translate(method, examples(3), tmp_path / "alone", batch_size=batch_size).read([f"p{i}" for i in range(3)])
    np.testing.assert_allclose(together[:3].astype(int), alone, atol=1)  # A rounding may fall to the other side.
    assert np.abs(together[0].astype(int) - together[1]).max() > 10


@pytest.mark.usefixtures("untimed")
def test_methods_start_from_the_same_noise_and_another_seed_from_another(tmp_path, contender, from_noise, examples):
    # One step of either sampler is the network's x_0 at the noisiest time.
    one, other, another = (
        translate(contender(sampler, 1, model=from_noise), examples(), tmp_path / f"{sampler}{seed}", seed=seed)
        for sampler, seed in (("ddim", 0), ("dpm_solver_pp", 0), ("ddim", 1))
    )
    np.testing.assert_array_equal(one.read(["p0", "p1"]), other.read(["p0", "p1"]))
    assert (one.read(["p0"]) != another.read(["p0"])).any()


@pytest.mark.usefixtures("untimed")
def test_only_what_is_missing_is_translated(tmp_path, contender, from_noise, examples, monkeypatch):
    method = contender("ddim", 2, model=from_noise)
    gallery = translate(method, examples(), tmp_path)
    before = gallery.read([f"p{i}" for i in range(5)])
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.png")}
    gallery.path("p3").unlink()
    translate(method, examples(), tmp_path)
    np.testing.assert_array_equal(gallery.read([f"p{i}" for i in range(5)]), before)
    assert {p for p, stamp in stamps.items() if p.stat().st_mtime_ns != stamp} == {gallery.path("p3")}
    monkeypatch.setattr(translations, "_fill", lambda *args, **kw: pytest.fail("translated again"))
    translate(method, examples(), tmp_path)


def test_speed_is_kept_with_what_it_was_measured_on(tmp_path, contender, examples, monkeypatch):
    gallery = translate(contender("ddim", 1), examples(), tmp_path)
    measured = gallery.speed
    assert measured["ms_per_image"] > 0 and measured["images_per_second"] > 0 and measured["batch"] == 8
    gallery.path("p2").unlink()  # One alone, in a batch of the four devices, says nothing of full batches.
    monkeypatch.setattr(translations, "latency_ms", lambda call, repeats: pytest.fail("timed again"))
    assert translate(contender("ddim", 1), examples(), tmp_path).speed == measured
    monkeypatch.setattr(translations, "latency_ms", lambda call, repeats: 7.0)
    monkeypatch.setattr(translations, "hardware", lambda: {"Processor": "another"})
    elsewhere = translate(contender("ddim", 1), examples(), tmp_path).speed
    assert elsewhere.pop("session") > measured["session"]
    assert elsewhere == {"ms_per_image": 7.0, "here": {"Processor": "another"}}


def test_latencies_that_are_compared_are_of_one_session(tmp_path, contender, examples, monkeypatch):
    times = itertools.count(1.0)
    monkeypatch.setattr(translations, "latency_ms", lambda call, repeats: next(times))
    methods = [contender("ddim", 1), contender("ddim", 2)]
    galleries = {method.folder: Gallery(tmp_path / method.folder) for method in methods}

    def timed(*methods):
        for method in methods:
            galleries[method.folder].open(made_by={})
        translations.translate_missing(
            methods, galleries, examples(), batches=Batches(4), rng=jax.random.key(0), timing_repeats=1
        )
        return [galleries[method.folder].speed["ms_per_image"] for method in methods]

    assert timed(methods[0]) == [1.0] and timed(methods[0]) == [1.0]
    assert timed(*methods) == [2.0, 3.0] and timed(*methods) == [2.0, 3.0]


@pytest.mark.usefixtures("untimed")
def test_one_program_serves_all_numbers_of_steps(tmp_path, contender, from_noise, examples):
    traced = []

    def counted(*args):
        traced.append(1)
        return from_noise(*args)

    first = contender("ddim", 4, model=counted)
    methods = [dataclasses.replace(first, method=dataclasses.replace(first.method, num_steps=n)) for n in (4, 1, 3)]
    galleries = {method.folder: Gallery(tmp_path / method.folder) for method in methods}
    for gallery in galleries.values():
        gallery.open(made_by={})
    translations.translate_missing(
        methods, galleries, examples(), batches=Batches(4), rng=jax.random.key(0), timing_repeats=1
    )
    assert len(traced) == 2  # Of a batch, and of the single image that is timed.
    names, sar = examples().ids, to_float(examples().sar(range(5)))
    rngs = [jax.random.fold_in(jax.random.key(0), zlib.crc32(name.encode())) for name in names]
    for each in methods:
        alone = each.translator(each.params, sar, jax.numpy.stack(rngs), method=each.method)
        found = galleries[each.folder].read(names).astype(int)
        np.testing.assert_allclose(found, to_uint8(np.asarray(alone)), atol=1)


@pytest.mark.usefixtures("untimed")
def test_a_radar_image_that_changed_is_translated_again(tmp_path, contender, examples):
    gallery = translate(contender("ddim", 1), examples(), tmp_path)
    before = gallery.read([f"p{i}" for i in range(5)])
    changed = examples()
    images = changed.sar
    changed.sar = lambda positions: np.stack([images([i])[0] // (2 if i == 1 else 1) for i in positions])
    translate(contender("ddim", 1), changed, tmp_path)
    after = gallery.read([f"p{i}" for i in range(5)])
    assert [(a != b).any() for a, b in zip(after, before, strict=True)] == [False, True, False, False, False]


@pytest.mark.usefixtures("untimed")
def test_translations_that_are_not_finite_are_refused(tmp_path, contender, examples):
    with pytest.raises(ValueError, match="Student, 2 steps: translations are not finite"):
        translate(contender("lcm", 2, gain=np.nan), examples(), tmp_path)
    assert list(tmp_path.glob("*.png")) == []


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [((1.9, 0.3, 0.8, 0.5), 500.0), ((2.1, 0.3, 0.3, 0.3), 2_100.0)],
    ids=["median after warm-up", "one run of a slow method"],
)
def test_latency(monkeypatch, seconds, expected):
    clock = [0.0]
    durations = iter(seconds)

    def translate():
        clock[0] += next(durations)
        return np.zeros(1)

    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    assert translations.latency_ms(translate, repeats=3) == pytest.approx(expected)
