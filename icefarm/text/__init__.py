"""How lengths of time, errors, URLs and old names read.  Look here for words that several parts share."""
