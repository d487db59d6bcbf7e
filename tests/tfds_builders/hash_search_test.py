import numpy as np
import pytest

from tfds_builders import hash_search

BIT = np.uint64(1)


def uniform(rng, count):
    return rng.integers(2**64, size=count, dtype=np.uint64)


def clustered(rng, count, *, centres, flips):
    """Hashes that differ in up to ``flips`` bits from one of a few, as those of plain ground do."""
    hashes = uniform(np.random.default_rng(7), centres)[rng.integers(centres, size=count)]
    for _ in range(flips):
        hashes ^= BIT << rng.integers(64, size=count, dtype=np.uint64)
    return hashes


HASHES = {
    "uniform": uniform,
    "clusters": lambda rng, count: clustered(rng, count, centres=40, flips=6),
    "one cluster": lambda rng, count: clustered(rng, count, centres=1, flips=6),
    "all equal": lambda rng, count: np.full(count, 2**64 - 1, np.uint64),
    "smooth": lambda rng, count: uniform(rng, count) >> np.uint64(51),
    "some empty": lambda rng, count: uniform(rng, count if count % 2 else 0),
}


def brute_force(first, second, distance):
    return np.argwhere(np.bitwise_count(first[:, None] ^ second) <= distance)


def found(first, second, **options):
    return np.concatenate([np.empty((0, 2), np.int32), *hash_search.near(first, second, **options)])


@pytest.mark.parametrize("name", HASHES)
@pytest.mark.parametrize("distance", [0, 3, 8, 30])
@pytest.mark.parametrize("threads", [1, 2])
def test_near_is_brute_force(name, distance, threads, monkeypatch):
    monkeypatch.setattr(hash_search, "_TILE", 1000)
    rng = np.random.default_rng(3)
    first, second = (HASHES[name](rng, count) for count in (301, 150))
    pairs = found(first, second, distance=distance, threads=threads)
    np.testing.assert_array_equal(pairs[np.lexsort(pairs.T[::-1])], brute_force(first, second, distance))


def test_near_finds_every_place_of_the_bits_that_differ():
    # Eight bits, one in each of eight blocks of seven: only the ninth block, or the bit beside it, is equal.
    for spare in (*range(9), 63):
        blocks = [block for block in range(9) if block != spare][:8]
        for bit in range(7):
            differ = np.bitwise_or.reduce([BIT << np.uint64(7 * block + bit) for block in blocks])
            assert len(found(np.array([differ]), np.zeros(1, np.uint64), distance=8)) == 1
            assert len(found(np.array([differ | BIT << np.uint64(63)]), np.zeros(1, np.uint64), distance=8)) == 0


def test_near_compares_few_of_even_hashes_and_never_more_than_brute_force(monkeypatch):
    compared = []
    original = hash_search._within

    def within(first, second, distance):
        compared.append(len(first) * len(second))
        return original(first, second, distance)

    monkeypatch.setattr(hash_search, "_within", within)
    monkeypatch.setattr(hash_search, "_TILE", 10_000)
    rng = np.random.default_rng(5)
    for name, most in (("uniform", 9.5 / 128), ("all equal", 1.0)):
        compared.clear()
        found(HASHES[name](rng, 3001), HASHES[name](rng, 1001), distance=8)
        assert sum(compared) <= most * 3001 * 1001


def test_near_does_not_depend_on_threads():
    rng = np.random.default_rng(9)
    first, second = (clustered(rng, 2000, centres=9, flips=5) for _ in range(2))
    one, two = (found(first, second, distance=8, threads=threads) for threads in (1, 2))
    np.testing.assert_array_equal(one, two)
