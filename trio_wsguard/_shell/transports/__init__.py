"""One adapter for each WebSocket library, imported when first used."""
