-- What an attempt started elsewhere: JSON.
ALTER TABLE {s}.attempts ADD COLUMN run text;
