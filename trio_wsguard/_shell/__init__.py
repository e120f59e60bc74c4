"""What touches the world: the only production code that imports trio."""
