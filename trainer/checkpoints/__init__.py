"""Files of a whole run: written whole, verified when read, and gone on from exactly."""
