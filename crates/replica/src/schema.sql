-- One document on one device: how it is reached, and what its replica had stored.
CREATE TABLE document (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    tenant  TEXT NOT NULL,
    name    TEXT NOT NULL,
    relay   TEXT NOT NULL,
    token   TEXT NOT NULL,
    keys    BLOB,
    begin   BLOB
) STRICT;

CREATE TABLE pieces (
    number  INTEGER PRIMARY KEY,
    piece   BLOB NOT NULL
) STRICT;
