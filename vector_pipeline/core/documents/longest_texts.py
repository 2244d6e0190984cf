"""The longest input of common embedding models, in tokens: a longer text is refused, or cut off without a word.

From the models' own cards (`max_seq_length` or context length) and providers' documentation, as of 2026. Where a server
is set to less than its model takes, `embedding.longest_tokens` says so.
"""

from __future__ import annotations

import re

OF_OTHER_MODELS = 8192
"""What most present models take."""

# The first that occurs in the model's name holds, whatever stands around it (`intfloat/`, `:latest`, `-GGUF`).
_LONGEST: tuple[tuple[str, int], ...] = (
    (r"text-embedding-(3-small|3-large|ada-002)", 8191),
    (r"universal-sentence-encoder", 8192),  # no limit of its own; a mean over more says little
    (r"qwen3-embedding", 32_768),
    (r"paraphrase-multilingual-(minilm|mpnet)", 128),
    (r"all-minilm-l6", 256),
    (r"all-minilm-l12", 128),
    (r"all-minilm", 256),
    (r"all-mpnet-base", 384),
    (r"multi-qa-", 512),
    (r"distiluse-base-multilingual", 128),
    (r"labse", 256),
    (r"e5-mistral", 4096),
    (r"\be5-(small|base|large)", 512),
    (r"bge-m3", 8192),
    (r"bge-multilingual-gemma2", 8192),
    (r"bge-(small|base|large)", 512),
    (r"mxbai-embed-large", 512),
    (r"nomic-embed-text-v2", 512),
    (r"nomic-embed-text", 2048),  # what Ollama runs it with, and its training length
    (r"gte-multilingual", 8192),
    (r"gte-qwen2", 32_768),
    (r"gte-modernbert", 8192),
    (r"gte-(small|base|large)$", 512),
    (r"arctic-embed2|arctic-embed-[lm]-v2", 8192),
    (r"arctic-embed", 512),
    (r"jina-embeddings-v2", 8192),
    (r"jina-embeddings-v3", 8192),
    (r"jina-embeddings-v4", 32_768),
    (r"embeddinggemma|gemini-embedding", 2048),
    (r"embed-(english|multilingual)(-light)?-v3", 512),
    (r"embed-v4", 128_000),
    (r"mistral-embed|codestral-embed", 8192),
    (r"voyage-3|voyage-multilingual-2|voyage-large-2", 16_000),
    (r"granite-embedding-(30m|107m|125m|278m)", 512),
)

LONGEST_OF_ALL = max(tokens for _, tokens in _LONGEST)
"""No limit from here on shortens a text of any of these models."""


def longest_text(model: str) -> int:
    """Tokens that the model takes at once, those of a prefix included."""
    name = model.lower()
    return next((tokens for pattern, tokens in _LONGEST if re.search(pattern, name)), OF_OTHER_MODELS)
