-- The status asks what was read in the last hour, and old windows are looked for by when they closed.
CREATE INDEX windows_closed ON paysync.windows (closed_at) WHERE outcome IS NOT NULL;
