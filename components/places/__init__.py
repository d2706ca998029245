"""Where a store keeps its bytes: a local folder or an object store, and what their failures mean in words."""
