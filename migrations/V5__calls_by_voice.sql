-- Whether a watched attempt is a call: who can't ask a carrier leaves it for a while to those who can. The default is for
-- processes that do not know the column.
ALTER TABLE calls ADD COLUMN by_voice boolean NOT NULL DEFAULT true;
