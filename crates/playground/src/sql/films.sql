CREATE TABLE films (
  id INTEGER PRIMARY KEY,
  title VARCHAR(100) NOT NULL,
  director VARCHAR(100) NOT NULL,
  released DATE,
  minutes SMALLINT,
  score DOUBLE,
  UNIQUE (title)
);
INSERT INTO films (id, title, director, released, minutes, score) VALUES
  (1, 'Metropolis', 'Fritz Lang', '1927-01-10', 153, 8.3),
  (2, 'The General', 'Buster Keaton', '1926-12-31', 78, 8.1),
  (3, 'Safety Last!', 'Fred C. Newmeyer', '1923-04-01', 74, 8.1),
  (4, 'Sherlock Jr.', 'Buster Keaton', '1924-04-21', 45, 8.2),
  (5, 'Häxan', 'Benjamin Christensen', '1922-09-18', NULL, 7.6);
