SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE SCHEMA faq;
CREATE SCHEMA vector_pipeline;
CREATE FUNCTION faq.nearest(query public.vector, result_limit integer, field text) RETURNS TABLE(id text, score double precision)
    LANGUAGE plpgsql STABLE
    SET "hnsw.iterative_scan" TO 'strict_order'
    SET "hnsw.ef_search" TO '400'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_sort TO 'on'
    SET jit TO 'off'
    SET "hnsw.max_scan_tuples" TO '20000'
    SET "hnsw.scan_mem_multiplier" TO '1'
    AS $_$DECLARE found_keys text[]; found_scores float8[]; passages_met bigint; passages_wanted bigint := $2; BEGIN IF $2 IS NULL OR $2 < 0 THEN RAISE EXCEPTION 'result_limit is %; give a number from 0', $2; END IF; 
    IF $3 = 'text' THEN
    IF coalesce(cardinality(found_keys), 0) < $2 THEN
        PERFORM set_config('enable_sort', 'on', true);
        passages_wanted := $2;
        LOOP
            PERFORM set_config(
                        'hnsw.max_scan_tuples', least(2147483647, greatest(20000, 20 * passages_wanted))::text, true),
                    set_config('hnsw.scan_mem_multiplier', least(1000, 1 + passages_wanted / 20000)::text, true);
            SELECT array_agg(s.key), array_agg(1 - s.distance), coalesce(max(s.walked), 0)
            INTO found_keys, found_scores, passages_met
            FROM (
    SELECT key, distance, behind, char_start, char_end, walked, farthest, place, metadata, "text_0", "text_1"
    FROM (
        SELECT DISTINCT ON (key) met.*, count(*) OVER () AS walked, max(distance) OVER () AS farthest
        FROM (
    SELECT d.key, v.embedding <=> $1::vector AS distance, (p.served_hash IS DISTINCT FROM p.content_hash) AS behind, p.char_start, p.char_end, d.metadata, d."question" AS "text_0", d."answer" AS "text_1", 0 AS place
    FROM "faq"."vectors_1" v
    JOIN "faq"."passages_2" p ON p.served_hash = v.content_hash AND p.field = v.field JOIN "faq"."documents" d ON d.key = p.key
    WHERE v.field = 'text'
    ORDER BY (v.embedding <=> $1::vector) + 0
    LIMIT passages_wanted
) met
        ORDER BY key, distance) best
    ORDER BY distance
) s;
            EXIT WHEN coalesce(cardinality(found_keys), 0) >= $2 OR passages_met < passages_wanted;
            passages_wanted := 4 * passages_wanted;
        END LOOP;
    END IF;
        RETURN QUERY SELECT f.k, f.s FROM unnest(found_keys, found_scores) f(k, s) ORDER BY f.s DESC LIMIT $2;
        RETURN;
    END IF;
 RAISE EXCEPTION 'no field % in this index', $3; END$_$;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE faq.documents (
    key text NOT NULL COLLATE pg_catalog."C",
    sort_key bytea NOT NULL,
    range_id integer NOT NULL,
    question text,
    answer text,
    metadata jsonb NOT NULL,
    unstorable jsonb,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE faq.passages_1 (
    key text NOT NULL COLLATE pg_catalog."C",
    field text NOT NULL COLLATE pg_catalog."C",
    ordinal smallint NOT NULL,
    content_hash bytea NOT NULL,
    served_hash bytea,
    char_start integer,
    char_end integer
);
CREATE TABLE faq.passages_2 (
    key text NOT NULL COLLATE pg_catalog."C",
    field text NOT NULL COLLATE pg_catalog."C",
    ordinal smallint NOT NULL,
    content_hash bytea NOT NULL,
    served_hash bytea,
    char_start integer,
    char_end integer
);
CREATE TABLE faq.retired_vectors_1 (
    content_hash bytea NOT NULL,
    field text NOT NULL COLLATE pg_catalog."C",
    embedding public.vector(8) NOT NULL,
    retired_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE faq.vectors_1 (
    content_hash bytea NOT NULL,
    field text NOT NULL COLLATE pg_catalog."C",
    embedding public.vector(8) NOT NULL
);
CREATE VIEW public.faq AS
 SELECT (d.key)::bigint AS id,
    d.question,
    d.answer,
    (d.metadata ->> 'link'::text) AS link,
    (d.metadata ->> 'asked'::text) AS asked,
    (v0.embedding)::public.vector AS text_embedding
   FROM ((faq.documents d
     LEFT JOIN faq.passages_2 p0 ON (((p0.key = d.key) AND (p0.field = 'text'::text) AND (p0.ordinal = 0))))
     LEFT JOIN faq.vectors_1 v0 ON (((v0.content_hash = p0.served_hash) AND (v0.field = p0.field))));
COMMENT ON VIEW public.faq IS 'vector-pipeline index faq 89a9e7f6b3e9';
CREATE TABLE vector_pipeline.ann_indexes (
    index_id integer NOT NULL,
    space integer NOT NULL,
    field text NOT NULL,
    name text NOT NULL,
    method text NOT NULL,
    width integer NOT NULL,
    built_at timestamp with time zone DEFAULT now() NOT NULL,
    vectors_deleted bigint DEFAULT 0 NOT NULL
);
CREATE TABLE vector_pipeline.api_keys (
    key_id integer NOT NULL,
    name text NOT NULL,
    digest bytea NOT NULL,
    hint text NOT NULL,
    scopes text[] NOT NULL,
    indexes text[],
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    last_used_at timestamp with time zone,
    CONSTRAINT api_keys_digest_check CHECK ((octet_length(digest) = 32)),
    CONSTRAINT api_keys_scopes_check CHECK ((cardinality(scopes) > 0))
);
ALTER TABLE vector_pipeline.api_keys ALTER COLUMN key_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME vector_pipeline.api_keys_key_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE vector_pipeline.budget_days (
    index_id integer NOT NULL,
    day date NOT NULL,
    in_flight numeric DEFAULT 0 NOT NULL,
    refused numeric
);
CREATE TABLE vector_pipeline.canaries (
    index_id integer NOT NULL,
    space integer NOT NULL,
    "position" integer NOT NULL,
    text text NOT NULL,
    embedding public.vector NOT NULL
);
CREATE TABLE vector_pipeline.canary_looks (
    index_id integer NOT NULL,
    space integer NOT NULL,
    taken_at timestamp with time zone DEFAULT now() NOT NULL,
    compared_at timestamp with time zone DEFAULT now() NOT NULL,
    alike_at timestamp with time zone DEFAULT now() NOT NULL,
    similarity double precision,
    drifted_since timestamp with time zone
);
CREATE SEQUENCE vector_pipeline.claim_holders
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
    CYCLE;
CREATE TABLE vector_pipeline.declared_indexes (
    name text NOT NULL,
    source_database text NOT NULL,
    source_table text NOT NULL,
    declaration jsonb NOT NULL,
    declared_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    removed_at timestamp with time zone
);
CREATE TABLE vector_pipeline.deletion_guards (
    index_id integer NOT NULL,
    period_began_at timestamp with time zone DEFAULT now() NOT NULL,
    period_documents bigint NOT NULL,
    period_deletions bigint DEFAULT 0 NOT NULL,
    previous_documents bigint DEFAULT 0 NOT NULL,
    previous_deletions bigint DEFAULT 0 NOT NULL,
    approved_deletions bigint DEFAULT 0 NOT NULL,
    held_since timestamp with time zone,
    held_deletions bigint,
    rejected_at timestamp with time zone
);
CREATE TABLE vector_pipeline.detector_states (
    index_id integer NOT NULL,
    detector text NOT NULL,
    state jsonb,
    problem text,
    problem_since timestamp with time zone
);
CREATE TABLE vector_pipeline.embedding_indexes (
    index_id integer NOT NULL,
    name text NOT NULL,
    schema_name text NOT NULL,
    active_generation integer,
    round_completed_at timestamp with time zone,
    search_refreshed_at timestamp with time zone,
    vectors_at_refresh bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    source_columns jsonb,
    reading_paid_until timestamp with time zone,
    building_generation integer,
    generations_made integer DEFAULT 1 NOT NULL,
    spaces_made integer DEFAULT 1 NOT NULL
);
ALTER TABLE vector_pipeline.embedding_indexes ALTER COLUMN index_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME vector_pipeline.embedding_indexes_index_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE vector_pipeline.generations (
    index_id integer NOT NULL,
    generation integer NOT NULL,
    space integer NOT NULL,
    fingerprint text NOT NULL,
    rendering jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    activated_at timestamp with time zone,
    declaration jsonb NOT NULL,
    completed_at timestamp with time zone,
    approved_at timestamp with time zone,
    retired_at timestamp with time zone,
    rolled_back_at timestamp with time zone,
    behind_since timestamp with time zone
);
CREATE TABLE vector_pipeline.golden_results (
    index_id integer NOT NULL,
    generation integer NOT NULL,
    mode text NOT NULL,
    result jsonb NOT NULL,
    asked_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE vector_pipeline.key_ranges (
    range_id integer NOT NULL,
    index_id integer NOT NULL,
    partition text NOT NULL,
    "position" numeric NOT NULL,
    lower_key text,
    source_rows bigint,
    source_digest text,
    source_checked_at timestamp with time zone,
    reported_digest text,
    attempts integer DEFAULT 0 NOT NULL,
    next_attempt_at timestamp with time zone,
    suspected_at timestamp with time zone,
    dirty_since timestamp with time zone,
    refused_digest text,
    refused_deletions bigint
);
ALTER TABLE vector_pipeline.key_ranges ALTER COLUMN range_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME vector_pipeline.key_ranges_range_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE vector_pipeline.offline_batch_texts (
    index_id integer NOT NULL,
    space integer NOT NULL,
    content_hash bytea NOT NULL,
    batch integer NOT NULL,
    fields text[] NOT NULL,
    tokens integer NOT NULL
);
CREATE TABLE vector_pipeline.offline_batches (
    batch integer NOT NULL,
    index_id integer NOT NULL,
    generation integer NOT NULL,
    space integer NOT NULL,
    mark text NOT NULL,
    standing text NOT NULL,
    texts integer NOT NULL,
    price numeric,
    day date NOT NULL,
    reserved numeric NOT NULL,
    file_id text,
    batch_id text,
    status text,
    completed integer DEFAULT 0 NOT NULL,
    embedded integer DEFAULT 0 NOT NULL,
    quarantined integer DEFAULT 0 NOT NULL,
    given_back integer DEFAULT 0 NOT NULL,
    tokens bigint DEFAULT 0 NOT NULL,
    cost numeric,
    message text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    uploaded_at timestamp with time zone,
    ended_at timestamp with time zone,
    CONSTRAINT offline_batches_standing_check CHECK ((standing = ANY (ARRAY['submitting'::text, 'under way'::text, 'ended'::text])))
);
ALTER TABLE vector_pipeline.offline_batches ALTER COLUMN batch ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME vector_pipeline.offline_batches_batch_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE vector_pipeline.open_runs (
    run_id text NOT NULL,
    asked_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    closed boolean DEFAULT false NOT NULL
);
CREATE TABLE vector_pipeline.quarantine (
    index_id integer NOT NULL,
    space integer NOT NULL,
    content_hash bytea NOT NULL,
    reason text NOT NULL,
    message text NOT NULL,
    attempts integer DEFAULT 1 NOT NULL,
    first_failed_at timestamp with time zone DEFAULT now() NOT NULL,
    last_failed_at timestamp with time zone DEFAULT now() NOT NULL,
    next_attempt_at timestamp with time zone,
    ignored_at timestamp with time zone
);
CREATE TABLE vector_pipeline.range_states (
    range_id integer NOT NULL,
    generation integer NOT NULL,
    rows bigint NOT NULL,
    digest text,
    vectors_complete boolean NOT NULL,
    synced_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE vector_pipeline.schema_version (
    version integer NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE vector_pipeline.spending (
    index_id integer NOT NULL,
    day date NOT NULL,
    space integer NOT NULL,
    model text NOT NULL,
    requests bigint DEFAULT 0 NOT NULL,
    texts bigint DEFAULT 0 NOT NULL,
    tokens bigint DEFAULT 0 NOT NULL,
    tokens_estimated bigint DEFAULT 0 NOT NULL,
    tokens_unpriced bigint DEFAULT 0 NOT NULL,
    cost numeric DEFAULT 0 NOT NULL,
    timed_texts bigint DEFAULT 0 NOT NULL,
    timed_seconds double precision DEFAULT 0 NOT NULL,
    generation integer NOT NULL
);
CREATE UNLOGGED TABLE vector_pipeline.text_claims (
    index_id integer NOT NULL,
    space integer NOT NULL,
    content_hash bytea NOT NULL,
    holder integer NOT NULL
);
CREATE TABLE vector_pipeline.unanswered_queries (
    index_id integer NOT NULL,
    query_hash bytea NOT NULL,
    query text NOT NULL,
    times bigint NOT NULL,
    threshold double precision,
    filtered boolean NOT NULL,
    first_asked_at timestamp with time zone NOT NULL,
    last_asked_at timestamp with time zone NOT NULL,
    keep_until timestamp with time zone NOT NULL
);
CREATE TABLE vector_pipeline.vector_spaces (
    index_id integer NOT NULL,
    space integer NOT NULL,
    fingerprint text NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    native_dimensions integer NOT NULL,
    stored_dimensions integer NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    query_prefix text DEFAULT ''::text NOT NULL,
    document_prefix text DEFAULT ''::text NOT NULL,
    storage text DEFAULT 'vector'::text NOT NULL,
    CONSTRAINT vector_spaces_check CHECK ((stored_dimensions >= native_dimensions))
);
INSERT INTO faq.documents VALUES
	('1', '\x008000000000000001', 1, 'question number 1?', 'the answer to number 1', '{"link": "https://example.org", "asked": "2026-01-02 03:04:05"}', NULL, '2026-11-21 21:48:34.476958+00'),
	('2', '\x008000000000000002', 1, 'question number 2?', 'the answer to number 2', '{"link": "https://example.org", "asked": "2026-01-02 03:04:05"}', NULL, '2026-11-21 21:48:34.476958+00'),
	('3', '\x008000000000000003', 1, 'question number 3?', 'the answer to number 3', '{"link": "https://example.org", "asked": "2026-01-02 03:04:05"}', NULL, '2026-11-21 21:48:34.476958+00'),
	('4', '\x008000000000000004', 1, 'question number 4?', 'the answer to number 4', '{"link": "https://example.org", "asked": "2026-01-02 03:04:05"}', NULL, '2026-11-21 21:48:34.476958+00'),
	('10', '\x00800000000000000a', 2, 'question number 10?', 'the answer to number 10', '{"link": "https://example.org", "asked": "2026-01-02 03:04:05"}', NULL, '2026-11-21 21:48:34.507599+00'),
	('6', '\x008000000000000006', 2, 'question number 6?', 'the answer to number 6', '{"link": "https://example.org", "asked": "2026-01-02 03:04:05"}', NULL, '2026-11-21 21:48:34.507599+00'),
	('8', '\x008000000000000008', 2, 'question number 8?', 'the answer to number 8', '{"link": "https://example.org", "asked": "2026-01-02 03:04:05"}', NULL, '2026-11-21 21:48:34.507599+00'),
	('9', '\x008000000000000009', 2, 'question number 9?', 'the answer to number 9', '{"link": "https://example.org", "asked": "2026-01-02 03:04:05"}', NULL, '2026-11-21 21:48:34.507599+00'),
	('11', '\x00800000000000000b', 3, 'question number 11?', 'the answer to number 11', '{"link": "https://example.org", "asked": "2026-01-02 03:04:05"}', NULL, '2026-11-21 21:48:34.547568+00'),
	('12', '\x00800000000000000c', 3, 'question number 12?', 'the answer to number 12', '{"link": "https://example.org", "asked": "2026-01-02 03:04:05"}', NULL, '2026-11-21 21:48:34.547568+00'),
	('13', '\x00800000000000000d', 3, 'question number 1?', NULL, '{"link": "https://example.org", "asked": "2026-01-02 03:04:05"}', NULL, '2026-11-21 21:48:34.547568+00'),
	('14', '\x00800000000000000e', 3, 'what is poison?', 'the answer to number 2', '{"link": "https://example.org", "asked": "2026-01-02 03:04:05"}', NULL, '2026-11-21 21:48:34.547568+00'),
	('5', '\x008000000000000005', 1, 'question number 5, changed?', 'the answer to number 5', '{"link": "https://example.org", "asked": "2026-01-02 03:04:05"}', NULL, '2026-11-21 21:48:49.118399+00');
INSERT INTO faq.passages_1 VALUES
	('14', 'question', 0, '\x2719c7e1e6bb0246028d8440a0bf4ceb97dec40a73bf4bffd16e5f16e748800e', NULL, NULL, NULL),
	('1', 'answer', 0, '\x58071b7da2baca0121cf1e43017ac4786cf346f9b1045fc28f1829c6d2200d6c', '\x58071b7da2baca0121cf1e43017ac4786cf346f9b1045fc28f1829c6d2200d6c', NULL, NULL),
	('1', 'question', 0, '\x5e05ffe114b79e7102d85c6e9098ad3508b933ac72fc5a08447097bc59bff5e8', '\x5e05ffe114b79e7102d85c6e9098ad3508b933ac72fc5a08447097bc59bff5e8', NULL, NULL),
	('2', 'answer', 0, '\xbff5f29d94654c969db9d4ea03121d0cf17d736c1680e07929fe83feeb9b1607', '\xbff5f29d94654c969db9d4ea03121d0cf17d736c1680e07929fe83feeb9b1607', NULL, NULL),
	('2', 'question', 0, '\x290196f11b7a5fc0653a7ecc60783aeb46cf80c21677e7efd6b55dffe1df41cb', '\x290196f11b7a5fc0653a7ecc60783aeb46cf80c21677e7efd6b55dffe1df41cb', NULL, NULL),
	('3', 'answer', 0, '\xf53cbcf1c64a1687e59b04612331c96b593857fb7076763e760b6f7260ea71ea', '\xf53cbcf1c64a1687e59b04612331c96b593857fb7076763e760b6f7260ea71ea', NULL, NULL),
	('3', 'question', 0, '\x60ce4ab62b8a5e99bff6552b326b49ec0a0738d665d1e923824671be9b8c59b7', '\x60ce4ab62b8a5e99bff6552b326b49ec0a0738d665d1e923824671be9b8c59b7', NULL, NULL),
	('4', 'answer', 0, '\xf54a446c125d85a402ea35404b4696ac55db829261ab2a69a6bc8a954ee79143', '\xf54a446c125d85a402ea35404b4696ac55db829261ab2a69a6bc8a954ee79143', NULL, NULL),
	('4', 'question', 0, '\x0414f01595ed8e39b950eebe50b8a12365ffc108782dabc90f34ae890be22590', '\x0414f01595ed8e39b950eebe50b8a12365ffc108782dabc90f34ae890be22590', NULL, NULL),
	('5', 'answer', 0, '\xa8bb7b7199520b5200bed2d10ba41a67aaff02e144f68dcd27d939e386a903b3', '\xa8bb7b7199520b5200bed2d10ba41a67aaff02e144f68dcd27d939e386a903b3', NULL, NULL),
	('6', 'answer', 0, '\xa10e2b3fa87d183235e804ad6c3c8f50e42b974a924c747fcd0f197b8ed18c29', '\xa10e2b3fa87d183235e804ad6c3c8f50e42b974a924c747fcd0f197b8ed18c29', NULL, NULL),
	('6', 'question', 0, '\xf0abeb91ff6b63c4ee09c04def618e12db9590570848f786cebbd53ddcc05c64', '\xf0abeb91ff6b63c4ee09c04def618e12db9590570848f786cebbd53ddcc05c64', NULL, NULL),
	('13', 'question', 0, '\x5e05ffe114b79e7102d85c6e9098ad3508b933ac72fc5a08447097bc59bff5e8', '\x5e05ffe114b79e7102d85c6e9098ad3508b933ac72fc5a08447097bc59bff5e8', NULL, NULL),
	('14', 'answer', 0, '\xbff5f29d94654c969db9d4ea03121d0cf17d736c1680e07929fe83feeb9b1607', '\xbff5f29d94654c969db9d4ea03121d0cf17d736c1680e07929fe83feeb9b1607', NULL, NULL),
	('10', 'answer', 0, '\x2223898c3074d070ac407eafdf88466a48c7596a92b48c56b98356de85fa589a', '\x2223898c3074d070ac407eafdf88466a48c7596a92b48c56b98356de85fa589a', NULL, NULL),
	('8', 'answer', 0, '\xb9ad8b890d758a970b0a24b0478b4323b88c9c570d8864bc783bc52777834d1c', '\xb9ad8b890d758a970b0a24b0478b4323b88c9c570d8864bc783bc52777834d1c', NULL, NULL),
	('8', 'question', 0, '\x25101819e1e641c32297ba958a5c29bf3fc96fd60916d896e825f0b3a3bbce51', '\x25101819e1e641c32297ba958a5c29bf3fc96fd60916d896e825f0b3a3bbce51', NULL, NULL),
	('9', 'answer', 0, '\x088f77459d4b4e205f56861f538df61db46bc7ae1fbbc4facfcd39eab43d6ae4', '\x088f77459d4b4e205f56861f538df61db46bc7ae1fbbc4facfcd39eab43d6ae4', NULL, NULL),
	('9', 'question', 0, '\xfc9602abd466fcdfa19504a943697d2270a7cbe520fd78ca587e8bba302a4284', '\xfc9602abd466fcdfa19504a943697d2270a7cbe520fd78ca587e8bba302a4284', NULL, NULL),
	('10', 'question', 0, '\x29a43301ceac6e829a34956064f1ec00782b9b4f9639c5a021375b9e5ef5d299', '\x29a43301ceac6e829a34956064f1ec00782b9b4f9639c5a021375b9e5ef5d299', NULL, NULL),
	('11', 'answer', 0, '\x0d7f00faee8892e563b9d5a43310db8d288fe3c0d6f8dbb51acf54a7cecb55bf', '\x0d7f00faee8892e563b9d5a43310db8d288fe3c0d6f8dbb51acf54a7cecb55bf', NULL, NULL),
	('11', 'question', 0, '\x0a167351abb1a6dbac17229e355054d6dff91450dd83d63e63604685a82ae7ae', '\x0a167351abb1a6dbac17229e355054d6dff91450dd83d63e63604685a82ae7ae', NULL, NULL),
	('12', 'answer', 0, '\x21824adbe6fb35945dc07c0e54a6ab48a5be779e7c8c00c12279f4734817783c', '\x21824adbe6fb35945dc07c0e54a6ab48a5be779e7c8c00c12279f4734817783c', NULL, NULL),
	('12', 'question', 0, '\x5d6018f6e29d5a675ba3431c39b5a12a5138331a8d64ddffd5ce95ba51f21759', '\x5d6018f6e29d5a675ba3431c39b5a12a5138331a8d64ddffd5ce95ba51f21759', NULL, NULL),
	('5', 'question', 0, '\x50612a51fc9ae60d4d91b649caf5ce1f27f9aa50cb6cabaa9b5efab7d10e6b71', '\x50612a51fc9ae60d4d91b649caf5ce1f27f9aa50cb6cabaa9b5efab7d10e6b71', NULL, NULL);
INSERT INTO faq.passages_2 VALUES
	('14', 'text', 0, '\x0eed429a689f2665c0d8517c0c0113c3f213af2a013161fc5d3a715889025c34', NULL, NULL, NULL),
	('1', 'text', 0, '\x5f8b9c76b22513a3508e7409e7afb8311487eef70efb302b04526be535161285', '\x5f8b9c76b22513a3508e7409e7afb8311487eef70efb302b04526be535161285', NULL, NULL),
	('2', 'text', 0, '\x37d3137607101a2a3d4eb65f695dac764522c1dca097df30d01807bb602fe8c8', '\x37d3137607101a2a3d4eb65f695dac764522c1dca097df30d01807bb602fe8c8', NULL, NULL),
	('3', 'text', 0, '\x2e6d30494663871196d4dd3dcb1331cae1a74170ef791c529d6f4ec6025d93d3', '\x2e6d30494663871196d4dd3dcb1331cae1a74170ef791c529d6f4ec6025d93d3', NULL, NULL),
	('4', 'text', 0, '\xdf240f86b87f5580fc8e2230443b107e1a54d22b3c2ffa866de43c885a6f0647', '\xdf240f86b87f5580fc8e2230443b107e1a54d22b3c2ffa866de43c885a6f0647', NULL, NULL),
	('5', 'text', 0, '\xcf920f11b942c2f200f75d44b3309553894f5c0583a840db10ac2b5e99dabee3', '\xcf920f11b942c2f200f75d44b3309553894f5c0583a840db10ac2b5e99dabee3', NULL, NULL),
	('6', 'text', 0, '\xe1b2c0b1459712c08cad7f30a90b3589e691bd65947e9f0884bbd501f6e9354e', '\xe1b2c0b1459712c08cad7f30a90b3589e691bd65947e9f0884bbd501f6e9354e', NULL, NULL),
	('8', 'text', 0, '\x2390a66d9583d8f26af0482588ccea7723b8f74522369fe17016790f171373ea', '\x2390a66d9583d8f26af0482588ccea7723b8f74522369fe17016790f171373ea', NULL, NULL),
	('10', 'text', 0, '\xdd9b9b480dcdb5580e6dc508afae72fd23f6c6acb3307531aec7d99a874c5b5b', '\xdd9b9b480dcdb5580e6dc508afae72fd23f6c6acb3307531aec7d99a874c5b5b', NULL, NULL),
	('9', 'text', 0, '\xa8766a892229b6ec1009efadec5f329ff748bb851aed7ee2032f0f1a715b1af7', '\xa8766a892229b6ec1009efadec5f329ff748bb851aed7ee2032f0f1a715b1af7', NULL, NULL),
	('11', 'text', 0, '\x5cd644a906d025544993f774f22ee9d2076d8e964c8028290abab7e334021e7f', '\x5cd644a906d025544993f774f22ee9d2076d8e964c8028290abab7e334021e7f', NULL, NULL),
	('12', 'text', 0, '\xdcd3c2a75c094c3cb9be8fcf582190be212bdbd33a81a02d3cb7fa5dc7ee32d0', '\xdcd3c2a75c094c3cb9be8fcf582190be212bdbd33a81a02d3cb7fa5dc7ee32d0', NULL, NULL),
	('13', 'text', 0, '\xc3530abe93b5f6e22368495ce2a1b688f8a69a7289339b80e2a78072c52e0c09', '\xc3530abe93b5f6e22368495ce2a1b688f8a69a7289339b80e2a78072c52e0c09', NULL, NULL);
INSERT INTO faq.retired_vectors_1 VALUES
	('\x67e301bbbe68acc834f4814a001eb3168222ce06a1eb4bd90cdfd02744fab91d', 'question', '[0.18431345,0.020932257,-0.4637698,0.13553338,-0.80122966,-0.049526572,-0.23478813,-0.18053101]', '2026-11-21 21:49:10.278688+00'),
	('\x4d98ce5bcbff9f152b9931dd81df85645bfac7757c2e7e0da6e6fe7cc90cebc2', 'question', '[0.48981693,0.29016465,0.08225065,0.084145844,0.7071446,0.14981201,0.2550345,-0.2729439]', '2026-11-21 21:49:10.278688+00'),
	('\xcb309db26129c646e0810e3ca74821306a4979b51dd854b52cfef415125c6f52', 'answer', '[-0.45928755,0.27499917,-0.07199185,0.12540127,-0.43048504,0.54961514,-0.42020494,-0.16898437]', '2026-11-21 21:49:10.278688+00');
INSERT INTO faq.vectors_1 VALUES
	('\x0414f01595ed8e39b950eebe50b8a12365ffc108782dabc90f34ae890be22590', 'question', '[0.21183898,-0.21481475,0.10440668,-0.2448484,0.53732586,0.40427318,-0.031912737,0.6204457]'),
	('\x290196f11b7a5fc0653a7ecc60783aeb46cf80c21677e7efd6b55dffe1df41cb', 'question', '[-0.057327732,-0.06816595,-0.22732289,0.3344569,-0.16019644,0.21063563,-0.24396029,0.83605194]'),
	('\x58071b7da2baca0121cf1e43017ac4786cf346f9b1045fc28f1829c6d2200d6c', 'answer', '[-0.19080459,-0.08110044,-0.19934455,-0.47100866,0.3065386,-0.2345082,-0.73235565,0.10061892]'),
	('\x5e05ffe114b79e7102d85c6e9098ad3508b933ac72fc5a08447097bc59bff5e8', 'question', '[-0.6240287,-0.0023935724,-0.394293,-0.16585374,0.058049127,0.59868604,0.24628091,-0.071826056]'),
	('\x60ce4ab62b8a5e99bff6552b326b49ec0a0738d665d1e923824671be9b8c59b7', 'question', '[-0.507037,-0.1853551,-0.011686068,-0.30116007,-0.6224847,0.053239923,0.46213123,-0.11762717]'),
	('\xa10e2b3fa87d183235e804ad6c3c8f50e42b974a924c747fcd0f197b8ed18c29', 'answer', '[0.20092028,-0.056901693,-0.46766496,0.27739564,0.019844279,-0.65757006,-0.3960902,0.266561]'),
	('\xa8bb7b7199520b5200bed2d10ba41a67aaff02e144f68dcd27d939e386a903b3', 'answer', '[-0.59617513,-0.021014657,-0.57418185,-0.49149704,0.24095497,0.04628032,0.07365871,0.085162885]'),
	('\xbff5f29d94654c969db9d4ea03121d0cf17d736c1680e07929fe83feeb9b1607', 'answer', '[-0.16190387,-0.0952687,0.41814354,0.5443742,-0.13137907,0.48826978,-0.04545982,-0.48558128]'),
	('\xf0abeb91ff6b63c4ee09c04def618e12db9590570848f786cebbd53ddcc05c64', 'question', '[-0.5991667,0.16103105,0.20580348,-0.25965783,-0.18813594,0.4838695,-0.4274733,-0.2302882]'),
	('\xf53cbcf1c64a1687e59b04612331c96b593857fb7076763e760b6f7260ea71ea', 'answer', '[0.2695904,-0.6531779,0.39438522,0.25561687,-0.08109967,-0.33285406,-0.4013781,-0.03641975]'),
	('\xf54a446c125d85a402ea35404b4696ac55db829261ab2a69a6bc8a954ee79143', 'answer', '[0.1299748,-0.35197553,-0.4421864,-0.6809637,0.09132737,0.19133767,0.38505122,0.082243755]'),
	('\x088f77459d4b4e205f56861f538df61db46bc7ae1fbbc4facfcd39eab43d6ae4', 'answer', '[0.27140656,-0.0025507316,0.1475332,-0.44549656,0.7558594,0.2099895,0.15218648,0.25984436]'),
	('\x2223898c3074d070ac407eafdf88466a48c7596a92b48c56b98356de85fa589a', 'answer', '[-0.17939104,0.38435924,-0.08535389,0.2356942,-0.79654914,-0.07774879,-0.1383135,-0.312384]'),
	('\x25101819e1e641c32297ba958a5c29bf3fc96fd60916d896e825f0b3a3bbce51', 'question', '[0.41318673,0.09030886,0.0034409405,-0.2824381,-0.2583039,-0.4643449,-0.66930336,0.105042264]'),
	('\xb9ad8b890d758a970b0a24b0478b4323b88c9c570d8864bc783bc52777834d1c', 'answer', '[0.059667338,0.70508367,0.10967433,0.3236625,-0.19697025,0.048537508,-0.37954095,-0.44419193]'),
	('\xfc9602abd466fcdfa19504a943697d2270a7cbe520fd78ca587e8bba302a4284', 'question', '[0.4588635,0.14484014,-0.25006884,0.47443894,0.3400498,-0.37549162,0.4105656,0.23589599]'),
	('\x0a167351abb1a6dbac17229e355054d6dff91450dd83d63e63604685a82ae7ae', 'question', '[0.19853863,-0.5354017,-0.27100718,-0.62859213,-0.0312268,0.10489134,0.35113555,0.26472813]'),
	('\x0d7f00faee8892e563b9d5a43310db8d288fe3c0d6f8dbb51acf54a7cecb55bf', 'answer', '[0.14861004,0.6838967,0.35494846,0.12285652,-0.3853841,0.13744281,-0.25950626,-0.36655596]'),
	('\x29a43301ceac6e829a34956064f1ec00782b9b4f9639c5a021375b9e5ef5d299', 'question', '[-0.013924191,0.39934748,-0.017334336,0.25051913,-0.45290855,-0.23435068,0.4354809,0.57234377]'),
	('\x21824adbe6fb35945dc07c0e54a6ab48a5be779e7c8c00c12279f4734817783c', 'answer', '[-0.12913793,-0.25271013,-0.20357199,-0.619754,0.05213679,0.2925681,0.6120681,0.17601895]'),
	('\x5d6018f6e29d5a675ba3431c39b5a12a5138331a8d64ddffd5ce95ba51f21759', 'question', '[-0.35680655,-0.07387241,0.7204058,0.35656947,0.3467649,-0.24072215,-0.20700599,0.007814859]'),
	('\x50612a51fc9ae60d4d91b649caf5ce1f27f9aa50cb6cabaa9b5efab7d10e6b71', 'question', '[-0.29643413,-0.5152271,0.033114944,0.78519046,0.0066221287,-0.08598361,0.14367296,0.031114835]'),
	('\x2390a66d9583d8f26af0482588ccea7723b8f74522369fe17016790f171373ea', 'text', '[-0.20017394,-0.5524456,0.31098592,-0.4095067,0.053613827,-0.11700235,-0.1530066,0.59190476]'),
	('\x2e6d30494663871196d4dd3dcb1331cae1a74170ef791c529d6f4ec6025d93d3', 'text', '[0.5821698,0.22546466,0.009480494,0.00026645657,-0.2729596,-0.2707724,0.5912883,0.33571965]'),
	('\x37d3137607101a2a3d4eb65f695dac764522c1dca097df30d01807bb602fe8c8', 'text', '[-0.62113124,0.32526422,-0.021637002,-0.27078143,0.3267497,-0.55018216,-0.15302321,-0.041551966]'),
	('\x5f8b9c76b22513a3508e7409e7afb8311487eef70efb302b04526be535161285', 'text', '[0.19378261,-0.6695854,-0.1287513,0.16121022,0.4497517,-0.2865877,0.42634538,-0.07320235]'),
	('\xcf920f11b942c2f200f75d44b3309553894f5c0583a840db10ac2b5e99dabee3', 'text', '[-0.72555864,-0.21236989,0.15920119,0.09018351,0.6065175,-0.07080057,0.035397142,0.1444177]'),
	('\xdf240f86b87f5580fc8e2230443b107e1a54d22b3c2ffa866de43c885a6f0647', 'text', '[0.3101581,0.052791767,-0.461273,0.20051318,0.36274537,0.31013823,-0.6339877,0.13537498]'),
	('\xe1b2c0b1459712c08cad7f30a90b3589e691bd65947e9f0884bbd501f6e9354e', 'text', '[-0.39550757,0.39620143,0.014376128,-0.2656378,-0.31041873,0.04694582,-0.08474235,0.71420115]'),
	('\x5cd644a906d025544993f774f22ee9d2076d8e964c8028290abab7e334021e7f', 'text', '[-0.28554508,0.11812877,0.8708798,0.2631806,0.1264251,-0.08380634,0.04292283,-0.22795774]'),
	('\xa8766a892229b6ec1009efadec5f329ff748bb851aed7ee2032f0f1a715b1af7', 'text', '[-0.20334044,0.21714498,-0.11134604,-0.7641726,-0.3509162,-0.35882658,0.25138405,0.0070901155]'),
	('\xc3530abe93b5f6e22368495ce2a1b688f8a69a7289339b80e2a78072c52e0c09', 'text', '[0.14976682,0.26870272,-0.6356311,0.26974943,0.63685894,0.020703794,0.12373388,0.08514183]'),
	('\xdcd3c2a75c094c3cb9be8fcf582190be212bdbd33a81a02d3cb7fa5dc7ee32d0', 'text', '[-0.14222059,0.1667815,0.335383,-0.10326328,-0.4046562,0.056509044,-0.2996048,-0.75637907]'),
	('\xdd9b9b480dcdb5580e6dc508afae72fd23f6c6acb3307531aec7d99a874c5b5b', 'text', '[-0.7024041,0.110608235,-0.17456509,-0.10760686,-0.50878453,0.40070677,0.18024516,0.020644525]');
INSERT INTO vector_pipeline.canaries VALUES
	(1, 1, 0, 'Where is a lost identity card reported?', '[-0.12315476,-0.29958335,-0.012609508,0.40053445,0.14317346,0.41663328,0.47736007,0.5590539]'),
	(1, 1, 1, 'The library is open every day but Sunday.', '[0.053193722,0.05342379,0.047167562,-0.4564004,-0.1674812,0.54167527,0.65852946,-0.16931318]'),
	(1, 1, 2, 'Di manakah kehilangan kad pengenalan dilaporkan?', '[-0.6000639,0.3554647,-0.022238702,0.1239413,-0.29494485,0.32999834,-0.12766461,-0.5343431]'),
	(1, 1, 3, 'Perpustakaan dibuka setiap hari kecuali hari Ahad.', '[0.16031201,0.041029334,-0.108368695,-0.24357934,-0.5825334,0.3534188,-0.6594762,0.048816692]');
INSERT INTO vector_pipeline.canary_looks VALUES
	(1, 1, '2026-11-21 21:48:36.611627+00', '2026-11-21 21:48:54.863722+00', '2026-11-21 21:48:54.863722+00', 0.9999999999999998, NULL);
INSERT INTO vector_pipeline.deletion_guards VALUES
	(1, '2026-11-21 21:48:58.623251+00', 13, 0, 14, 1, 0, NULL, NULL, NULL);
INSERT INTO vector_pipeline.detector_states VALUES
	(1, 'tail', '{"key_hash": "8527a891e224136950ff32ca212b45bc93f69fbb801c3b1ebedac52775f99e61"}', NULL, NULL),
	(1, 'scrub', '{"named_last": 3}', NULL, NULL);
INSERT INTO vector_pipeline.embedding_indexes OVERRIDING SYSTEM VALUE VALUES
	(1, 'faq', 'faq', 2, '2026-11-21 21:48:58.567016+00', '2026-11-21 21:49:10.456963+00', 37, '2026-11-21 21:48:27.685926+00', '{"id": {"type": "bigint(20)", "family": "integer", "collation": null, "character_set": null}, "link": {"type": "varchar(500)", "family": "text", "collation": null, "character_set": null}, "asked": {"type": "datetime", "family": "datetime", "collation": null, "character_set": null}, "answer": {"type": "mediumtext", "family": "text", "collation": null, "character_set": null}, "question": {"type": "text", "family": "text", "collation": null, "character_set": null}}', NULL, NULL, 2, 1);
INSERT INTO vector_pipeline.generations VALUES
	(1, 1, 1, '{"model": "misbehaving-1", "dimensions": null, "padded to": null, "primary_key": "id", "strategy": "separate", "texts": [["question", "question"], ["answer", "answer"]]}', '{"names": ["question", "answer"], "columns": ["question", "answer"], "strategy": "separate", "splitting": {"model": "misbehaving-1", "tokens": 8192, "overlap": 0, "too_long": "split"}}', '2026-11-21 21:48:27.685926+00', '2026-11-21 21:48:27.685926+00', '{"name": "faq", "search": {"threshold": -1.0}, "source": {"table": "faq", "primary_key": "id"}, "document": {"text": {"answer": "answer", "question": "question"}, "metadata": {"link": "link", "asked": "asked"}}, "embedding": {"provider": {"host": "http://127.0.0.1:33855/v1", "type": "openai"}}, "range_size": 5}', NULL, NULL, '2026-11-21 21:49:05.123881+00', NULL, '2026-11-21 21:49:05.123881+00'),
	(1, 2, 1, '{"model": "misbehaving-1", "dimensions": null, "padded to": null, "primary_key": "id", "strategy": "concat", "texts": [["question", "question"], ["answer", "answer"]]}', '{"names": ["question", "answer"], "columns": ["question", "answer"], "strategy": "concat", "splitting": {"model": "misbehaving-1", "tokens": 8192, "overlap": 0, "too_long": "split"}}', '2026-11-21 21:49:03.146956+00', '2026-11-21 21:49:05.123881+00', '{"name": "faq", "search": {"threshold": -1.0}, "source": {"table": "faq", "primary_key": "id"}, "document": {"text": {"answer": "answer", "question": "question"}, "metadata": {"link": "link", "asked": "asked"}}, "embedding": {"provider": {"host": "http://127.0.0.1:33855/v1", "type": "openai"}, "strategy": "concat"}, "range_size": 5}', '2026-11-21 21:49:05.034012+00', NULL, NULL, NULL, NULL);
INSERT INTO vector_pipeline.key_ranges OVERRIDING SYSTEM VALUE VALUES
	(1, 1, '00000000000000000000', 0, NULL, 5, '5:279e152373d50402', '2026-11-21 21:49:03.471341+00', '5:279e152373d50402', 0, NULL, NULL, NULL, NULL, NULL),
	(2, 1, '00000000000000000006', 1, '6', 4, '4:b49420a7a878223f', '2026-11-21 21:49:03.51896+00', '4:b49420a7a878223f', 0, NULL, NULL, NULL, NULL, NULL),
	(3, 1, '00000000000000000011', 2, '11', 4, '4:9b89e7ff541c2363', '2026-11-21 21:49:03.676153+00', '4:9b89e7ff541c2363', 0, NULL, NULL, NULL, NULL, NULL);
INSERT INTO vector_pipeline.quarantine VALUES
	(1, 1, '\x2719c7e1e6bb0246028d8440a0bf4ceb97dec40a73bf4bffd16e5f16e748800e', 'refused by the provider', 'HTTP 400: input[0] is not to be embedded', 1, '2026-11-21 21:48:36.739395+00', '2026-11-21 21:48:36.739395+00', '2026-11-21 22:48:36.739395+00', NULL),
	(1, 1, '\x0eed429a689f2665c0d8517c0c0113c3f213af2a013161fc5d3a715889025c34', 'refused by the provider', 'HTTP 400: input[0] is not to be embedded', 1, '2026-11-21 21:49:04.599654+00', '2026-11-21 21:49:04.599654+00', '2026-11-21 22:49:04.599654+00', NULL);
INSERT INTO vector_pipeline.range_states VALUES
	(1, 1, 5, '5:279e152373d50402', true, '2026-11-21 21:49:03.479493+00'),
	(2, 1, 4, '4:b49420a7a878223f', true, '2026-11-21 21:49:03.578935+00'),
	(3, 1, 4, '4:9b89e7ff541c2363', true, '2026-11-21 21:49:03.691321+00'),
	(1, 2, 5, '5:279e152373d50402', true, '2026-11-21 21:49:03.479493+00'),
	(2, 2, 4, '4:b49420a7a878223f', true, '2026-11-21 21:49:03.578935+00'),
	(3, 2, 4, '4:9b89e7ff541c2363', true, '2026-11-21 21:49:03.691321+00');
INSERT INTO vector_pipeline.schema_version VALUES
	(1, '2026-11-21 21:48:21.761545+00'),
	(2, '2026-11-21 21:48:21.761545+00'),
	(3, '2026-11-21 21:48:21.761545+00'),
	(4, '2026-11-21 21:48:21.761545+00'),
	(5, '2026-11-21 21:48:21.761545+00'),
	(6, '2026-11-21 21:48:21.761545+00'),
	(7, '2026-11-21 21:48:21.761545+00'),
	(8, '2026-11-21 21:48:21.761545+00'),
	(9, '2026-11-21 21:48:21.761545+00'),
	(10, '2026-11-21 21:48:21.761545+00'),
	(11, '2026-11-21 21:48:21.761545+00'),
	(12, '2026-11-21 21:48:21.761545+00'),
	(13, '2026-11-21 21:48:21.761545+00'),
	(14, '2026-11-21 21:48:21.761545+00'),
	(15, '2026-11-21 21:48:21.761545+00'),
	(16, '2026-11-21 21:48:21.761545+00'),
	(17, '2026-11-21 21:48:21.761545+00');
INSERT INTO vector_pipeline.spending VALUES
	(1, '2026-11-21', 1, 'misbehaving-1', 10, 25, 100, 0, 100, 0, 0, 0, 1),
	(1, '2026-11-21', 1, 'misbehaving-1', 7, 12, 92, 0, 92, 0, 0, 0, 2);
INSERT INTO vector_pipeline.vector_spaces VALUES
	(1, 1, '{"model": "misbehaving-1", "dimensions": null, "padded to": null}', 'openai', 'misbehaving-1', 8, 8, '2026-11-21 21:48:27.685926+00', '', '', 'vector');
SELECT pg_catalog.setval('vector_pipeline.api_keys_key_id_seq', 1, false);
SELECT pg_catalog.setval('vector_pipeline.claim_holders', 3, true);
SELECT pg_catalog.setval('vector_pipeline.embedding_indexes_index_id_seq', 1, true);
SELECT pg_catalog.setval('vector_pipeline.key_ranges_range_id_seq', 3, true);
SELECT pg_catalog.setval('vector_pipeline.offline_batches_batch_seq', 1, false);
ALTER TABLE ONLY faq.documents
    ADD CONSTRAINT documents_pkey PRIMARY KEY (key);
ALTER TABLE ONLY faq.passages_1
    ADD CONSTRAINT passages_1_pkey PRIMARY KEY (key, field, ordinal);
ALTER TABLE ONLY faq.passages_2
    ADD CONSTRAINT passages_2_pkey PRIMARY KEY (key, field, ordinal);
ALTER TABLE ONLY faq.retired_vectors_1
    ADD CONSTRAINT retired_vectors_1_pkey PRIMARY KEY (content_hash, field);
ALTER TABLE ONLY faq.vectors_1
    ADD CONSTRAINT vectors_1_pkey PRIMARY KEY (content_hash, field);
ALTER TABLE ONLY vector_pipeline.ann_indexes
    ADD CONSTRAINT ann_indexes_pkey PRIMARY KEY (index_id, space, name);
ALTER TABLE ONLY vector_pipeline.api_keys
    ADD CONSTRAINT api_keys_digest_key UNIQUE (digest);
ALTER TABLE ONLY vector_pipeline.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (key_id);
ALTER TABLE ONLY vector_pipeline.budget_days
    ADD CONSTRAINT budget_days_pkey PRIMARY KEY (index_id, day);
ALTER TABLE ONLY vector_pipeline.canaries
    ADD CONSTRAINT canaries_pkey PRIMARY KEY (index_id, space, "position");
ALTER TABLE ONLY vector_pipeline.canary_looks
    ADD CONSTRAINT canary_looks_pkey PRIMARY KEY (index_id, space);
ALTER TABLE ONLY vector_pipeline.declared_indexes
    ADD CONSTRAINT declared_indexes_pkey PRIMARY KEY (name);
ALTER TABLE ONLY vector_pipeline.declared_indexes
    ADD CONSTRAINT declared_indexes_source_database_source_table_key UNIQUE (source_database, source_table);
ALTER TABLE ONLY vector_pipeline.deletion_guards
    ADD CONSTRAINT deletion_guards_pkey PRIMARY KEY (index_id);
ALTER TABLE ONLY vector_pipeline.detector_states
    ADD CONSTRAINT detector_states_pkey PRIMARY KEY (index_id, detector);
ALTER TABLE ONLY vector_pipeline.embedding_indexes
    ADD CONSTRAINT embedding_indexes_name_key UNIQUE (name);
ALTER TABLE ONLY vector_pipeline.embedding_indexes
    ADD CONSTRAINT embedding_indexes_pkey PRIMARY KEY (index_id);
ALTER TABLE ONLY vector_pipeline.embedding_indexes
    ADD CONSTRAINT embedding_indexes_schema_name_key UNIQUE (schema_name);
ALTER TABLE ONLY vector_pipeline.generations
    ADD CONSTRAINT generations_index_id_fingerprint_key UNIQUE (index_id, fingerprint);
ALTER TABLE ONLY vector_pipeline.generations
    ADD CONSTRAINT generations_pkey PRIMARY KEY (index_id, generation);
ALTER TABLE ONLY vector_pipeline.golden_results
    ADD CONSTRAINT golden_results_pkey PRIMARY KEY (index_id, generation, mode);
ALTER TABLE ONLY vector_pipeline.key_ranges
    ADD CONSTRAINT key_ranges_index_id_partition_key UNIQUE (index_id, partition);
ALTER TABLE ONLY vector_pipeline.key_ranges
    ADD CONSTRAINT key_ranges_index_id_position_key UNIQUE (index_id, "position");
ALTER TABLE ONLY vector_pipeline.key_ranges
    ADD CONSTRAINT key_ranges_pkey PRIMARY KEY (range_id);
ALTER TABLE ONLY vector_pipeline.offline_batch_texts
    ADD CONSTRAINT offline_batch_texts_pkey PRIMARY KEY (index_id, space, content_hash);
ALTER TABLE ONLY vector_pipeline.offline_batches
    ADD CONSTRAINT offline_batches_pkey PRIMARY KEY (batch);
ALTER TABLE ONLY vector_pipeline.open_runs
    ADD CONSTRAINT open_runs_pkey PRIMARY KEY (run_id);
ALTER TABLE ONLY vector_pipeline.quarantine
    ADD CONSTRAINT quarantine_pkey PRIMARY KEY (index_id, space, content_hash);
ALTER TABLE ONLY vector_pipeline.range_states
    ADD CONSTRAINT range_states_pkey PRIMARY KEY (range_id, generation);
ALTER TABLE ONLY vector_pipeline.spending
    ADD CONSTRAINT spending_pkey PRIMARY KEY (index_id, day, space, generation);
ALTER TABLE ONLY vector_pipeline.text_claims
    ADD CONSTRAINT text_claims_pkey PRIMARY KEY (index_id, space, content_hash);
ALTER TABLE ONLY vector_pipeline.unanswered_queries
    ADD CONSTRAINT unanswered_queries_pkey PRIMARY KEY (index_id, query_hash);
ALTER TABLE ONLY vector_pipeline.vector_spaces
    ADD CONSTRAINT vector_spaces_index_id_fingerprint_key UNIQUE (index_id, fingerprint);
ALTER TABLE ONLY vector_pipeline.vector_spaces
    ADD CONSTRAINT vector_spaces_pkey PRIMARY KEY (index_id, space);
CREATE INDEX documents_range ON faq.documents USING btree (range_id);
CREATE INDEX passages_1_behind ON faq.passages_1 USING btree (content_hash) WHERE (served_hash IS DISTINCT FROM content_hash);
CREATE INDEX passages_1_served ON faq.passages_1 USING btree (served_hash);
CREATE INDEX passages_2_behind ON faq.passages_2 USING btree (content_hash) WHERE (served_hash IS DISTINCT FROM content_hash);
CREATE INDEX passages_2_served ON faq.passages_2 USING btree (served_hash);
CREATE UNIQUE INDEX api_keys_in_use ON vector_pipeline.api_keys USING btree (name) WHERE (revoked_at IS NULL);
CREATE INDEX offline_batch_texts_batch_idx ON vector_pipeline.offline_batch_texts USING btree (batch);
CREATE INDEX offline_batches_index_id_idx ON vector_pipeline.offline_batches USING btree (index_id);
CREATE INDEX unanswered_queries_by_time ON vector_pipeline.unanswered_queries USING btree (keep_until);
ALTER TABLE ONLY faq.passages_1
    ADD CONSTRAINT passages_1_key_fkey FOREIGN KEY (key) REFERENCES faq.documents(key) ON DELETE CASCADE;
ALTER TABLE ONLY faq.passages_2
    ADD CONSTRAINT passages_2_key_fkey FOREIGN KEY (key) REFERENCES faq.documents(key) ON DELETE CASCADE;
ALTER TABLE ONLY vector_pipeline.ann_indexes
    ADD CONSTRAINT ann_indexes_index_id_space_fkey FOREIGN KEY (index_id, space) REFERENCES vector_pipeline.vector_spaces(index_id, space) ON DELETE CASCADE;
ALTER TABLE ONLY vector_pipeline.budget_days
    ADD CONSTRAINT budget_days_index_id_fkey FOREIGN KEY (index_id) REFERENCES vector_pipeline.embedding_indexes(index_id) ON DELETE CASCADE;
ALTER TABLE ONLY vector_pipeline.canaries
    ADD CONSTRAINT canaries_index_id_space_fkey FOREIGN KEY (index_id, space) REFERENCES vector_pipeline.canary_looks(index_id, space) ON DELETE CASCADE;
ALTER TABLE ONLY vector_pipeline.canary_looks
    ADD CONSTRAINT canary_looks_index_id_space_fkey FOREIGN KEY (index_id, space) REFERENCES vector_pipeline.vector_spaces(index_id, space) ON DELETE CASCADE;
ALTER TABLE ONLY vector_pipeline.deletion_guards
    ADD CONSTRAINT deletion_guards_index_id_fkey FOREIGN KEY (index_id) REFERENCES vector_pipeline.embedding_indexes(index_id) ON DELETE CASCADE;
ALTER TABLE ONLY vector_pipeline.detector_states
    ADD CONSTRAINT detector_states_index_id_fkey FOREIGN KEY (index_id) REFERENCES vector_pipeline.embedding_indexes(index_id) ON DELETE CASCADE;
ALTER TABLE ONLY vector_pipeline.generations
    ADD CONSTRAINT generations_index_id_fkey FOREIGN KEY (index_id) REFERENCES vector_pipeline.embedding_indexes(index_id) ON DELETE CASCADE;
ALTER TABLE ONLY vector_pipeline.generations
    ADD CONSTRAINT generations_index_id_space_fkey FOREIGN KEY (index_id, space) REFERENCES vector_pipeline.vector_spaces(index_id, space);
ALTER TABLE ONLY vector_pipeline.golden_results
    ADD CONSTRAINT golden_results_index_id_generation_fkey FOREIGN KEY (index_id, generation) REFERENCES vector_pipeline.generations(index_id, generation) ON DELETE CASCADE;
ALTER TABLE ONLY vector_pipeline.key_ranges
    ADD CONSTRAINT key_ranges_index_id_fkey FOREIGN KEY (index_id) REFERENCES vector_pipeline.embedding_indexes(index_id) ON DELETE CASCADE;
ALTER TABLE ONLY vector_pipeline.offline_batch_texts
    ADD CONSTRAINT offline_batch_texts_batch_fkey FOREIGN KEY (batch) REFERENCES vector_pipeline.offline_batches(batch) ON DELETE CASCADE;
ALTER TABLE ONLY vector_pipeline.offline_batch_texts
    ADD CONSTRAINT offline_batch_texts_index_id_fkey FOREIGN KEY (index_id) REFERENCES vector_pipeline.embedding_indexes(index_id) ON DELETE CASCADE;
ALTER TABLE ONLY vector_pipeline.offline_batches
    ADD CONSTRAINT offline_batches_index_id_fkey FOREIGN KEY (index_id) REFERENCES vector_pipeline.embedding_indexes(index_id) ON DELETE CASCADE;
ALTER TABLE ONLY vector_pipeline.quarantine
    ADD CONSTRAINT quarantine_index_id_fkey FOREIGN KEY (index_id) REFERENCES vector_pipeline.embedding_indexes(index_id) ON DELETE CASCADE;
ALTER TABLE ONLY vector_pipeline.quarantine
    ADD CONSTRAINT quarantine_of_a_space FOREIGN KEY (index_id, space) REFERENCES vector_pipeline.vector_spaces(index_id, space) ON DELETE CASCADE;
ALTER TABLE ONLY vector_pipeline.range_states
    ADD CONSTRAINT range_states_range_id_fkey FOREIGN KEY (range_id) REFERENCES vector_pipeline.key_ranges(range_id) ON DELETE CASCADE;
ALTER TABLE ONLY vector_pipeline.spending
    ADD CONSTRAINT spending_index_id_fkey FOREIGN KEY (index_id) REFERENCES vector_pipeline.embedding_indexes(index_id) ON DELETE CASCADE;
ALTER TABLE ONLY vector_pipeline.unanswered_queries
    ADD CONSTRAINT unanswered_queries_index_id_fkey FOREIGN KEY (index_id) REFERENCES vector_pipeline.embedding_indexes(index_id) ON DELETE CASCADE;
ALTER TABLE ONLY vector_pipeline.vector_spaces
    ADD CONSTRAINT vector_spaces_index_id_fkey FOREIGN KEY (index_id) REFERENCES vector_pipeline.embedding_indexes(index_id) ON DELETE CASCADE;
