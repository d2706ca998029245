"""Model, codec, golden requests, card and limits -> one release under one signed manifest."""
