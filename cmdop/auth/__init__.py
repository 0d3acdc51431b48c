"""Who may enter: API keys, what is derived from them, and where they are kept."""
