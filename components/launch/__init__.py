"""Jobs of several processes: what is launched, by whom, and how it is followed, cancelled and explained."""
