"""How servers that call themselves OpenAI-compatible deviate: each as its documentation or its source tells it.

`MisbehavingProvider(dialect=TEI)` answers as that server would. The sources stand in docs/providers.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from vector_pipeline_tests.misbehaving_answers import to_json

ErrorShape = Literal["openai", "vllm", "tei", "cohere", "mistral"]


class DialectRefusal(Exception):
    """The server of that dialect refuses the request, in its own words."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


@dataclass(frozen=True)
class Dialect:
    """A server's habits. `most_texts` None means that it takes any number of texts."""

    name: str
    base64: Literal["honoured", "ignored", "refused"] = "honoured"
    dimensions: Literal["honoured", "ignored", "refused"] = "honoured"
    dimensions_field: str = "dimensions"
    most_texts: int | None = None
    too_many: tuple[int, str] = (400, "too many inputs")
    errors: ErrorShape = "openai"
    usage: bool = True

    def understood(self, request: dict[str, Any], texts: list[str]) -> dict[str, Any]:
        """The request as this server acts on it.

        Raises:
            DialectRefusal: it doesn't.
        """
        if self.most_texts is not None and len(texts) > self.most_texts:
            status, words = self.too_many
            raise self._refusal(status, words.format(texts=len(texts), most=self.most_texts))
        acted_on = dict(request)
        if acted_on.get("encoding_format") == "base64" and self.base64 != "honoured":
            if self.base64 == "refused":
                raise self._refusal(400, "base64 encoding is not currently supported", "encoding_format")
            acted_on["encoding_format"] = "float"
        acted_on["dimensions"] = self._dimensions(acted_on)
        return acted_on

    def _dimensions(self, request: dict[str, Any]) -> int:
        asked = {name: request[name] for name in ("dimensions", "output_dimension") if request.get(name)}
        if not asked or self.dimensions == "ignored":
            return 0
        wrong = next((name for name in asked if name != self.dimensions_field), None)
        if wrong is not None:
            raise self._refusal(422, "Extra inputs are not permitted", wrong)
        if self.dimensions == "refused":
            raise self._refusal(400, 'Model "m" does not support matryoshka representation', self.dimensions_field)
        return int(asked[self.dimensions_field])

    def _refusal(self, status: int, words: str, field: str | None = None) -> DialectRefusal:
        bodies: dict[ErrorShape, object] = {
            "openai": {"error": {"message": words, "type": "invalid_request_error", "param": field, "code": None}},
            "vllm": {"object": "error", "message": words, "type": "BadRequestError", "param": field, "code": status},
            "tei": {"message": words, "code": status, "type": "Validation"},
            "cohere": {"id": "f3c1", "message": words},
            "mistral": {
                "object": "error",
                "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", field], "msg": words}]}
                if field
                else words,
                "type": "invalid_request_error",
                "param": None,
                "code": "3210",
            },
        }
        return DialectRefusal(status, to_json(bodies[self.errors]))


OPENAI = Dialect("openai", most_texts=2048, too_many=(400, "'$.input' is invalid: array too long"))
OLLAMA = Dialect("ollama")
VLLM = Dialect("vllm", dimensions="refused", errors="vllm")
VLLM_BEFORE_BASE64 = Dialect("vllm before 0.5.1", base64="refused", dimensions="refused", errors="vllm")
TEI = Dialect(
    "tei", most_texts=32, too_many=(422, "batch size {texts} > maximum allowed batch size {most}"), errors="tei"
)
LM_STUDIO = Dialect("lm studio", base64="ignored", dimensions="ignored", usage=False)
COHERE = Dialect(
    "cohere",
    dimensions="refused",
    most_texts=96,
    too_many=(400, "invalid request: total number of texts must be at most {most} - received {texts}"),
    errors="cohere",
)
MISTRAL = Dialect(
    "mistral",
    dimensions_field="output_dimension",
    most_texts=512,
    too_many=(400, "Too many inputs in request, split into more batches."),
    errors="mistral",
)

ALL = (OPENAI, OLLAMA, VLLM, VLLM_BEFORE_BASE64, TEI, LM_STUDIO, COHERE, MISTRAL)
