"""The entry point: configuration, wiring, start and stop; and `realtime`, the Socket.IO engine."""
