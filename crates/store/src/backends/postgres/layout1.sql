-- Which store this is. One row.
CREATE TABLE {s}.store (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    id     text NOT NULL,
    layout integer NOT NULL
);

-- Above every revision that was ever given, also to keys that are gone.
CREATE SEQUENCE {s}.revisions;

-- `nonce` is that of the value, so that a compare-and-swap is one statement; empty where someone wrote a value by hand.
CREATE TABLE {s}.records (
    key      text COLLATE "C" PRIMARY KEY CHECK (octet_length(key) BETWEEN 1 AND 1024),
    revision bigint NOT NULL,
    nonce    text NOT NULL DEFAULT '',
    value    bytea NOT NULL
);

-- Who writes by hand gets a new revision too, so that nobody writes over it unseen.
CREATE FUNCTION {s}.number_record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.revision := nextval('{s}.revisions');
    IF TG_OP = 'UPDATE' AND NEW.nonce = OLD.nonce THEN
        NEW.nonce := '';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION {s}.tell_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM pg_notify('{s}.records', '');
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        PERFORM pg_notify('{s}.records', OLD.key);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM pg_notify('{s}.records', NEW.key);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER number_record BEFORE INSERT OR UPDATE ON {s}.records FOR EACH ROW EXECUTE FUNCTION {s}.number_record();
CREATE TRIGGER tell_change AFTER INSERT OR UPDATE OR DELETE ON {s}.records FOR EACH ROW EXECUTE FUNCTION {s}.tell_change();
CREATE TRIGGER tell_truncate AFTER TRUNCATE ON {s}.records FOR EACH STATEMENT EXECUTE FUNCTION {s}.tell_change();

-- For people: also what is no text.
CREATE FUNCTION {s}.as_text(value bytea) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN convert_from(value, 'UTF8');
EXCEPTION WHEN OTHERS THEN
    RETURN encode(value, 'escape');
END $$;

CREATE VIEW {s}.readable AS
    SELECT key, revision, octet_length(value) AS bytes, {s}.as_text(value) AS value FROM {s}.records;
