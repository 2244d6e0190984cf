-- Runs that somebody waits for, of jobs that look for work in rounds. Whoever asks for such a run while one is at work
-- joins it by `asked_at`; a run that has begun its last round is closed, and joined by nobody any more.
CREATE TABLE vector_pipeline.open_runs (
    run_id text PRIMARY KEY,
    asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed boolean NOT NULL DEFAULT false
);
