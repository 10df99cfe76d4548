"""REST and Socket.IO: read input, call one method of the service or the store, shape the answer."""
