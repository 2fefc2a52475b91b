-- What an attempt started elsewhere: JSON.
ALTER TABLE attempts ADD COLUMN run TEXT;
