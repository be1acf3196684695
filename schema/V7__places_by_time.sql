-- A request whose boards turned out bad waits again, at the place that it had: the order is that of waiting, not of arrival.

CREATE OR REPLACE VIEW queue AS
    SELECT row_number() OVER (ORDER BY has_boards, since, number) AS place,
           client, kind, coalesce(amount, cardinality(serials)) AS amount, serials, since, now() - since AS waited, id
      FROM (SELECT *, EXISTS (SELECT FROM device d WHERE d.client = request.client) AS has_boards FROM request) waiting
     ORDER BY place;
