"""How the figures of a run are shown, for each kind of data: a module of the name of its chain."""
