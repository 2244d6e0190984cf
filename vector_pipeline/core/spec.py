"""What a user declares: one MySQL table, the columns to embed, the model, and how it is searched.

The models refuse what is malformed (types, unknown fields). What is well-formed but wrong is found by
`vector_pipeline.core.declaration`, so that one wrong index takes no other down with it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vector_pipeline.core.catalog_defaults import with_catalog_defaults

Storage = Literal["vector", "halfvec"]
"""pgvector's type of the stored vectors: numbers of four bytes, or of two."""

SearchMode = Literal["vector", "text", "hybrid"]
"""By what documents are found: the nearness of vectors, words, or both."""

MOST_HITS = 1000
"""The greatest limit of a search."""


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ColumnSpec(_Declared):
    """A source column that may be absent from the table."""

    column: str = Field(description="Name of the column in the source table.")
    optional: bool = Field(
        default=False, description="True: serve it if the table has it, and go on without it if not."
    )


ColumnReference = str | ColumnSpec


class ThrottleSpec(_Declared):
    """How gently the source is read."""

    rows_per_second: int | None = Field(
        default=None, ge=1, description="Rows that digests and syncs of this index read a second, at most."
    )
    longest_lag_seconds: float | None = Field(
        default=None,
        gt=0,
        description="Reading pauses while a replica is further behind: the server that is read, if it is one, "
        "and those of `replicas`.",
    )
    replicas: list[str] = Field(
        default_factory=list,
        description="Replicas that must not fall behind, as host or host:port; reached with the user of the source.",
        examples=[["replica-1:3306"]],
    )


class CatalogSpec(_Declared):
    """MySQL's own catalog as the source: a row for each table and view that the user may see."""

    databases: list[str] = Field(
        default_factory=list,
        description="Databases whose tables are indexed; `*` for all that the user may see, less the server's own; the "
        "environment's DB_NAME if left out.",
        examples=[["shop", "warehouse"]],
    )
    exclude: list[str] = Field(
        default_factory=list,
        description="Tables that are not: `table`, or `database.table`, in which `*` stands for anything.",
        examples=[["tmp_*", "shop.audit_*"]],
    )
    statistics: bool = Field(
        default=True,
        description="Whether a hit says about how many rows a table has, as a power of ten; never part of a text.",
    )
    samples: int = Field(
        default=0,
        ge=0,
        le=20,
        description="Rows of each table whose values are part of its text, those with the lowest keys; none if left "
        "out. Columns that are named like a secret are not shown.",
    )


class SourceSpec(_Declared):
    """The MySQL table or view that the index is kept true to, or MySQL's own catalog."""

    model_config = ConfigDict(
        json_schema_extra={"if": {"required": ["catalog"]}, "else": {"required": ["table", "primary_key"]}}
    )

    catalog: CatalogSpec | None = Field(
        default=None, description="Instead of a table: MySQL's catalog, for an index that finds tables."
    )
    table: str = Field(default="", description="Table or view in MySQL.")
    primary_key: str | list[str] = Field(
        default_factory=list,
        description="The column that identifies a row, or a list of several, in the order of their index.",
        examples=["id", ["tenant_id", "id"]],
    )
    database: str | None = Field(default=None, description="MySQL database; the environment's DB_NAME if left out.")
    where: str | None = Field(
        default=None,
        description="SQL condition over the table's columns; rows that it leaves out are not indexed.",
        examples=["status = 'published'"],
    )
    updated_at: str | None = Field(
        default=None,
        description="An indexed DATETIME or TIMESTAMP column that each change of a row moves on: changes are found "
        "sooner by it. What it misses is found by digests, as without it.",
    )
    updated_at_overlap_seconds: int = Field(
        default=300, ge=0, description="How long a transaction may be open for its rows to be found by `updated_at`."
    )
    binlog: bool = Field(
        default=False,
        description="True: changes are found by reading the binary log (extra `binlog`; needs REPLICATION SLAVE and "
        "REPLICATION CLIENT). What it misses is found by digests, as without it.",
    )
    statement_seconds: float = Field(
        default=300.0, gt=0, description="MySQL ends a statement of this index that takes longer."
    )
    throttle: ThrottleSpec = Field(default_factory=ThrottleSpec)

    @property
    def described(self) -> str:
        """What is read, for people."""
        return "MySQL's catalog" if self.catalog is not None else self.table

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The columns of the key, in its order."""
        return (self.primary_key,) if isinstance(self.primary_key, str) else tuple(self.primary_key)


class DocumentSpec(_Declared):
    """Which columns are texts to embed, which are metadata, and under which names they are served."""

    text: dict[str, ColumnReference] = Field(
        description="Served name → column, for the texts to embed. The order counts for `concat`.",
        examples=[{"question": "genie_question", "answer": "genie_answer"}],
    )
    metadata: dict[str, ColumnReference] = Field(
        default_factory=dict,
        description="Served name → column, for what a hit carries along. Changing it costs no embedding.",
        examples=[{"link": "genie_sourcelink"}],
    )
    unique_on: str | None = Field(
        default=None,
        description="A served text: of rows with the same value only the one with the lowest key is served.",
    )
    previews: bool = Field(
        default=True,
        description="False: Dagster is shown no texts of rows, neither as previews of runs and hits of searches nor in "
        "what a provider says of them.",
    )


class OpenAIProviderSpec(_Declared):
    """Any server that speaks the OpenAI embeddings protocol."""

    type: Literal["openai"] = "openai"
    host: str | None = Field(default=None, description="Base URL; the environment's EMBEDDING_MODEL_HOST if left out.")
    api_key_variable: str = Field(
        default="EMBEDDING_API_KEY",
        description="Name of the environment variable that holds the key. If left out, the environment's key is "
        "sent to the environment's host alone.",
    )
    texts_per_request: int = Field(default=128, ge=1, le=2048, description="Texts in one request, at most.")
    tokens_per_request: int = Field(
        default=300_000, ge=1, description="Tokens of all texts of one request together, at most."
    )
    tokens_per_text: int = Field(default=8_192, ge=1, description="Tokens of one text, at most.")
    requests_in_flight: int = Field(
        default=8, ge=1, le=64, description="Requests under way at once, at most; fewer where the provider asks for it."
    )
    timeout_seconds: float = Field(default=60.0, gt=0, description="Time limit of one request.")
    attempts: int = Field(default=5, ge=1, description="Tries of one request while the provider is overloaded or down.")
    patience_seconds: float = Field(
        default=300.0, gt=0, description="How long a sync waits for a provider that is down before it fails."
    )
    encoding: Literal["auto", "base64", "float"] = Field(
        default="auto",
        description="How vectors are asked for; `auto`: base64, and lists of numbers from a server that refuses it.",
    )
    dimensions_field: Literal["dimensions", "output_dimension", "none"] = Field(
        default="dimensions",
        description="The request's field for declared `dimensions`: OpenAI's name, Mistral's, or `none` for a server "
        "that takes neither; the length is then checked and not asked for.",
    )
    missing_index: Literal["refuse", "in_order"] = Field(
        default="refuse",
        description="What vectors without an `index` mean: an unusable answer, or that they come in the texts' order.",
    )


class LocalProviderSpec(_Declared):
    """The packaged multilingual model, in this process, without any server (extra `local`)."""

    type: Literal["local"] = "local"
    texts_per_request: int = Field(default=64, ge=1, le=1024, description="Texts in one batch.")


class HuggingFaceProviderSpec(_Declared):
    """Hugging Face inference: a model on the hub's router, or an endpoint (extra `huggingface`)."""

    type: Literal["huggingface"]
    endpoint: str | None = Field(
        default=None,
        description="URL of an Inference Endpoint or a text-embeddings-inference server; the hub's router if left out.",
    )
    api_key_variable: str = Field(
        default="HF_TOKEN",
        description="Name of the environment variable that holds the token. If left out, HF_TOKEN is sent to the hub's "
        "router alone.",
    )
    pooling: Literal["refuse", "mean"] = Field(
        default="refuse",
        description="What becomes of the answers of a model that gives a vector for each token: an error, or their "
        "mean. Part of what makes a vector space.",
    )
    texts_per_request: int = Field(default=32, ge=1, le=1024, description="Texts in one request.")
    requests_in_flight: int = Field(default=8, ge=1, le=64, description="Requests under way at once.")
    timeout_seconds: float = Field(default=60.0, gt=0, description="Time limit of one request.")
    attempts: int = Field(default=5, ge=1, description="Tries of one request while the provider is overloaded or down.")


class CustomProviderSpec(_Declared):
    """A provider of an installed Python package, by its entry point in `vector_pipeline.embedding_providers`."""

    type: Literal["custom"]
    entry_point: str = Field(description="Name of the entry point.")
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="What the provider itself is told. Shown in the UI: no place for secrets. What changes the vectors "
        "belongs into `model`.",
    )
    texts_per_request: int = Field(default=32, ge=1, le=2048, description="Texts in one call.")
    requests_in_flight: int = Field(default=1, ge=1, le=64, description="Calls under way at once.")
    attempts: int = Field(default=5, ge=1, description="Tries of one call while the provider says that it is down.")


ProviderSpec = Annotated[
    OpenAIProviderSpec | LocalProviderSpec | HuggingFaceProviderSpec | CustomProviderSpec,
    Field(discriminator="type"),
]


class SplitSpec(_Declared):
    """How long texts are split into passages, between paragraphs, sentences or words."""

    tokens: int = Field(ge=16, le=100_000, description="Tokens of a passage, at most.")
    overlap: int = Field(default=0, ge=0, description="Tokens of a passage that the next one repeats, about.")


class EmbeddingSpec(_Declared):
    """The model, and how a row becomes texts."""

    provider: ProviderSpec | None = Field(
        default=None,
        description="Provider of this index; the environment's if left out "
        "(EMBEDDING_MODEL_HOST, or the local model where that is unset).",
    )
    model: str | None = Field(
        default=None, description="Model name; the environment's EMBEDDING_MODEL_NAME if left out."
    )
    dimensions: int | None = Field(
        default=None,
        ge=1,
        le=16000,
        description="Length of the vectors, sent to the provider as `dimensions`; the model's own if left out.",
    )
    price_per_million_tokens: float | None = Field(
        default=None,
        ge=0,
        description="USD per million tokens; the maker's list price for common models, 0 for the local one, else "
        "unknown. Only counted with: no other vectors come of it.",
        examples=[0.02],
    )
    budget_per_day: float | None = Field(
        default=None,
        gt=0,
        description="USD that embedding this index may cost a day (UTC). Past it texts wait for the next day, while "
        "documents, deletions and search go on.",
        examples=[5.0],
    )
    storage: Storage = Field(
        default="vector",
        description="`vector` keeps the model's numbers as they are (float32); `halfvec` rounds them to float16: half "
        "the room and less to read, at the cost of some three digits.",
    )
    canary_similarity: float = Field(
        default=0.99,
        ge=0,
        le=1,
        description="A few canary texts are embedded again now and then; if the cosine of one to its first vector is "
        "below this, the model counts as changed and nothing is embedded. Quantised servers stay above 0.999.",
    )
    strategy: Literal["separate", "concat", "average"] | None = Field(
        default=None,
        description="`separate` (the default): one vector per text column; `concat`: one vector of all texts together, "
        "a line each; `average`: one vector that is the mean of those of the text columns that are there.",
    )
    template: str | None = Field(
        default=None,
        description="Instead of a strategy: a Jinja template over the served texts (NULL is ''), for one vector of "
        "what it writes. A row for which it writes nothing but white space has no vector.",
        examples=["Question: {{ question }}\n{% if answer %}Answer: {{ answer }}{% endif %}"],
    )
    normalise: list[Literal["strip_html", "nfc", "collapse_whitespace"]] = Field(
        default_factory=list,
        description="What is done to each text column's value before it is embedded, in this order: `strip_html` "
        "(no tags, scripts and styles; entities decoded), `nfc` (Unicode's composed form), `collapse_whitespace` (runs "
        "of white space as one blank, line break or empty line). Hits show the original.",
    )
    query_prefix: str = Field(
        default="",
        max_length=2000,
        description="What the model wants before a query; sent with it.",
        examples=["query: ", "Instruct: Given a question, retrieve passages that answer it\nQuery: "],
    )
    document_prefix: str = Field(
        default="",
        max_length=2000,
        description="What the model wants before a text of a document; sent with it.",
        examples=["passage: "],
    )
    split: SplitSpec | None = Field(
        default=None, description="Splits texts into passages; each row is found by its best one. Left out: not split."
    )
    too_long: Literal["split", "cut"] = Field(
        default="split",
        description="What is done with a text that is longer than the model takes: `split` into several passages, or "
        "`cut` after as much as it takes.",
    )
    longest_tokens: int | None = Field(
        default=None,
        ge=16,
        description="The longest input that the model takes, in tokens; known for common models, else 8192.",
    )
    keep_vectors_days: float = Field(
        default=30.0,
        ge=0,
        le=36_500,
        description="How long the vector of a text that has left the table is kept, outside of the search: a text that "
        "comes back within it costs nothing.",
    )


class GoldenFloorSpec(_Declared):
    """The least that the golden set must give, each from 0 to 1; what is left out may be anything."""

    recall_at_1: float | None = Field(default=None, ge=0, le=1, description="Relevant documents found first.")
    recall_at_5: float | None = Field(default=None, ge=0, le=1, description="… found among the first five.")
    recall_at_10: float | None = Field(default=None, ge=0, le=1, description="… found among the first ten.")
    mrr: float | None = Field(default=None, ge=0, le=1, description="Mean of 1 / rank of the first relevant document.")
    ndcg_at_10: float | None = Field(default=None, ge=0, le=1, description="Order of the first ten against the best.")

    @property
    def is_declared(self) -> bool:
        return bool(self.model_dump(exclude_none=True))


class TextSearchSpec(_Declared):
    """How documents are found by words, with PostgreSQL's full-text search."""

    language: str = Field(
        default="simple",
        description="Text-search configuration of PostgreSQL (`\\dF` lists them): `english` finds `buying` by `buy`, "
        "`indonesian` suits Malay as well; `simple` takes words as they are.",
        examples=["english"],
    )
    language_column: str | None = Field(
        default=None, description="A served metadata column whose value says in which language a row is."
    )
    languages: dict[str, str] = Field(
        default_factory=dict,
        description="Value of `language_column` → text-search configuration; rows with another value, or none, have "
        "`language`.",
        examples=[{"en": "english", "ms": "indonesian"}],
    )
    weights: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict,
        description="Served text → how much a word in it counts; 1 where left out. From the fourth text on they share "
        "one weight.",
        examples=[{"question": 2, "answer": 1}],
    )

    @property
    def configurations(self) -> tuple[str, ...]:
        """All configurations that are named, each once."""
        return tuple(dict.fromkeys((self.language, *self.languages.values())))


class HybridSpec(_Declared):
    """How much each of the two rankings counts in `hybrid`.

    The defaults are those that made no set of real questions worse (docs/benchmarks.md).
    """

    vector: float = Field(default=5.0, gt=0, description="Weight of the ranking by vectors.")
    text: float = Field(default=1.0, gt=0, description="Weight of the ranking by words.")


class RerankSpec(_Declared):
    """A cross-encoder that orders the best hits anew, behind a rerank endpoint (Cohere, Jina, vLLM,
    text-embeddings-inference). Where it fails, the answer comes without it and says so."""

    url: str = Field(description="The endpoint.", examples=["http://models.internal:8000/v1/rerank"])
    model: str | None = Field(default=None, description="Model name; left out for a server that has one.")
    api_key_variable: str | None = Field(
        default=None, description="Name of the environment variable that holds the key; none is sent if left out."
    )
    texts_field: Literal["documents", "texts"] = Field(
        default="documents",
        description="The request's field for the texts: `documents`, or `texts` for text-embeddings-inference.",
    )
    candidates: int = Field(
        default=50, ge=1, le=1000, description="So many of the best are read by it; never fewer than `limit`."
    )
    timeout_seconds: float = Field(default=3.0, gt=0, le=60, description="Time limit of its answer as a whole.")


class SearchSpec(_Declared):
    """Defaults of a search that does not say otherwise."""

    mode: SearchMode = Field(
        default="vector",
        description="`vector`: by nearness of vectors; `text`: by words, without asking the provider; `hybrid`: both.",
    )
    text: TextSearchSpec | None = Field(
        default=None,
        description="How documents are found by words. Declared, it has an index of its own; without one, searching "
        "by words works and reads every document.",
    )
    hybrid: HybridSpec = Field(default_factory=HybridSpec)
    rerank: RerankSpec | None = Field(default=None, description="A reranker for the best hits; none if left out.")

    limit: int = Field(default=5, ge=1, le=MOST_HITS, description="Number of hits.")
    threshold: float | None = Field(
        default=None,
        ge=-1,
        le=1,
        description="Hits score strictly above it; the environment's SIMILARITY_THRESHOLD, else 0.7, if left out.",
    )
    field: str | list[str] | dict[str, float] = Field(
        default="best",
        description="A served text to search by; `best`, or several names: each row by its best one of them; or "
        "weights by name: each row by the weighted mean of those that it has.",
        examples=["best", {"question": 0.7, "answer": 0.3}],
    )
    filters: list[str] | None = Field(
        default=None,
        description="Metadata that get an index, by their served names, so that filters on them are fast; built with "
        "the first ANN index. Left out: the first four. Every index makes writing slower; a filter may name any "
        "metadata.",
        examples=[["category", "asked"]],
    )
    seconds: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        description="The longest that PostgreSQL may take for a search; what it has found by then is the answer, which "
        "says that it is not complete.",
    )
    ann_from_vectors: int = Field(
        default=10_000,
        ge=0,
        description="A field with fewer vectors is searched exactly, without an ANN index: "
        "that is faster and misses nothing.",
    )
    ann_prefix: int | None = Field(
        default=None,
        ge=1,
        description="For models that are trained for it (Matryoshka): the ANN index holds only the first so many "
        "numbers of each vector; what it finds is ranked by all of them. Left out: all.",
    )
    ann_build_megabytes: int | None = Field(
        default=None,
        ge=16,
        description="Memory for building an ANN index; left out: as much as it needs, up to what PostgreSQL's own "
        "shared_buffers or maintenance_work_mem are, or 256.",
    )
    recall_floor: float = Field(
        default=0.95,
        ge=0,
        le=1,
        description="The check `recall` fails if an ANN index finds less than this share of the ten nearest documents.",
    )
    golden_set: str | None = Field(
        default=None,
        description="A CSV file of `query,key` (and `relevance`, if some documents are more relevant than others): "
        "questions and what answers them, for the check `golden_set` and for comparing generations. Its path begins at "
        "the declaration's folder, or at the project's.",
        examples=["golden.csv"],
    )
    golden_floor: GoldenFloorSpec = Field(
        default_factory=GoldenFloorSpec,
        description="The check `golden_set` fails below one of these, and a new generation is served only if somebody "
        "approves it.",
        examples=[{"recall_at_5": 0.8}],
    )

    @property
    def by_words(self) -> TextSearchSpec | None:
        """How documents are found by words, None where that is not declared."""
        return self.text if self.text is not None or self.mode == "vector" else TextSearchSpec()


class AutomationSpec(_Declared):
    """How the reconciling sensor works for this index."""

    paused: bool = Field(default=False, description="True: nothing is synced by itself; search goes on.")
    interval_seconds: int = Field(default=10, ge=1, description="Pause between two looks at the source.")
    scrub_seconds: float = Field(
        default=2.0, gt=0, le=30, description="Time that one look may spend on comparing ranges that nobody suspects."
    )
    look_seconds: float = Field(
        default=15.0,
        gt=0,
        le=30,
        description="Time that one look may spend on cutting new ranges and comparing suspected ones.",
    )
    ranges_per_run: int = Field(default=50, ge=1, description="Key ranges that one run works on, at most.")
    runs_in_flight: int = Field(default=4, ge=1, description="Runs that wait or work for this index at once, at most.")
    fresh_within_minutes: float = Field(
        default=60.0, gt=0, le=525_600, description="The freshness check fails if the last full look is older."
    )


class DeletionGuardSpec(_Declared):
    """What counts as a mass deletion: more than the share *and* at least so many rows, within a round of digests.

    It is held until somebody approves it, since an emptied or mistaken source looks just like it.
    """

    share: float = Field(default=0.2, ge=0, le=1, description="Share of the index's documents; 1 switches it off.")
    rows: int = Field(default=1000, ge=1, description="Fewer deleted rows are never held.")


class GenerationsSpec(_Declared):
    """How another model, or other texts, come to be served: they are built beside what is served until then."""

    switch: Literal["automatic", "approval"] = Field(
        default="automatic",
        description="`automatic`: the new generation is served as soon as it is complete and its checks pass; "
        "`approval`: when somebody lets it, in the UI or by `vector-pipeline generations --switch`.",
    )
    keep_days: float = Field(
        default=7.0,
        ge=0,
        description="How long a generation that isn't served any more is kept, so that one can go back to it.",
    )


class IndexSpec(_Declared):
    """The declaration of one index."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"source": {"required": ["catalog"]}}},
            "else": {"required": ["document"]},
        }
    )

    name: str = Field(description="Name of the index: its PostgreSQL schema, its view, its assets' prefix.")
    source: SourceSpec
    document: DocumentSpec = Field(default_factory=lambda: DocumentSpec(text={}))
    embedding: EmbeddingSpec = Field(default_factory=EmbeddingSpec)
    search: SearchSpec = Field(default_factory=SearchSpec)
    automation: AutomationSpec = Field(default_factory=AutomationSpec)
    deletion_guard: DeletionGuardSpec = Field(default_factory=DeletionGuardSpec)
    generations: GenerationsSpec = Field(default_factory=GenerationsSpec)
    range_size: int = Field(
        default=1000, ge=1, description="Rows in a key range, about; a range is a Dagster partition."
    )
    owners: list[str] = Field(
        default_factory=list, description="Owners shown in Dagster: e-mail addresses or `team:name`."
    )
    description: str | None = Field(default=None, description="What the index is for, in the UI.")

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, declared: Any) -> Any:
        return with_catalog_defaults(declared)
