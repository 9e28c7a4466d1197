-- What was POSTed to, and what few attempts have: both sendings of a request, headers that came more than once, a body that
-- was cut. Null of attempts recorded before.
ALTER TABLE attempts ADD COLUMN url text;
ALTER TABLE attempts ADD COLUMN detail text;
