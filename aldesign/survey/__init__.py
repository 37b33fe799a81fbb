"""From millions of formulas to a short ranked table: sieves, an oracle's score, and work that is shared out."""
