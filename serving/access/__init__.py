"""Who may ask the service, how often, and in what form: keys, tokens, sessions, roles, limits."""
