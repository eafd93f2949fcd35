-- One row per build of a view: what it was built from, and how far.
CREATE TABLE generation (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    view TEXT NOT NULL,
    definition TEXT NOT NULL,
    stream INTEGER NOT NULL,
    -- Where the stream ended when it was begun: from there on it is fit to be shown.
    goal INTEGER NOT NULL,
    is_shown INTEGER NOT NULL,
    -- Next sequence of the stream.
    cursor INTEGER NOT NULL DEFAULT 0,
    rows INTEGER NOT NULL DEFAULT 0,
    folded INTEGER NOT NULL DEFAULT 0,
    passed INTEGER NOT NULL DEFAULT 0,
    bad INTEGER NOT NULL DEFAULT 0,
    overflowed INTEGER NOT NULL DEFAULT 0,
    -- Records that retention removed before they were folded, and when that was noticed.
    missed INTEGER NOT NULL DEFAULT 0,
    missed_since_ms INTEGER
);
CREATE INDEX generation_view ON generation (view, is_shown);
CREATE TABLE row (
    generation INTEGER NOT NULL REFERENCES generation (id) ON DELETE CASCADE,
    -- The group's values as one array of JSON.
    key TEXT NOT NULL,
    -- What readers get, an object of JSON.
    row TEXT NOT NULL,
    -- Of the aggregates; empty where the row is an event.
    state TEXT NOT NULL,
    PRIMARY KEY (generation, key)
) WITHOUT ROWID;
-- The last events of each generation that were not what the view expects.
CREATE TABLE fault (
    generation INTEGER NOT NULL REFERENCES generation (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    reason TEXT NOT NULL,
    beginning TEXT NOT NULL,
    PRIMARY KEY (generation, seq)
) WITHOUT ROWID;
