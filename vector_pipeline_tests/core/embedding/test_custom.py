"""Providers of one's own, in packages that are really installed: the documented example, and ones that fail."""

from __future__ import annotations

import re
import sys
import tomllib
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vector_pipeline.core.embedding.choose import choose_model, choose_provider
from vector_pipeline.core.embedding.provider import EmbeddingProvider
from vector_pipeline.core.errors import (
    ConfigurationError,
    DishonestAnswerError,
    ProviderError,
    ProviderRefusedError,
    ProviderUnavailableError,
)
from vector_pipeline.core.settings import EmbeddingSettings
from vector_pipeline.core.spec import EmbeddingSpec
from vector_pipeline_tests.misbehaving_answers import POISON, vectors_of
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider

DOCUMENTATION = Path(__file__).resolve().parents[3] / "docs" / "providers.md"
SECRET = "a-very-secret-key-1234567890"

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a package of one module whose entry point is `in-house`, as pip would lay it out."""

    def install(module: str, source: str) -> None:
        (tmp_path / f"{module}.py").write_text(source)
        described = tmp_path / f"{module}-1.0.dist-info"
        described.mkdir()
        (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        points = f"[vector_pipeline.embedding_providers]\nin-house = {module}:make_embedder\n"
        (described / "entry_points.txt").write_text(points)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, module, raising=False)

    return install


def chosen(environment: dict[str, str] | None = None, **options: object) -> EmbeddingProvider:
    block = {"type": "custom", "entry_point": "in-house", "options": options}
    spec = EmbeddingSpec.model_validate({"provider": block, "model": "in-house-2"})
    return choose_provider(spec, EmbeddingSettings(), environment or {})


def making(body: str) -> str:
    """A module whose embedder does this."""
    return f"""
import numpy as np
from vector_pipeline.core.errors import *

class Embedder:
    def __init__(self, request):
        self.request = request
    def embed(self, texts):
        {body}

def make_embedder(request):
    return Embedder(request)
"""


def test_the_documented_example_works_when_its_package_is_installed(install: Install) -> None:
    blocks = dict(re.findall(r"```(toml|python)\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL))
    points = tomllib.loads(blocks["toml"])["project"]["entry-points"]["vector_pipeline.embedding_providers"]
    assert points == {"in-house": "in_house_embedding:make_embedder"}
    install("in_house_embedding", blocks["python"])
    with MisbehavingProvider(24, api_key=SECRET) as server:
        provider = chosen({"IN_HOUSE_KEY": SECRET}, url=server.features_url, key_variable="IN_HOUSE_KEY")
        np.testing.assert_allclose(provider.embed(["a", "b"]).vectors, vectors_of(["a", "b"], 24), rtol=1e-6)
        with pytest.raises(ProviderRefusedError, match="not to be embedded"):
            provider.embed([POISON])
        server.behave("status", status=503)
        with pytest.raises(ProviderUnavailableError, match="503"):
            provider.embed(["a"])
    assert (provider.name, provider.model) == ("custom:in-house:in-house-2", "in-house-2")


def test_the_factory_is_told_what_the_index_declares(install: Install) -> None:
    install("told", making("return np.full((len(texts), self.request.dimensions), self.request.options['number'])"))
    block = {"type": "custom", "entry_point": "in-house", "options": {"number": 3}, "texts_per_request": 7}
    spec = EmbeddingSpec.model_validate({"provider": block, "dimensions": 4})
    provider = choose_provider(spec, EmbeddingSettings(), {})
    assert provider.embed(["a", "b"]).vectors.tolist() == [[3.0] * 4] * 2
    assert provider.embed(["a"]).vectors.dtype == np.float32
    assert (provider.texts_per_request, provider.requests_in_flight) == (7, 1)
    assert provider.model == choose_model(spec, EmbeddingSettings()).model == "in-house"


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        ("raise ProviderUnavailableError('asleep', 7)", ProviderUnavailableError, "asleep"),
        ("raise ConnectionResetError('gone')", ProviderUnavailableError, "ConnectionResetError: gone"),
        ("raise TimeoutError('too slow')", ProviderUnavailableError, "TimeoutError: too slow"),
        ("return self.nothing", ProviderRefusedError, r"has no attribute 'nothing' \(failing.py, line 9\)"),
        ("return np.ones((1, 8))", DishonestAnswerError, r"the shape \(1, 8\) came for 2 texts"),
        ("return [[1.0], [1.0, 2.0]]", DishonestAnswerError, "no array of numbers"),
        ("return None", DishonestAnswerError, "came for 2 texts"),
    ],
)
def test_what_a_foreign_provider_does_wrong_is_told_as_our_error(
    install: Install, body: str, error: type[ProviderError], words: str
) -> None:
    install("failing", making(body))
    with pytest.raises(error, match=words):
        chosen().embed(["a", "b"])


def test_a_secret_that_a_foreign_provider_asked_for_shows_in_no_error(install: Install) -> None:
    install("leaking", making("raise RuntimeError(f'key {self.request.variable(\"KEY\")} is wrong')"))
    with pytest.raises(ProviderRefusedError, match=r"key \*\*\* is wrong") as caught:
        chosen({"KEY": SECRET}).embed(["a"])
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_an_entry_point_that_is_not_installed_is_told_with_those_that_are(install: Install) -> None:
    install("known", making("return None"))
    block = {"type": "custom", "entry_point": "unknown"}
    with pytest.raises(ConfigurationError, match=r"'unknown' \(there are: in-house\)"):
        choose_provider(EmbeddingSpec.model_validate({"provider": block}), EmbeddingSettings(), {})


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import no_such_module", "no_such_module"),
        ("def make_embedder(request):\n    raise KeyError('url')", "KeyError: 'url'"),
        ("def make_embedder(request):\n    return 7", "a int without `embed`"),
    ],
)
def test_a_factory_that_makes_no_provider_is_a_matter_of_configuration(
    install: Install, source: str, words: str
) -> None:
    install("unmakable", source)
    with pytest.raises(ConfigurationError, match=words):
        chosen()
