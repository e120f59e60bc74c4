"""WebSocket connections that stay up, for trio."""
