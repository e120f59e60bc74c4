"""The guard on loopback sockets: the real kernel, the real clock."""
