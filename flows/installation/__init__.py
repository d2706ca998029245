"""What one machine runs for its districts: read from `homeroom.toml`, started by `homeroom up`, ended by `down`."""
