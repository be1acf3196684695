-- A run that is resumed asks which circuits its experiment has values of; a board's page, what the board did.

-- Hashes of 8 bytes take a third of the room that the digests would.
CREATE INDEX measurement_by_circuit ON measurement (experiment, hashtextextended(sha256, 0)) WHERE error IS NULL;

CREATE INDEX experiment_board_by_serial ON experiment_board (serial);
