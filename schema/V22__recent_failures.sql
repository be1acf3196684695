-- What failed in the last minutes, for who looks after a class: few rows of many.

CREATE INDEX measurement_failed_lately ON measurement (ended_at) WHERE error IS NOT NULL;
